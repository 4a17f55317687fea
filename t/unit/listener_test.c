#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/listener.h"

static struct inet_listener_settings inet[4];
static struct unix_listener_settings un[4];
static struct settings settings;
static struct listener_set *set;
static struct err err;
static char dir[64], path[96], second[96];

static void setup(void)
{
	int i;

	strcpy(dir, "/tmp/listener_test.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/one", dir);
	snprintf(second, sizeof(second), "%s/two", dir);
	settings = (struct settings){
		.base_dir = dir,
		.listen = "127.0.0.1",
		.lmtp_enabled = true,
	};
	settings.service.inet_listeners = inet;
	settings.service.unix_listeners = un;
	for (i = 0; i < 4; i++) {
		inet[i] = (struct inet_listener_settings){
			.name = "lmtp",
			.address = "",
			.file = "x.conf",
			.line = 10 + (unsigned)i,
		};
		un[i] = (struct unix_listener_settings){
			.path = i == 0 ? "one" : second,
			.mode = 0600,
			.user = "",
			.group = "",
			.file = "x.conf",
			.line = 20 + (unsigned)i,
		};
	}
}

static void teardown(void)
{
	listener_set_close(&set);
	unlink(path);
	unlink(second);
	cr_assert_eq(rmdir(dir), 0, "something is left in %s", dir);
}

TestSuite(listener, .init = setup, .fini = teardown, .timeout = 20);

static struct listener_set *open_all(const struct listener_set *old)
{
	struct listener_set *opened = listener_set_open(&settings, old, &err);

	cr_assert_not_null(opened, "%s", err.text);
	return opened;
}

static void expect_failure(const char *text)
{
	set = listener_set_open(&settings, NULL, &err);
	cr_assert_null(set);
	cr_assert_not_null(strstr(err.text, text), "%s", err.text);
}

static int connect_to(const struct addr *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_STREAM, 0);
	int status = connect(fd, &addr->sa, addr->len);

	close(fd);
	return status;
}

static int connect_path(const char *name)
{
	struct addr addr;

	cr_assert_eq(addr_set_unix(&addr, name), 0);
	return connect_to(&addr);
}

/* A port that nobody has, with any IPv4 address. It stays bound, so that nobody else
 * gets it. */
static uint16_t free_port(void)
{
	struct addr addr;
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(addr_parse_ip(&addr, "0.0.0.0", 0), 0);
	cr_assert_eq(bind(fd, &addr.sa, addr.len), 0);
	cr_assert_eq(getsockname(fd, &addr.sa, &addr.len), 0);
	return addr_port(&addr);
}

struct parse_case {
	const char *text;
	const char *wanted; /* NULL: refused */
};

Test(listener, addresses_are_read_as_dovecot_reads_listen)
{
	static const struct parse_case cases[] = {
		{ "*", "0.0.0.0:24 " },
		{ "*, ::", "0.0.0.0:24 [::]:24 " },
		{ "[::]", "[::]:24 " },
		{ "192.0.2.1 192.0.2.2,2001:db8::1",
		  "192.0.2.1:24 192.0.2.2:24 [2001:db8::1]:24 " },
		{ " ,\t127.0.0.1 , ", "127.0.0.1:24 " },
		{ "", "" },
		{ "no.such.host.invalid", NULL },
		{ "127.0.0.1, 1.2.3.4.5", NULL },
		{ "1 2 3 4 5 6 7 8 9", NULL }, /* too many */
	};
	struct addr addrs[8];
	unsigned count, i;
	size_t n;

	for (n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct str text = STR_INIT;
		int status;

		count = 0;
		status = listener_addresses(cases[n].text, 24, addrs, 8,
					    &count, &err);
		for (i = 0; i < count; i++) {
			addr_write(&text, &addrs[i]);
			str_putc(&text, ' ');
		}
		cr_expect_eq(status, cases[n].wanted != NULL ? 0 : -1, "'%s'",
			     cases[n].text);
		if (status == 0)
			cr_expect_str_eq(str_c(&text), cases[n].wanted,
					 "'%s'", cases[n].text);
		str_free(&text);
	}
}

Test(listener, inet_listeners_accept_on_all_their_addresses)
{
	unsigned i;

	settings.service.inet_listener_count = 2;
	settings.listen = "127.0.0.1 127.0.0.2";
	inet[0].port = free_port();
	inet[1].port = inet[0].port;
	inet[1].address = "127.0.0.3";
	set = open_all(NULL);
	cr_assert_eq(set->count, 3);
	for (i = 0; i < set->count; i++) {
		cr_assert_eq(connect_to(&set->items[i]->addr), 0);
		cr_assert_eq(fcntl(set->items[i]->fd, F_GETFD), FD_CLOEXEC);
		cr_assert_neq(fcntl(set->items[i]->fd, F_GETFL) & O_NONBLOCK,
			      0);
	}
}

Test(listener, all_of_ipv4_and_all_of_ipv6_stand_side_by_side)
{
	settings.service.inet_listener_count = 1;
	settings.listen = "*, ::";
	inet[0].port = free_port();
	set = open_all(NULL);
	cr_assert_geq(set->count, 1); /* 2 where there is IPv6 */
	cr_assert_eq(connect_to(&set->items[0]->addr), 0);
	if (set->count == 2)
		cr_assert_eq(connect_to(&set->items[1]->addr), 0);
}

Test(listener, an_address_named_twice_is_opened_once)
{
	settings.service.inet_listener_count = 2;
	inet[0].port = inet[1].port = free_port();
	set = open_all(NULL);
	cr_assert_eq(set->count, 1);
}

Test(listener, port_0_and_mode_0_are_off)
{
	settings.service.inet_listener_count = 1;
	settings.service.unix_listener_count = 1;
	un[0].mode = 0;
	set = open_all(NULL);
	cr_assert_eq(set->count, 0);
}

Test(listener, without_lmtp_among_the_protocols_nothing_opens)
{
	settings.lmtp_enabled = false;
	settings.service.unix_listener_count = 1;
	set = open_all(NULL);
	cr_assert_eq(set->count, 0);
	cr_assert_eq(access(path, F_OK), -1);
}

Test(listener, an_address_in_use_is_an_error_that_says_where_it_stands)
{
	struct listener_set *other;
	char wanted[64];

	settings.service.inet_listener_count = 1;
	inet[0].port = free_port();
	other = open_all(NULL);
	snprintf(wanted, sizeof(wanted), "cannot listen on 127.0.0.1:%u",
		 inet[0].port);
	expect_failure(wanted);
	expect_failure("x.conf:10: inet_listener lmtp: ");
	listener_set_close(&other);
}

Test(listener, unix_listeners_have_their_mode_and_place)
{
	struct stat st;

	settings.service.unix_listener_count = 2;
	un[0].mode = 0660;
	un[1].mode = 0666;
	set = open_all(NULL);
	cr_assert_eq(set->count, 2);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0660);
	cr_assert_eq(stat(second, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0666);
	cr_assert_eq(connect_path(path), 0);
	listener_set_close(&set);
	cr_assert_eq(access(path, F_OK), -1, "the file is left behind");
}

Test(listener, user_and_group_are_checked)
{
	settings.service.unix_listener_count = 1;
	un[0].user = "no-such-user";
	expect_failure("x.conf:20: unix_listener one: there is no user "
		       "'no-such-user'");
	un[0].user = "";
	un[0].group = "no-such-group";
	expect_failure("there is no group 'no-such-group'");
	un[0].group = "";
	un[0].user = "12x";
	expect_failure("user '12x'");
	un[0].user = "4294967296"; /* not root */
	expect_failure("4294967296 is too large");
	cr_assert_eq(access(path, F_OK), -1);
}

Test(listener, a_socket_left_behind_is_replaced)
{
	struct addr addr;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	cr_assert_eq(addr_set_unix(&addr, path), 0);
	cr_assert_eq(bind(fd, &addr.sa, addr.len), 0);
	close(fd);
	cr_assert_neq(connect_path(path), 0);
	settings.service.unix_listener_count = 1;
	set = open_all(NULL);
	cr_assert_eq(connect_path(path), 0);
}

Test(listener, a_socket_in_use_stays)
{
	struct listener_set *other;

	settings.service.unix_listener_count = 1;
	other = open_all(NULL);
	expect_failure("in use by another process");
	cr_assert_eq(connect_path(path), 0);
	listener_set_close(&other);
}

Test(listener, a_file_in_the_way_stays)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	close(fd);
	settings.service.unix_listener_count = 1;
	expect_failure("not a socket");
	cr_assert_eq(access(path, F_OK), 0);
}

Test(listener, a_path_too_long_is_an_error)
{
	char name[200];

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	settings.service.unix_listener_count = 1;
	un[0].path = name;
	expect_failure("longer than a socket's path");
}

Test(listener, what_a_reload_keeps_is_not_opened_again)
{
	struct listener_set *next;
	struct listener *kept_inet, *kept_unix;

	settings.service.inet_listener_count = 1;
	settings.service.unix_listener_count = 2;
	inet[0].port = free_port();
	set = open_all(NULL);
	kept_inet = set->items[0];
	kept_unix = set->items[1];
	settings.service.unix_listener_count = 1;
	next = open_all(set);
	cr_assert_eq(next->count, 2);
	cr_assert_eq(next->items[0], kept_inet);
	cr_assert_eq(next->items[1], kept_unix);
	cr_assert(listener_set_has(next, kept_unix));
	cr_assert_not(listener_set_has(next, set->items[2]));
	listener_set_close(&set);
	cr_assert_eq(connect_path(path), 0);
	cr_assert_eq(connect_to(&kept_inet->addr), 0);
	cr_assert_eq(access(second, F_OK), -1);
	set = next;
}

/* Else the worker process would go on as before. */
Test(listener, other_flags_make_another_listener_on_the_same_socket)
{
	struct listener_set *next;
	struct stat before, after;

	settings.service.inet_listener_count = 2;
	inet[0].port = free_port();
	inet[1].port = free_port();
	set = open_all(NULL);
	cr_assert_eq(set->items[0]->flags, 0);
	inet[0].haproxy = true;
	next = open_all(set);
	cr_assert_eq(next->items[0]->flags, LISTENER_HAPROXY);
	cr_assert_eq(next->items[1], set->items[1]);
	cr_assert_not(listener_set_has(set, next->items[0]));
	cr_assert_neq(next->items[0]->fd, set->items[0]->fd);
	cr_assert_eq(fcntl(next->items[0]->fd, F_GETFD), FD_CLOEXEC);
	cr_assert_eq(fstat(set->items[0]->fd, &before), 0);
	cr_assert_eq(fstat(next->items[0]->fd, &after), 0);
	cr_assert_eq(before.st_ino, after.st_ino);
	listener_set_close(&set);
	cr_assert_eq(connect_to(&next->items[0]->addr), 0);
	set = next;
	inet[0].haproxy = false;
	inet[0].ssl = inet[1].ssl = inet[1].haproxy = true;
	next = open_all(set);
	cr_assert_eq(next->items[0]->flags, LISTENER_TLS);
	cr_assert_eq(next->items[1]->flags,
		     LISTENER_TLS | LISTENER_HAPROXY);
	/* When it comes to nothing, the old ones are as they were. */
	listener_set_close(&next);
	cr_assert_eq(connect_to(&set->items[0]->addr), 0);
	cr_assert_eq(connect_to(&set->items[1]->addr), 0);
}

static void become_control(bool control)
{
	settings.service.unix_listener_count = control ? 0 : 1;
	settings.ctl.unix_listeners = un;
	settings.ctl.unix_listener_count = control ? 1 : 0;
	un[0].control = control;
}

/* Else who may speak LMTP there could give orders. */
Test(listener, a_path_of_another_service_is_another_listener)
{
	struct listener_set *next;
	int i;

	become_control(true);
	set = open_all(NULL);
	cr_assert_eq(set->items[0]->flags, LISTENER_CONTROL);
	for (i = 0; i < 3; i++) {
		become_control(i % 2 == 1);
		next = open_all(set);
		cr_assert_not(listener_set_has(set, next->items[0]));
		cr_assert_neq(next->items[0]->fd, set->items[0]->fd);
		cr_assert_eq(next->items[0]->flags,
			     i % 2 == 1 ? LISTENER_CONTROL : 0);
		listener_set_close(&set);
		set = next;
		cr_assert_eq(connect_path(path), 0);
	}
	/* When it comes to nothing, the old one is as it was. */
	become_control(true);
	next = open_all(set);
	listener_set_close(&next);
	cr_assert_eq(connect_path(path), 0);
	become_control(false);
	next = open_all(set);
	cr_assert(listener_set_has(set, next->items[0]));
	listener_set_close(&set);
	cr_assert_eq(connect_path(path), 0);
	listener_set_close(&next);
	cr_assert_eq(access(path, F_OK), -1);
}

Test(listener, a_removed_path_of_another_service_is_opened_anew)
{
	struct listener_set *next;

	become_control(true);
	set = open_all(NULL);
	become_control(false);
	next = open_all(set);
	listener_set_close(&set);
	set = next;
	cr_assert_eq(unlink(path), 0);
	next = open_all(set);
	listener_set_close(&set);
	set = next;
	cr_expect_eq(connect_path(path), 0,
		     "the new socket went with the old one");
}

Test(listener, a_reload_replaces_a_socket_that_was_removed)
{
	struct listener_set *next;

	settings.service.unix_listener_count = 1;
	set = open_all(NULL);
	cr_assert_eq(unlink(path), 0);
	next = open_all(set);
	cr_expect(!listener_set_has(set, next->items[0]));
	listener_set_close(&set);
	set = next;
	cr_expect_eq(connect_path(path), 0,
		     "the new socket went with the old one");
}

Test(listener, closing_leaves_what_others_put_there)
{
	FILE *other;

	settings.service.unix_listener_count = 1;
	set = open_all(NULL);
	cr_assert_eq(rename(path, second), 0);
	other = fopen(path, "w");
	fclose(other);
	listener_set_close(&set);
	cr_expect_eq(access(path, F_OK), 0);
	cr_expect_eq(access(second, F_OK), 0);
}

Test(listener, the_default_listener_stands_in_no_file)
{
	settings.service.unix_listener_count = 1;
	un[0].file = "";
	un[0].user = "nosuchuser";
	expect_failure("unix_listener one: there is no user 'nosuchuser'");
	cr_expect_eq(strchr(err.text, 'u'), err.text, "%s", err.text);
}

Test(listener, a_failed_reload_leaves_the_old_sockets)
{
	settings.service.unix_listener_count = 1;
	set = open_all(NULL);
	settings.service.unix_listener_count = 3;
	un[2].path = "/nonexistent/x";
	cr_assert_null(listener_set_open(&settings, set, &err));
	cr_assert_eq(access(second, F_OK), -1);
	cr_assert_eq(connect_path(path), 0);
}

/* The problems must be exactly these lines. */
static void expect_problems(const char *want)
{
	const char config[] = "listen = x\n";
	struct conf_errors errors = { .text = STR_INIT };
	struct conf_tree *tree;

	tree = conf_tree_parse("x.conf", config, strlen(config), NULL, &errors);
	listener_check(&settings, tree->root, &errors);
	cr_expect_str_eq(str_c(&errors.text), want);
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

Test(listener, a_check_finds_everything)
{
	static const char long_path[] =
		"/0123456789/0123456789/0123456789/0123456789/0123456789/"
		"0123456789/0123456789/0123456789/0123456789/0123456789";

	settings.service.inet_listener_count = 4;
	settings.service.unix_listener_count = 4;
	inet[0].port = inet[1].port = inet[2].port = inet[3].port = 24;
	settings.listen = "bad.listen.invalid";
	inet[1].address = "bad.one.invalid";
	inet[3].address = "127.0.0.1 bad.two.invalid";
	un[0].user = un[1].user = "no-such-user";
	un[1].group = "no-such-group";
	un[2].path = long_path;
	un[3].user = "no-such-user";
	un[3].mode = 0;
	un[1].path = "two";
	expect_problems(
		"x.conf:1: listen: 'bad.listen.invalid' is no address, and no "
		"name in /etc/hosts\n"
		"x.conf:11: inet_listener lmtp: 'bad.one.invalid' is no "
		"address, and no name in /etc/hosts\n"
		"x.conf:13: inet_listener lmtp: 'bad.two.invalid' is no "
		"address, and no name in /etc/hosts\n"
		"x.conf:20: unix_listener one: there is no user "
		"'no-such-user'\n"
		"x.conf:21: unix_listener two: there is no user "
		"'no-such-user'\n"
		"x.conf:21: unix_listener two: there is no group "
		"'no-such-group'\n"
		"x.conf:22: unix_listener /0123456789/0123456789/0123456789/"
		"0123456789/0123456789/0123456789/0123456789/0123456789/"
		"0123456789/0123456789: /0123456789/0123456789/0123456789/"
		"0123456789/0123456789/0123456789/0123456789/0123456789/"
		"0123456789/0123456789: longer than a socket's path may be\n");
	/* Nobody needs it. */
	settings.service.unix_listener_count = 0;
	settings.service.inet_listener_count = 1;
	inet[0].port = 0;
	expect_problems("");
}

Test(listener, a_check_finds_what_an_open_would_and_opens_nothing)
{
	settings.service.inet_listener_count = 1;
	settings.service.unix_listener_count = 1;
	inet[0].port = free_port();
	expect_problems("");
	cr_assert_eq(access(path, F_OK), -1);
	inet[0].address = "not.an.address.invalid";
	expect_problems("x.conf:10: inet_listener lmtp: "
			"'not.an.address.invalid' is no address, and no name "
			"in /etc/hosts\n");
	inet[0].port = 0;
	un[0].group = "no-such-group";
	expect_problems("x.conf:20: unix_listener one: there is no group "
			"'no-such-group'\n");
	settings.lmtp_enabled = false;
	expect_problems("");
}

Test(listener, one_address_has_one_kind_of_clients)
{
	char want[160];

	settings.service.inet_listener_count = 2;
	inet[0].port = inet[1].port = free_port();
	inet[1].ssl = true;
	snprintf(want, sizeof(want), "x.conf:11: inet_listener lmtp: "
		 "127.0.0.1:%u is there before, for another service or with "
		 "other values of ssl or haproxy", inet[0].port);
	cr_assert_null(listener_set_open(&settings, NULL, &err));
	cr_assert_str_eq(err.text, want);
	strcat(want, "\n");
	expect_problems(want);
	inet[0].ssl = true;
	expect_problems("");
}

Test(listener, one_path_is_for_one_service)
{
	char want[400];

	settings.service.unix_listener_count = 1;
	set = open_all(NULL);
	settings.ctl.unix_listeners = &un[1];
	settings.ctl.unix_listener_count = 1;
	un[1].path = path;
	un[1].control = true;
	cr_assert_null(listener_set_open(&settings, set, &err));
	cr_assert_not_null(strstr(err.text, "for another service"), "%s",
			   err.text);
	cr_assert_eq(connect_path(path), 0);
	snprintf(want, sizeof(want), "x.conf:21: unix_listener %s: %s is there "
		 "before, for another service or with other values of ssl or "
		 "haproxy\n", path, path);
	expect_problems(want);
	un[1].mode = 0;
	expect_problems("");
}

Test(listener, forgetting_leaves_the_files)
{
	int fd;

	settings.service.unix_listener_count = 1;
	set = open_all(NULL);
	fd = set->items[0]->fd;
	listener_set_forget(&set);
	cr_assert_eq(fcntl(fd, F_GETFD), -1);
	cr_assert_eq(access(path, F_OK), 0);
}

/* Of all services; those for LMTP only where it is served. */
Test(listener, each_service_has_its_own)
{
	settings.service.unix_listeners = un;
	settings.service.unix_listener_count = 1;
	un[1].control = true;
	un[1].path = "two";
	settings.ctl.unix_listeners = &un[1];
	settings.ctl.unix_listener_count = 1;
	inet[0].port = free_port();
	inet[0].control = inet[0].ssl = true;
	settings.http.inet_listeners = inet;
	settings.http.inet_listener_count = 1;
	expect_problems("");
	set = open_all(NULL);
	cr_assert_eq(set->count, 3);
	cr_assert_eq(set->items[0]->flags, 0);
	cr_assert_eq(set->items[1]->flags, LISTENER_CONTROL);
	cr_assert_eq(set->items[2]->flags, LISTENER_CONTROL | LISTENER_TLS);
	listener_set_close(&set);
	settings.socketmap = settings.ctl;
	settings.ctl.unix_listener_count = 0;
	un[1].socketmap = true;
	set = open_all(NULL);
	cr_assert_eq(set->items[2]->flags,
		     LISTENER_CONTROL | LISTENER_SOCKETMAP);
	listener_set_close(&set);
	settings.ctl = settings.socketmap;
	settings.socketmap.unix_listener_count = 0;
	un[1].socketmap = false;
	settings.lmtp_enabled = false;
	set = open_all(NULL);
	cr_assert_eq(set->count, 2);
	cr_assert_eq(set->items[0]->flags, LISTENER_CONTROL);
	listener_set_close(&set);
	settings.lmtp_enabled = true;
	settings.service.inet_listeners = &inet[1];
	settings.service.inet_listener_count = 1;
	inet[1].port = inet[0].port;
	inet[1].ssl = true;
	expect_failure("for another service");
	un[1].user = "no-such-user";
	settings.service.inet_listener_count = 0;
	expect_problems("x.conf:21: unix_listener two: there is no user "
			"'no-such-user'\n");
}
