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
	bool cuts_requests;  /* also a connection whose request is under way makes
				room, if nobody vouched for it */
};

/* All connections of a server, which has it as a member. */
struct clients {
	struct loop *loop;
	const struct clients_handler *handler;
	struct clients_settings set;
	struct list list; /* struct client; who waits for longest first */
	unsigned count;
	bool leaving;
};

enum client_state {
	CLIENT_READING, /* a request is coming in, or none is there */
	CLIENT_HANDLED, /* its handler has it */
	CLIENT_ANSWERING,
	CLIENT_DRAINING, /* the last answer has left: until the client closes */
	CLIENT_CLOSED,
};

/* One connection. Servers may look at stream, door and in (parse() only), and
 * set vouched; the rest is not theirs. */
struct client {
	struct list node;
	struct clients *clients;
	const struct clients_handler *handler;
	struct stream *stream;
	const void *door;
	struct str in;	     /* what came, and is no part of a request yet */
	bool vouched;	     /* it does not make room for others */
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

/* Whether one more can be taken. When there are too many, the one that has been
 * without a request for longest is closed for it, of those without a vouched one;
 * when there is none, the first whose client has not taken its answer, and with
 * cuts_requests the first that waits for one. */
bool clients_make_room(struct clients *clients);

/* Takes over a connection (non-blocking). client is a member of an object of the
 * server's, zeroed but for what is the server's own. door is what clients_drop()
 * knows it by. */
void clients_add(struct clients *clients, struct client *client, int fd,
		 const void *door);

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
