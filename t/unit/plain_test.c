#include "lib/plain.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <string.h>

Test(plain, every_byte_at_every_place)
{
	char text[50];
	unsigned byte;
	size_t at, found;

	for (byte = 0; byte < 256; byte++) {
		bool is_plain = byte >= 0x20 && byte < 0x7f && byte != '\\';

		for (at = 0; at < sizeof(text); at++) {
			memset(text, 'x', sizeof(text));
			text[at] = (char)byte;
			found = plain_len(text, sizeof(text));
			cr_assert_eq(found, is_plain ? sizeof(text) : at,
				     "byte 0x%02x at %zu: %zu", byte, at,
				     found);
		}
	}
}

Test(plain, no_byte_past_the_end_counts)
{
	size_t len;

	for (len = 0; len < 40; len++) {
		char text[64];

		memset(text, 'x', sizeof(text));
		text[len] = '\n';
		cr_assert_eq(plain_len(text, len), len);
		text[len] = 'x';
		cr_assert_eq(plain_len(text, len), len);
	}
}
