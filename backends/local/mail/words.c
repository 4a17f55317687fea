#include "backends/local/mail/words.h"

#include <stdbool.h>
#include <stdint.h>
#include <strings.h>

#include "lib/digits.h"
#include "lib/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"
#define NO_CHARACTER 0xfffd

/* --- charsets --- */

enum charset {
	CHARSET_UTF_8,
	CHARSET_ASCII,
	CHARSET_LATIN_1,
	CHARSET_LATIN_9,
	CHARSET_WINDOWS,
};

static const struct charset_name {
	const char *name;
	enum charset charset;
} charset_names[] = {
	{ "utf-8", CHARSET_UTF_8 },
	{ "utf8", CHARSET_UTF_8 },
	{ "us-ascii", CHARSET_ASCII },
	{ "ascii", CHARSET_ASCII },
	{ "iso-8859-1", CHARSET_LATIN_1 },
	{ "iso8859-1", CHARSET_LATIN_1 },
	{ "iso_8859-1", CHARSET_LATIN_1 },
	{ "latin1", CHARSET_LATIN_1 },
	{ "iso-8859-15", CHARSET_LATIN_9 },
	{ "iso8859-15", CHARSET_LATIN_9 },
	{ "latin9", CHARSET_LATIN_9 },
	{ "windows-1252", CHARSET_WINDOWS },
	{ "cp1252", CHARSET_WINDOWS },
};
#define CHARSET_NAMES (sizeof(charset_names) / sizeof(charset_names[0]))

/* A language may follow its name (RFC 2231 5). */
static const struct charset_name *find_charset(const char *text, size_t len)
{
	const char *star = memchr(text, '*', len);
	size_t i;

	if (star != NULL)
		len = (size_t)(star - text);
	for (i = 0; i < CHARSET_NAMES; i++)
		if (strlen(charset_names[i].name) == len &&
		    strncasecmp(charset_names[i].name, text, len) == 0)
			return &charset_names[i];
	return NULL;
}

static uint32_t latin_9_point(uint8_t byte)
{
	switch (byte) {
	case 0xa4: return 0x20ac;
	case 0xa6: return 0x160;
	case 0xa8: return 0x161;
	case 0xb4: return 0x17d;
	case 0xb8: return 0x17e;
	case 0xbc: return 0x152;
	case 0xbd: return 0x153;
	case 0xbe: return 0x178;
	default: return byte;
	}
}

static uint32_t windows_point(uint8_t byte)
{
	static const uint16_t points[32] = {
		0x20ac, NO_CHARACTER, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021,
		0x2c6, 0x2030, 0x160, 0x2039, 0x152, NO_CHARACTER, 0x17d, NO_CHARACTER,
		NO_CHARACTER, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
		0x2dc, 0x2122, 0x161, 0x203a, 0x153, NO_CHARACTER, 0x17e, 0x178,
	};

	return byte >= 0x80 && byte < 0xa0 ? points[byte - 0x80] : byte;
}

static uint32_t point_of(enum charset charset, uint8_t byte)
{
	switch (charset) {
	case CHARSET_LATIN_1: return byte;
	case CHARSET_LATIN_9: return latin_9_point(byte);
	case CHARSET_WINDOWS: return windows_point(byte);
	default: return byte < 0x80 ? byte : NO_CHARACTER;
	}
}

/* One for a run of what is no text. */
static void put_replacement(struct str *out)
{
	const size_t len = strlen(REPLACEMENT);

	if (out->len < len ||
	    memcmp(out->data + out->len - len, REPLACEMENT, len) != 0)
		str_puts(out, REPLACEMENT);
}

static void put_utf8(struct str *out, const char *text, size_t len)
{
	while (len > 0) {
		size_t good = utf8_prefix(text, len);

		str_append(out, text, good);
		if (good == len)
			return;
		put_replacement(out);
		text += good + 1;
		len -= good + 1;
	}
}

static void put_converted(struct str *out, enum charset charset,
			  const struct str *bytes)
{
	size_t i;

	if (charset == CHARSET_UTF_8) {
		put_utf8(out, bytes->data, bytes->len);
		return;
	}
	for (i = 0; i < bytes->len; i++) {
		uint32_t point = point_of(charset, (uint8_t)bytes->data[i]);

		if (point == NO_CHARACTER)
			put_replacement(out);
		else
			utf8_put(out, point);
	}
}

/* --- encodings --- */

static void put_byte(struct str *bytes, int byte)
{
	str_putc(bytes, byte == '\0' ? ' ' : (char)byte);
}

static void decode_q(struct str *bytes, const char *text, const char *end)
{
	for (; text < end; text++) {
		if (*text == '=' && end - text > 2 && hex_digit(text[1]) >= 0 &&
		    hex_digit(text[2]) >= 0) {
			put_byte(bytes, hex_digit(text[1]) << 4 |
						hex_digit(text[2]));
			text += 2;
			continue;
		}
		str_putc(bytes, *text == '_' ? ' ' : *text);
	}
}

/* Up to where it is base64. */
static void decode_b(struct str *bytes, const char *text, const char *end)
{
	unsigned bits = 0, count = 0;

	for (; text < end; text++) {
		int digit = base64_digit(*text);

		if (*text == ' ' || *text == '\t')
			continue;
		if (digit < 0)
			return;
		bits = (bits << 6 | (unsigned)digit) & 0xfff;
		count += 6;
		if (count >= 8) {
			count -= 8;
			put_byte(bytes, bits >> count & 0xff);
		}
	}
}

/* --- words --- */

/* What stands behind "=?": its length with the end, and decoded; or 0, when it is no
 * word, or nobody knows how to read it. */
static size_t put_word(struct str *out, const char *text, size_t len)
{
	const char *end = text + len, *mark[3], *at = text;
	const struct charset_name *charset;
	struct str bytes = STR_INIT;
	size_t i;

	for (i = 0; i < 3; i++, at++) {
		at = memchr(at, '?', (size_t)(end - at));
		if (at == NULL)
			return 0;
		mark[i] = at;
	}
	charset = find_charset(text, (size_t)(mark[0] - text));
	if (at == end || *at != '=' || charset == NULL)
		return 0;
	if (strncasecmp(mark[0] + 1, "q", 1) == 0)
		decode_q(&bytes, mark[1] + 1, mark[2]);
	else if (strncasecmp(mark[0] + 1, "b", 1) == 0)
		decode_b(&bytes, mark[1] + 1, mark[2]);
	else
		return 0;
	put_converted(out, charset->charset, &bytes);
	str_free(&bytes);
	return (size_t)(at + 1 - text);
}

static bool is_blank(const char *text, const char *end)
{
	while (text < end && (*text == ' ' || *text == '\t'))
		text++;
	return text == end;
}

void mail_words_decode(struct str *out, const char *text, size_t len)
{
	const char *end = text + len, *at = text, *start;
	size_t word;

	while ((at = memchr(at, '=', (size_t)(end - at))) != NULL) {
		start = at++;
		if (at == end || *at != '?')
			continue;
		at++;
		if (!is_blank(text, start))
			put_utf8(out, text, (size_t)(start - text));
		text = start;
		word = put_word(out, at, (size_t)(end - at));
		if (word > 0)
			text = at += word;
	}
	put_utf8(out, text, (size_t)(end - text));
}
