/* The clients of a server that answers requests, on one loop: the connections,
 * with nothing of the language that is spoken there. On each of them one request
 * is under way at a time; what its client sends meanwhile stays in the socket.
 * Whatever a client can make grow, or last, has a limit: the number of
 * connections, how long a request may take to come in and an answer to be taken,
 * and how long a connection may be idle. The last answer is followed by the end,
 * but what the client still sends is read for a moment, so that it does not reset
 * the connection before the answer was read.
 *
 * lib/http/httpd.h and lib/mapd.h are such servers: their connections have a struct
 * client as a member. */
#ifndef LIB_CLIENTS_H
#define LIB_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/crowd.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/str.h"
#include "lib/stream.h"

struct client;

/* What a server does for its clients. */
struct clients_handler {
	/* client->in has bytes that were not looked at. One of client_handle(),
	 * when they begin with a request, client_answer(), when they never will,
	 * or neither, when more has to come: then client->in is as it was, and
	 * what was looked at comes again. So a request needs a largest size. */
	void (*parse)(struct client *client);
	/* The answer has left, as far as we can tell. */
	void (*answered)(struct client *client);
	/* The connection is closed, whatever it was doing: a request that it had
	 * has no client any more. */
	void (*closed)(struct client *client);
	/* Frees the object that client is a member of, at the end of the pass. */
	void (*free)(struct client *client);
};

struct clients_settings {
	unsigned max;	     /* connections */
	unsigned request_ms; /* for one request to come in, the handshake of
				TLS included, and for its answer to be taken */
	unsigned idle_ms;    /* between requests */
	bool cuts_requests;  /* also a stranger's connection whose request is under
				way makes room */
};

/* All connections of a server, which has it as a member. */
struct clients {
	struct loop *loop;
	const struct clients_handler *handler;
	struct clients_settings set;
	struct list list; /* struct client; who waits for longest first */
	struct crowd strangers; /* those of them for whom nobody vouched */
	unsigned count;
	uint64_t turns;
	bool leaving;
};

/* Of strangers, the first of these make room first. */
enum client_state {
	CLIENT_READING, /* a request is coming in, or none is there */
	CLIENT_DRAINING, /* the last answer has left: until the client closes */
	CLIENT_ANSWERING,
	CLIENT_HANDLED, /* its handler has it */
	CLIENT_ARRIVING,
	CLIENT_CLOSED,
};

/* One connection. Servers may look at stream, door and in (parse() only); the
 * rest is not theirs. */
struct client {
	struct list node;
	struct crowd_member stranger;
	uint64_t turn; /* its place in the list */
	struct clients *clients;
	const struct clients_handler *handler;
	struct stream *stream;
	const void *door;
	struct str in;	     /* what came, and is no part of a request yet */
	struct loop_timer timer;
	struct loop_task task; /* reads on; then frees */
	enum client_state state;
	bool eof, last; /* no request follows */
	bool used;	/* a request was answered */
};

/* handler has to stay, also behind the end of clients; settings are copied. */
void clients_init(struct clients *clients, struct loop *loop,
		  const struct clients_handler *handler,
		  const struct clients_settings *settings);

/* Takes over a connection (non-blocking). client is a member of an object of the
 * server's, zeroed but for what is the server's own; peer is where it comes from, and
 * door what clients_drop() knows it by.
 *
 * When there are too many, a stranger's is closed for it, that is one for which nobody
 * has vouched: of the network that has the most of them (lib/crowd.h), the one that has
 * been without a request for longest; when there is none without, the first whose client
 * has not taken its answer, and with cuts_requests the first that waits for one. When
 * there is no stranger, one is closed that is idle. Else it is this one that is closed,
 * and false that is returned. */
bool clients_add(struct clients *clients, struct client *client, int fd,
		 const struct addr *peer, const void *door);

/* Who is there has shown that he may be: his connection makes no room for
 * strangers any more. */
void client_vouch(struct client *client);

/* Ends all connections, since it is time to connect to another process: those
 * that are idle at once, all others after their next answer. */
void clients_leave(struct clients *clients);

/* Closes the connections that came with that door. */
void clients_drop(struct clients *clients, const void *door);

/* Closes all. */
void clients_close_all(struct clients *clients);

/* For parse(): the first size bytes of client->in are a request, which is taken
 * out of there. Nothing more is read until client_answer(), and no time limited. */
void client_handle(struct client *client, size_t size);

/* The answer is in stream_out(client->stream), all of it: sends it. last: no other
 * request is taken. */
void client_answer(struct client *client, bool last);

#endif
