#include "lib/plain.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WIDTH 16

typedef signed char plain_vec __attribute__((vector_size(WIDTH)));
typedef uint64_t plain_pair __attribute__((vector_size(WIDTH)));

static plain_vec plain_load(const char *text)
{
	plain_vec bytes;

	memcpy(&bytes, text, WIDTH);
	return bytes;
}

/* Which bytes are not plain. Signed: what is past ASCII is negative. */
static plain_vec plain_odd(plain_vec bytes)
{
	return (bytes < ' ') | (bytes == 0x7f) | (bytes == '\\');
}

static bool plain_is_zero(plain_vec vec)
{
	plain_pair pair = (plain_pair)vec;

	return (pair[0] | pair[1]) == 0;
}

static bool plain_block(const char *text)
{
	return plain_is_zero(plain_odd(plain_load(text)));
}

/* Of half a block at least, and less than one: the halves overlap. */
static bool plain_short(const char *text, size_t len)
{
	uint64_t first, last;

	memcpy(&first, text, sizeof(first));
	memcpy(&last, text + len - sizeof(last), sizeof(last));
	return plain_is_zero(plain_odd((plain_vec)(plain_pair){ first, last }));
}

static bool plain_four_blocks(const char *text)
{
	return plain_is_zero(plain_odd(plain_load(text)) |
			     plain_odd(plain_load(text + WIDTH)) |
			     plain_odd(plain_load(text + 2 * WIDTH)) |
			     plain_odd(plain_load(text + 3 * WIDTH)));
}

static bool plain_byte(char c)
{
	return (signed char)c >= ' ' && c != 0x7f && c != '\\';
}

size_t plain_len(const char *text, size_t len)
{
	size_t at = 0;

	while (len - at >= 4 * WIDTH && plain_four_blocks(text + at))
		at += 4 * WIDTH;
	while (len - at >= WIDTH && plain_block(text + at))
		at += WIDTH;
	if (len >= WIDTH && len - at < WIDTH &&
	    plain_block(text + len - WIDTH))
		return len;
	if (len < WIDTH && len >= WIDTH / 2 && plain_short(text, len))
		return len;
	while (at < len && plain_byte(text[at]))
		at++;
	return at;
}
