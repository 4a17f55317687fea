#include "lib/smtp/xtext.h"

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

int smtp_xtext_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
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
		if (len - i < 3 || (high = smtp_xtext_digit(text[i + 1])) < 0 ||
		    (low = smtp_xtext_digit(text[i + 2])) < 0)
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
