#include "lib/wildcard.h"

#include <ctype.h>
#include <stddef.h>

static bool same(char a, char b, bool any_case)
{
	return a == b || (any_case && tolower((unsigned char)a) ==
					      tolower((unsigned char)b));
}

/* On a mismatch the last star takes one character more and all is tried again
 * from there; earlier stars never need to change. */
static bool match(const char *text, const char *pattern, bool any_case)
{
	const char *star = NULL, *again = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			again = text;
		} else if (*pattern == '?' ||
			   same(*pattern, *text, any_case)) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = ++again;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool wildcard_match(const char *text, const char *pattern)
{
	return match(text, pattern, false);
}

bool wildcard_match_any_case(const char *text, const char *pattern)
{
	return match(text, pattern, true);
}
