/* A server for lookups of Postfix (lib/map_wire.h) on one loop. Its clients have
 * the limits of lib/clients.h. */
#ifndef LIB_MAPD_H
#define LIB_MAPD_H

#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/clients.h"
#include "lib/loop.h"
#include "lib/map_wire.h"

struct mapd;
struct mapd_conn;

/* One request. Whoever handles it owns it until mapd_reply(), which may come
 * later; until then nothing more is read from its client. */
struct mapd_request {
	struct arena *arena; /* lives as long as the request */
	struct map_request wire;
	struct addr peer;	/* of the client */
	struct mapd_conn *conn; /* NULL: the client is gone */
};

struct mapd_settings {
	struct clients_settings clients;
	void (*handle)(void *arg, struct mapd_request *request);
	void *arg;
};

/* settings are copied. */
struct mapd *mapd_new(struct loop *loop, const struct mapd_settings *settings);

/* Closes all connections; requests that are not answered yet stay their
 * handlers'. Clears the pointer; NULL is fine. */
void mapd_free(struct mapd **mapd);

/* Takes over a connection. door is what mapd_drop() knows it by. When there are
 * too many, and none makes room (clients_add()), it is closed. */
void mapd_take(struct mapd *mapd, int fd, const struct addr *peer,
	       const void *door);

/* Ends its connections, since it is time to connect to another process: those
 * that are idle at once, all others after their next answer. */
void mapd_leave(struct mapd *mapd);

/* Closes the connections that came with that door. */
void mapd_drop(struct mapd *mapd, const void *door);

/* Answers a request, and frees it; clears the pointer. */
void mapd_reply(struct mapd_request **request, enum map_result result,
		const char *text);

#endif
