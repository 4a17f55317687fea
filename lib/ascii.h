/* Letters and digits of ASCII, whatever the locale. */
#ifndef LIB_ASCII_H
#define LIB_ASCII_H

#include <stdbool.h>

static inline bool ascii_is_alpha(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline bool ascii_is_alnum(char c)
{
	return ascii_is_alpha(c) || (c >= '0' && c <= '9');
}

#endif
