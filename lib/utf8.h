/* UTF-8 (RFC 3629). */
#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"

/* Whether text is UTF-8: no overlong forms, surrogates, or code points past
 * U+10FFFF. ASCII is UTF-8, NUL included; so is the empty text. */
bool utf8_is_valid(const char *text, size_t len);

/* How many bytes of text, from its start, are UTF-8. */
size_t utf8_prefix(const char *text, size_t len);

/* The length of the character that text starts with; 0 when it starts with
 * none, or len is 0. */
size_t utf8_char_len(const char *text, size_t len);

/* How much of len bytes to keep when there is room for max: max at most, and no
 * cut inside a character. */
size_t utf8_cut(const char *text, size_t len, size_t max);

/* Appends the character of a code point up to U+10FFFF that is no surrogate. */
void utf8_put(struct str *out, uint32_t point);

#endif
