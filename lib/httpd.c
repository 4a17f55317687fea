#include "lib/httpd.h"

#include <string.h>
#include <unistd.h>

#include "lib/list.h"
#include "lib/mem.h"
#include "lib/stream.h"
#include "lib/tls.h"

#define READ_SIZE 4096
#define DRAIN_MS 2000

struct httpd {
	struct loop *loop;
	struct httpd_settings set;
	struct list conns; /* struct httpd_conn */
	unsigned count;
	size_t untaken; /* of all connections */
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

struct httpd_conn {
	struct list node;
	struct httpd *httpd;
	struct stream *stream;
	struct loop_timer timer;
	struct loop_task task; /* reads on; then frees */
	enum conn_state state;
	struct str in;
	bool eof, last; /* no request follows */
	bool told_to_go_on;
	bool used; /* a request was answered */
	bool vouched; /* httpd_vouch() */
	const void *door;
	unsigned rights;
	size_t untaken; /* bytes of its answer, until they have left */
	struct httpd_request *request; /* CONN_HANDLED */
};

static const struct {
	unsigned status;
	const char *text;
} reasons[] = {
	{ 200, "OK" },
	{ 202, "Accepted" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 409, "Conflict" },
	{ 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *reason(unsigned status)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].status == status)
			return reasons[i].text;
	}
	return "Unknown";
}

/* --- the end of a connection --- */

static void conn_free(struct loop_task *task)
{
	struct httpd_conn *conn = container_of(task, struct httpd_conn, task);

	str_wipe(&conn->in);
	mem_free(&conn);
}

static void conn_owes(struct httpd_conn *conn, size_t bytes)
{
	conn->httpd->untaken += bytes - conn->untaken;
	conn->untaken = bytes;
}

static void conn_close(struct httpd_conn *conn)
{
	if (conn->state == CONN_CLOSED)
		return;
	if (conn->request != NULL)
		conn->request->conn = NULL;
	conn->state = CONN_CLOSED;
	conn_owes(conn, 0);
	conn->httpd->count--;
	list_remove(&conn->node);
	loop_timer_close(&conn->timer);
	stream_close(&conn->stream);
	loop_task_cancel(&conn->task);
	conn->task.fn = conn_free;
	loop_defer(conn->httpd->loop, &conn->task);
}

static void conn_timeout(struct loop_timer *timer)
{
	conn_close(container_of(timer, struct httpd_conn, timer));
}

/* --- answers --- */

/* request NULL: there was none. */
static void put_answer(struct str *out, const struct httpd_request *request,
		       unsigned status, const char *type, const void *body,
		       size_t len, bool last)
{
	unsigned i;

	str_printf(out, "HTTP/1.1 %u %s\r\n", status, reason(status));
	str_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", type,
		   len);
	str_puts(out, "Cache-Control: no-store\r\n");
	if (status == 401)
		str_puts(out, "WWW-Authenticate: Bearer\r\n");
	for (i = 0; request != NULL && i < request->field_count; i++)
		str_printf(out, "%s: %s\r\n", request->fields[i].name,
			   request->fields[i].value);
	str_puts(out, last ? "Connection: close\r\n\r\n" : "\r\n");
	str_append(out, body, len);
}

/* The request is read, the answer queued. */
static void conn_send(struct httpd_conn *conn)
{
	conn->state = CONN_ANSWERING;
	loop_timer_set(&conn->timer, conn->httpd->set.request_ms);
	stream_want_read(conn->stream, false);
	stream_flush_later(conn->stream);
	stream_want_write(conn->stream);
}

/* For what is no request at all, or cannot be answered: the connection cannot be
 * used again. */
static void conn_refuse(struct httpd_conn *conn, unsigned status,
			const char *why)
{
	struct str body = STR_INIT;

	str_printf(&body, "{\"error\":\"%s\"}\n", why);
	conn->last = true;
	put_answer(stream_out(conn->stream), NULL, status, "application/json",
		   body.data, body.len, true);
	str_free(&body);
	conn_send(conn);
}

static void request_free(struct httpd_request **request)
{
	struct arena *arena = (*request)->arena;

	*request = NULL;
	arena_wipe(&arena);
}

void httpd_field(struct httpd_request *request, const char *name,
		 const char *value)
{
	char *copy = arena_strdup(request->arena, value), *at;

	ASSERT(request->field_count < HTTPD_MAX_FIELDS);
	for (at = copy; *at != '\0'; at++) {
		if (*at < ' ' || *at > '~') /* char may be unsigned */
			*at = '?';
	}
	request->fields[request->field_count++] =
		(struct http_field){ name, copy };
}

/* What is not read stays in memory, the answer that goes over the limit too. */
static void conn_answer(struct httpd_conn *conn,
			const struct httpd_request *request, unsigned status,
			const char *type, const struct str *body)
{
	if (conn->httpd->untaken > conn->httpd->set.max_untaken) {
		conn_refuse(conn, 503, "too many answers are not read");
		return;
	}
	conn->last = !request->head.keep_alive || conn->httpd->leaving;
	put_answer(stream_out(conn->stream), request, status, type,
		   str_c(body), body->len, conn->last);
	conn_owes(conn, body->len);
	conn_send(conn);
}

void httpd_reply(struct httpd_request **request_p, unsigned status,
		 const char *type, const struct str *body)
{
	struct httpd_request *request = *request_p;
	struct httpd_conn *conn = request->conn;

	*request_p = NULL;
	if (conn != NULL) {
		conn->request = NULL;
		conn_answer(conn, request, status, type, body);
	}
	request_free(&request);
}

/* --- requests --- */

static void conn_handle(struct httpd_conn *conn, struct httpd_request *request)
{
	size_t size = request->head.size + (size_t)request->head.body_len;

	request->body = arena_strndup(request->arena,
				      conn->in.data + request->head.size,
				      (size_t)request->head.body_len);
	request->door = conn->door;
	request->rights = conn->rights;
	request->conn = conn;
	str_consume(&conn->in, size);
	conn->told_to_go_on = false;
	conn->state = CONN_HANDLED;
	conn->request = request;
	loop_timer_clear(&conn->timer);
	stream_want_read(conn->stream, false);
	conn->httpd->set.handle(conn->httpd->set.arg, request);
}

/* The head is there, the body is not: curl asks whether to send it. */
static void conn_wait_for_body(struct httpd_conn *conn,
			       const struct http_head *head)
{
	if (!head->wants_continue || conn->told_to_go_on)
		return;
	conn->told_to_go_on = true;
	stream_puts(conn->stream, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* Whether a request was there. */
static bool conn_parse(struct httpd_conn *conn)
{
	struct arena *arena = arena_new(1024);
	struct httpd_request *request =
		arena_new_struct(arena, struct httpd_request);
	int got;

	request->arena = arena;
	got = http_head_parse(&request->head, arena, str_c(&conn->in),
			      conn->in.len);
	if (got > 0 && request->head.body_len > HTTPD_MAX_BODY)
		got = -413;
	if (got > 0 && conn->in.len - request->head.size >=
			       request->head.body_len) {
		conn_handle(conn, request);
		return true;
	}
	if (got > 0)
		conn_wait_for_body(conn, &request->head);
	if (got < 0)
		conn_refuse(conn, (unsigned)-got, reason((unsigned)-got));
	request_free(&request);
	return false;
}

static void conn_go_on(struct httpd_conn *conn)
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
	conn_go_on(container_of(task, struct httpd_conn, task));
}

void httpd_vouch(struct httpd_request *request)
{
	if (request->conn != NULL)
		request->conn->vouched = true;
}

/* --- the stream --- */

static void conn_readable(struct stream *stream, void *owner)
{
	struct httpd_conn *conn = owner;
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
		loop_timer_set(&conn->timer, conn->httpd->set.request_ms);
	conn_go_on(conn);
}

/* The answer has left. */
static void conn_writable(struct stream *stream, void *owner)
{
	struct httpd_conn *conn = owner;

	if (conn->state != CONN_ANSWERING)
		return;
	conn_owes(conn, 0);
	if (conn->last || conn->httpd->leaving) {
		conn->state = CONN_DRAINING;
		stream_shutdown(stream);
		stream_want_read(stream, true);
		loop_timer_set(&conn->timer, DRAIN_MS);
		return;
	}
	conn->state = CONN_READING;
	conn->used = true;
	list_remove(&conn->node); /* behind those that wait for longer */
	list_append(&conn->httpd->conns, &conn->node);
	loop_timer_set(&conn->timer, conn->in.len > 0
					     ? conn->httpd->set.request_ms
					     : conn->httpd->set.idle_ms);
	if (!conn->eof)
		stream_want_read(stream, true);
	loop_defer(conn->httpd->loop, &conn->task);
}

static void conn_broken(struct stream *stream, void *owner)
{
	(void)stream;
	conn_close(owner);
}

static void conn_secured(struct stream *stream, void *owner)
{
	(void)stream;
	(void)owner;
}

static const struct stream_handler conn_stream_handler = {
	.readable = conn_readable,
	.writable = conn_writable,
	.broken = conn_broken,
	.secured = conn_secured,
};

/* --- the server --- */

struct httpd *httpd_new(struct loop *loop,
			const struct httpd_settings *settings)
{
	struct httpd *httpd = mem_new(struct httpd);

	httpd->loop = loop;
	httpd->set = *settings;
	list_init(&httpd->conns);
	return httpd;
}

/* Ends the connection that has been without a request for longest, of those that
 * nobody vouched for; answering: of those that have an answer to take, which is
 * sent as far as that goes. False: there is none. */
static bool make_room(struct httpd *httpd, bool answering)
{
	struct list *node, *tmp;

	list_each(&httpd->conns, node, tmp) {
		struct httpd_conn *conn =
			container_of(node, struct httpd_conn, node);

		if (conn->vouched || conn->state == CONN_HANDLED ||
		    (conn->state == CONN_ANSWERING) != answering)
			continue;
		conn_close(conn);
		return true;
	}
	return false;
}

void httpd_take(struct httpd *httpd, int fd, struct tls_context *tls,
		const void *door, unsigned rights)
{
	struct httpd_conn *conn;

	if (httpd->count >= httpd->set.max_connections &&
	    !make_room(httpd, false) && !make_room(httpd, true)) {
		close(fd);
		return;
	}
	conn = mem_new(struct httpd_conn);
	conn->httpd = httpd;
	conn->door = door;
	conn->rights = rights;
	conn->task.fn = conn_task;
	conn->stream = stream_new(httpd->loop, fd, &conn_stream_handler, conn);
	if (tls != NULL)
		stream_start_tls(conn->stream,
				 tls_accept(tls, NULL, NULL, NULL));
	list_append(&httpd->conns, &conn->node);
	httpd->count++;
	loop_timer_open(&conn->timer, httpd->loop, conn_timeout);
	loop_timer_set(&conn->timer, httpd->set.request_ms);
}

/* What has just come in may have a request on its way. */
void httpd_leave(struct httpd *httpd)
{
	struct list *node, *tmp;

	httpd->leaving = true;
	list_each(&httpd->conns, node, tmp) {
		struct httpd_conn *conn =
			container_of(node, struct httpd_conn, node);

		if (conn->state == CONN_READING && conn->used &&
		    conn->in.len == 0)
			conn_close(conn);
	}
}

void httpd_drop(struct httpd *httpd, const void *door)
{
	struct list *node, *tmp;

	list_each(&httpd->conns, node, tmp) {
		struct httpd_conn *conn =
			container_of(node, struct httpd_conn, node);

		if (conn->door == door)
			conn_close(conn);
	}
}

void httpd_free(struct httpd **httpd_p)
{
	struct httpd *httpd = *httpd_p;
	struct list *node, *tmp;

	if (httpd == NULL)
		return;
	list_each(&httpd->conns, node, tmp)
		conn_close(container_of(node, struct httpd_conn, node));
	mem_free(httpd_p);
}
