/* Patterns with wildcards, as in username_filter and %{if;…;*;…}. */
#ifndef PASSDB_WILDCARD_H
#define PASSDB_WILDCARD_H

#include <stdbool.h>

/* Whether text matches pattern: '*' is any number of characters (even none),
 * '?' exactly one, every other character itself (case matters). */
bool wildcard_match(const char *text, const char *pattern);

/* The same, but case does not matter in ASCII. */
bool wildcard_match_any_case(const char *text, const char *pattern);

#endif
