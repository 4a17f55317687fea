#include "lib/plain.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WIDTH 16

typedef signed char plain_vec __attribute__((vector_size(WIDTH)));
typedef uint64_t plain_pair __attribute__((vector_size(WIDTH)));

static bool plain_block(const char *text)
{
	plain_vec bytes;
	plain_pair odd;

	memcpy(&bytes, text, WIDTH);
	/* Signed: what is past ASCII is negative. */
	odd = (plain_pair)((bytes < ' ') | (bytes == 0x7f) | (bytes == '\\'));
	return (odd[0] | odd[1]) == 0;
}

static bool plain_byte(char c)
{
	return (signed char)c >= ' ' && c != 0x7f && c != '\\';
}

size_t plain_len(const char *text, size_t len)
{
	size_t at = 0;

	while (len - at >= WIDTH && plain_block(text + at))
		at += WIDTH;
	if (len >= WIDTH && len - at < WIDTH &&
	    plain_block(text + len - WIDTH))
		return len;
	while (at < len && plain_byte(text[at]))
		at++;
	return at;
}
