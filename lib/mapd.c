#include "lib/mapd.h"

#include "lib/mem.h"

struct mapd {
	struct clients clients;
	struct mapd_settings set;
};

struct mapd_conn {
	struct client client;
	struct mapd *mapd;
	struct addr peer;
	struct mapd_request *request; /* that its handler has */
};

static struct mapd_conn *conn_of(struct client *client)
{
	return container_of(client, struct mapd_conn, client);
}

/* --- answers --- */

static void conn_answer(struct mapd_conn *conn, enum map_language language,
			enum map_result result, const char *text, bool last)
{
	map_wire_answer(stream_out(conn->client.stream), language, result,
			text);
	client_answer(&conn->client, last);
}

static void request_free(struct mapd_request **request)
{
	struct arena *arena = (*request)->arena;

	*request = NULL;
	arena_free(&arena);
}

void mapd_reply(struct mapd_request **request_p, enum map_result result,
		const char *text)
{
	struct mapd_request *request = *request_p;
	struct mapd_conn *conn = request->conn;

	*request_p = NULL;
	if (conn != NULL) {
		conn->request = NULL;
		conn_answer(conn, request->wire.language, result, text, false);
	}
	request_free(&request);
}

/* --- requests --- */

static void conn_handle(struct mapd_conn *conn, struct mapd_request *request)
{
	client_handle(&conn->client, request->wire.size);
	request->peer = conn->peer;
	request->conn = conn;
	conn->request = request;
	if (request->wire.wrong != NULL)
		mapd_reply(&request, MAP_PERM, request->wire.wrong);
	else
		conn->mapd->set.handle(conn->mapd->set.arg, request);
}

static void conn_parse(struct client *client)
{
	struct mapd_conn *conn = conn_of(client);
	struct arena *arena = arena_new(512);
	struct mapd_request *request =
		arena_new_struct(arena, struct mapd_request);
	int got;

	request->arena = arena;
	got = map_wire_parse(&request->wire, arena, str_c(&client->in),
			     client->in.len);
	if (got > 0) {
		conn_handle(conn, request);
		return;
	}
	if (got < 0)
		conn_answer(conn, request->wire.language, MAP_PERM,
			    request->wire.wrong, true);
	request_free(&request);
}

static void conn_answered(struct client *client)
{
	(void)client;
}

static void conn_closed(struct client *client)
{
	struct mapd_conn *conn = conn_of(client);

	if (conn->request != NULL)
		conn->request->conn = NULL;
}

static void conn_free(struct client *client)
{
	struct mapd_conn *conn = conn_of(client);

	mem_free(&conn);
}

static const struct clients_handler conn_handler = {
	.parse = conn_parse,
	.answered = conn_answered,
	.closed = conn_closed,
	.free = conn_free,
};

/* --- the server --- */

struct mapd *mapd_new(struct loop *loop, const struct mapd_settings *settings)
{
	struct mapd *mapd = mem_new(struct mapd);

	mapd->set = *settings;
	clients_init(&mapd->clients, loop, &conn_handler, &settings->clients);
	return mapd;
}

void mapd_take(struct mapd *mapd, int fd, const struct addr *peer,
	       const void *door)
{
	struct mapd_conn *conn = mem_new(struct mapd_conn);

	conn->mapd = mapd;
	conn->peer = *peer;
	clients_add(&mapd->clients, &conn->client, fd, peer, door);
}

void mapd_leave(struct mapd *mapd)
{
	clients_leave(&mapd->clients);
}

void mapd_drop(struct mapd *mapd, const void *door)
{
	clients_drop(&mapd->clients, door);
}

void mapd_free(struct mapd **mapd)
{
	if (*mapd == NULL)
		return;
	clients_close_all(&(*mapd)->clients);
	mem_free(mapd);
}
