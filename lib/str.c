#include "lib/str.h"

#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/plain.h"

#define STR_MIN_CAP 64

void str_free(struct str *str)
{
	mem_free(&str->data);
	str->len = str->cap = 0;
}

void str_wipe(struct str *str)
{
	if (str->data != NULL)
		explicit_bzero(str->data, str->len);
	str_free(str);
}

void str_truncate(struct str *str, size_t len)
{
	ASSERT(len <= str->len);
	str->len = len;
	if (str->data != NULL)
		str->data[len] = '\0';
}

void str_consume(struct str *str, size_t len)
{
	ASSERT(len <= str->len);
	if (len == 0)
		return;
	memmove(str->data, str->data + len, str->len - len + 1);
	str->len -= len;
}

void str_grow(struct str *str, size_t len)
{
	size_t need = str->len + len + 1;
	size_t cap = str->cap > 0 ? str->cap : STR_MIN_CAP;

	while (cap < need)
		cap *= 2;
	str->data = mem_realloc(str->data, cap);
	str->cap = cap;
}

void str_put_long_number(struct str *str, uint64_t number)
{
	static const char pairs[] =
		"00010203040506070809101112131415161718192021222324"
		"25262728293031323334353637383940414243444546474849"
		"50515253545556575859606162636465666768697071727374"
		"75767778798081828384858687888990919293949596979899";
	char digits[20], *at = digits + sizeof(digits);

	for (; number >= 10; number /= 100)
		memcpy(at -= 2, pairs + number % 100 * 2, 2);
	if (number > 0)
		*--at = (char)('0' + number);
	str_append(str, at, (size_t)(digits + sizeof(digits) - at));
}

void str_printf(struct str *str, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_vprintf(str, fmt, ap);
	va_end(ap);
}

void str_vprintf(struct str *str, const char *fmt, va_list ap)
{
	size_t room = 96;
	va_list again;
	int len;

	va_copy(again, ap);
	len = vsnprintf(str_reserve(str, room), room, fmt, ap);
	ASSERT(len >= 0);
	if ((size_t)len >= room)
		vsnprintf(str_reserve(str, (size_t)len + 1), (size_t)len + 1,
			  fmt, again);
	va_end(again);
	str_grown(str, (size_t)len);
}

/* For each byte, whether it has to be escaped. */
static const bool str_special[256] = {
	[0x00 ... 0x1f] = true,
	[0x7f] = true,
	['\\'] = true,
};

void str_put_escaped(struct str *str, const char *data, size_t len)
{
	size_t i = 0, start;

	while (i < len) {
		start = i;
		i += plain_len(data + i, len - i);
		while (i < len && !str_special[(unsigned char)data[i]])
			i++;
		str_append(str, data + start, i - start);
		if (i < len)
			str_printf(str, "\\x%02x", (unsigned char)data[i++]);
	}
}
