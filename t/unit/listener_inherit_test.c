#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/mem.h"
#include "proxy/supervisor/listener_inherit.h"

#define FIRST 50 /* 3 is one of Criterion's */

static struct inet_listener_settings inet = {
	.name = "lmtp", .address = "", .file = "x.conf", .line = 1,
};
static struct unix_listener_settings un = {
	.path = "one", .mode = 0600, .user = "", .group = "",
	.file = "x.conf", .line = 2,
};
static struct settings settings = {
	.listen = "127.0.0.1",
	.lmtp_enabled = true,
	.service = { .inet_listeners = &inet, .unix_listeners = &un },
};
static struct listener_set *set, *activated;
static char dir[64], path[96];
static struct err err;

static void setup(void)
{
	strcpy(dir, "/tmp/inherit_test.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	settings.base_dir = dir;
	snprintf(path, sizeof(path), "%s/one", dir);
}

static void teardown(void)
{
	listener_set_close(&activated);
	listener_set_close(&set);
	unlink(path);
	rmdir(dir);
}

TestSuite(listener_inherit, .init = setup, .fini = teardown, .timeout = 20);

static int bind_to(const struct addr *addr, int type)
{
	int fd = socket(addr->sa.sa_family, type, 0);

	cr_assert_eq(bind(fd, &addr->sa, addr->len), 0);
	return fd;
}

static int open_inet(int type, uint16_t *port_r)
{
	struct addr addr;
	int fd;

	addr_parse_ip(&addr, "127.0.0.1", 0);
	fd = bind_to(&addr, type);
	getsockname(fd, &addr.sa, &addr.len);
	*port_r = addr_port(&addr);
	return fd;
}

static int listen_inet(uint16_t *port_r)
{
	int fd = open_inet(SOCK_STREAM, port_r);

	listen(fd, 1);
	return fd;
}

static int listen_unix(void)
{
	struct addr addr;
	int fd;

	addr_set_unix(&addr, path);
	fd = bind_to(&addr, SOCK_STREAM);
	listen(fd, 1);
	return fd;
}

/* Has the process find fds from FIRST on. */
static void activate(const int *fds, int count)
{
	char text[32];
	int i;

	for (i = 0; i < count; i++) {
		dup2(fds[i], FIRST + i);
		close(fds[i]);
	}
	snprintf(text, sizeof(text), "%d", count);
	setenv("LISTEN_FDS", text, 1);
	snprintf(text, sizeof(text), "%ld", (long)getpid());
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDNAMES", "x", 1);
	activated = listener_inherit_activated(FIRST);
	cr_assert_null(getenv("LISTEN_FDS"));
	cr_assert_null(getenv("LISTEN_PID"));
	cr_assert_null(getenv("LISTEN_FDNAMES"));
}

static void use_unix(void)
{
	settings.service.unix_listener_count = 1;
}

static void use_inet(uint16_t port)
{
	settings.service.inet_listener_count = 1;
	inet.port = port;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

Test(listener_inherit, what_is_configured_is_used)
{
	uint16_t port;
	int fds[2] = { listen_inet(&port), listen_unix() };

	activate(fds, 2);
	cr_assert_eq(activated->count, 2);
	use_inet(port);
	use_unix();
	set = listener_set_open(&settings, activated, &err);
	cr_assert_not_null(set, "%s", err.text);
	listener_inherit_close(&activated, set);
	cr_assert_eq(set->count, 2);
	cr_assert_eq(set->items[0]->fd, FIRST);
	cr_assert_eq(set->items[1]->fd, FIRST + 1);
	cr_assert(fcntl(FIRST, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(FIRST, F_GETFL) & O_NONBLOCK);
	/* systemd goes on listening there. */
	listener_set_close(&set);
	cr_assert_not(is_open(FIRST) || is_open(FIRST + 1));
	cr_assert_eq(access(path, F_OK), 0);
}

Test(listener_inherit, other_flags_are_no_other_address)
{
	uint16_t port;
	int fd = listen_inet(&port);

	activate(&fd, 1);
	use_inet(port);
	inet.ssl = true;
	set = listener_set_open(&settings, activated, &err);
	cr_assert_not_null(set, "%s", err.text);
	listener_inherit_close(&activated, set);
	cr_assert_eq(set->items[0]->flags, LISTENER_TLS);
	cr_assert_not(is_open(FIRST));
}

Test(listener_inherit, a_path_serves_whom_the_configuration_says)
{
	int fd = listen_unix();

	activate(&fd, 1);
	settings.ctl.unix_listeners = &un;
	settings.ctl.unix_listener_count = 1;
	un.control = true;
	set = listener_set_open(&settings, activated, &err);
	cr_assert_not_null(set, "%s", err.text);
	listener_inherit_close(&activated, set);
	cr_assert_eq(set->items[0]->flags, LISTENER_CONTROL);
	cr_assert(set->items[0]->foreign);
	listener_set_close(&set);
	cr_assert_eq(access(path, F_OK), 0);
}

Test(listener_inherit, the_rest_is_closed)
{
	uint16_t port;
	int fd = listen_inet(&port);

	activate(&fd, 1);
	use_unix();
	set = listener_set_open(&settings, activated, &err);
	listener_inherit_close(&activated, set);
	cr_assert_null(activated);
	cr_assert_not(is_open(FIRST));
	cr_assert_eq(set->count, 1);
}

Test(listener_inherit, only_listening_stream_sockets)
{
	uint16_t port;
	int fds[4] = { open_inet(SOCK_DGRAM, &port),
		       open_inet(SOCK_STREAM, &port),
		       open("/dev/null", O_RDONLY), listen_inet(&port) };

	activate(fds, 4);
	cr_assert_eq(activated->count, 1);
	cr_assert_eq(activated->items[0]->fd, FIRST + 3);
	cr_assert_not(is_open(FIRST) || is_open(FIRST + 1) ||
		      is_open(FIRST + 2));
}

Test(listener_inherit, for_another_process)
{
	static const char *const bad[] = { "1", "", "x", "-1" };
	char pid[32];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("LISTEN_FDS", "1", 1);
		setenv("LISTEN_PID", bad[i], 1);
		cr_assert_null(listener_inherit_activated(FIRST));
		cr_assert_null(getenv("LISTEN_FDS"));
	}
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	for (i = 1; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("LISTEN_FDS", bad[i], 1);
		setenv("LISTEN_PID", pid, 1);
		cr_assert_null(listener_inherit_activated(FIRST));
	}
	cr_assert_null(listener_inherit_activated(FIRST));
}

Test(listener_inherit, a_set_survives_in_a_state)
{
	static struct handover_state state;
	struct listener_set *again;
	struct stat st;
	uint16_t port;

	close(listen_inet(&port));
	use_inet(port);
	inet.ssl = true;
	use_unix();
	set = listener_set_open(&settings, NULL, &err);
	cr_assert_not_null(set, "%s", err.text);
	listener_inherit_save(&state, set);
	again = listener_inherit_state(&state, &err);
	cr_assert_not_null(again, "%s", err.text);
	cr_assert_eq(again->count, 2);
	cr_assert_eq(again->items[0]->flags, LISTENER_TLS);
	cr_assert_eq(addr_port(&again->items[0]->addr), port);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(again->items[1]->ino, st.st_ino);
	cr_assert_eq(again->items[1]->dev, st.st_dev);
	/* It has the descriptors now, and the file. */
	mem_free(&set->items[0]);
	mem_free(&set->items[1]);
	mem_free(&set);
	set = listener_set_open(&settings, again, &err);
	cr_assert(listener_set_has(again, set->items[0]));
	cr_assert(listener_set_has(again, set->items[1]));
	listener_set_close(&again);
	listener_set_close(&set);
	cr_assert_neq(access(path, F_OK), 0);
}

Test(listener_inherit, a_state_with_something_else)
{
	static struct handover_state state = { .listener_count = 1 };

	state.listeners[0].fd = open("/dev/null", O_RDONLY);
	cr_assert_null(listener_inherit_state(&state, &err));
	cr_assert_not_null(strstr(err.text, "no listening socket"));
	close(state.listeners[0].fd);
}
