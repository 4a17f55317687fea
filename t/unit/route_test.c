#include <criterion/criterion.h>

#include "lib/mem.h"
#include "proxy/route.h"

static struct arena *arena;
static struct passdb_fields fields;
static struct smtp_address rcpt;
static struct addr local, real_local;
static struct route route;
static struct err err;
static const char *username;
static struct routes_before *before;
static const struct director *director;

static void setup(void)
{
	arena = arena_new(1024);
	fields = (struct passdb_fields){ 0 };
	rcpt = (struct smtp_address){ "joe+box", "example.org",
				      "joe+box@example.org", false };
	addr_parse_ip(&local, "192.0.2.1", 2424);
	addr_parse_ip(&real_local, "192.0.2.2", 24);
	username = "joe@example.org";
	director = NULL;
	before = NULL;
	err.text[0] = '\0';
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(route, .init = setup, .fini = teardown);

static void set(const char *key, const char *value)
{
	passdb_fields_put(&fields, arena, key, value, false);
}

static int find(void)
{
	struct route_input input = {
		.fields = &fields,
		.user = "joe@example.org",
		.username = username,
		.rcpt = &rcpt,
		.user_len = 3,
		.local = &local,
		.real_local = &real_local,
		.director = director,
		.before = before,
	};

	return route_find(arena, &input, &route, &err);
}

static void assert_bad(const char *text)
{
	cr_assert_eq(find(), -1);
	cr_assert_not_null(strstr(err.text, text), "%s", err.text);
}

Test(route, without_proxy_is_local)
{
	set("host", "backend");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_LOCAL);
}

Test(route, host_name_and_default_port_is_the_clients)
{
	set("proxy", "");
	set("host", "backend");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_REMOTE);
	cr_assert_eq(route.target.port, 2424);
	cr_assert_eq(route.target.addr.len, 0);
	cr_assert_eq(route.target.protocol, REMOTE_LMTP);
	cr_assert_not(route.address_changed);
	cr_assert_str_eq(route.address, "joe+box@example.org");
}

Test(route, default_port_over_a_unix_socket_is_24)
{
	addr_set_unix(&local, "/run/lmtp");
	set("proxy", "");
	set("host", "10.0.0.1");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.target.port, 24);
}

Test(route, protocol_sets_the_port_and_an_explicit_port_wins)
{
	set("proxy", "");
	set("host", "10.0.0.1");
	set("protocol", "smtp");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.target.port, 25);
	cr_assert_eq(route.target.protocol, REMOTE_SMTP);
	set("protocol", "lmtp");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.target.port, 24);
	set("port", "1024");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.target.port, 1024);
}

Test(route, hostip_is_where_to_connect)
{
	struct str text = STR_INIT;

	set("proxy", "");
	set("host", "backend");
	set("hostip", "2001:db8::7");
	set("source_ip", "2001:db8::1");
	cr_assert_eq(find(), 0);
	cr_assert_str_eq(route.target.host, "backend");
	addr_write(&text, &route.target.addr);
	cr_assert_str_eq(str_c(&text), "[2001:db8::7]:2424");
	cr_assert_neq(route.target.source.len, 0);
	str_free(&text);
}

Test(route, destuser_changes_the_address_and_keeps_the_detail)
{
	set("proxy", "");
	set("host", "10.0.0.1");
	set("destuser", "box17@internal");
	cr_assert_eq(find(), 0);
	cr_assert(route.address_changed);
	cr_assert_str_eq(route.address, "box17+box@internal");
}

Test(route, username_of_the_passdb_changes_the_address)
{
	set("proxy", "");
	set("host", "10.0.0.1");
	username = "j.oe@example.org";
	cr_assert_eq(find(), 0);
	cr_assert_str_eq(route.address, "j.oe+box@example.org");
}

Test(route, quoted_local_part_is_quoted_again)
{
	set("proxy", "");
	set("host", "10.0.0.1");
	set("destuser", "\"a b\"@internal");
	cr_assert_eq(find(), 0);
	cr_assert_str_eq(route.address, "\"a b+box\"@internal");
}

static void assert_utf8(const char *destuser, bool utf8)
{
	set("destuser", destuser);
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.utf8, utf8, "%s", destuser);
}

Test(route, smtputf8_is_needed_for_the_new_address_and_for_the_detail)
{
	set("proxy", "");
	set("host", "10.0.0.1");
	assert_utf8("box17@internal", false);
	assert_utf8("b\xc3\xb6x@internal", true);
	rcpt.localpart = "joe+b\xc3\xb6x";
	rcpt.raw = "joe+b\xc3\xb6x@example.org";
	rcpt.utf8 = true;
	assert_utf8("box17@internal", true);
	assert_utf8("joe@example.org", true);
	cr_assert_not(route.address_changed);
}

Test(route, proxy_timeout_is_in_seconds)
{
	set("proxy", "");
	set("host", "10.0.0.1");
	set("proxy_timeout", "7");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.timeout_ms, 7000);
}

Test(route, malformed_fields_are_named)
{
	set("proxy", "");
	assert_bad("host is not given");
	set("host", "");
	assert_bad("host=");
	set("host", "mail1.example.org:24");
	assert_bad("host=mail1.example.org:24: not a host name");
	set("host", "mail1.example.org,");
	assert_bad("host=mail1.example.org,: not a host name");
	set("host", "010.0.0.1");
	assert_bad("host=010.0.0.1: not a host name");
	set("host", "10.1");
	assert_bad("host=10.1: not a host name");
	set("host", "10.0.0.1");
	set("port", "0");
	assert_bad("port=0");
	set("port", "65536");
	assert_bad("port=65536");
	set("port", "18446744073709551640"); /* 2^64 + 24 */
	assert_bad("port=18446744073709551640");
	set("port", "24x");
	assert_bad("port=24x");
	set("port", "24");
	set("protocol", "imap");
	assert_bad("protocol=imap");
	set("protocol", "lmtp");
	set("hostip", "backend");
	assert_bad("hostip=backend");
	set("hostip", "10.0.0.2");
	set("source_ip", "10.0.0");
	assert_bad("source_ip=10.0.0");
	set("source_ip", "10.0.0.3");
	set("proxy_timeout", "soon");
	assert_bad("proxy_timeout=soon");
	set("proxy_timeout", "10");
	set("destuser", "a@b@");
	assert_bad("destuser=a@b@: ");
	set("destuser", "a@b");
	cr_assert_eq(find(), 0);
}

Test(route, tls)
{
	static const struct {
		const char *ssl, *starttls; /* NULL: not given */
		enum remote_tls tls;
		bool any_cert;
	} rows[] = {
		{ NULL, NULL, REMOTE_TLS_NONE, false },
		{ "yes", NULL, REMOTE_TLS_IMMEDIATE, false },
		{ "any-cert", NULL, REMOTE_TLS_IMMEDIATE, true },
		{ "", NULL, REMOTE_TLS_IMMEDIATE, false },
		{ "no", NULL, REMOTE_TLS_IMMEDIATE, false },
		{ NULL, "yes", REMOTE_TLS_STARTTLS, false },
		{ NULL, "any-cert", REMOTE_TLS_STARTTLS, true },
		{ "yes", "yes", REMOTE_TLS_STARTTLS, false },
		{ "any-cert", "yes", REMOTE_TLS_STARTTLS, true },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fields.count = 0;
		set("proxy", "");
		set("host", "10.0.0.1");
		if (rows[i].ssl != NULL)
			set("ssl", rows[i].ssl);
		if (rows[i].starttls != NULL)
			set("starttls", rows[i].starttls);
		cr_assert_eq(find(), 0);
		cr_expect_eq(route.target.tls, rows[i].tls, "row %zu", i);
		cr_expect_eq(route.target.any_cert, rows[i].any_cert,
			     "row %zu", i);
		cr_expect_eq(route.target.port, 2424, "row %zu", i);
	}
}

Test(route, refusals_by_the_passdb)
{
	set("proxy", "");
	set("host", "10.0.0.1");
	set("nologin", "");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_REFUSE);
	cr_assert_eq(route.cause, REPLY_LOGIN_DISABLED);
	cr_assert_null(route.reason);
	set("reason", "moving house");
	set("tempfail", "");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.cause, REPLY_TEMPFAIL);
	cr_assert_str_eq(route.reason, "moving house");
}

Test(route, proxy_maybe)
{
	set("proxy_maybe", "");
	set("host", "192.0.2.1");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_LOCAL);
	set("port", "24");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_REMOTE);
	cr_assert_not(route.maybe_self);
	set("host", "192.0.2.2");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_LOCAL);
	set("host", "backend");
	cr_assert_eq(find(), 0);
	cr_assert(route.maybe_self);
}

Test(route, proxy_says_no_more_than_proxy_maybe)
{
	set("proxy", "");
	set("proxy_maybe", "");
	set("host", "192.0.2.1");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_LOCAL);
	set("host", "192.0.2.99");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_REMOTE);
	set("host", "backend");
	cr_assert_eq(find(), 0);
	cr_assert(route.maybe_self);
}

static void have_director(const char *servers)
{
	static struct director_settings settings;
	const struct director_backend_settings *bad;

	settings = (struct director_settings){
		.mail_servers = servers, .username_hash = "%Lu",
	};
	director = director_new(arena, &settings, &bad, &err);
	cr_assert_not_null(director, "%s", err.text);
}

static void have_backend(const struct director_backend_settings *backend)
{
	static struct director_settings settings;
	const struct director_backend_settings *bad;

	settings = (struct director_settings){
		.mail_servers = "", .username_hash = "%Lu",
		.backends = backend, .backend_count = 1,
	};
	director = director_new(arena, &settings, &bad, &err);
	cr_assert_not_null(director, "%s", err.text);
}

static const char *target_addr(void)
{
	struct str text = STR_INIT;
	const char *copy;

	addr_write(&text, &route.target.addr);
	copy = arena_strdup(arena, str_c(&text));
	str_free(&text);
	return copy;
}

Test(route, director_is_asked_when_there_is_no_host)
{
	have_director("10.0.0.1 10.0.0.2@x");
	set("proxy", "");
	set("port", "1024");
	set("hostip", "10.0.0.7"); /* of no host */
	set("source_ip", "10.0.0.8");
	cr_assert_eq(find(), 0);
	cr_assert_str_eq(route.target.host, "10.0.0.1");
	cr_assert_str_eq(target_addr(), "10.0.0.1:1024");
	cr_assert_neq(route.target.source.len, 0);
	cr_assert_str_eq(route.choice.text, "joe@example.org");
	set("director_tag", "x");
	cr_assert_eq(find(), 0);
	cr_assert_str_eq(target_addr(), "10.0.0.2:1024");
	set("director_tag", "y");
	assert_bad("director_tag=y: ");
	set("host", "backend");
	cr_assert_eq(find(), 0);
	cr_assert_str_eq(route.target.host, "backend");
	cr_assert_null(route.choice.server);
}

Test(route, director_may_choose_this_very_server)
{
	have_director("192.0.2.1"); /* where the client came to */
	set("proxy", "");
	set("director_proxy_maybe", "");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_LOCAL);
	cr_assert_not_null(route.choice.server);
	set("port", "24");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_REMOTE);
}

Test(route, director_proxy_maybe_is_of_the_director)
{
	set("proxy", "");
	set("director_proxy_maybe", "");
	set("host", "192.0.2.1");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_REMOTE);
}

Test(route, backends_say_how_they_are_spoken_to)
{
	const struct director_backend_settings smtp = {
		.servers = "10.0.0.1", .weight = 100, .tag = "",
		.port = 2525, .protocol = DIRECTOR_SMTP,
		.starttls = DIRECTOR_TLS_ANY_CERT,
	};

	have_backend(&smtp);
	set("proxy", "");
	cr_assert_eq(find(), 0);
	cr_expect_str_eq(target_addr(), "10.0.0.1:2525");
	cr_expect_eq(route.target.port, 2525);
	cr_expect_eq(route.target.protocol, REMOTE_SMTP);
	cr_expect_eq(route.target.tls, REMOTE_TLS_STARTTLS);
	cr_expect(route.target.any_cert);
	/* The passdb's word counts more, each for itself. */
	set("port", "24");
	cr_assert_eq(find(), 0);
	cr_expect_str_eq(target_addr(), "10.0.0.1:24");
	cr_expect_eq(route.target.protocol, REMOTE_SMTP);
	set("protocol", "lmtp");
	set("ssl", "yes");
	cr_assert_eq(find(), 0);
	cr_expect_eq(route.target.protocol, REMOTE_LMTP);
	cr_expect_eq(route.target.tls, REMOTE_TLS_IMMEDIATE);
	cr_expect(!route.target.any_cert);
}

Test(route, a_backends_port_is_its_protocols)
{
	const struct director_backend_settings smtp = {
		.servers = "10.0.0.1", .weight = 100, .tag = "",
		.protocol = DIRECTOR_SMTP,
	};

	have_backend(&smtp);
	set("proxy", "");
	cr_assert_eq(find(), 0);
	cr_expect_str_eq(target_addr(), "10.0.0.1:25");
	cr_expect_eq(route.target.tls, REMOTE_TLS_NONE);
	set("protocol", "lmtp");
	cr_assert_eq(find(), 0);
	cr_expect_str_eq(target_addr(), "10.0.0.1:24");
}

Test(route, director_hashes_whom_the_backend_sees)
{
	have_director("10.0.0.1");
	set("proxy", "");
	username = "J.oe@example.org";
	cr_assert_eq(find(), 0);
	cr_assert_str_eq(route.choice.text, "j.oe@example.org");
	set("destuser", "box17@internal");
	cr_assert_eq(find(), 0);
	cr_assert_str_eq(route.choice.text, "box17@internal");
}

Test(route, director_names_the_host_by_its_name)
{
	have_director("localhost");
	set("proxy", "");
	cr_assert_eq(find(), 0);
	cr_assert_str_eq(route.target.host, "localhost");
	cr_assert_neq(route.target.addr.len, 0);
}

Test(route, director_may_choose_ourself)
{
	have_director("192.0.2.1");
	set("proxy_maybe", "");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_LOCAL);
	set("port", "24");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_REMOTE);
}

Test(route, director_is_not_asked_without_proxy)
{
	have_director("10.0.0.1");
	cr_assert_eq(find(), 0);
	cr_assert_eq(route.kind, ROUTE_LOCAL);
	cr_assert_null(route.choice.server);
}

/* Finds a route, and another one with the same fields for a user whom the passdb
 * calls so. Returns whether the first one could be gone by. */
static bool find_again(const char *name)
{
	struct passdb_fields own = passdb_fields_copy(&fields, arena);
	struct route first;
	struct routes_before known = { { { &own, &first } }, 1 };

	cr_assert_eq(find(), 0);
	first = route;
	before = &known;
	username = name;
	cr_assert_eq(find(), 0);
	before = NULL;
	return first.common;
}

Test(route, before_with_the_same_fields)
{
	set("proxy", "");
	set("host", "10.0.0.1");
	set("port", "2500");
	set("proxy_timeout", "7");
	cr_assert(find_again("jane@example.org"));
	cr_assert_eq(route.kind, ROUTE_REMOTE);
	cr_assert_str_eq(route.target.host, "10.0.0.1");
	cr_assert_eq(addr_port(&route.target.addr), 2500);
	cr_assert_eq(route.timeout_ms, 7000);
	cr_assert_str_eq(route.address, "jane+box@example.org");
	cr_assert(route.address_changed);
	cr_assert(find_again("joe@example.org"));
	cr_assert_str_eq(route.address, rcpt.raw);
	cr_assert_not(route.address_changed);
}

Test(route, before_with_other_fields)
{
	struct passdb_fields other = { 0 };
	struct route first = { .common = true };
	struct routes_before known = { { { &other, &first } }, 1 };

	passdb_fields_put(&other, arena, "proxy", "", false);
	passdb_fields_put(&other, arena, "host", "10.0.0.2", false);
	set("proxy", "");
	set("host", "10.0.0.1");
	before = &known;
	cr_assert_eq(find(), 0);
	before = NULL;
	cr_assert_str_eq(route.target.host, "10.0.0.1");
	cr_assert_eq(known.count, 2);
	cr_assert_eq(known.list[1].fields, &fields);
	cr_assert_eq(known.list[1].route, &route);
}

/* Takes turns with others, more than are remembered. */
Test(route, before_of_many)
{
	enum { HOSTS = ROUTES_BEFORE + 3, ROUNDS = 4 };
	static struct passdb_fields own[HOSTS * ROUNDS];
	static struct route routes[HOSTS * ROUNDS];
	struct routes_before known = { .count = 0 };
	struct route_input input = {
		.user = "joe@example.org", .username = "joe@example.org",
		.rcpt = &rcpt, .user_len = 3, .local = &local,
		.before = &known,
	};
	unsigned i;

	for (i = 0; i < HOSTS * ROUNDS; i++) {
		/* The same host several times, and those behind it in turn. */
		unsigned host = i / 2 % HOSTS;

		set("proxy", "");
		set("host", arena_printf(arena, "10.0.0.%u", host + 1));
		own[i] = passdb_fields_copy(&fields, arena);
		input.fields = &own[i];
		cr_assert_eq(route_find(arena, &input, &routes[i], &err), 0);
		cr_assert_str_eq(routes[i].target.host,
				 arena_printf(arena, "10.0.0.%u", host + 1));
	}
	/* Each second one was known. */
	cr_assert_eq(known.count, HOSTS * ROUNDS / 2);
}

Test(route, before_of_no_one_else)
{
	set("proxy", "");
	set("host", "10.0.0.1");
	set("destuser", "joe@example.org");
	cr_assert_not(find_again("jane@example.org"));
	cr_assert_str_eq(route.address, rcpt.raw);
	fields = (struct passdb_fields){ 0 };
	cr_assert_not(find_again("jane@example.org")); /* not proxied */
	have_director("10.0.0.1");
	set("proxy", "");
	cr_assert_not(find_again("jane@example.org"));
	cr_assert_str_eq(route.choice.text, "jane@example.org");
}
