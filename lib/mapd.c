#include "lib/mapd.h"

#include <unistd.h>

#include "lib/list.h"
#include "lib/mem.h"
#include "lib/stream.h"

#define READ_SIZE 4096
#define DRAIN_MS 2000

struct mapd {
	struct loop *loop;
	struct mapd_settings set;
	struct list conns; /* struct mapd_conn; who waits for longest first */
	unsigned count;
	bool leaving;
};

enum conn_state {
	CONN_READING, /* a request is coming in, or none is there */
	CONN_HANDLED, /* its handler has it */
	CONN_ANSWERING,
	CONN_DRAINING, /* the last answer has left: until the client closes,
			  so that what it still sends does not reset the
			  connection before it has read the answer */
	CONN_CLOSED,
};

struct mapd_conn {
	struct list node;
	struct mapd *mapd;
	struct stream *stream;
	struct loop_timer timer;
	struct loop_task task; /* reads on; then frees */
	enum conn_state state;
	struct str in;
	bool eof, last; /* no request follows */
	bool used; /* a request was answered */
	struct addr peer;
	const void *door;
	struct mapd_request *request; /* CONN_HANDLED */
};

/* --- the end of a connection --- */

static void conn_free(struct loop_task *task)
{
	struct mapd_conn *conn = container_of(task, struct mapd_conn, task);

	str_free(&conn->in);
	mem_free(&conn);
}

static void conn_close(struct mapd_conn *conn)
{
	if (conn->state == CONN_CLOSED)
		return;
	if (conn->request != NULL)
		conn->request->conn = NULL;
	conn->state = CONN_CLOSED;
	conn->mapd->count--;
	list_remove(&conn->node);
	loop_timer_close(&conn->timer);
	stream_close(&conn->stream);
	loop_task_cancel(&conn->task);
	conn->task.fn = conn_free;
	loop_defer(conn->mapd->loop, &conn->task);
}

static void conn_timeout(struct loop_timer *timer)
{
	conn_close(container_of(timer, struct mapd_conn, timer));
}

/* --- answers --- */

static void conn_send(struct mapd_conn *conn, enum map_language language,
		      enum map_result result, const char *text)
{
	map_wire_answer(stream_out(conn->stream), language, result, text);
	conn->state = CONN_ANSWERING;
	loop_timer_set(&conn->timer, conn->mapd->set.request_ms);
	stream_want_read(conn->stream, false);
	stream_flush_later(conn->stream);
	stream_want_write(conn->stream);
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
		conn_send(conn, request->wire.language, result, text);
	}
	request_free(&request);
}

/* --- requests --- */

static void conn_handle(struct mapd_conn *conn, struct mapd_request *request)
{
	str_consume(&conn->in, request->wire.size);
	request->peer = conn->peer;
	request->conn = conn;
	conn->state = CONN_HANDLED;
	conn->request = request;
	loop_timer_clear(&conn->timer);
	stream_want_read(conn->stream, false);
	if (request->wire.wrong != NULL)
		mapd_reply(&request, MAP_PERM, request->wire.wrong);
	else
		conn->mapd->set.handle(conn->mapd->set.arg, request);
}

static void conn_parse(struct mapd_conn *conn)
{
	struct arena *arena = arena_new(512);
	struct mapd_request *request =
		arena_new_struct(arena, struct mapd_request);
	int got;

	request->arena = arena;
	got = map_wire_parse(&request->wire, arena, str_c(&conn->in),
			     conn->in.len);
	if (got > 0) {
		conn_handle(conn, request);
		return;
	}
	if (got < 0) {
		conn->last = true;
		conn_send(conn, request->wire.language, MAP_PERM,
			  request->wire.wrong);
	}
	request_free(&request);
}

static void conn_go_on(struct mapd_conn *conn)
{
	if (conn->state != CONN_READING)
		return;
	if (conn->in.len > 0)
		conn_parse(conn);
	if (conn->state == CONN_READING && conn->eof)
		conn_close(conn);
}

static void conn_task(struct loop_task *task)
{
	conn_go_on(container_of(task, struct mapd_conn, task));
}

/* --- the stream --- */

static void conn_readable(struct stream *stream, void *owner)
{
	struct mapd_conn *conn = owner;
	bool idle = conn->in.len == 0;
	size_t len;
	int got;

	got = stream_read(stream, str_reserve(&conn->in, READ_SIZE), READ_SIZE,
			  &len);
	if (conn->state == CONN_DRAINING) {
		if (got < 0)
			conn_close(conn);
		return;
	}
	if (got > 0)
		str_grown(&conn->in, len);
	if (got < 0) {
		conn->eof = true;
		stream_want_read(stream, false);
	}
	if (idle && conn->in.len > 0)
		loop_timer_set(&conn->timer, conn->mapd->set.request_ms);
	conn_go_on(conn);
}

static void conn_drain(struct mapd_conn *conn)
{
	conn->state = CONN_DRAINING;
	stream_shutdown(conn->stream);
	stream_want_read(conn->stream, true);
	loop_timer_set(&conn->timer, DRAIN_MS);
}

/* The answer has left. */
static void conn_writable(struct stream *stream, void *owner)
{
	struct mapd_conn *conn = owner;
	struct mapd *mapd = conn->mapd;

	if (conn->state != CONN_ANSWERING)
		return;
	if (conn->last || mapd->leaving) {
		conn_drain(conn);
		return;
	}
	conn->state = CONN_READING;
	conn->used = true;
	list_remove(&conn->node); /* behind those that wait for longer */
	list_append(&mapd->conns, &conn->node);
	loop_timer_set(&conn->timer, conn->in.len > 0 ? mapd->set.request_ms
						      : mapd->set.idle_ms);
	if (!conn->eof)
		stream_want_read(stream, true);
	loop_defer(mapd->loop, &conn->task);
}

static void conn_broken(struct stream *stream, void *owner)
{
	(void)stream;
	conn_close(owner);
}

static const struct stream_handler conn_stream_handler = {
	.readable = conn_readable,
	.writable = conn_writable,
	.broken = conn_broken,
};

/* --- the server --- */

struct mapd *mapd_new(struct loop *loop, const struct mapd_settings *settings)
{
	struct mapd *mapd = mem_new(struct mapd);

	mapd->loop = loop;
	mapd->set = *settings;
	list_init(&mapd->conns);
	return mapd;
}

/* Ends the connection that has waited for longest; false: none does. */
static bool make_room(struct mapd *mapd)
{
	struct list *node, *tmp;

	list_each(&mapd->conns, node, tmp) {
		struct mapd_conn *conn =
			container_of(node, struct mapd_conn, node);

		if (conn->state != CONN_READING && conn->state != CONN_DRAINING)
			continue;
		conn_close(conn);
		return true;
	}
	return false;
}

void mapd_take(struct mapd *mapd, int fd, const struct addr *peer,
	       const void *door)
{
	struct mapd_conn *conn;

	if (mapd->count >= mapd->set.max_connections && !make_room(mapd)) {
		close(fd);
		return;
	}
	conn = mem_new(struct mapd_conn);
	conn->mapd = mapd;
	conn->peer = *peer;
	conn->door = door;
	conn->task.fn = conn_task;
	conn->stream = stream_new(mapd->loop, fd, &conn_stream_handler, conn);
	list_append(&mapd->conns, &conn->node);
	mapd->count++;
	loop_timer_open(&conn->timer, mapd->loop, conn_timeout);
	loop_timer_set(&conn->timer, mapd->set.request_ms);
}

/* What has just come in may have a request on its way. */
void mapd_leave(struct mapd *mapd)
{
	struct list *node, *tmp;

	mapd->leaving = true;
	list_each(&mapd->conns, node, tmp) {
		struct mapd_conn *conn =
			container_of(node, struct mapd_conn, node);

		if (conn->state == CONN_READING && conn->used &&
		    conn->in.len == 0)
			conn_close(conn);
	}
}

void mapd_drop(struct mapd *mapd, const void *door)
{
	struct list *node, *tmp;

	list_each(&mapd->conns, node, tmp) {
		struct mapd_conn *conn =
			container_of(node, struct mapd_conn, node);

		if (conn->door == door)
			conn_close(conn);
	}
}

void mapd_free(struct mapd **mapd_p)
{
	struct mapd *mapd = *mapd_p;
	struct list *node, *tmp;

	if (mapd == NULL)
		return;
	list_each(&mapd->conns, node, tmp)
		conn_close(container_of(node, struct mapd_conn, node));
	mem_free(mapd_p);
}
