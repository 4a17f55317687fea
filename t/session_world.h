/* A whole session in one loop, for tests and fuzzing: a worker with its pool
 * and passdb, a client that talks to it, and a backend that answers as it is
 * told. Everything real but the backend. */
#ifndef T_SESSION_WORLD_H
#define T_SESSION_WORLD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/list.h"
#include "lib/loop.h"
#include "lib/str.h"
#include "proxy/worker/worker.h"

enum world_stage {
	WORLD_GREETING,
	WORLD_LHLO,
	WORLD_MAIL,
	WORLD_RCPT,
	WORLD_DATA,
	WORLD_DOT, /* or BDAT LAST; asked once for each accepted recipient */
	WORLD_RSET,
	WORLD_QUIT,
	WORLD_CHUNK, /* BDAT without LAST */
	WORLD_XCLIENT,
	WORLD_STAGES,
};

struct world;

/* The backend's answer at a stage: lines with CRLF, "" for none yet, NULL to
 * close the connection. */
typedef const char *world_answer(struct world *world, enum world_stage stage);

struct world {
	struct loop *loop;    /* the worker's */
	struct loop *control; /* runs only at the end */
	struct worker_set set;
	struct worker *worker;
	struct passdb_shared *shared;
	struct settings *settings;

	/* the backend: */
	world_answer *answer;
	void *owner;	     /* for answer() */
	int listen_fd, users_fd;
	struct loop_io listen_io;
	struct list conns;
	unsigned connections; /* accepted so far */
	struct str received;  /* all that came in, of all connections */
	unsigned delivered;   /* 2xx said after a final dot */
	struct str message;   /* the last complete one, dots taken out */
	struct str told;      /* for it: the last XCLIENT that was taken */
	bool chunking;	      /* offered */
	const char *lhlo;     /* the good answer to LHLO; NULL: the usual one */
	unsigned chunks;      /* BDAT commands so far */

	/* the client: */
	struct stream *client;
	const char *remote; /* its address */
	unsigned flags;	    /* of the listener */
	int send_buffer; /* of the session's sockets; 0: the system's size */
	struct str replies;
	bool closed; /* by the session */
	const char *until;
	struct loop_timer timer;
	bool timed_out;

	/* world_settle(): */
	struct loop_timer pass;
	size_t traffic;
	unsigned quiet;
};

/* Opens a world whose backend answers everything well. Users whose name starts
 * with "nobody" are unknown, all others are at the backend; nobody.else@x, too,
 * but as else@x, and with connections of his own. */
void world_open(struct world *world);
void world_close(struct world *world);

/* login_trusted_networks, for sessions to come. */
void world_trust(struct world *world, const char *networks);

/* haproxy_trusted_networks; the listener has haproxy = yes. */
void world_trust_balancers(struct world *world, const char *networks);

/* Connects (again), and sends bytes as the client. */
void world_connect(struct world *world);
void world_send(struct world *world, const char *data, size_t len);

/* Runs until the replies contain text (NULL: until the session has closed the
 * connection); false when it takes more than ms. */
bool world_run(struct world *world, const char *text, unsigned ms);

/* Runs until nobody has anything to say but after a time. */
void world_settle(struct world *world);

/* Ends the client: no more input. */
void world_half_close(struct world *world);
void world_disconnect(struct world *world);

/* Has one connection of the backend, a node of world->conns, say something out
 * of turn. */
void world_backend_says(struct world *world, struct list *conn,
			const char *text);

/* The same, with the answer to DATA that it still owed. */
void world_backend_takes_body(struct world *world, struct list *conn);

/* Has it close the connection. */
void world_backend_leaves(struct list *conn);

/* Has it read nothing any more, so that a chunk gets stuck half way. */
void world_backend_stops_reading(struct list *conn);

/* The good answer at a stage. */
const char *world_good_answer(struct world *world, enum world_stage stage);

#endif
