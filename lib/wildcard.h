/* Patterns with wildcards, as in username_filter, %{if;…;*;…} and the mailboxes of
 * quota_rule. */
#ifndef LIB_WILDCARD_H
#define LIB_WILDCARD_H

#include <stdbool.h>

/* Whether text matches pattern: '*' is any number of bytes (even none), '?' exactly
 * one, every other byte itself (case matters). */
bool wildcard_match(const char *text, const char *pattern);

/* The same, but case does not matter in ASCII. */
bool wildcard_match_any_case(const char *text, const char *pattern);

#endif
