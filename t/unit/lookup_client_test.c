/* What waypost -l -x says of a client. */
#include <criterion/criterion.h>

#include "proxy/lookup/client.h"

static struct arena *arena;
static struct lookup_client client;
static struct err err;

static void start(void)
{
	arena = arena_new(1024);
}

static void end(void)
{
	arena_free(&arena);
}

TestSuite(lookup_client, .init = start, .fini = end);

static int parse(const char *a, const char *b)
{
	const char *const texts[] = { a, b };

	return lookup_client_parse(&client, arena, texts,
				   (a != NULL) + (b != NULL), &err);
}

static void assert_refused(const char *text, const char *why)
{
	cr_assert_lt(parse(text, NULL), 0, "%s", text);
	cr_expect(strstr(err.text, why) != NULL, "%s: %s", text, err.text);
}

/* Listeners on these addresses; port 0: none. */
static void complete(const char *address, unsigned port)
{
	const struct inet_listener_settings listeners[] = {
		{ .address = "192.0.2.99", .port = 0 },
		{ .address = address, .port = port },
		{ .address = "192.0.2.98", .port = port != 0 ? 26 : 0 },
	};
	const struct settings settings = {
		.listen = "*, ::",
		.service = { .inet_listeners = listeners,
			     .inet_listener_count = 3 },
	};

	lookup_client_complete(&client, &settings);
}

static void assert_addr(const struct addr *addr, const char *text)
{
	struct str out = STR_INIT;

	addr_write(&out, addr);
	cr_expect_str_eq(str_c(&out), text);
	str_free(&out);
}

Test(lookup_client, what_is_refused)
{
	assert_refused("frob=1", "-x frob=1: no such key; there are lip ");
	assert_refused("=1", "no such key");
	assert_refused("lip", "not key=value");
	assert_refused("lip=", "not an IP address");
	assert_refused("lip=example.org", "not an IP address");
	assert_refused("real_rip=1", "not an IP address");
	assert_refused("lport=", "not a port");
	assert_refused("rport=65536", "not a port");
	assert_refused("real_lport=1x", "not a port");
	assert_refused("real_rport=-1", "not a port");
	assert_refused("lipx=192.0.2.1", "no such key");
	assert_refused("real_service=lmtp", "no such key");
	assert_refused("service=imap", "for lmtp only");
	assert_refused("forward_=1", "forward_*");
	assert_refused("secured=", "-x secured=: neither yes nor no");
	assert_refused("cert=valid", "neither yes nor no");
}

Test(lookup_client, keys_that_are_named_are_known)
{
	const char *const *key;

	for (key = lookup_client_keys; *key != NULL; key++)
		cr_expect(parse(arena_concat(arena, *key, "=", ""), NULL) == 0 ||
			  strstr(err.text, "no such key") == NULL, "%s", *key);
}

Test(lookup_client, forward_fields_as_a_proxy_sends_them)
{
	static char big[4000];

	cr_assert_eq(parse("forward_a=b=c\t", "forward_b="), 0, "%s", err.text);
	cr_assert_eq(client.given.count, 2);
	cr_expect_str_eq(passdb_fields_get(&client.given, "forward_a"),
			 "b=c\t");
	cr_expect_str_eq(passdb_fields_get(&client.given, "forward_b"), "");
	memset(big, 'x', sizeof(big) - 1);
	memcpy(big, "forward_a=", 10);
	cr_expect_lt(parse(big, NULL), 0);
}

Test(lookup_client, texts)
{
	cr_assert_eq(parse("session=abc", "local_name=mx.example.org"), 0);
	cr_expect_str_eq(client.client.session, "abc");
	cr_expect_str_eq(client.client.local_name, "mx.example.org");
	cr_assert_eq(parse("service=lmtp", NULL), 0);
	cr_expect_eq(strlen(client.client.session), SESSION_ID_SIZE - 1);
	cr_expect_null(client.client.local_name);
}

Test(lookup_client, tls)
{
	cr_assert_eq(parse("secured=no", "cert=yes"), 0);
	complete("*", 24);
	cr_expect_not(client.client.secured);
	cr_expect(client.client.cert_valid);
	cr_assert_eq(parse("rip=192.0.2.1", "cert=no"), 0);
	complete("*", 24);
	cr_expect_not(client.client.secured);
	cr_expect_not(client.client.cert_valid);
	cr_assert_eq(parse("rip=192.0.2.1", "secured=yes"), 0);
	complete("*", 24);
	cr_expect(client.client.secured);
}

Test(lookup_client, what_stays_on_this_host_is_secured)
{
	cr_assert_eq(parse(NULL, NULL), 0);
	complete("*", 24);
	cr_expect(client.client.secured);
	complete("*", 0); /* a UNIX socket */
	cr_expect(client.client.secured);
	cr_assert_eq(parse("rip=192.0.2.1", "real_rip=127.0.0.1"), 0);
	complete("*", 24);
	cr_expect(client.client.secured);
}

Test(lookup_client, nothing_given)
{
	static const char *const cases[][3] = {
		{ "192.0.2.1 192.0.2.2", "192.0.2.1:24", "127.0.0.1:0" },
		{ "", "127.0.0.1:24", "127.0.0.1:0" },
		{ "*", "127.0.0.1:24", "127.0.0.1:0" },
		{ "::", "[::1]:24", "[::1]:0" },
		{ "[::]", "[::1]:24", "[::1]:0" },
		{ " [2001:db8::1]", "[2001:db8::1]:24", "[::1]:0" },
		{ "mx.example.org", "127.0.0.1:24", "127.0.0.1:0" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cr_assert_eq(parse(NULL, NULL), 0);
		complete(cases[i][0], 24);
		assert_addr(&client.client.local, cases[i][1]);
		assert_addr(&client.client.remote, cases[i][2]);
		assert_addr(&client.client.real_local, cases[i][1]);
		assert_addr(&client.client.real_remote, cases[i][2]);
	}
}

Test(lookup_client, only_unix_sockets)
{
	cr_assert_eq(parse(NULL, NULL), 0);
	complete("192.0.2.1", 0);
	assert_addr(&client.client.local, "local");
	assert_addr(&client.client.remote, "local");
	assert_addr(&client.client.real_local, "local");
	cr_assert_eq(parse("lport=25", NULL), 0);
	complete("192.0.2.1", 0);
	assert_addr(&client.client.local, "127.0.0.1:25");
	assert_addr(&client.client.remote, "127.0.0.1:0");
}

Test(lookup_client, what_is_given_counts)
{
	cr_assert_eq(parse("lip=192.0.2.5", "rip=192.0.2.6"), 0);
	complete("*", 24);
	assert_addr(&client.client.local, "192.0.2.5:24");
	assert_addr(&client.client.remote, "192.0.2.6:0");
	assert_addr(&client.client.real_local, "192.0.2.5:24");
	assert_addr(&client.client.real_remote, "192.0.2.6:0");
	cr_assert_eq(parse("lport=1", "rport=2"), 0);
	complete("*", 24);
	assert_addr(&client.client.local, "127.0.0.1:1");
	assert_addr(&client.client.remote, "127.0.0.1:2");
	cr_assert_eq(parse("real_lip=192.0.2.7", "real_rport=8"), 0);
	complete("*", 24);
	assert_addr(&client.client.local, "127.0.0.1:24");
	assert_addr(&client.client.real_local, "192.0.2.7:24");
	assert_addr(&client.client.real_remote, "127.0.0.1:8");
	cr_assert_eq(parse("real_rip=192.0.2.7", "real_lport=8"), 0);
	complete("*", 24);
	assert_addr(&client.client.real_local, "127.0.0.1:8");
	assert_addr(&client.client.real_remote, "192.0.2.7:0");
}
