#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/http/httpd.h"
#include "lib/mem.h"
#include "t/unit/loop_helper.h"

#define REQUEST "GET /one HTTP/1.1\r\nHost: a\r\n\r\n"

static struct loop *loop;
static struct httpd *httpd;
static struct httpd_settings settings;
static struct httpd_request *held[8];
static unsigned held_count;
static bool hold, vouch;
static struct str answer;

/* Answers with method, path and body, or keeps the request. */
static void handle(void *arg, struct httpd_request *request)
{
	struct str body = STR_INIT;

	cr_assert_eq(arg, &settings);
	if (vouch)
		httpd_vouch(request);
	if (hold) {
		held[held_count++] = request;
		return;
	}
	str_printf(&body, "%s %s %s %u", request->head.method,
		   request->head.path, request->body, request->rights);
	httpd_reply(&request, 200, "text/plain", &body);
	str_free(&body);
}

static void setup(void)
{
	settings = (struct httpd_settings){
		.clients.max = 2,
		.max_untaken = 100000,
		.clients.request_ms = 5000,
		.clients.idle_ms = 5000,
		.handle = handle,
		.arg = &settings,
	};
	loop = loop_new();
	httpd = httpd_new(loop, &settings);
}

static void run(void)
{
	passes(loop, 20);
}

static void teardown(void)
{
	httpd_free(&httpd);
	run();
	loop_free(&loop);
	str_free(&answer);
}

TestSuite(httpd, .init = setup, .fini = teardown, .timeout = 20);

static int connect_from(const char *peer, unsigned rights)
{
	struct addr addr;
	int ends[2];

	cr_assert_eq(addr_parse_ip(&addr, peer, 1), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends),
		     0);
	httpd_take(httpd, ends[0], NULL, &addr, &settings, rights);
	return ends[1];
}

static int connect_client(unsigned rights)
{
	return connect_from("192.0.2.1", rights);
}

static void client_send(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL),
		     (ssize_t)strlen(text));
	run();
}

/* All that came, into answer; whether the server has closed. */
static bool client_read(int fd)
{
	char buf[4096];
	ssize_t got;

	str_clear(&answer);
	while ((got = recv(fd, buf, sizeof(buf), 0)) > 0)
		str_append(&answer, buf, (size_t)got);
	return got == 0;
}

static void expect(int fd, const char *start, const char *end, bool closed)
{
	cr_expect_eq(client_read(fd), closed, "%s", str_c(&answer));
	cr_expect_eq(strncmp(str_c(&answer), start, strlen(start)), 0, "%s",
		     str_c(&answer));
	cr_expect(answer.len >= strlen(end) &&
		  strcmp(str_c(&answer) + answer.len - strlen(end), end) == 0,
		  "%s", str_c(&answer));
}

Test(httpd, a_connection_takes_many_requests)
{
	int fd = connect_client(7);

	client_send(fd, REQUEST);
	expect(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
		   "Content-Length: 11\r\n", "\r\n\r\nGET /one  7", false);
	client_send(fd, "POST /two HTTP/1.1\r\nHost: a\r\n"
			"Content-Length: 4\r\n\r\n");
	expect(fd, "", "", false);
	client_send(fd, "body");
	expect(fd, "HTTP/1.1 200 OK\r\n", "POST /two body 7", false);
	client_send(fd, "GET / HTTP/1.0\r\n\r\n");
	expect(fd, "HTTP/1.1 200 OK\r\n", "GET /  7", true);
	close(fd);
}

Test(httpd, requests_come_byte_by_byte_or_all_at_once)
{
	const char *at;
	int fd = connect_client(0);

	for (at = REQUEST; *at != '\0'; at++) {
		char text[2] = { *at, '\0' };

		client_send(fd, text);
	}
	expect(fd, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	client_send(fd, REQUEST REQUEST "GET /two HTTP/1.1\r\nHost: a\r\n\r\n");
	expect(fd, "HTTP/1.1 200 OK\r\n", "GET /two  0", false);
	close(fd);
}

Test(httpd, a_body_is_asked_for)
{
	int fd = connect_client(0);

	client_send(fd, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
			"Expect: 100-continue\r\n\r\n");
	expect(fd, "HTTP/1.1 100 Continue\r\n\r\n", "\r\n\r\n", false);
	client_send(fd, "a");
	expect(fd, "", "", false);
	client_send(fd, "b");
	expect(fd, "HTTP/1.1 200 OK\r\n", "POST /x ab 0", false);
	close(fd);
}

Test(httpd, garbage_is_refused)
{
	int fd = connect_client(0);

	client_send(fd, "LHLO me\r\n");
	expect(fd, "HTTP/1.1 400 Bad Request\r\n",
	       "Connection: close\r\n\r\n{\"error\":\"Bad Request\"}\n", true);
	close(fd);
	fd = connect_client(0);
	client_send(fd, "POST / HTTP/1.1\r\nHost: a\r\n"
			"Content-Length: 65537\r\n\r\n");
	expect(fd, "HTTP/1.1 413 Content Too Large\r\n", "}\n", true);
	/* What it goes on sending is read and dropped. */
	client_send(fd, "more");
	close(fd);
}

/* Nobody's text makes a field, or an answer, of its own. */
Test(httpd, an_answer_has_fields)
{
	struct str body = STR_INIT;
	int fd = connect_client(0);

	hold = true;
	client_send(fd, REQUEST);
	cr_assert_eq(held_count, 1);
	httpd_field(held[0], "A", "b\r\nC: d\t\x7f\xc3");
	httpd_field(held[0], "E", "f g");
	httpd_reply(&held[0], 200, "text/plain", &body);
	run();
	client_read(fd);
	cr_expect_not_null(strstr(str_c(&answer),
				  "\r\nA: b??C: d???\r\nE: f g\r\n"),
			   "%s", str_c(&answer));
	close(fd);
}

/* Or the next answer would begin with it. */
Test(httpd, head_has_no_body)
{
	int fd = connect_client(0);

	client_send(fd, "HEAD /one HTTP/1.1\r\nHost: a\r\n\r\n");
	expect(fd, "HTTP/1.1 200 OK\r\n", "\r\n\r\n", false);
	cr_expect_not_null(strstr(str_c(&answer), "\r\nContent-Length: 12\r\n"));
	client_send(fd, REQUEST);
	expect(fd, "HTTP/1.1 200 OK\r\n", "\r\n\r\nGET /one  0", false);
	close(fd);
}

Test(httpd, nothing_is_read_while_a_request_is_handled)
{
	struct str body = STR_INIT, flood = STR_INIT;
	int fd = connect_client(0);
	ssize_t sent, total = 0;

	hold = true;
	client_send(fd, REQUEST);
	cr_assert_eq(held_count, 1);
	memset(str_reserve(&flood, 65536), 'x', 65536);
	str_grown(&flood, 65536);
	while ((sent = send(fd, flood.data, flood.len, MSG_NOSIGNAL)) > 0) {
		total += sent;
		run();
		cr_assert_lt(total, 16 << 20, "it reads without end");
	}
	str_puts(&body, "late");
	httpd_reply(&held[0], 200, "text/plain", &body);
	cr_expect_null(held[0]);
	run();
	client_read(fd);
	cr_expect_not_null(strstr(str_c(&answer), "\r\n\r\nlate"));
	close(fd);
	str_free(&body);
	str_free(&flood);
}

/* Of those who may be here, one who is idle makes room, if there is no stranger. */
Test(httpd, there_are_not_too_many)
{
	struct str body = STR_INIT;
	int a = connect_client(0), b = connect_client(0), c, d;

	vouch = true;
	client_send(a, REQUEST);
	client_send(b, REQUEST);
	client_send(a, REQUEST);
	client_read(a);
	c = connect_client(0);
	expect(b, "HTTP/1.1 200 OK\r\n", "GET /one  0", true);
	expect(a, "", "", false);
	hold = true;
	client_send(a, REQUEST);
	client_send(c, REQUEST);
	d = connect_client(0);
	expect(d, "", "", true);
	httpd_reply(&held[0], 200, "text/plain", &body);
	httpd_reply(&held[1], 200, "text/plain", &body);
	run();
	expect(a, "HTTP/1.1 200 OK\r\n", "\r\n\r\n", false);
	expect(c, "HTTP/1.1 200 OK\r\n", "\r\n\r\n", false);
	close(a);
	close(b);
	close(c);
	close(d);
}

/* However many they are, and whatever they do. */
Test(httpd, a_crowd_makes_room_for_itself)
{
	int a, crowd[20];
	unsigned i, closed = 0;

	httpd_free(&httpd);
	run();
	settings.clients.max = 4;
	settings.clients.cuts_requests = hold = true;
	httpd = httpd_new(loop, &settings);
	a = connect_client(0);
	client_send(a, "GET /one HTTP/1.1\r\nHost: a\r\n");
	for (i = 0; i < 20; i++) {
		crowd[i] = connect_from(i % 2 ? "198.51.100.1" : "198.51.100.9",
					0);
		if (i % 3 == 0)
			client_send(crowd[i], REQUEST);
	}
	hold = false;
	run();
	for (i = 0; i < 20; i++)
		closed += client_read(crowd[i]);
	cr_expect_eq(closed, 17, "%u", closed);
	client_send(a, "\r\n");
	expect(a, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	close(a);
	for (i = 0; i < 20; i++)
		close(crowd[i]);
	while (held_count > 0)
		httpd_reply(&held[--held_count], 200, "text/plain", &answer);
}

/* Of two who come from one address, as behind NAT, the one who has shown that he may be
 * here stays, whatever the other does; and waits as he likes. */
Test(httpd, a_crowd_from_the_same_address_makes_room_for_itself)
{
	int a = connect_from("198.51.100.1", 0), crowd[20];
	unsigned i, closed = 0;

	vouch = true;
	client_send(a, REQUEST);
	expect(a, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	vouch = false;
	for (i = 0; i < 20; i++) {
		crowd[i] = connect_from("198.51.100.1", 0);
		if (i % 3 == 0)
			client_send(crowd[i], REQUEST);
		if (i % 3 == 1)
			client_send(crowd[i], "GET /");
	}
	run();
	for (i = 0; i < 20; i++)
		closed += client_read(crowd[i]);
	cr_expect_eq(closed, 19, "%u", closed);
	client_send(a, REQUEST);
	expect(a, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	close(a);
	for (i = 0; i < 20; i++)
		close(crowd[i]);
}

Test(httpd, who_waits_longest_makes_room)
{
	int a = connect_client(0), b = connect_client(0), c, d;

	client_send(a, REQUEST);
	expect(a, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	client_send(b, "GET /"); /* the rest never comes */
	c = connect_client(0);
	expect(b, "", "", true);
	expect(a, "", "", false);
	vouch = true;
	client_send(c, REQUEST);
	expect(c, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	d = connect_client(0);
	expect(a, "", "", true);
	close(a);
	a = connect_client(0);
	expect(d, "", "", true);
	client_send(c, REQUEST);
	expect(c, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	close(a);
	close(b);
	close(c);
	close(d);
}

Test(httpd, a_request_under_way_makes_no_room)
{
	struct str body = STR_INIT;
	int a = connect_client(0), b = connect_client(0), c;

	hold = true;
	client_send(a, REQUEST);
	client_send(b, REQUEST);
	c = connect_client(0);
	expect(c, "", "", true);
	str_puts(&body, "late");
	httpd_reply(&held[0], 200, "text/plain", &body);
	httpd_reply(&held[1], 200, "text/plain", &body);
	run();
	expect(a, "HTTP/1.1 200 OK\r\n", "late", false);
	expect(b, "HTTP/1.1 200 OK\r\n", "late", false);
	close(a);
	close(b);
	close(c);
	str_free(&body);
}

/* Unless it may be cut off: so those who may be here are not kept out by those who
 * ask and ask. */
Test(httpd, a_request_under_way_may_make_room)
{
	struct str body = STR_INIT;
	int a, b, c;

	httpd_free(&httpd);
	run();
	settings.clients.cuts_requests = true;
	httpd = httpd_new(loop, &settings);
	vouch = hold = true;
	a = connect_client(0);
	client_send(a, REQUEST);
	vouch = false;
	b = connect_client(0);
	client_send(b, REQUEST);
	c = connect_client(0);
	expect(b, "", "", true);
	client_send(c, REQUEST);
	cr_assert_eq(held_count, 3);
	str_puts(&body, "late");
	while (held_count > 0)
		httpd_reply(&held[--held_count], 200, "text/plain", &body);
	run();
	expect(a, "HTTP/1.1 200 OK\r\n", "late", false);
	expect(c, "HTTP/1.1 200 OK\r\n", "late", false);
	close(a);
	close(b);
	close(c);
	str_free(&body);
}

/* An answer that is larger than what a socket takes. */
static int ask_much(void)
{
	struct str body = STR_INIT;
	int fd = connect_client(0);

	hold = true;
	client_send(fd, REQUEST);
	cr_assert_eq(held_count, 1);
	held_count = 0;
	memset(str_reserve(&body, 8 << 20), 'x', 8 << 20);
	str_grown(&body, 8 << 20);
	httpd_reply(&held[0], 200, "text/plain", &body);
	run();
	hold = false;
	str_free(&body);
	return fd;
}

Test(httpd, who_does_not_read_makes_room)
{
	int a, b = connect_client(0), c;

	vouch = true;
	client_send(b, REQUEST);
	expect(b, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	vouch = false;
	a = ask_much();
	c = connect_client(0);
	client_send(c, REQUEST);
	expect(c, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	client_send(b, REQUEST);
	expect(b, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	close(a);
	close(b);
	close(c);
}

Test(httpd, answers_that_nobody_reads_have_a_limit)
{
	int a = ask_much(), b = connect_client(0);

	client_send(b, REQUEST);
	expect(b, "HTTP/1.1 503 Service Unavailable\r\n",
	       "{\"error\":\"too many answers are not read\"}\n", true);
	close(b);
	close(a);
	run();
	b = connect_client(0);
	client_send(b, REQUEST);
	expect(b, "HTTP/1.1 200 OK\r\n", "GET /one  0", false);
	close(b);
}

Test(httpd, the_client_and_the_server_may_go_before_the_answer)
{
	struct str body = STR_INIT;
	int a = connect_client(0), b = connect_client(0);

	hold = true;
	client_send(a, REQUEST);
	client_send(b, REQUEST);
	cr_assert_eq(held_count, 2);
	close(a);
	run();
	httpd_reply(&held[0], 200, "text/plain", &body);
	run();
	httpd_free(&httpd);
	run();
	cr_expect_null(held[1]->conn);
	httpd_reply(&held[1], 200, "text/plain", &body);
	expect(b, "", "", true);
	close(b);
}

Test(httpd, connections_of_one_door_can_be_closed)
{
	int a = connect_client(0);

	run();
	httpd_drop(httpd, &loop);
	expect(a, "", "", false);
	httpd_drop(httpd, &settings);
	expect(a, "", "", true);
	close(a);
}

static void late(struct loop_timer *timer)
{
	(void)timer;
	loop_stop(loop);
}

/* Runs the loop until fd is closed by the server. */
static void wait_closed(int fd)
{
	struct loop_timer timer;
	int i;

	loop_timer_open(&timer, loop, late);
	for (i = 0; i < 1000 && !client_read(fd); i++) {
		loop_timer_set(&timer, 5);
		loop_run(loop);
	}
	loop_timer_close(&timer);
	cr_assert(i < 1000, "it does not close");
}

Test(httpd, time_is_limited_however_the_client_drips)
{
	struct loop_timer timer;
	int fd, i;
	bool closed = false;

	httpd_free(&httpd);
	settings.clients.request_ms = 50;
	settings.clients.idle_ms = 50;
	httpd = httpd_new(loop, &settings);
	fd = connect_client(0);
	wait_closed(fd);
	close(fd);
	fd = connect_client(0);
	loop_timer_open(&timer, loop, late);
	for (i = 0; i < 1000 && !closed; i++) {
		(void)!send(fd, "G", 1, MSG_NOSIGNAL);
		loop_timer_set(&timer, 5);
		loop_run(loop);
		closed = client_read(fd);
	}
	cr_expect(closed, "it waits as long as something comes");
	loop_timer_close(&timer);
	close(fd);
	fd = connect_client(0);
	client_send(fd, REQUEST);
	wait_closed(fd);
	close(fd);
}
