/* Growable byte string. Invariants: data is NULL while nothing was ever
 * appended; otherwise data[len] is NUL, so data is also a C string. May hold
 * any byte. A zeroed struct (or STR_INIT) is an empty string. */
#ifndef LIB_STR_H
#define LIB_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/panic.h"

struct str {
	char *data;
	size_t len, cap;
};

#define STR_INIT { NULL, 0, 0 }

/* Releases the memory and makes the string empty. */
void str_free(struct str *str);

/* The same for a secret, which does not stay in the freed memory. */
void str_wipe(struct str *str);

/* Makes the string empty, keeping its memory. */
static inline void str_clear(struct str *str);

/* Cuts the string to its first len bytes; len is at most str->len. */
void str_truncate(struct str *str, size_t len);

/* Removes the first len bytes; len is at most str->len. */
void str_consume(struct str *str, size_t len);

/* Makes room for len more bytes and returns the place to write them; commit
 * what was written by adding it to str->len through str_grown(). */
static inline char *str_reserve(struct str *str, size_t len);
static inline void str_grown(struct str *str, size_t len);

static inline void str_append(struct str *str, const void *data, size_t len);
static inline void str_puts(struct str *str, const char *text);
static inline void str_putc(struct str *str, char c);

/* Appends a number in decimal; far cheaper than str_printf(). */
static inline void str_put_number(struct str *str, uint64_t number);

void str_printf(struct str *str, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void str_vprintf(struct str *str, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

/* Appends the text for a log line: control bytes, DEL and the backslash become
 * \xHH, so that one event stays one line; UTF-8 passes. */
void str_put_escaped(struct str *str, const char *data, size_t len);

/* The contents as a C string, "" when empty; valid until the next change. */
static inline const char *str_c(const struct str *str);

/* --- in line, since lines and replies are made of many small pieces --- */

static inline void str_clear(struct str *str)
{
	str->len = 0;
	if (str->data != NULL)
		str->data[0] = '\0';
}

static inline const char *str_c(const struct str *str)
{
	return str->data != NULL ? str->data : "";
}

/* Makes the memory larger by at least len. For str_reserve(). */
void str_grow(struct str *str, size_t len) __attribute__((cold));

static inline char *str_reserve(struct str *str, size_t len)
{
	if (str->cap - str->len <= len)
		str_grow(str, len);
	return str->data + str->len;
}

static inline void str_grown(struct str *str, size_t len)
{
	ASSERT(len < str->cap - str->len);
	str->len += len;
	str->data[str->len] = '\0';
}

static inline void str_append(struct str *str, const void *data, size_t len)
{
	char *at;

	if (len == 0)
		return;
	at = str_reserve(str, len);
	str->len += len; /* before what might be it, for all that C knows */
	memcpy(at, data, len);
	at[len] = '\0';
}

static inline void str_puts(struct str *str, const char *text)
{
	str_append(str, text, strlen(text));
}

static inline void str_putc(struct str *str, char c)
{
	char *at = str_reserve(str, 1);

	str->len++;
	at[0] = c;
	at[1] = '\0';
}

/* Of more than one digit. For str_put_number(). */
void str_put_long_number(struct str *str, uint64_t number);

static inline void str_put_number(struct str *str, uint64_t number)
{
	if (number < 10)
		str_putc(str, (char)('0' + number));
	else
		str_put_long_number(str, number);
}

#endif
