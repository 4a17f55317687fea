#include "lib/connect.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/mem.h"

static struct loop *loop;
static struct connect_params params;
static int calls, fd;
static struct addr reached;
static char *error;

static void told(void *arg, int connected, const struct addr *addr,
		 const char *reason)
{
	cr_assert_eq(arg, &calls);
	cr_assert_eq(addr == NULL, connected < 0);
	cr_assert_eq(reason != NULL, connected < 0);
	calls++;
	fd = connected;
	if (addr != NULL)
		reached = *addr;
	if (reason != NULL)
		error = mem_strdup(reason);
	loop_stop(loop);
}

static void setup(void)
{
	loop = loop_new();
	params = (struct connect_params){ .timeout_ms = 20000,
					  .stagger_ms = 250 };
	calls = 0;
	fd = -1;
}

static void teardown(void)
{
	if (fd >= 0)
		close(fd);
	mem_free(&error);
	loop_free(&loop);
}

TestSuite(connect, .init = setup, .fini = teardown, .timeout = 60);

/* A listener on a port of the kernel's choice. */
static int listen_on(const char *ip, int backlog, struct addr *addr)
{
	int listener;

	cr_assert_eq(addr_parse_ip(addr, ip, 0), 0);
	listener = socket(addr->sa.sa_family, SOCK_STREAM, 0);
	cr_assert_eq(bind(listener, &addr->sa, addr->len), 0);
	cr_assert_eq(listen(listener, backlog), 0);
	getsockname(listener, &addr->sa, &addr->len);
	return listener;
}

/* An address that refuses: a port that is taken but not listened on. */
static int refuse_on(const char *ip, struct addr *addr)
{
	int fd_bound;

	cr_assert_eq(addr_parse_ip(addr, ip, 0), 0);
	fd_bound = socket(addr->sa.sa_family, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd_bound, &addr->sa, addr->len), 0);
	getsockname(fd_bound, &addr->sa, &addr->len);
	return fd_bound;
}

static struct connect_request *start(const struct addr *addrs, unsigned count)
{
	struct connect_request *request;

	params.addrs = addrs;
	params.count = count;
	request = connect_start(loop, &params, told, &calls);
	cr_assert_not_null(request);
	cr_assert_eq(calls, 0, "called inside connect_start()");
	return request;
}

static void run(const struct addr *addrs, unsigned count)
{
	start(addrs, count);
	loop_run(loop);
	cr_assert_eq(calls, 1);
}

Test(connect, tcp)
{
	struct addr addr;
	int listener = listen_on("127.0.0.1", 5, &addr), on = 0;
	socklen_t len = sizeof(on);

	run(&addr, 1);
	cr_assert_geq(fd, 0, "%s", error);
	cr_expect(addr_equal(&reached, &addr));
	cr_expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len);
	cr_expect_neq(on, 0);
	on = 0;
	getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len);
	cr_expect_neq(on, 0);
	close(listener);
}

Test(connect, refused)
{
	struct addr addr;
	int bound = refuse_on("127.0.0.1", &addr);
	char expected[100];

	run(&addr, 1);
	snprintf(expected, sizeof(expected),
		 "connect(127.0.0.1:%u) failed: Connection refused",
		 addr_port(&addr));
	cr_expect_eq(fd, -1);
	cr_expect_str_eq(error, expected);
	close(bound);
}
