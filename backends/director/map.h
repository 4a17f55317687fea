/* Who serves a user, by tag. No I/O. */
#ifndef BACKENDS_DIRECTOR_MAP_H
#define BACKENDS_DIRECTOR_MAP_H

#include "backends/director/servers.h"

enum director_method { DIRECTOR_MD5_RING, DIRECTOR_RENDEZVOUS };

struct director_map;

/* A map of servers, which are in the order of their addresses, whose list it needs.
 * It lives in arena. last: one that was made before, of which it takes what is the
 * same; NULL: none. NULL when this system's crypto policy refuses MD5. */
struct director_map *director_map_new(struct arena *arena,
				      const struct director_servers *servers,
				      enum director_method method,
				      const struct director_map *last);

/* The server with that tag ("": without one) for a user with that
 * director_hash(); NULL when there is none with a weight. */
const struct director_server *director_map_find(const struct director_map *map,
						const char *tag, uint64_t hash);

#endif
