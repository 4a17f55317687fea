/* Netstrings: "5:hello,", in which any bytes may stand. What socketmap_table(5)
 * of Postfix is made of. */
#ifndef LIB_NETSTRING_H
#define LIB_NETSTRING_H

#include <stddef.h>

#include "lib/str.h"

struct netstring {
	const char *text; /* len bytes, where they came */
	size_t len;
	size_t size; /* of all of it */
};

/* Reads one at data. 1: *netstring_r has it; 0: it is not whole, so far; -1: it
 * is none (a length may have no zero in front), or longer than max, and nothing
 * that follows can be made out. */
int netstring_parse(const char *data, size_t len, size_t max,
		    struct netstring *netstring_r);

/* Appends text as one. */
void netstring_write(struct str *out, const void *text, size_t len);

#endif
