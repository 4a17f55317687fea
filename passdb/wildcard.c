#include "passdb/wildcard.h"

#include <stddef.h>

/* On a mismatch the last star takes one character more and all is tried again
 * from there; earlier stars never need to change. */
bool wildcard_match(const char *text, const char *pattern)
{
	const char *star = NULL, *again = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			again = text;
		} else if (*pattern == '?' || *pattern == *text) {
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
