#include "lib/percent.h"

#include <string.h>

#include "lib/ascii.h"
#include "lib/digits.h"

/* The value of the two digits at text; 0: they are none, or there are less than
 * two. */
static int hex_byte(const char *text, size_t len)
{
	int high = len >= 2 ? hex_digit(text[0]) : -1;
	int low = high >= 0 ? hex_digit(text[1]) : -1;

	return low >= 0 ? high * 16 + low : 0;
}

char *percent_decode(struct arena *arena, const char *text, size_t len,
		     bool plus_is_space)
{
	char *out = arena_alloc(arena, len + 1), *end = out;
	size_t i;

	for (i = 0; i < len; i++) {
		*end = text[i];
		if (text[i] == '+' && plus_is_space) {
			*end = ' ';
		} else if (text[i] == '%') {
			*end = (char)hex_byte(text + i + 1, len - i - 1);
			i += 2;
		}
		if (*end++ == '\0')
			return NULL;
	}
	*end = '\0';
	return out;
}

void percent_encode(struct str *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (ascii_is_alnum(*text) || strchr("-._~", *text) != NULL)
			str_putc(out, *text);
		else
			str_printf(out, "%%%02X", (unsigned char)*text);
	}
}
