#include <criterion/criterion.h>

#include "proxy/addressee.h"

static struct arena *arena;

static void start(void)
{
	arena = arena_new(1024);
}

static void end(void)
{
	arena_free(&arena);
}

TestSuite(addressee, .init = start, .fini = end);

static int parse(const char *path, struct smtp_address *address)
{
	size_t rest;
	struct err err;

	return addressee_parse(arena, path, strlen(path), 0, address, &rest,
			       &err);
}

static void assert_user(const char *path, const char *user, size_t user_len)
{
	struct smtp_address address;
	size_t len;

	cr_assert_eq(parse(path, &address), 0, "%s", path);
	cr_expect_str_eq(addressee_user(arena, &address, "+", &len), user);
	cr_expect_eq(len, user_len, "%s", path);
}

Test(addressee, user)
{
	assert_user("<Joe@Example.org>", "Joe@Example.org", 3);
	assert_user("<joe+news@example.org>", "joe@example.org", 3);
	assert_user("<joe>", "joe", 3);
	assert_user("<joe+news>", "joe", 3);
	assert_user("<\"joe\"@example.org>", "joe@example.org", 3);
	assert_user("<+joe@example.org>", "+joe@example.org", 4);
	assert_user("<joe..x@example.org>", "joe..x@example.org", 6);
}

Test(addressee, what_rcpt_refuses)
{
	struct smtp_address address;

	cr_assert_lt(parse("<>", &address), 0);
	cr_assert_lt(parse("joe@example.org", &address), 0);
	cr_assert_lt(parse("<joe@>", &address), 0);
}

/* Of a lookup for joe+x@example.org by a client on 192.0.2.1:24, where
 * 10.1.0.0/16 is ours, too. */
static int route(struct passdb_request *lookup, struct route *route_r,
		 struct smtp_rcpt_params *params)
{
	static struct passdb_client client;
	static struct networks self;
	const struct addressee_director nobody = { .director = NULL };
	struct smtp_address address;
	struct err err;

	cr_assert_eq(networks_parse(arena, "10.1.0.0/16", &self, &err), 0);
	client.self = &self;
	addr_parse_ip(&client.local, "192.0.2.1", 24);
	client.real_local = client.local;
	lookup->client = &client;
	cr_assert_eq(parse("<joe+x@example.org>", &address), 0);
	lookup->user = lookup->username = "joe@example.org";
	return addressee_route(arena, &nobody, lookup, &address, 3, route_r, params,
			       &err);
}

static void put(struct passdb_request *lookup, const char *key,
		const char *value)
{
	passdb_fields_put(&lookup->fields, arena, key, value, false);
}

Test(addressee, failures_are_refusals)
{
	static const struct {
		struct passdb_request lookup;
		enum reply_cause cause;
		const char *reason;
	} cases[] = {
		{ { .result = PASSDB_NOT_FOUND },
		  REPLY_USER_UNKNOWN, "joe@example.org" },
		{ { .result = PASSDB_FAIL }, REPLY_LOOKUP_FAILED, NULL },
		{ { .result = PASSDB_FAIL, .reason = "later" },
		  REPLY_LOOKUP_FAILED, "later" },
		{ { .result = PASSDB_FAIL, .timed_out = true },
		  REPLY_LOOKUP_TIMED_OUT, NULL },
		{ { .result = PASSDB_FAIL, .malformed = true },
		  REPLY_BAD_ROUTE, NULL },
	};
	struct smtp_rcpt_params params = { .orcpt_type = NULL };
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct passdb_request lookup = cases[i].lookup;
		struct route found;

		cr_expect_eq(route(&lookup, &found, &params), 0);
		cr_expect_eq(found.kind, ROUTE_REFUSE);
		cr_expect_eq(found.cause, cases[i].cause, "%zu", i);
		if (cases[i].reason == NULL)
			cr_expect_null(found.reason);
		else
			cr_expect_str_eq(found.reason, cases[i].reason);
	}
}

Test(addressee, found)
{
	struct passdb_request lookup = { .result = PASSDB_OK };
	struct smtp_rcpt_params params = { .orcpt_type = NULL };
	struct route found;

	put(&lookup, "proxy", "");
	put(&lookup, "host", "192.0.2.1");
	put(&lookup, "forward_a", "b");
	cr_expect_eq(route(&lookup, &found, &params), 0);
	cr_expect_eq(found.kind, ROUTE_REMOTE);
	cr_expect_str_eq(found.address, "joe+x@example.org");
	cr_expect_str_eq(params.xrcptforward, "a+3Db");
	cr_expect(addressee_goes_round(&found, lookup.client));
	put(&lookup, "port", "25");
	cr_expect_eq(route(&lookup, &found, &params), 0);
	cr_expect_not(addressee_goes_round(&found, lookup.client));
}

static void assert_refused(const char *key, const char *value)
{
	struct passdb_request lookup = { .result = PASSDB_OK };
	struct smtp_rcpt_params params = { .orcpt_type = NULL };
	struct route found;

	put(&lookup, "proxy", "");
	put(&lookup, "host", "h");
	put(&lookup, key, value);
	cr_expect_lt(route(&lookup, &found, &params), 0);
	cr_expect_eq(found.kind, ROUTE_REFUSE);
	cr_expect_eq(found.cause, REPLY_BAD_ROUTE);
	cr_expect_null(found.reason);
}

Test(addressee, malformed_fields_are_refusals)
{
	assert_refused("port", "x");
	assert_refused("forward_", "a field without a name");
}

Test(addressee, proxy_maybe_of_a_name)
{
	struct passdb_request lookup = { .result = PASSDB_OK };
	struct smtp_rcpt_params params = { .orcpt_type = NULL };
	struct addr addrs[2] = { { .len = 0 } };
	struct dns_answer answer = { addrs, 2, NULL };
	struct route found;

	put(&lookup, "proxy_maybe", "");
	put(&lookup, "host", "mail.example.org");
	cr_expect_eq(route(&lookup, &found, &params), 0);
	cr_expect(found.maybe_self);
	cr_expect_not(addressee_goes_round(&found, lookup.client));
	addr_parse_ip(&addrs[0], "192.0.2.9", 0);
	addr_parse_ip(&addrs[1], "192.0.2.8", 0);
	cr_expect_not(addressee_is_here(&found, lookup.client, &answer));
	addr_parse_ip(&addrs[1], "192.0.2.1", 0);
	cr_expect(addressee_is_here(&found, lookup.client, &answer));
	addr_parse_ip(&addrs[1], "10.1.2.3", 0);
	cr_expect(addressee_is_here(&found, lookup.client, &answer));
	put(&lookup, "port", "25");
	cr_expect_eq(route(&lookup, &found, &params), 0);
	cr_expect_not(addressee_is_here(&found, lookup.client, &answer));
}

Test(addressee, proxy_maybe_of_an_address)
{
	static const struct {
		const char *host, *port;
		enum route_kind kind;
	} cases[] = {
		{ "192.0.2.1", "24", ROUTE_LOCAL },
		{ "192.0.2.1", "25", ROUTE_REMOTE },
		{ "192.0.2.2", "24", ROUTE_REMOTE },
		{ "10.1.2.3", "24", ROUTE_LOCAL },
		{ "10.1.2.3", "25", ROUTE_REMOTE },
		{ "10.2.2.3", "24", ROUTE_REMOTE },
	};
	struct smtp_rcpt_params params = { .orcpt_type = NULL };
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct passdb_request lookup = { .result = PASSDB_OK };
		struct route found;

		put(&lookup, "proxy_maybe", "");
		put(&lookup, "host", cases[i].host);
		put(&lookup, "port", cases[i].port);
		cr_expect_eq(route(&lookup, &found, &params), 0);
		cr_expect_eq(found.kind, cases[i].kind, "%zu", i);
		/* That is no loop. */
		cr_expect(i == 0 || !addressee_goes_round(&found,
							  lookup.client));
	}
}

/* Behind a balancer, or a proxy, a client has two addresses of ours. */
Test(addressee, a_target_that_is_ourself)
{
	static const struct {
		const char *host;
		bool changed, round;
	} cases[] = {
		{ "192.0.2.1", false, true },  { "192.0.2.2", false, true },
		{ "192.0.2.3", false, false }, { "192.0.2.1", true, false },
	};
	struct passdb_client client = { .session = "s" };
	struct route to = { .kind = ROUTE_REMOTE };
	size_t i;

	addr_parse_ip(&client.local, "192.0.2.1", 24);
	addr_parse_ip(&client.real_local, "192.0.2.2", 24);
	cr_expect_not(addressee_goes_round(&to, &client), "no address yet");
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		addr_parse_ip(&to.target.addr, cases[i].host, 24);
		to.address_changed = cases[i].changed;
		cr_expect_eq(addressee_goes_round(&to, &client),
			     cases[i].round, "%zu", i);
	}
}
