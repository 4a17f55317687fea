#include "lib/tls/name.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool match_one(const char *name, size_t len, const char *host)
{
	const char *end = name + len;

	for (; name < end; name++) {
		if (*name == '*') {
			if (name + 1 == end || name[1] != '.')
				return false;
			host += strcspn(host, ".");
			continue;
		}
		/* A pattern in place of a name may stand for more than one
		 * character where it has a "*". */
		if (*host == '\0' || (*name == '?' && *host == '*') ||
		    (*name != '?' && strncasecmp(name, host, 1) != 0))
			return false;
		host++;
	}
	return *host == '\0';
}

bool tls_name_match(const char *names, const char *host)
{
	while (*(names += strspn(names, " ")) != '\0') {
		size_t len = strcspn(names, " ");

		if (match_one(names, len, host))
			return true;
		names += len;
	}
	return false;
}
