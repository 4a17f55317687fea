/* The client for whom waypost -l looks a recipient up: what its options -x say
 * of it. */
#ifndef PROXY_LOOKUP_CLIENT_H
#define PROXY_LOOKUP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "passdb/passdb.h"
#include "proxy/session/id.h"
#include "proxy/settings/settings.h"

/* One end of the connection. */
struct lookup_end {
	struct addr ip; /* len 0: not given */
	bool has_port;
	uint16_t port;
};

enum { LOOKUP_LOCAL, LOOKUP_REMOTE, LOOKUP_REAL_LOCAL, LOOKUP_REAL_REMOTE,
       LOOKUP_ENDS };

struct lookup_client {
	struct passdb_client client; /* see lookup_client_complete() */
	bool has_secured;	     /* whether client.secured was given */
	struct passdb_fields given;  /* forward_* */
	struct lookup_end ends[LOOKUP_ENDS];
	char id[SESSION_ID_SIZE];
};

/* The keys, as people write them; NULL at the end. */
extern const char *const lookup_client_keys[];

/* Reads texts ("key=value"), which outlive *client_r; fields live in arena. -1
 * when one of them is none: *err says which. */
int lookup_client_parse(struct lookup_client *client_r, struct arena *arena,
			const char *const *texts, unsigned count,
			struct err *err);

/* Makes client->client. What was not given is as for a client on this machine
 * that has connected to the first listener of settings with a port, or, if
 * there is none, to a UNIX socket. */
void lookup_client_complete(struct lookup_client *client,
			    const struct settings *settings);

#endif
