/* Percent-encoding: %41 for A, as URLs (RFC 3986 2.1), nginx and tcp_table(5)
 * have it. */
#ifndef LIB_PERCENT_H
#define LIB_PERCENT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/str.h"

/* Decodes len bytes into arena; with plus_is_space as in a query, where "+" is a
 * space. NULL when something is not encoded well, or is a NUL. */
char *percent_decode(struct arena *arena, const char *text, size_t len,
		     bool plus_is_space);

/* Appends text, of which every byte that is not unreserved (RFC 3986 2.3) is
 * written as %XX: it is then one part of a path, a name or a value, whatever it
 * holds. */
void percent_encode(struct str *out, const char *text);

#endif
