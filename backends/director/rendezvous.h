/* Who serves a user by weighted rendezvous: for each user, each server draws a
 * number, and the best one wins. Users are spread as the weights are, and a
 * change moves only those who win something by it, or lose it. What a choice
 * takes grows with the servers: less than a microsecond for 500. No I/O. */
#ifndef BACKENDS_DIRECTOR_RENDEZVOUS_H
#define BACKENDS_DIRECTOR_RENDEZVOUS_H

#include "backends/director/servers.h"

struct director_rendezvous;

/* One of the servers with that tag. It lives in arena, and needs servers. NULL
 * when this system's crypto policy refuses MD5. */
struct director_rendezvous *
director_rendezvous_new(struct arena *arena,
			const struct director_servers *servers,
			const char *tag);

/* The server for a user with that director_hash(); NULL when there is none with
 * a weight. */
const struct director_server *
director_rendezvous_find(const struct director_rendezvous *rendezvous,
			 uint64_t hash);

#endif
