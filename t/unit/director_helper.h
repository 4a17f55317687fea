/* What tests of the ways to choose a server share. Included by one .c file per
 * program. */
#ifndef DIRECTOR_HELPER_H
#define DIRECTOR_HELPER_H

#include <criterion/criterion.h>

#include "backends/director/servers.h"

static inline unsigned nobody(const char *name, struct addr *addrs,
			      unsigned max)
{
	(void)name;
	(void)addrs;
	(void)max;
	return 0;
}

static inline const struct director_servers *servers_of(struct arena *arena,
							const char *text)
{
	struct director_servers *servers =
		arena_new_struct(arena, struct director_servers);
	struct err err;

	cr_assert_eq(director_servers_parse(arena, text, nobody, servers, &err),
		     0, "%s", err.text);
	return servers;
}

#endif
