/* Who serves a user as Dovecot 2.3's director says: each server has as many
 * points on a ring of 2^32 places as its weight is, and the next point behind
 * the user's hash is the user's server. No I/O. */
#ifndef BACKENDS_DIRECTOR_RING_H
#define BACKENDS_DIRECTOR_RING_H

#include "backends/director/servers.h"

struct director_ring;

/* A ring of the servers with that tag. It lives in arena, and needs their list. last:
 * one of that tag to take the points from that are in both, which saves most of the
 * time; NULL: none. Lists of servers are in the order of their addresses, as
 * director_servers_read() makes them. NULL when this system's crypto policy refuses
 * MD5. */
struct director_ring *director_ring_new(struct arena *arena,
					const struct director_servers *servers,
					const char *tag,
					const struct director_ring *last);

/* The server for a user with that director_hash(); NULL when there is none with
 * a weight. */
const struct director_server *
director_ring_find(const struct director_ring *ring, uint64_t hash);

#endif
