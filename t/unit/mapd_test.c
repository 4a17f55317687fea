#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mapd.h"
#include "t/unit/loop_helper.h"

static struct loop *loop;
static struct mapd *mapd;
static struct mapd_settings settings;
static struct mapd_request *held[8];
static unsigned held_count;
static bool hold;
static struct str answer;
static int door;

/* Answers with map and key, or keeps the request. */
static void handle(void *arg, struct mapd_request *request)
{
	struct str text = STR_INIT;

	cr_assert_eq(arg, &settings);
	if (hold) {
		held[held_count++] = request;
		return;
	}
	str_printf(&text, "%s/%s", request->wire.map, request->wire.key);
	mapd_reply(&request, MAP_OK, str_c(&text));
	cr_assert_null(request);
	str_free(&text);
}

static void setup(void)
{
	settings = (struct mapd_settings){
		.clients.max = 2,
		.clients.request_ms = 5000,
		.clients.idle_ms = 5000,
		.handle = handle,
		.arg = &settings,
	};
	loop = loop_new();
	mapd = mapd_new(loop, &settings);
}

static void run(void)
{
	passes(loop, 20);
}

static void teardown(void)
{
	mapd_free(&mapd);
	run();
	loop_free(&loop);
	str_free(&answer);
}

TestSuite(mapd, .init = setup, .fini = teardown, .timeout = 20);

static int connect_client(void)
{
	const struct addr peer = { .sa.sa_family = AF_UNIX, .len = 2 };
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends),
		     0);
	mapd_take(mapd, ends[0], &peer, &door);
	return ends[1];
}

static void client_send(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL),
		     (ssize_t)strlen(text));
	run();
}

/* What came must be text, and the server has closed or not. */
static void expect(int fd, const char *text, bool closed)
{
	char buf[4096];
	ssize_t got;

	str_clear(&answer);
	while ((got = recv(fd, buf, sizeof(buf), 0)) > 0)
		str_append(&answer, buf, (size_t)got);
	cr_expect_eq(got == 0, closed, "after %s", str_c(&answer));
	cr_expect_str_eq(str_c(&answer), text);
}

Test(mapd, a_connection_takes_many_requests)
{
	int fd = connect_client();

	client_send(fd, "3:m a,");
	expect(fd, "6:OK m/a,", false);
	client_send(fd, "3:m b,3:m c,");
	expect(fd, "6:OK m/b,6:OK m/c,", false);
	client_send(fd, "get d\n");
	expect(fd, "200 /d\n", false);
	close(fd);
}

Test(mapd, requests_come_byte_by_byte)
{
	const char *at;
	int fd = connect_client();

	for (at = "3:m a,3:m b,"; *at != '\0'; at++) {
		char text[2] = { *at, '\0' };

		client_send(fd, text);
	}
	expect(fd, "6:OK m/a,6:OK m/b,", false);
	close(fd);
}

Test(mapd, a_wrong_request_is_not_the_end)
{
	int fd = connect_client();

	client_send(fd, "1:m,3:m a,get %\n");
	expect(fd, "40:PERM no space behind the name of the map,6:OK m/a,"
		   "400 the%20key%20is%20not%20encoded%20well\n", false);
	close(fd);
}

Test(mapd, garbage_is)
{
	int fd = connect_client();

	client_send(fd, "3:m a,99999:");
	expect(fd, "6:OK m/a,30:PERM no netstring, or too long,", true);
	close(fd);
	fd = connect_client();
	client_send(fd, "GET / HTTP/1.1\r\n\r\n");
	expect(fd, "400 not%20a%20request%20of%20socketmap%20or%20tcp\n", true);
	/* The server waits for the end before it closes. */
	client_send(fd, "more");
	close(fd);
	run();
}

/* Nothing more is read meanwhile, and the answers come in order. */
Test(mapd, one_at_a_time)
{
	int fd = connect_client();

	hold = true;
	client_send(fd, "3:m a,3:m b,");
	cr_assert_eq(held_count, 1);
	expect(fd, "", false);
	mapd_reply(&held[0], MAP_TEMP, "later");
	run();
	cr_assert_eq(held_count, 2);
	cr_expect_str_eq(held[1]->wire.key, "b");
	mapd_reply(&held[1], MAP_NOTFOUND, "");
	run();
	expect(fd, "10:TEMP later,9:NOTFOUND ,", false);
	close(fd);
}

Test(mapd, clients_that_have_sent_all_are_answered)
{
	int fd = connect_client();

	cr_assert_eq(send(fd, "3:m a,3:m b,3:m", 15, 0), 15);
	shutdown(fd, SHUT_WR);
	run();
	expect(fd, "6:OK m/a,6:OK m/b,", true);
	close(fd);
}

Test(mapd, clients_that_are_gone_are_not_answered)
{
	int fd = connect_client();

	hold = true;
	client_send(fd, "3:m a,");
	mapd_drop(mapd, &hold); /* somebody else's */
	cr_assert_not_null(held[0]->conn);
	mapd_drop(mapd, &door);
	cr_assert_null(held[0]->conn);
	expect(fd, "", true);
	mapd_reply(&held[0], MAP_OK, "too late");
	cr_assert_null(held[0]);
	close(fd);
}

/* The one that has waited for longest goes, but none that is being answered. */
Test(mapd, there_are_only_so_many)
{
	int one = connect_client(), two = connect_client(), three, four;

	client_send(one, "3:m a,");
	expect(one, "6:OK m/a,", false);
	three = connect_client();
	run();
	expect(two, "", true);
	hold = true;
	client_send(one, "3:m a,");
	client_send(three, "3:m b,");
	four = connect_client();
	run();
	expect(four, "", true);
	mapd_reply(&held[0], MAP_OK, "x");
	mapd_reply(&held[1], MAP_OK, "y");
	run();
	expect(one, "4:OK x,", false);
	expect(three, "4:OK y,", false);
	close(one);
	close(two);
	close(three);
	close(four);
}

static void wait_for_end(int fd)
{
	char c;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	while (recv(fd, &c, 1, MSG_DONTWAIT) != 0)
		run();
}

Test(mapd, slow_clients)
{
	int idle, slow;

	mapd_free(&mapd);
	settings.clients.request_ms = 50;
	settings.clients.idle_ms = 60000;
	mapd = mapd_new(loop, &settings);
	idle = connect_client();
	client_send(idle, "3:m a,");
	expect(idle, "6:OK m/a,", false);
	slow = connect_client();
	client_send(slow, "3");
	wait_for_end(slow);
	expect(idle, "", false);
	close(slow);
	/* Who says nothing at all is no better. */
	slow = connect_client();
	wait_for_end(slow);
	close(slow);
	close(idle);
}

Test(mapd, idle_clients)
{
	int fd;

	mapd_free(&mapd);
	settings.clients.idle_ms = 50;
	mapd = mapd_new(loop, &settings);
	fd = connect_client();
	client_send(fd, "3:m a,");
	wait_for_end(fd);
	close(fd);
}

Test(mapd, leaving)
{
	int used = connect_client(), fresh = connect_client();

	client_send(used, "3:m a,");
	expect(used, "6:OK m/a,", false);
	mapd_leave(mapd);
	run();
	expect(used, "", true);
	expect(fresh, "", false);
	client_send(fresh, "3:m b,3:m c,");
	expect(fresh, "6:OK m/b,", true);
	close(used);
	close(fresh);
}

Test(mapd, requests_outlive_it)
{
	int fd = connect_client();

	hold = true;
	client_send(fd, "3:m a,");
	mapd_free(&mapd);
	expect(fd, "", true);
	mapd_reply(&held[0], MAP_OK, "");
	close(fd);
}
