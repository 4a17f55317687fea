#include "lib/smtp/xtext.h"

#include "lib/digits.h"

void smtp_xtext_write(struct str *out, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c > ' ' && c < 0x7f && c != '+' && c != '=')
			str_putc(out, text[i]);
		else
			str_printf(out, "+%02X", c);
	}
}

char *smtp_xtext_parse_utf8(struct arena *arena, const char *text, size_t len,
			    size_t *len_r)
{
	char *out = arena_alloc(arena, len + 1);
	size_t i, used = 0;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		int high, low;

		if (c <= ' ' || c == 0x7f || c == '=')
			return NULL;
		if (c != '+') {
			out[used++] = text[i];
			continue;
		}
		if (len - i < 3 || (high = hex_digit(text[i + 1])) < 0 ||
		    (low = hex_digit(text[i + 2])) < 0)
			return NULL;
		out[used++] = (char)(high << 4 | low);
		i += 2;
	}
	*len_r = used;
	return out;
}

char *smtp_xtext_parse(struct arena *arena, const char *text, size_t len,
		       size_t *len_r)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return NULL;
	return smtp_xtext_parse_utf8(arena, text, len, len_r);
}
