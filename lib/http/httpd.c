#include "lib/http/httpd.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/tls/tls.h"

struct httpd {
	struct clients clients;
	struct httpd_settings set;
	size_t untaken; /* of all connections */
};

struct httpd_conn {
	struct client client;
	struct httpd *httpd;
	bool told_to_go_on;
	unsigned rights;
	size_t untaken; /* bytes of its answer, until they have left */
	struct httpd_request *request; /* that its handler has */
};

static struct httpd_conn *conn_of(struct client *client)
{
	return container_of(client, struct httpd_conn, client);
}

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
	if (request == NULL || strcmp(request->head.method, "HEAD") != 0)
		str_append(out, body, len);
}

/* For what is no request at all, or cannot be answered: the connection cannot be
 * used again. */
static void conn_refuse(struct httpd_conn *conn, unsigned status,
			const char *why)
{
	struct str body = STR_INIT;

	str_printf(&body, "{\"error\":\"%s\"}\n", why);
	put_answer(stream_out(conn->client.stream), NULL, status,
		   "application/json", body.data, body.len, true);
	str_free(&body);
	client_answer(&conn->client, true);
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

static void conn_owes(struct httpd_conn *conn, size_t bytes)
{
	conn->httpd->untaken += bytes - conn->untaken;
	conn->untaken = bytes;
}

/* What is not read stays in memory, the answer that goes over the limit too. */
static void conn_answer(struct httpd_conn *conn,
			const struct httpd_request *request, unsigned status,
			const char *type, const struct str *body)
{
	bool last = !request->head.keep_alive || conn->httpd->clients.leaving;

	if (conn->httpd->untaken > conn->httpd->set.max_untaken) {
		conn_refuse(conn, 503, "too many answers are not read");
		return;
	}
	put_answer(stream_out(conn->client.stream), request, status, type,
		   str_c(body), body->len, last);
	conn_owes(conn, body->len);
	client_answer(&conn->client, last);
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
				      conn->client.in.data + request->head.size,
				      (size_t)request->head.body_len);
	request->door = conn->client.door;
	request->rights = conn->rights;
	request->conn = conn;
	conn->told_to_go_on = false;
	conn->request = request;
	client_handle(&conn->client, size);
	conn->httpd->set.handle(conn->httpd->set.arg, request);
}

/* The head is there, the body is not: curl asks whether to send it. */
static void conn_wait_for_body(struct httpd_conn *conn,
			       const struct http_head *head)
{
	if (!head->wants_continue || conn->told_to_go_on)
		return;
	conn->told_to_go_on = true;
	stream_puts(conn->client.stream, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void conn_parse(struct client *client)
{
	struct httpd_conn *conn = conn_of(client);
	struct arena *arena = arena_new(1024);
	struct httpd_request *request =
		arena_new_struct(arena, struct httpd_request);
	int got;

	request->arena = arena;
	got = http_head_parse(&request->head, arena, str_c(&client->in),
			      client->in.len);
	if (got > 0 && request->head.body_len > HTTPD_MAX_BODY)
		got = -413;
	if (got > 0 && client->in.len - request->head.size >=
			       request->head.body_len) {
		conn_handle(conn, request);
		return;
	}
	if (got > 0)
		conn_wait_for_body(conn, &request->head);
	if (got < 0)
		conn_refuse(conn, (unsigned)-got, reason((unsigned)-got));
	request_free(&request);
}

void httpd_vouch(struct httpd_request *request)
{
	if (request->conn != NULL)
		client_vouch(&request->conn->client);
}

/* --- the server --- */

static void conn_answered(struct client *client)
{
	conn_owes(conn_of(client), 0);
}

static void conn_closed(struct client *client)
{
	struct httpd_conn *conn = conn_of(client);

	if (conn->request != NULL)
		conn->request->conn = NULL;
	conn_owes(conn, 0);
}

static void conn_free(struct client *client)
{
	struct httpd_conn *conn = conn_of(client);

	mem_free(&conn);
}

static const struct clients_handler conn_handler = {
	.parse = conn_parse,
	.answered = conn_answered,
	.closed = conn_closed,
	.free = conn_free,
};

struct httpd *httpd_new(struct loop *loop,
			const struct httpd_settings *settings)
{
	struct httpd *httpd = mem_new(struct httpd);

	httpd->set = *settings;
	clients_init(&httpd->clients, loop, &conn_handler, &settings->clients);
	return httpd;
}

void httpd_take(struct httpd *httpd, int fd, struct tls_context *tls,
		const struct addr *peer, const void *door, unsigned rights)
{
	struct httpd_conn *conn = mem_new(struct httpd_conn);

	conn->httpd = httpd;
	conn->rights = rights;
	if (clients_add(&httpd->clients, &conn->client, fd, peer, door) &&
	    tls != NULL)
		stream_start_tls(conn->client.stream,
				 tls_accept(tls, NULL, NULL, NULL));
}

void httpd_leave(struct httpd *httpd)
{
	clients_leave(&httpd->clients);
}

void httpd_drop(struct httpd *httpd, const void *door)
{
	clients_drop(&httpd->clients, door);
}

void httpd_free(struct httpd **httpd)
{
	if (*httpd == NULL)
		return;
	clients_close_all(&(*httpd)->clients);
	mem_free(httpd);
}
