#include "lib/connect.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
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

/* An address that does not answer: its backlog is full. *filler_r holds it. */
static int silent_on(const char *ip, struct addr *addr, int *filler_r)
{
	int listener = listen_on(ip, 0, addr);

	*filler_r = socket(addr->sa.sa_family, SOCK_STREAM, 0);
	cr_assert_eq(connect(*filler_r, &addr->sa, addr->len), 0);
	return listener;
}

static int open_fds(void)
{
	DIR *fds = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(fds) != NULL)
		count++;
	closedir(fds);
	return count;
}

/* "connect(ADDR) failed: why" */
static void failure(struct str *out, const struct addr *addr, const char *why)
{
	if (out->len > 0)
		str_puts(out, "; ");
	str_puts(out, "connect(");
	addr_write(out, addr);
	str_printf(out, ") failed: %s", why);
}

static void check_error(struct str *expected)
{
	cr_expect_eq(fd, -1);
	cr_expect_str_eq(error, str_c(expected), "%s", error);
	str_free(expected);
}

static struct addr local_addr(void)
{
	struct addr addr = { .len = sizeof(addr.un) };

	cr_assert_eq(getsockname(fd, &addr.sa, &addr.len), 0);
	return addr;
}

Test(connect, ipv6)
{
	struct addr addr;
	int listener;

	if (addr_parse_ip(&addr, "::1", 0) < 0 ||
	    bind(socket(AF_INET6, SOCK_STREAM, 0), &addr.sa, addr.len) < 0)
		cr_skip_test("no IPv6 here");
	listener = listen_on("::1", 5, &addr);
	run(&addr, 1);
	cr_expect_geq(fd, 0, "%s", error);
	cr_expect(addr_equal(&reached, &addr));
	close(listener);
}

Test(connect, the_next_address_after_a_refusal)
{
	struct addr addrs[3];
	int bound[2] = { refuse_on("127.0.0.1", &addrs[0]),
			 refuse_on("127.0.0.2", &addrs[1]) };
	int listener = listen_on("127.0.0.1", 5, &addrs[2]);

	params.stagger_ms = 3600 * 1000; /* the timer is not needed */
	params.timeout_ms = 3600 * 1000;
	run(addrs, 3);
	cr_expect_geq(fd, 0, "%s", error);
	cr_expect(addr_equal(&reached, &addrs[2]));
	close(bound[0]);
	close(bound[1]);
	close(listener);
}

Test(connect, every_refusal_is_named)
{
	struct addr addrs[2];
	int bound[2] = { refuse_on("127.0.0.1", &addrs[0]),
			 refuse_on("127.0.0.2", &addrs[1]) };
	struct str expected = STR_INIT;
	int fds = open_fds();

	params.timeout_ms = 3600 * 1000;
	run(addrs, 2);
	failure(&expected, &addrs[0], "Connection refused");
	failure(&expected, &addrs[1], "Connection refused");
	check_error(&expected);
	cr_expect_eq(open_fds(), fds);
	close(bound[0]);
	close(bound[1]);
}

Test(connect, a_silent_address_does_not_hold_up_the_next)
{
	struct addr addrs[3];
	int filler, silent = silent_on("127.0.0.1", &addrs[0], &filler);
	int bound = refuse_on("127.0.0.1", &addrs[1]);
	int listener = listen_on("127.0.0.1", 5, &addrs[2]);
	int fds = open_fds();

	params.stagger_ms = 20;
	params.timeout_ms = 3600 * 1000;
	run(addrs, 3);
	cr_expect_geq(fd, 0, "%s", error);
	cr_expect(addr_equal(&reached, &addrs[2]));
	cr_expect_eq(open_fds(), fds + 1, "the silent attempt is closed");
	close(filler);
	close(silent);
	close(bound);
	close(listener);
}

Test(connect, an_earlier_attempt_may_win_late)
{
	struct addr addrs[2];
	int filler, slow = silent_on("127.0.0.1", &addrs[0], &filler);
	int fillers[2], silent = silent_on("127.0.0.2", &addrs[1], fillers);
	struct connect_request *request;

	params.stagger_ms = 1;
	request = start(addrs, 2);
	cr_expect_not_null(request);
	/* Room in the first one's backlog: SYN is sent again in a second. */
	close(accept(slow, NULL, NULL));
	loop_run(loop);
	cr_expect_geq(fd, 0, "%s", error);
	cr_expect(addr_equal(&reached, &addrs[0]));
	close(filler);
	close(slow);
	close(fillers[0]);
	close(silent);
}

Test(connect, timeout)
{
	struct addr addrs[2];
	int fillers[2];
	int silent = silent_on("127.0.0.1", &addrs[0], &fillers[0]);
	int other = silent_on("127.0.0.2", &addrs[1], &fillers[1]);
	struct str expected = STR_INIT;
	int fds = open_fds();

	params.stagger_ms = 0;
	params.timeout_ms = 100;
	run(addrs, 2);
	failure(&expected, &addrs[0], "Connection timed out");
	failure(&expected, &addrs[1], "Connection timed out");
	check_error(&expected);
	cr_expect_eq(open_fds(), fds);
	close(fillers[0]);
	close(fillers[1]);
	close(silent);
	close(other);
}

Test(connect, source_address)
{
	struct addr addr, source, expected;
	int listener = listen_on("127.0.0.1", 5, &addr);

	addr_parse_ip(&source, "127.0.0.7", 0);
	params.source = &source;
	run(&addr, 1);
	cr_assert_geq(fd, 0, "%s", error);
	expected = local_addr();
	cr_expect(addr_same_host(&expected, &source));
	close(listener);
}

Test(connect, source_address_that_is_not_ours)
{
	struct addr addr, source;
	int listener = listen_on("127.0.0.1", 5, &addr);
	struct str expected = STR_INIT;
	int fds = open_fds();

	addr_parse_ip(&source, "192.0.2.1", 0);
	params.source = &source;
	run(&addr, 1);
	failure(&expected, &addr, "bind: Cannot assign requested address");
	check_error(&expected);
	cr_expect_eq(open_fds(), fds);
	close(listener);
}

Test(connect, other_families_than_the_sources_are_passed_over)
{
	struct addr addrs[3], source;
	int listener = listen_on("127.0.0.1", 5, &addrs[1]);

	addr_parse_ip(&addrs[0], "2001:db8::1", 24);
	addr_set_unix(&addrs[2], "/nonexistent");
	addr_parse_ip(&source, "127.0.0.1", 0);
	params.source = &source;
	run(addrs, 3);
	cr_expect_geq(fd, 0, "%s", error);
	cr_expect(addr_equal(&reached, &addrs[1]));
	close(listener);
}

Test(connect, only_other_families_than_the_sources)
{
	struct addr addr, source;

	addr_parse_ip(&addr, "2001:db8::1", 24);
	addr_parse_ip(&source, "127.0.0.1", 0);
	params.source = &source;
	run(&addr, 1);
	cr_expect_eq(fd, -1);
	cr_expect_str_eq(error, "no address of the source address's family");
}

Test(connect, not_to_itself)
{
	struct addr addr, source;
	struct str expected = STR_INIT;

	close(refuse_on("127.0.0.1", &addr));
	source = addr;
	params.source = &source;
	run(&addr, 1);
	failure(&expected, &addr, "Connection refused");
	check_error(&expected);
}

Test(connect, cancel)
{
	struct addr addr;
	int filler, silent = silent_on("127.0.0.1", &addr, &filler);
	int fds = open_fds();
	struct connect_request *request = start(&addr, 1);

	cr_expect_eq(open_fds(), fds + 1);
	connect_cancel(&request);
	cr_expect_null(request);
	connect_cancel(&request);
	cr_expect_eq(open_fds(), fds);
	close(filler);
	close(silent);
}

/* --- UNIX sockets --- */

static char dir[64];

static int listen_unix(struct addr *addr, int backlog)
{
	char path[100];
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(dir, "/tmp/waypost-connect-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	cr_assert_eq(addr_set_unix(addr, path), 0);
	cr_assert_eq(bind(listener, &addr->sa, addr->len), 0);
	cr_assert_eq(listen(listener, backlog), 0);
	return listener;
}

static void remove_unix(int listener, const struct addr *addr)
{
	close(listener);
	unlink(addr->un.sun_path);
	rmdir(dir);
}

Test(connect, unix_socket)
{
	struct addr addr;
	int listener = listen_unix(&addr, 5);

	run(&addr, 1);
	cr_expect_geq(fd, 0, "%s", error);
	cr_expect(addr_equal(&reached, &addr));
	cr_expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
	remove_unix(listener, &addr);
}

Test(connect, no_unix_socket)
{
	struct addr addr;

	addr_set_unix(&addr, "/nonexistent/socket");
	run(&addr, 1);
	cr_expect_eq(fd, -1);
	cr_expect_str_eq(error, "connect(/nonexistent/socket) failed: "
				"No such file or directory");
}

Test(connect, cancel_before_the_report_closes_the_winner)
{
	struct addr addr;
	int listener = listen_unix(&addr, 5), fds = open_fds();
	struct connect_request *request = start(&addr, 1);

	cr_expect_eq(open_fds(), fds + 1);
	connect_cancel(&request);
	cr_expect_eq(open_fds(), fds);
	remove_unix(listener, &addr);
}

struct late {
	struct loop_timer timer;
	int listener;
};

static void accept_one(struct loop_timer *timer)
{
	struct late *late = container_of(timer, struct late, timer);

	close(accept(late->listener, NULL, NULL));
}

static int fill_unix(const struct addr *addr)
{
	int filler = socket(AF_UNIX, SOCK_STREAM, 0);

	cr_assert_eq(connect(filler, &addr->sa, addr->len), 0);
	return filler;
}

Test(connect, unix_socket_with_a_full_backlog_is_tried_again)
{
	struct addr addr;
	struct late late = { .listener = listen_unix(&addr, 0) };
	int filler = fill_unix(&addr);

	loop_timer_open(&late.timer, loop, accept_one);
	loop_timer_set(&late.timer, 30);
	run(&addr, 1);
	cr_expect_geq(fd, 0, "%s", error);
	loop_timer_close(&late.timer);
	close(filler);
	remove_unix(late.listener, &addr);
}

static void close_listener(struct loop_timer *timer)
{
	close(container_of(timer, struct late, timer)->listener);
}

Test(connect, unix_socket_that_goes_while_its_backlog_is_full)
{
	struct addr addr;
	struct late late = { .listener = listen_unix(&addr, 0) };
	int filler = fill_unix(&addr);
	struct str expected = STR_INIT;

	loop_timer_open(&late.timer, loop, close_listener);
	loop_timer_set(&late.timer, 30);
	run(&addr, 1);
	failure(&expected, &addr, "Connection refused");
	check_error(&expected);
	loop_timer_close(&late.timer);
	close(filler);
	remove_unix(-1, &addr);
}

Test(connect, unix_socket_with_a_full_backlog_times_out)
{
	struct addr addr;
	int listener = listen_unix(&addr, 0), filler = fill_unix(&addr);
	struct str expected = STR_INIT;

	params.timeout_ms = 50;
	run(&addr, 1);
	failure(&expected, &addr, "Connection timed out");
	check_error(&expected);
	close(filler);
	remove_unix(listener, &addr);
}

Test(connect, no_descriptors_left)
{
	struct rlimit old, limit;
	struct addr addr;
	int listener = listen_on("127.0.0.1", 5, &addr);
	struct str expected = STR_INIT;

	getrlimit(RLIMIT_NOFILE, &old);
	limit = old;
	limit.rlim_cur = (rlim_t)dup(0);
	close((int)limit.rlim_cur);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	run(&addr, 1);
	setrlimit(RLIMIT_NOFILE, &old);
	failure(&expected, &addr, "socket: Too many open files");
	check_error(&expected);
	close(listener);
}

static void told_and_go_on(void *arg, int connected, const struct addr *addr,
			   const char *reason)
{
	(void)addr;
	(void)arg;
	cr_assert_geq(connected, 0, "%s", reason);
	close(connected);
	start(params.addrs, 1);
}

Test(connect, the_callback_may_start_another)
{
	struct addr addr;
	int listener = listen_on("127.0.0.1", 5, &addr);

	params.addrs = &addr;
	params.count = 1;
	connect_start(loop, &params, told_and_go_on, NULL);
	loop_run(loop);
	cr_expect_eq(calls, 1);
	cr_expect_geq(fd, 0);
	close(listener);
}
