#include "lib/log/json.h"

#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "lib/plain.h"
#include "lib/utf8.h"

#define CUT " [...]"
#define NO_CHARACTER "\\ufffd"

static bool needs_nothing(const char *text, size_t len)
{
	return plain_len(text, len) == len && memchr(text, '"', len) == NULL;
}

/* Appends the character at text; returns its length. */
static size_t put_char(struct str *out, const char *text, size_t len)
{
	unsigned char c = (unsigned char)*text;
	size_t char_len;

	if (c == '"' || c == '\\') {
		str_putc(out, '\\');
		str_putc(out, *text);
		return 1;
	}
	if (c < ' ' || c == 0x7f) {
		str_printf(out, "\\u%04x", c);
		return 1;
	}
	char_len = utf8_char_len(text, len);
	if (char_len == 0) {
		str_puts(out, NO_CHARACTER);
		return 1;
	}
	str_append(out, text, char_len);
	return char_len;
}

static void put_text(struct str *out, const char *text, size_t len, size_t max)
{
	/* Where it can be cut, if it must. */
	size_t start = out->len, cut = start, at = 0;

	while (at < len) {
		at += put_char(out, text + at, len - at);
		if (out->len - start > max) {
			str_truncate(out, cut);
			str_puts(out, CUT);
			return;
		}
		if (out->len - start + strlen(CUT) <= max)
			cut = out->len;
	}
}

void log_json_escape(struct str *str, size_t at, size_t max)
{
	size_t len = str->len - at;
	char *raw;

	if (len == 0 ||
	    (len <= max && needs_nothing(str->data + at, len)))
		return;
	raw = memcpy(mem_alloc(len), str->data + at, len);
	str_truncate(str, at);
	put_text(str, raw, len, max);
	mem_free(&raw);
}

/* "2026-11-30T01:48:20." is the same for many lines. */
static const char *this_second(time_t sec)
{
	static _Thread_local time_t cached_sec;
	static _Thread_local char cached[32];
	struct tm tm;

	if (sec != cached_sec) {
		gmtime_r(&sec, &tm);
		strftime(cached, sizeof(cached), "%Y-%m-%dT%H:%M:%S.", &tm);
		cached_sec = sec;
	}
	return cached;
}

uint64_t log_json_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void log_json_put_time(struct str *out, uint64_t time_ms)
{
	unsigned ms = (unsigned)(time_ms % 1000);

	str_puts(out, this_second((time_t)(time_ms / 1000)));
	str_putc(out, (char)('0' + ms / 100));
	str_putc(out, (char)('0' + ms / 10 % 10));
	str_putc(out, (char)('0' + ms % 10));
	str_putc(out, 'Z');
}
