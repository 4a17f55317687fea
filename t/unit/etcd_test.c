#include "lib/etcd/etcd.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "lib/mem.h"
#include "t/etcd_gateway.h"

#define DONE "{" ETCD_AT("7") ",\"succeeded\":true}"
#define OTHER_CLUSTER "{" ETCD_HEADER("5", "7", "2") ",\"succeeded\":true}"
#define OLD_TERM "{" ETCD_HEADER("16480892258270070991", "6", "1") "}"
#define TOKEN "{" ETCD_AT("7") ",\"token\":\"tok.1\"}"
#define TOKEN_2 "{" ETCD_AT("7") ",\"token\":\"tok.2\"}"
#define BAD_TOKEN ETCD_ERROR("etcdserver: invalid auth token", "16")
#define NO_USER ETCD_ERROR("etcdserver: user name is empty", "3")

struct result {
	unsigned calls;
	bool answered, succeeded;
	int64_t revision, code;
	char error[400];
	size_t length; /* of the error */
};

static void txn_done(void *arg, const struct etcd_txn_answer *answer,
		     const char *error)
{
	struct result *result = arg;

	result->calls++;
	result->answered = answer != NULL;
	result->succeeded = answer != NULL && answer->succeeded;
	result->revision = answer != NULL ? answer->header.revision : 0;
	snprintf(result->error, sizeof(result->error), "%s",
		 error != NULL ? error : "");
	result->length = error != NULL ? strlen(error) : 0;
	cr_expect_eq(answer == NULL, error != NULL);
}

static struct etcd_request *put(struct etcd_world *world,
				struct result *result)
{
	static const struct etcd_op op = {
		.key = { "k", 1 }, .value = { "v", 1 },
	};
	const struct etcd_txn txn = { .ops = &op, .op_count = 1 };

	*result = (struct result){ .calls = 0 };
	return etcd_txn(world->etcd, &txn, txn_done, result);
}

static void put_and_wait(struct etcd_world *world, struct result *result)
{
	put(world, result);
	cr_expect_eq(result->calls, 0, "called inside etcd_txn()");
	WAIT(world, result->calls == 1);
}

static void reply(struct etcd_world *world, unsigned member,
		  struct gateway_reply reply)
{
	gateway_reply(&world->gateways[member], reply);
}

static struct gateway_reply txn_reply(const char *body)
{
	return (struct gateway_reply){ "kv/txn", body, GATEWAY_ANSWER, 200 };
}

static struct gateway_reply error_reply(const char *path, const char *body,
					unsigned status)
{
	return (struct gateway_reply){ path, body, GATEWAY_TRAILER, status };
}

static struct gateway_reply login_reply(const char *body)
{
	return (struct gateway_reply){ "auth/authenticate", body,
				       GATEWAY_ANSWER, 200 };
}

/* --- answers --- */

Test(etcd, txn)
{
	struct etcd_world world;
	struct result result;

	etcd_world_init(&world, 1);
	etcd_world_start(&world);
	reply(&world, 0, txn_reply(DONE));
	put_and_wait(&world, &result);
	cr_expect(result.succeeded, "%s", result.error);
	cr_expect_eq(result.revision, 7);
	cr_expect(gateway_saw(&world.gateways[0], "kv/txn - {\"compare\":[],"
			      "\"success\":[{\"request_put\":{\"key\":\"aw==\","
			      "\"value\":\"dg==\"}}]}\n"),
		  "%s", str_c(&world.gateways[0].seen));
	cr_expect_str_eq(etcd_member(world.etcd), world.urls[0].text);
	etcd_world_free(&world);
}

Test(etcd, txn_without_succeeded_has_failed)
{
	struct etcd_world world;
	struct result result;

	etcd_world_init(&world, 1);
	etcd_world_start(&world);
	reply(&world, 0, txn_reply("{" ETCD_AT("7") "}"));
	put_and_wait(&world, &result);
	cr_expect(result.answered && !result.succeeded, "%s", result.error);
	etcd_world_free(&world);
}

Test(etcd, txn_that_etcd_would_refuse_is_not_sent)
{
	struct etcd_op ops[ETCD_MAX_OPS + 1] = {
		[0 ... ETCD_MAX_OPS] = { .key = { "k", 1 } },
	};
	const struct etcd_txn txn = { .ops = ops, .op_count = ETCD_MAX_OPS + 1 };
	struct result result = { .calls = 0 };
	struct etcd_world world;

	etcd_world_init(&world, 1);
	etcd_world_start(&world);
	etcd_txn(world.etcd, &txn, txn_done, &result);
	cr_expect_eq(result.calls, 0);
	WAIT(&world, result.calls == 1);
	cr_expect(strstr(result.error, "128") != NULL, "%s", result.error);
	cr_expect_eq(world.gateways[0].accepted, 0);
	etcd_world_free(&world);
}

/* It comes in chunks with a trailer, and is no reason to ask another member. */
Test(etcd, refusal)
{
	struct etcd_world world;
	struct result result;

	etcd_world_init(&world, 2);
	etcd_world_start(&world);
	reply(&world, 0, error_reply("kv/txn",
				     ETCD_ERROR("etcdserver: permission denied",
						"7"), 403));
	reply(&world, 0, txn_reply(DONE));
	put_and_wait(&world, &result);
	cr_expect(strstr(result.error, "permission denied") != NULL, "%s",
		  result.error);
	cr_expect(strstr(result.error, world.urls[0].text) != NULL, "%s",
		  result.error);
	put_and_wait(&world, &result);
	cr_expect(result.succeeded);
	cr_expect_eq(world.gateways[0].accepted, 1);
	cr_expect_eq(world.gateways[1].accepted, 0);
	etcd_world_free(&world);
}

Test(etcd, refusal_that_is_endless)
{
	struct etcd_world world;
	struct result result;
	struct str body = STR_INIT;

	str_puts(&body, "{\"code\":7,\"message\":\"begin ");
	while (body.len < 100000)
		str_puts(&body, "and so on ");
	str_puts(&body, "end\"}");
	etcd_world_init(&world, 1);
	etcd_world_start(&world);
	reply(&world, 0, error_reply("kv/txn", str_c(&body), 403));
	put_and_wait(&world, &result);
	cr_expect(strstr(result.error, "begin and so on") != NULL);
	cr_expect_lt(result.length, 500);
	str_free(&body);
	etcd_world_free(&world);
}

static void call_done(void *arg, const struct etcd_answer *answer)
{
	struct result *result = arg;

	result->calls++;
	result->code = answer->code;
	snprintf(result->error, sizeof(result->error), "%s",
		 answer->error != NULL ? answer->error : "");
}

Test(etcd, answer_that_is_too_large)
{
	struct result result = { .calls = 0 };
	struct str body = STR_INIT, large = STR_INIT;
	struct etcd_world world;

	while (large.len <= 8 * 1024 * 1024)
		str_puts(&large, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
	etcd_world_init(&world, 2);
	etcd_world_start(&world);
	reply(&world, 0, (struct gateway_reply){ "kv/range", str_c(&large),
						 GATEWAY_ANSWER, 200 });
	etcd_wire_put_range(&body, (struct etcd_bytes){ "k", 1 },
			    (struct etcd_bytes){ "", 0 }, 0, 0);
	etcd_call(world.etcd, ETCD_RANGE, &body, call_done, &result);
	cr_expect_eq(body.len, 0);
	WAIT(&world, result.calls == 1);
	cr_expect_eq(result.code, ETCD_TOO_LARGE, "%s", result.error);
	cr_expect_eq(world.gateways[1].accepted, 0);
	str_free(&large);
	etcd_world_free(&world);
}

Test(etcd, cancel)
{
	struct etcd_request *one, *none = NULL;
	struct result result, other;
	struct etcd_world world;

	etcd_world_init(&world, 1);
	etcd_world_start(&world);
	one = put(&world, &result);
	WAIT(&world, gateway_count(&world.gateways[0], "kv/txn") == 1);
	etcd_cancel(&one);
	cr_expect_null(one);
	etcd_cancel(&none);
	gateway_down(&world.gateways[0]);
	one = put(&world, &result);
	put(&world, &other);
	etcd_world_run(&world, 20); /* it waits for the next round by then */
	etcd_cancel(&one);
	WAIT(&world, other.calls == 1);
	cr_expect_eq(result.calls, 0);
	etcd_world_free(&world);
}

/* --- members that are left --- */

Test(etcd, unreachable_member_is_left)
{
	struct etcd_world world;
	struct result result;

	etcd_world_init(&world, 3);
	etcd_world_start(&world);
	gateway_down(&world.gateways[0]);
	gateway_down(&world.gateways[1]);
	reply(&world, 2, txn_reply(DONE));
	put_and_wait(&world, &result);
	cr_expect(result.succeeded, "%s", result.error);
	cr_expect_str_eq(etcd_member(world.etcd), world.urls[2].text);
	put_and_wait(&world, &result);
	cr_expect(result.succeeded);
	cr_expect_eq(world.gateways[2].accepted, 1);
	etcd_world_free(&world);
}

Test(etcd, member_that_says_nothing_is_left)
{
	struct etcd_world world;
	struct result result;

	etcd_world_init(&world, 2);
	world.settings.timeout_ms = 1000;
	etcd_world_start(&world);
	reply(&world, 1, txn_reply(DONE));
	put_and_wait(&world, &result);
	cr_expect(result.succeeded, "%s", result.error);
	cr_expect_eq(gateway_count(&world.gateways[0], "kv/txn"), 1);
	etcd_world_free(&world);
}

Test(etcd, txn_whose_answer_is_lost_is_repeated_at_the_next_member)
{
	struct etcd_world world;
	struct result result;

	etcd_world_init(&world, 2);
	etcd_world_start(&world);
	reply(&world, 0, (struct gateway_reply){ .path = "kv/txn",
						 .how = GATEWAY_BREAK });
	reply(&world, 1, txn_reply("{" ETCD_AT("7") "}"));
	put_and_wait(&world, &result);
	cr_expect(result.answered && !result.succeeded, "%s", result.error);
	cr_expect_eq(gateway_count(&world.gateways[0], "kv/txn"), 1);
	cr_expect_eq(gateway_count(&world.gateways[1], "kv/txn"), 1);
	etcd_world_free(&world);
}

/* No leader; too slow; a proposal that was dropped; not etcd at all. */
Test(etcd, member_that_cannot_answer_is_left)
{
	static const struct gateway_reply cases[] = {
		{ "kv/txn", ETCD_ERROR("etcdserver: no leader", "14"),
		  GATEWAY_TRAILER, 503 },
		{ "kv/txn", ETCD_ERROR("context deadline exceeded", "4"),
		  GATEWAY_TRAILER, 504 },
		{ "kv/txn", ETCD_ERROR("raft proposal dropped", "2"),
		  GATEWAY_TRAILER, 500 },
		{ "kv/txn", "<html>Bad gateway</html>", GATEWAY_ANSWER, 502 },
		{ "kv/txn", "<html>It works!</html>", GATEWAY_ANSWER, 200 },
		{ "kv/txn", "{}", GATEWAY_ANSWER, 200 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct etcd_world world;
		struct result result;

		etcd_world_init(&world, 2);
		etcd_world_start(&world);
		reply(&world, 0, cases[i]);
		reply(&world, 1, txn_reply(DONE));
		put_and_wait(&world, &result);
		cr_expect(result.succeeded, "case %zu: %s", i, result.error);
		cr_expect_str_eq(etcd_member(world.etcd), world.urls[1].text);
		etcd_world_free(&world);
	}
}

Test(etcd, status_without_json_is_said_with_its_first_line)
{
	struct etcd_world world;
	struct result result;

	etcd_world_init(&world, 1);
	world.settings.timeout_ms = 500;
	etcd_world_start(&world);
	reply(&world, 0, (struct gateway_reply){
		"kv/txn", "CommonName of client is ignored\nand more",
		GATEWAY_ANSWER, 400 });
	put_and_wait(&world, &result);
	cr_expect(strstr(result.error, ": status 400 of HTTP: CommonName of "
			 "client is ignored") != NULL, "%s", result.error);
	cr_expect_null(strstr(result.error, "and more"));
	cr_expect_null(strstr(result.error, "our certificate"));
	etcd_world_free(&world);
}

Test(etcd, distrusted_member_is_left)
{
	static const char *const cases[] = { OTHER_CLUSTER, OLD_TERM };
	size_t i;

	for (i = 0; i < 2; i++) {
		struct etcd_world world;
		struct result result;

		etcd_world_init(&world, 3);
		etcd_world_start(&world);
		reply(&world, 0, txn_reply(DONE));
		put_and_wait(&world, &result);
		gateway_down(&world.gateways[0]);
		reply(&world, 1, txn_reply(cases[i]));
		reply(&world, 2, txn_reply(DONE));
		put_and_wait(&world, &result);
		cr_expect(result.succeeded, "case %zu: %s", i, result.error);
		cr_expect_str_eq(etcd_member(world.etcd), world.urls[2].text);
		etcd_world_free(&world);
	}
}

/* Only if all of them say so. */
Test(etcd, restored_cluster_counts_in_the_end)
{
	struct etcd_world world;
	struct result result;
	unsigned i;

	etcd_world_init(&world, 2);
	world.settings.timeout_ms = 400;
	etcd_world_start(&world);
	reply(&world, 0, txn_reply(DONE));
	put_and_wait(&world, &result);
	gateway_reset(&world.gateways[0]);
	reply(&world, 0, txn_reply(OTHER_CLUSTER));
	reply(&world, 1, error_reply("kv/txn",
				     ETCD_ERROR("etcdserver: no leader", "14"),
				     503));
	put_and_wait(&world, &result);
	cr_expect_not(result.answered);
	cr_expect(strstr(result.error, "no answer within 400 ms") != NULL, "%s",
		  result.error);
	gateway_reset(&world.gateways[1]);
	reply(&world, 1, txn_reply(OTHER_CLUSTER));
	for (i = 0; i < 10 && !result.succeeded; i++)
		put_and_wait(&world, &result);
	cr_expect(result.succeeded, "%s", result.error);
	etcd_world_free(&world);
}

Test(etcd, nobody_answers_in_time)
{
	struct etcd_world world;
	struct result result;
	uint64_t before;
	unsigned i;

	etcd_world_init(&world, 3);
	world.settings.timeout_ms = 600;
	etcd_world_start(&world);
	for (i = 0; i < 3; i++)
		gateway_down(&world.gateways[i]);
	before = loop_now_us(world.loop);
	put_and_wait(&world, &result);
	cr_expect_lt(loop_now_us(world.loop) - before, 10000000);
	cr_expect_geq(loop_now_us(world.loop) - before, 600000);
	cr_expect(strstr(result.error, "no answer within 600 ms; "
			 "http://127.0.0.1:") != NULL, "%s", result.error);
	etcd_world_free(&world);
}

Test(etcd, pauses_after_a_round)
{
	struct etcd_world world;
	struct result result;
	unsigned i;

	etcd_world_init(&world, 2);
	world.settings.timeout_ms = 1000;
	etcd_world_start(&world);
	for (i = 0; i < 2; i++)
		reply(&world, i, (struct gateway_reply){
				.path = "kv/txn", .how = GATEWAY_BREAK });
	put_and_wait(&world, &result);
	cr_expect_not(result.answered);
	/* At 0, 67 to 100, 200 to 300, 467 to 700 ms. */
	cr_expect_geq(gateway_count(&world.gateways[0], "kv/txn"), 3);
	cr_expect_leq(gateway_count(&world.gateways[0], "kv/txn"), 5);
	gateway_reset(&world.gateways[1]);
	reply(&world, 1, txn_reply(DONE));
	WAIT(&world, (put_and_wait(&world, &result), result.succeeded));
	etcd_world_free(&world);
}

Test(etcd, backoff)
{
	unsigned ms = 0, pause, expected = 100, i;

	for (i = 0; i < 10; i++) {
		pause = etcd_backoff(&ms);
		cr_expect_eq(ms, expected);
		cr_expect_leq(pause, ms);
		cr_expect_gt(pause, ms / 2);
		expected = expected * 2 < 5000 ? expected * 2 : 5000;
	}
}

/* --- login --- */

static void login_world(struct etcd_world *world, unsigned members)
{
	etcd_world_init(world, members);
	world->settings.user = "way";
	world->settings.password = "hush-hush";
	etcd_world_start(world);
}

Test(etcd, token_goes_with_calls)
{
	struct result results[3];
	struct etcd_world world;
	unsigned i;

	login_world(&world, 1);
	reply(&world, 0, login_reply(TOKEN));
	reply(&world, 0, txn_reply(DONE));
	for (i = 0; i < 3; i++)
		put(&world, &results[i]);
	for (i = 0; i < 3; i++) {
		WAIT(&world, results[i].calls == 1);
		cr_expect(results[i].succeeded, "%s", results[i].error);
	}
	cr_expect_eq(gateway_count(&world.gateways[0], "auth/authenticate"), 1);
	cr_expect(gateway_saw(&world.gateways[0], "auth/authenticate - {\"name\""
			      ":\"way\",\"password\":\"hush-hush\"}"));
	cr_expect(gateway_saw(&world.gateways[0], "kv/txn tok.1 "));
	cr_expect_not(gateway_saw(&world.gateways[0], "kv/txn - "));
	etcd_world_free(&world);
}

/* After a restart of etcd; after it came to have authentication. */
Test(etcd, refused_token_is_renewed_once)
{
	static const struct gateway_reply cases[] = {
		{ "kv/txn", BAD_TOKEN, GATEWAY_TRAILER, 401 },
		{ "kv/txn", NO_USER, GATEWAY_TRAILER, 400 },
		{ "kv/txn", ETCD_ERROR("etcdserver: revision of auth store is "
				       "old", "3"), GATEWAY_TRAILER, 400 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct etcd_world world;
		struct result result, other;

		login_world(&world, 1);
		reply(&world, 0, login_reply(TOKEN));
		reply(&world, 0, login_reply(TOKEN_2));
		reply(&world, 0, cases[i]);
		reply(&world, 0, cases[i]);
		reply(&world, 0, txn_reply(DONE));
		put(&world, &other);
		put_and_wait(&world, &result);
		WAIT(&world, other.calls == 1);
		cr_expect(result.succeeded, "case %zu: %s", i, result.error);
		cr_expect(other.succeeded, "case %zu: %s", i, other.error);
		cr_expect_eq(gateway_count(&world.gateways[0],
					   "auth/authenticate"), 2);
		cr_expect(gateway_saw(&world.gateways[0], "kv/txn tok.2 "));
		etcd_world_free(&world);
	}
}

Test(etcd, token_that_is_refused_again_is_an_error)
{
	struct etcd_world world;
	struct result result;

	login_world(&world, 2);
	reply(&world, 0, login_reply(TOKEN));
	reply(&world, 0, error_reply("kv/txn", BAD_TOKEN, 401));
	put_and_wait(&world, &result);
	cr_expect(strstr(result.error, "invalid auth token") != NULL, "%s",
		  result.error);
	cr_expect_null(strstr(result.error, "tok.1"));
	cr_expect_eq(gateway_count(&world.gateways[0], "kv/txn"), 2);
	cr_expect_eq(gateway_count(&world.gateways[0], "auth/authenticate"), 2);
	cr_expect_eq(world.gateways[1].accepted, 0);
	etcd_world_free(&world);
}

Test(etcd, without_a_user_there_is_no_login)
{
	struct etcd_world world;
	struct result result;

	etcd_world_init(&world, 1);
	etcd_world_start(&world);
	reply(&world, 0, error_reply("kv/txn", NO_USER, 400));
	put_and_wait(&world, &result);
	cr_expect(strstr(result.error, "user name is empty") != NULL, "%s",
		  result.error);
	cr_expect_eq(gateway_count(&world.gateways[0], "auth/authenticate"), 0);
	etcd_world_free(&world);
}

Test(etcd, wrong_password)
{
	struct etcd_world world;
	struct result result, other;

	login_world(&world, 2);
	reply(&world, 0, error_reply("auth/authenticate", ETCD_ERROR(
		"etcdserver: authentication failed, invalid user ID or "
		"password", "3"), 400));
	reply(&world, 0, login_reply(TOKEN));
	reply(&world, 0, txn_reply(DONE));
	put(&world, &other);
	put_and_wait(&world, &result);
	WAIT(&world, other.calls == 1);
	cr_expect(strstr(result.error, "login as way failed: etcdserver: "
			 "authentication failed") != NULL, "%s", result.error);
	cr_expect_null(strstr(result.error, "hush"));
	cr_expect_not(other.answered);
	cr_expect_eq(gateway_count(&world.gateways[0], "auth/authenticate"), 1);
	put_and_wait(&world, &result);
	cr_expect(result.succeeded, "%s", result.error);
	etcd_world_free(&world);
}

Test(etcd, login_where_it_is_not_needed_until_it_is)
{
	struct etcd_world world;
	struct result result;

	login_world(&world, 1);
	reply(&world, 0, error_reply("auth/authenticate", ETCD_ERROR(
		"etcdserver: authentication is not enabled", "9"), 412));
	reply(&world, 0, login_reply(TOKEN));
	reply(&world, 0, txn_reply(DONE));
	reply(&world, 0, error_reply("kv/txn", NO_USER, 400));
	reply(&world, 0, txn_reply(DONE));
	put_and_wait(&world, &result);
	cr_expect(result.succeeded, "%s", result.error);
	cr_expect(gateway_saw(&world.gateways[0], "kv/txn - "));
	put_and_wait(&world, &result);
	cr_expect(result.succeeded, "%s", result.error);
	cr_expect(gateway_saw(&world.gateways[0], "kv/txn tok.1 "));
	etcd_world_free(&world);
}

Test(etcd, login_moves_along)
{
	static const struct gateway_reply cases[] = {
		{ .path = "auth/authenticate", .how = GATEWAY_BREAK },
		{ .path = "auth/authenticate", .how = GATEWAY_SILENT },
		{ "auth/authenticate", "{}", GATEWAY_ANSWER, 200 },
		{ "auth/authenticate", "{\"token\":\"a\\r\\nX: y\"}",
		  GATEWAY_ANSWER, 200 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct etcd_world world;
		struct result result;

		etcd_world_init(&world, 2);
		world.settings.user = "way";
		world.settings.timeout_ms = 1000;
		etcd_world_start(&world);
		reply(&world, 0, cases[i]);
		reply(&world, 1, login_reply(TOKEN));
		reply(&world, 1, txn_reply(DONE));
		put_and_wait(&world, &result);
		cr_expect(result.succeeded, "case %zu: %s", i, result.error);
		cr_expect_eq(gateway_count(&world.gateways[0], "kv/txn"), 0);
		etcd_world_free(&world);
	}
}

Test(etcd, freed_during_login)
{
	struct etcd_request *request;
	struct etcd_world world;
	struct result result;

	login_world(&world, 1);
	request = put(&world, &result);
	WAIT(&world, gateway_count(&world.gateways[0],
				   "auth/authenticate") == 1);
	etcd_cancel(&request);
	etcd_world_free(&world);
	cr_expect_eq(result.calls, 0);
}
