/* What an HTTP server answers to two requests, one after the other. The first
 * byte says whether the connection is kept between them, and whether what
 * follows comes between the two, when nobody has asked for anything; the second
 * one where the rest is divided. */
#include "lib/http/http.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 200000
#define MAX_BODY 1000
#define MAX_CONNS 64
#define PATIENCE 20 /* passes until a connection is ended */

enum { KEEP = 1, UNASKED = 2 };

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

struct conn {
	struct loop_io io;
	int fd;
};

static const char *const no_headers[] = { NULL };
static const struct http_settings settings = {
	.max_connections = 1, .timeout_ms = 10000, .connect_timeout_ms = 5000,
	.max_idle_s = 60, .max_body = MAX_BODY, .headers = no_headers,
};

static struct {
	struct loop *loop;
	struct http_client *client;
	struct http_server *server;
	struct http_url url;
	struct loop_io listener;
	struct loop_timer timer;
	struct conn conns[MAX_CONNS];
	unsigned conn_count, requests, answers, passes, flags;
	const char *parts[2];
	size_t lens[2];
	char second[MAX_BODY + 1]; /* the last answer, "" for an error */
} world;

static void send_all(int fd, const char *data, size_t len)
{
	/* It fits into the socket, or the other side has had enough. */
	(void)!send(fd, data, len, MSG_NOSIGNAL);
}

static void end_conns(void)
{
	unsigned i;

	for (i = 0; i < world.conn_count; i++)
		(void)shutdown(world.conns[i].fd, SHUT_WR);
}

static void answer_request(int fd)
{
	bool first = world.requests++ == 0;
	bool unasked = (world.flags & UNASKED) != 0;

	if (unasked && first)
		send_all(fd, OK "aa", sizeof(OK "aa") - 1);
	else if (unasked)
		send_all(fd, OK "bb", sizeof(OK "bb") - 1);
	else
		send_all(fd, world.parts[!first], world.lens[!first]);
	if (!first || world.flags == 0)
		(void)shutdown(fd, SHUT_WR);
}

static void conn_event(struct loop_io *io, unsigned events)
{
	struct conn *conn = container_of(io, struct conn, io);
	char text[4096];
	ssize_t got = recv(conn->fd, text, sizeof(text) - 1, 0);

	(void)events;
	if (got <= 0) {
		loop_io_want(io, 0);
		(void)shutdown(conn->fd, SHUT_WR);
		return;
	}
	text[got] = '\0';
	if (strstr(text, "\r\n\r\n") != NULL)
		answer_request(conn->fd);
}

static void accept_event(struct loop_io *io, unsigned events)
{
	struct conn *conn = &world.conns[world.conn_count];

	(void)events;
	ASSERT(world.conn_count < MAX_CONNS);
	conn->fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (conn->fd < 0)
		return;
	world.conn_count++;
	loop_io_open(&conn->io, world.loop, conn->fd, conn_event);
	loop_io_want(&conn->io, LOOP_READ);
}

static void answered(void *arg, const struct http_answer *answer);

static void ask(void)
{
	static const struct http_call call = { .path = "/" };

	world.passes = 0;
	http_start(world.server, &call, answered, NULL);
}

static void answered(void *arg, const struct http_answer *answer)
{
	(void)arg;
	ASSERT(answer->len <= MAX_BODY);
	ASSERT(answer->body[answer->len] == '\0');
	ASSERT(answer->error != NULL || answer->status >= 100);
	ASSERT(!answer->lost || answer->error != NULL);
	world.second[0] = '\0';
	if (answer->error == NULL)
		memcpy(world.second, answer->body, answer->len + 1);
	if (++world.answers == 2)
		loop_stop(world.loop);
	else if ((world.flags & UNASKED) != 0 && world.conn_count > 0)
		send_all(world.conns[world.conn_count - 1].fd, world.parts[0],
			 world.lens[0] + world.lens[1]);
	if (world.answers == 1)
		ask();
}

static void tick(struct loop_timer *timer)
{
	if (++world.passes >= PATIENCE)
		end_conns();
	loop_timer_set(timer, 0);
}

static void start(void)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ASSERT(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	ASSERT(listen(fd, 16) == 0);
	ASSERT(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	world.url = (struct http_url){
		.host = "127.0.0.1", .port = ntohs(sa.sin_port),
		.literal = true,
	};
	world.url.text = arena_printf(arena_new(64), "http://127.0.0.1:%u",
				      world.url.port);
	ASSERT(addr_parse_ip(&world.url.addr, "127.0.0.1",
			     (uint16_t)world.url.port) == 0);
	world.loop = loop_new();
	world.client = http_client_new(world.loop, NULL, &settings);
	loop_io_open(&world.listener, world.loop, fd, accept_event);
	loop_io_want(&world.listener, LOOP_READ);
	loop_timer_open(&world.timer, world.loop, tick);
}

static void close_conns(void)
{
	unsigned i;

	for (i = 0; i < world.conn_count; i++) {
		loop_io_close(&world.conns[i].io);
		close(world.conns[i].fd);
	}
	world.conn_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > MAX_SIZE)
		return 0;
	if (world.loop == NULL)
		start();
	world.flags = data[0] % 4;
	world.parts[0] = (const char *)data + 2;
	world.lens[0] = (size - 2) * data[1] / 255;
	world.parts[1] = world.parts[0] + world.lens[0];
	world.lens[1] = size - 2 - world.lens[0];
	world.requests = world.answers = 0;
	world.server = http_server_new(world.client, &world.url);
	loop_timer_set(&world.timer, 0);
	ask();
	loop_run(world.loop);
	loop_timer_clear(&world.timer);
	close_conns();
	http_server_free(&world.server);
	/* Whatever came unasked, it is nobody's answer. */
	if ((world.flags & UNASKED) != 0)
		ASSERT(strcmp(world.second, "bb") == 0);
	return 0;
}
