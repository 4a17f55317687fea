#include "lib/tls/name.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Elsewhere "*" is nothing that a host has. */
static bool is_star(const char *at)
{
	return at[0] == '*' && at[1] == '.';
}

/* Whether all that host[0] stands for, in a pattern in place of a name, name is. */
static bool match_char(char name, const char *host)
{
	if (name == '?')
		return *host != '\0' && *host != '.' && *host != '*';
	return strncasecmp(&name, host, 1) == 0;
}

static bool match_one(const char *name, size_t len, const char *host)
{
	const char *end = name + len;

	for (; name < end; name++) {
		if (*name == '*') {
			if (!is_star(name))
				return false;
			host += strcspn(host, ".");
			continue;
		}
		if (!match_char(*name, host))
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

bool tls_name_meet(const char *a, const char *b, struct str *out)
{
	const char *other;

	str_clear(out);
	while (*a != '\0' && *b != '\0') {
		if (is_star(b)) {
			other = a;
			a = b;
			b = other;
		}
		if (is_star(a) && *b == '.') {
			a++;
		} else if (is_star(a) && !is_star(b)) {
			str_putc(out, *b++);
		} else if (is_star(a) || match_char(*a, b) ||
			   match_char(*b, a)) {
			str_putc(out, *a == '?' ? *b : *a);
			a++;
			b++;
		} else {
			return false;
		}
	}
	return *a == *b;
}
