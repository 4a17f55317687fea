#include "lib/http/http.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"

/* --- a server on a thread: one connection after the other --- */

struct server {
	int fd;
	pthread_t thread;
	const char *answer; /* to each request; NULL: none */
	atomic_uint connections, requests;
	char seen[4096]; /* the last request */
};

static bool read_request(struct server *server, int fd)
{
	size_t len = 0;

	for (;;) {
		ssize_t got = read(fd, server->seen + len,
				   sizeof(server->seen) - 1 - len);

		if (got <= 0)
			return false;
		len += (size_t)got;
		server->seen[len] = '\0';
		if (strstr(server->seen, "\r\n\r\n") != NULL)
			return true;
	}
}

static void *server_run(void *arg)
{
	struct server *server = arg;
	int fd;

	while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
		server->connections++;
		while (read_request(server, fd)) {
			server->requests++;
			if (server->answer != NULL &&
			    write(fd, server->answer,
				  strlen(server->answer)) < 0)
				break;
		}
		close(fd);
	}
	return NULL;
}

struct world {
	struct loop *loop;
	struct arena *arena;
	struct http_settings settings;
	const char *headers[4];
	struct http_client *client;
	struct server server;
	struct http_url url;
	struct http_server *remote;
	unsigned answers, expected;
	struct http_answer answer; /* without body */
	char error[256], body[256];
};

static void world_init(struct world *world, const char *answer)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	char url[64];
	struct err err;

	*world = (struct world){
		.settings = {
			.max_connections = 2, .timeout_ms = 10000,
			.connect_timeout_ms = 5000, .max_idle_s = 60,
			.max_body = 100, .verify = true,
		},
		.server = { .answer = answer },
	};
	world->settings.headers = world->headers;
	world->loop = loop_new();
	world->arena = arena_new(256);
	inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
	world->server.fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(bind(world->server.fd, (struct sockaddr *)&sa,
			  sizeof(sa)), 0);
	cr_assert_eq(listen(world->server.fd, 5), 0);
	cr_assert_eq(getsockname(world->server.fd, (struct sockaddr *)&sa,
				 &len), 0);
	pthread_create(&world->server.thread, NULL, server_run,
		       &world->server);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/base",
		 ntohs(sa.sin_port));
	cr_assert_eq(http_url_parse(&world->url, world->arena, url, &err), 0);
}

static void world_open(struct world *world)
{
	world->client = http_client_new(world->loop, NULL, &world->settings);
	world->remote = http_server_new(world->client, &world->url);
}

static void world_free(struct world *world)
{
	http_server_free(&world->remote);
	http_client_free(&world->client);
	shutdown(world->server.fd, SHUT_RDWR);
	pthread_join(world->server.thread, NULL);
	close(world->server.fd);
	loop_free(&world->loop);
	arena_free(&world->arena);
}

static void answered(void *arg, const struct http_answer *answer)
{
	struct world *world = arg;

	world->answer = *answer;
	snprintf(world->error, sizeof(world->error), "%s",
		 answer->error != NULL ? answer->error : "");
	snprintf(world->body, sizeof(world->body), "%s", answer->body);
	if (++world->answers == world->expected)
		loop_stop(world->loop);
}

static struct http_request *start(struct world *world, const char *path,
				  const char *body)
{
	const struct http_call call = {
		.path = path, .body = body,
		.body_len = body != NULL ? strlen(body) : 0,
	};
	unsigned before = world->answers;
	struct http_request *request =
		http_start(world->remote, &call, answered, world);

	cr_expect_eq(world->answers, before, "called inside http_start()");
	return request;
}

static void wait_answers(struct world *world, unsigned count)
{
	world->expected = count;
	if (world->answers < count)
		loop_run(world->loop);
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Test(http, get_and_post)
{
	struct world world;

	world_init(&world, OK);
	world.headers[0] = "X-Key: value";
	world.settings.user = "way";
	world.settings.password = "hush";
	world_open(&world);
	start(&world, "/a?b=c", NULL);
	wait_answers(&world, 1);
	cr_expect_str_eq(world.error, "");
	cr_expect_eq(world.answer.status, 200);
	cr_expect_str_eq(world.body, "ok");
	cr_expect_eq(world.answer.len, 2);
	cr_expect_eq(strncmp(world.server.seen, "GET /base/a?b=c HTTP/1.1\r\n",
			     25), 0, "%s", world.server.seen);
	cr_expect(strstr(world.server.seen, "X-Key: value\r\n") != NULL);
	cr_expect(strstr(world.server.seen,
			 "Authorization: Basic d2F5Omh1c2g=\r\n") != NULL);
	start(&world, "/p", "{}");
	wait_answers(&world, 2);
	cr_expect_eq(strncmp(world.server.seen, "POST /base/p ", 13), 0);
	cr_expect(strstr(world.server.seen, "Content-Length: 2\r\n") != NULL);
	cr_expect(strstr(world.server.seen, "Expect:") == NULL);
	start(&world, "/again", NULL);
	wait_answers(&world, 3);
	cr_expect_eq(strncmp(world.server.seen, "GET /base/again ", 16), 0,
		     "a GET behind a POST");
	cr_expect(strstr(world.server.seen, "Content-Length") == NULL);
	cr_expect_eq(world.server.connections, 1);
	world_free(&world);
}

Test(http, answers_that_fail)
{
	static const struct {
		const char *answer, *error;
		unsigned status;
		bool lost;
	} cases[] = {
		{ "HTTP/1.1 301 Moved\r\nLocation: http://192.0.2.1/\r\n"
		  "Content-Length: 0\r\n\r\n", "", 301, false },
		{ "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "", 500,
		  false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"
		  "0123456789012345678901234567890123456789012345678901234567"
		  "890123456789012345678901234567890123456789x",
		  "the answer is too large", 200, false },
		{ "nonsense\r\n\r\n", "HTTP/0.9", 0, true },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world world;

		world_init(&world, cases[i].answer);
		world_open(&world);
		start(&world, "/", NULL);
		wait_answers(&world, 1);
		cr_expect(strstr(world.error, cases[i].error) != NULL,
			  "case %zu: %s", i, world.error);
		cr_expect_eq(world.error[0] == '\0', cases[i].error[0] == '\0',
			     "case %zu: %s", i, world.error);
		cr_expect_eq(world.answer.lost, cases[i].lost, "case %zu", i);
		cr_expect_eq(world.answer.status, cases[i].status,
			     "case %zu", i);
		world_free(&world);
	}
}

Test(http, largest_body_that_fits)
{
	struct world world;

	world_init(&world, OK);
	world.settings.max_body = 2;
	world_open(&world);
	start(&world, "/", NULL);
	wait_answers(&world, 1);
	cr_expect_str_eq(world.body, "ok");
	world_free(&world);
}

Test(http, nobody_listens)
{
	struct world world;
	char url[64];
	struct err err;

	world_init(&world, OK);
	snprintf(url, sizeof(url), "http://127.0.0.1:1");
	cr_assert_eq(http_url_parse(&world.url, world.arena, url, &err), 0);
	world_open(&world);
	start(&world, "/", NULL);
	wait_answers(&world, 1);
	cr_expect_neq(world.error[0], '\0');
	cr_expect(world.answer.lost);
	cr_expect_eq(world.answer.status, 0);
	world_free(&world);
}

/* One waits for a connection: it runs out of time with the others. */
Test(http, time_limits)
{
	struct world world;

	world_init(&world, NULL);
	world.settings.max_connections = 1;
	world.settings.timeout_ms = 50;
	world_open(&world);
	start(&world, "/", NULL);
	wait_answers(&world, 1);
	cr_expect_str_eq(world.error, "no answer within 50 ms");
	cr_expect_eq(world.answer.status, 0);
	start(&world, "/", NULL);
	start(&world, "/", NULL);
	wait_answers(&world, 3);
	cr_expect(strstr(world.error, "within 50 ms") != NULL, "%s",
		  world.error);
	world_free(&world);
}

Test(http, many_over_few_connections)
{
	struct world world;
	unsigned i;

	world_init(&world, OK);
	world.settings.max_connections = 1;
	world_open(&world);
	for (i = 0; i < 50; i++)
		start(&world, "/", "body");
	wait_answers(&world, 50);
	cr_expect_eq(world.server.connections, 1);
	cr_expect_eq(world.server.requests, 50);
	world_free(&world);
}

/* A request that waits, one under way, none. */
Test(http, cancel)
{
	struct http_request *one, *two, *none = NULL;
	struct world world;

	world_init(&world, OK);
	world.settings.max_connections = 1;
	world_open(&world);
	one = start(&world, "/one", NULL);
	two = start(&world, "/two", NULL);
	start(&world, "/three", NULL);
	http_cancel(&two);
	cr_expect_null(two);
	http_cancel(&one);
	http_cancel(&one);
	http_cancel(&none);
	wait_answers(&world, 1);
	cr_expect_eq(strncmp(world.server.seen, "GET /base/three ", 16), 0);
	one = start(&world, "/four", NULL);
	http_cancel(&one);
	world_free(&world);
	cr_expect_eq(world.answers, 1);
}

/* Those that wait are told, and not from inside the call. */
Test(http, give_up)
{
	struct http_request *one;
	struct world world;

	world_init(&world, NULL);
	world.settings.max_connections = 1;
	world_open(&world);
	one = start(&world, "/one", NULL);
	start(&world, "/two", NULL);
	start(&world, "/three", NULL);
	http_server_give_up(world.remote, "it is down");
	cr_expect_eq(world.answers, 0);
	wait_answers(&world, 2);
	cr_expect_str_eq(world.error, "it is down");
	cr_expect(world.answer.lost);
	cr_expect_eq(world.answer.status, 0);
	http_cancel(&one);
	world.server.answer = OK;
	start(&world, "/four", NULL);
	wait_answers(&world, 3);
	cr_expect_str_eq(world.body, "ok");
	world_free(&world);
}

Test(http, cancel_what_was_given_up)
{
	struct http_request *one, *two;
	struct world world;

	world_init(&world, NULL);
	world.settings.max_connections = 1;
	world_open(&world);
	one = start(&world, "/one", NULL);
	two = start(&world, "/two", NULL);
	http_server_give_up(world.remote, "it is down");
	http_cancel(&two);
	http_cancel(&one);
	world_free(&world);
	cr_expect_eq(world.answers, 0);
}

/* --- an answer that is handed over as it comes --- */

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

struct stream {
	struct world *world;
	struct http_request *request;
	struct str data;
	size_t enough;
	bool cancels, starts; /* another request */
	unsigned ends;
	char error[256], body[256];
	unsigned status;
};

static void stream_data(void *arg, const char *data, size_t len)
{
	struct stream *stream = arg;

	cr_expect_gt(len, 0);
	str_append(&stream->data, data, len);
	if (stream->data.len < stream->enough)
		return;
	if (stream->starts)
		start(stream->world, "/other", NULL);
	if (stream->cancels)
		http_cancel(&stream->request);
	loop_stop(stream->world->loop);
}

static void stream_end(void *arg, const struct http_answer *answer)
{
	struct stream *stream = arg;

	stream->ends++;
	stream->request = NULL;
	stream->status = answer->status;
	snprintf(stream->error, sizeof(stream->error), "%s",
		 answer->error != NULL ? answer->error : "");
	snprintf(stream->body, sizeof(stream->body), "%s", answer->body);
	loop_stop(stream->world->loop);
}

static void stream_start(struct stream *stream, struct world *world)
{
	const struct http_call call = {
		.path = "/watch", .body = "{}", .body_len = 2,
		.header = "Authorization: tok.1", .data = stream_data,
	};

	stream->world = world;
	stream->request = http_start(world->remote, &call, stream_end, stream);
	cr_expect_eq(stream->data.len, 0, "called inside http_start()");
	loop_run(world->loop);
}

Test(http, stream_has_no_timeout_and_can_be_cancelled_from_its_data)
{
	struct world world;
	struct stream stream = { .enough = 5, .cancels = true };

	world_init(&world, CHUNKED "5\r\nhello\r\n");
	world_open(&world);
	stream_start(&stream, &world);
	cr_expect_str_eq(str_c(&stream.data), "hello");
	cr_expect_null(stream.request);
	cr_expect_eq(stream.ends, 0);
	cr_expect(strstr(world.server.seen,
			 "Authorization: tok.1\r\n") != NULL);
	world.server.answer = OK;
	start(&world, "/plain", NULL);
	wait_answers(&world, 1);
	cr_expect_str_eq(world.body, "ok");
	cr_expect(strstr(world.server.seen, "Authorization") == NULL,
		  "the header of another call");
	cr_expect_eq(world.server.connections, 2);
	str_free(&stream.data);
	world_free(&world);
}

Test(http, stream_outlives_the_timeout_of_requests)
{
	struct world world;
	struct stream stream = { .enough = 5 };

	world_init(&world, CHUNKED "5\r\nhello\r\n");
	world.settings.timeout_ms = 1000;
	world_open(&world);
	stream_start(&stream, &world);
	cr_assert_not_null(stream.request);
	/* Any request that starts behind it fails only after it would have. */
	world.server.answer = NULL;
	start(&world, "/none", NULL);
	wait_answers(&world, 1);
	cr_expect(strstr(world.error, "within 1000 ms") != NULL, "%s",
		  world.error);
	cr_expect_eq(stream.ends, 0, "%s", stream.error);
	http_cancel(&stream.request);
	str_free(&stream.data);
	world_free(&world);
}

Test(http, stream_that_ends)
{
	static const struct {
		const char *answer, *data, *error, *body;
		unsigned status;
	} cases[] = {
		{ CHUNKED "3\r\nabc\r\n0\r\nGrpc-Trailer: x\r\n\r\n", "abc",
		  "", "", 200 },
		{ "HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\nbad", "", "",
		  "bad", 401 },
		{ CHUNKED "zz\r\n", "", "chunk", "", 200 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world world;
		struct stream stream = { .enough = 100 };

		world_init(&world, cases[i].answer);
		world_open(&world);
		stream_start(&stream, &world);
		cr_expect_eq(stream.ends, 1);
		cr_expect_str_eq(str_c(&stream.data), cases[i].data);
		cr_expect(strcasestr(stream.error, cases[i].error) != NULL,
			  "case %zu: %s", i, stream.error);
		cr_expect_eq(stream.error[0] == '\0',
			     cases[i].error[0] == '\0', "case %zu", i);
		cr_expect_str_eq(stream.body, cases[i].body);
		cr_expect_eq(stream.status, cases[i].status);
		str_free(&stream.data);
		world_free(&world);
	}
}

Test(http, stream_data_may_start_a_request)
{
	struct world world;
	struct stream stream = { .enough = 2, .starts = true };

	world_init(&world, OK);
	world_open(&world);
	stream_start(&stream, &world);
	wait_answers(&world, 1);
	cr_expect_str_eq(world.body, "ok");
	cr_expect_str_eq(str_c(&stream.data), "ok");
	http_cancel(&stream.request);
	str_free(&stream.data);
	world_free(&world);
}
