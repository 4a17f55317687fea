#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/sd_notify.h"

static struct err err;
static char dir[64], path[96];
static int fd = -1;

static void setup(void)
{
	strcpy(dir, "/tmp/sd_notify_test.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/notify", dir);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void teardown(void)
{
	if (fd >= 0)
		close(fd);
	unlink(path);
	rmdir(dir);
}

TestSuite(sd_notify, .init = setup, .fini = teardown, .timeout = 20);

/* name: as in NOTIFY_SOCKET. */
static void listen_at(const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				    strlen(name));

	memcpy(un.sun_path, name, strlen(name));
	if (name[0] == '@')
		un.sun_path[0] = '\0';
	else
		len++;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&un, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static void expect_delivery(void)
{
	char buf[64];
	ssize_t got;

	cr_assert_eq(sd_notify_send("READY=1\nSTATUS=Fine", &err), 0, "%s",
		     err.text);
	got = recv(fd, buf, sizeof(buf), 0);
	cr_assert_eq(got, 19);
	cr_assert_eq(memcmp(buf, "READY=1\nSTATUS=Fine", 19), 0);
}

Test(sd_notify, sends_to_a_path)
{
	listen_at(path);
	expect_delivery();
}

Test(sd_notify, sends_to_an_abstract_name)
{
	char name[64];

	snprintf(name, sizeof(name), "@waypost-test-%ld", (long)getpid());
	listen_at(name);
	expect_delivery();
}

Test(sd_notify, nobody_wants_to_know)
{
	cr_assert_eq(sd_notify_send("READY=1", &err), 0);
}

Test(sd_notify, says_what_is_wrong)
{
	static const char *const bad[] = { "", "/", "@", "vsock:2:1", "x" };
	char longer[200];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("NOTIFY_SOCKET", bad[i], 1);
		cr_expect_eq(sd_notify_send("READY=1", &err), -1, "%s", bad[i]);
	}
	memset(longer, '/', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longer, 1);
	cr_expect_eq(sd_notify_send("READY=1", &err), -1);
	setenv("NOTIFY_SOCKET", path, 1);
	cr_expect_eq(sd_notify_send("READY=1", &err), -1);
	cr_expect_str_eq(err.text, "NOTIFY_SOCKET: No such file or directory");
}

Test(sd_notify, watchdog_is_for_the_process_that_is_named)
{
	char pid[32];

	cr_expect_eq(sd_notify_watchdog_us(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	cr_expect_eq(sd_notify_watchdog_us(), 30000000);
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	cr_expect_eq(sd_notify_watchdog_us(), 30000000);
	setenv("WATCHDOG_PID", "1", 1);
	cr_expect_eq(sd_notify_watchdog_us(), 0);
	setenv("WATCHDOG_PID", "x", 1);
	cr_expect_eq(sd_notify_watchdog_us(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "-1", 1);
	cr_expect_eq(sd_notify_watchdog_us(), 0);
	setenv("WATCHDOG_USEC", "30s", 1);
	cr_expect_eq(sd_notify_watchdog_us(), 0);
}
