#include "lib/utf8.h"

#include <stdint.h>

#include "lib/plain.h"

struct utf8_form {
	uint8_t mask, lead; /* a first byte of this form: byte & mask == lead */
	size_t len;
	uint32_t min; /* what is less has a shorter form */
};

static const struct utf8_form utf8_forms[] = {
	{ 0x80, 0x00, 1, 0x0 },
	{ 0xe0, 0xc0, 2, 0x80 },
	{ 0xf0, 0xe0, 3, 0x800 },
	{ 0xf8, 0xf0, 4, 0x10000 },
};
#define UTF8_FORMS (sizeof(utf8_forms) / sizeof(utf8_forms[0]))

static const struct utf8_form *utf8_form_of(uint8_t lead)
{
	size_t i;

	for (i = 0; i < UTF8_FORMS; i++)
		if ((lead & utf8_forms[i].mask) == utf8_forms[i].lead)
			return &utf8_forms[i];
	return NULL;
}

size_t utf8_char_len(const char *text, size_t len)
{
	const uint8_t *bytes = (const uint8_t *)text;
	const struct utf8_form *form = len > 0 ? utf8_form_of(bytes[0]) : NULL;
	uint32_t point;
	size_t i;

	if (form == NULL || form->len > len)
		return 0;
	point = bytes[0] & (uint8_t)~form->mask;
	for (i = 1; i < form->len; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (bytes[i] & 0x3f);
	}
	if (point < form->min || point > 0x10ffff ||
	    (point >= 0xd800 && point <= 0xdfff))
		return 0;
	return form->len;
}

size_t utf8_prefix(const char *text, size_t len)
{
	size_t at = 0, step;

	while (at < len) {
		step = plain_len(text + at, len - at);
		if (step == 0)
			step = utf8_char_len(text + at, len - at);
		if (step == 0)
			break;
		at += step;
	}
	return at;
}

bool utf8_is_valid(const char *text, size_t len)
{
	return utf8_prefix(text, len) == len;
}

size_t utf8_cut(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

/* Six of its bits, from shift on. */
static void put_rest(struct str *out, uint32_t point, unsigned shift)
{
	str_putc(out, (char)(0x80 | (point >> shift & 0x3f)));
}

void utf8_put(struct str *out, uint32_t point)
{
	if (point < 0x80) {
		str_putc(out, (char)point);
		return;
	}
	if (point < 0x800) {
		str_putc(out, (char)(0xc0 | point >> 6));
	} else if (point < 0x10000) {
		str_putc(out, (char)(0xe0 | point >> 12));
		put_rest(out, point, 6);
	} else {
		str_putc(out, (char)(0xf0 | point >> 18));
		put_rest(out, point, 12);
		put_rest(out, point, 6);
	}
	put_rest(out, point, 0);
}
