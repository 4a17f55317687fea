#include "lib/etcd/wire.h"

#include <criterion/criterion.h>

/* Answers are those of etcd 3.4.23. */
#define HEADER \
	"\"header\":{\"cluster_id\":\"16480892258270070991\"," \
	"\"member_id\":\"3624838103898176519\",\"revision\":\"3\"," \
	"\"raft_term\":\"2\"}"

static struct etcd_bytes bytes(const char *text)
{
	return (struct etcd_bytes){ text, strlen(text) };
}

/* --- what is asked --- */

static void expect_text(struct str *out, const char *text)
{
	cr_expect_str_eq(str_c(out), text);
	str_free(out);
}

Test(etcd_wire, range_by_prefix)
{
	struct str out = STR_INIT;

	etcd_wire_put_range(&out, bytes("foo"), bytes(""), 0, 0);
	expect_text(&out, "{\"key\":\"Zm9v\",\"range_end\":\"Zm9w\"}");
	etcd_wire_put_range(&out, bytes("foo"), bytes("foo1"), 10, 7);
	expect_text(&out, "{\"key\":\"Zm9vMQA=\",\"range_end\":\"Zm9w\","
		    "\"limit\":\"10\",\"revision\":\"7\"}");
}

Test(etcd_wire, what_is_newer)
{
	struct str out = STR_INIT;

	etcd_wire_put_newer(&out, bytes("foo"), 7);
	expect_text(&out, "{\"key\":\"Zm9v\",\"range_end\":\"Zm9w\","
		    "\"limit\":\"1\",\"keys_only\":true,"
		    "\"min_mod_revision\":\"8\"}");
}

/* The last byte has no successor; no byte has. */
Test(etcd_wire, range_end_of_odd_prefixes)
{
	struct str out = STR_INIT;

	etcd_wire_put_range(&out, bytes("a\xff\xff"), bytes(""), 0, 0);
	expect_text(&out, "{\"key\":\"Yf//\",\"range_end\":\"Yg==\"}");
	etcd_wire_put_range(&out, bytes("\xff"), bytes(""), 0, 0);
	expect_text(&out, "{\"key\":\"/w==\",\"range_end\":\"AA==\"}");
	etcd_wire_put_range(&out, bytes(""), bytes(""), 0, 0);
	expect_text(&out, "{\"key\":\"AA==\",\"range_end\":\"AA==\"}");
}

Test(etcd_wire, watch_lease_login)
{
	struct str out = STR_INIT;

	etcd_wire_put_watch(&out, bytes("foo"), INT64_MAX);
	expect_text(&out, "{\"create_request\":{\"key\":\"Zm9v\","
		    "\"range_end\":\"Zm9w\","
		    "\"start_revision\":\"9223372036854775807\"}}");
	etcd_wire_put_grant(&out, 15);
	expect_text(&out, "{\"TTL\":\"15\"}");
	etcd_wire_put_lease(&out, 4325604273432952841);
	expect_text(&out, "{\"ID\":\"4325604273432952841\"}");
	etcd_wire_put_login(&out, "way", "a\"b");
	expect_text(&out, "{\"name\":\"way\",\"password\":\"a\\\"b\"}");
}

Test(etcd_wire, transaction)
{
	const struct etcd_compare compares[] = {
		{ ETCD_COMPARE_MOD, bytes("foo"), 2 },
		{ ETCD_COMPARE_VERSION, bytes("x"), 0 },
		{ ETCD_COMPARE_CREATE, bytes("y"), 5 },
	};
	const struct etcd_op ops[] = {
		{ false, bytes("x"), bytes(""), 0 },
		{ false, bytes("y"), bytes("bar"), 9 },
		{ true, bytes("foo"), { NULL, 0 }, 0 },
	};
	const struct etcd_txn txn = { compares, 3, ops, 3 };
	struct str out = STR_INIT;
	struct err err = { "" };

	cr_expect_eq(etcd_wire_put_txn(&out, &txn, &err), 0);
	expect_text(&out, "{\"compare\":[{\"key\":\"Zm9v\",\"target\":\"MOD\","
		    "\"result\":\"EQUAL\",\"mod_revision\":\"2\"},"
		    "{\"key\":\"eA==\",\"target\":\"VERSION\","
		    "\"result\":\"EQUAL\",\"version\":\"0\"},"
		    "{\"key\":\"eQ==\",\"target\":\"CREATE\","
		    "\"result\":\"EQUAL\",\"create_revision\":\"5\"}],"
		    "\"success\":[{\"request_put\":{\"key\":\"eA==\","
		    "\"value\":\"\"}},{\"request_put\":{\"key\":\"eQ==\","
		    "\"value\":\"YmFy\",\"lease\":\"9\"}},"
		    "{\"request_delete_range\":{\"key\":\"Zm9v\"}}]}");
}

Test(etcd_wire, transaction_of_more_than_128_operations)
{
	struct etcd_op ops[ETCD_MAX_OPS + 1];
	struct etcd_txn txn = { .ops = ops, .op_count = ETCD_MAX_OPS };
	struct str out = STR_INIT;
	struct err err = { "" };
	size_t i;

	for (i = 0; i < ETCD_MAX_OPS + 1; i++)
		ops[i] = (struct etcd_op){ true, bytes("k"), bytes(""), 0 };
	cr_expect_eq(etcd_wire_put_txn(&out, &txn, &err), 0);
	str_free(&out);
	txn.op_count++;
	cr_expect_eq(etcd_wire_put_txn(&out, &txn, &err), -1);
	cr_expect_str_eq(err.text, "more than 128 operations in a transaction");
	cr_expect_eq(out.len, 0);
	ops[0].key.len = 0;
	txn.op_count = 1;
	cr_expect_eq(etcd_wire_put_txn(&out, &txn, &err), -1);
	cr_expect_str_eq(err.text, "an operation without a key");
}

/* --- what is answered --- */

static int read_range(struct etcd_range *range, struct arena *arena,
		      const char *text)
{
	struct err err = { "" };
	int result = etcd_wire_read_range(range, arena, text, strlen(text),
					  &err);

	cr_expect_eq(result == 0, err.text[0] == '\0', "%s: %s", text,
		     err.text);
	return result;
}

Test(etcd_wire, range_answer)
{
	struct arena *arena = arena_new(256);
	struct etcd_range range;

	cr_assert_eq(read_range(&range, arena, "{" HEADER ",\"kvs\":[{\"key\":"
		"\"Zm9v\",\"create_revision\":\"2\",\"mod_revision\":\"3\","
		"\"version\":\"4\",\"value\":\"YmEA\","
		"\"lease\":\"4325604273432952841\"},{\"key\":\"eA==\"}],"
		"\"more\":true,\"count\":\"5\"}"), 0);
	cr_expect_eq(range.header.cluster_id, 16480892258270070991u);
	cr_expect_eq(range.header.revision, 3);
	cr_expect(range.more);
	cr_assert_eq(range.count, 2);
	cr_expect_str_eq(range.kvs[0].key.data, "foo");
	cr_expect_eq(range.kvs[0].value.len, 3);
	cr_expect_eq(memcmp(range.kvs[0].value.data, "ba", 3), 0);
	cr_expect_eq(range.kvs[0].create_revision, 2);
	cr_expect_eq(range.kvs[0].mod_revision, 3);
	cr_expect_eq(range.kvs[0].version, 4);
	cr_expect_eq(range.kvs[0].lease, 4325604273432952841);
	cr_expect_eq(range.kvs[1].value.len, 0);
	cr_expect_eq(range.kvs[1].lease, 0);
	arena_free(&arena);
}

Test(etcd_wire, range_answer_without_keys)
{
	struct arena *arena = arena_new(256);
	struct etcd_range range;

	cr_assert_eq(read_range(&range, arena, "{" HEADER "}"), 0);
	cr_expect_eq(range.count, 0);
	cr_expect(!range.more);
	arena_free(&arena);
}

Test(etcd_wire, range_answers_that_are_refused)
{
	static const char *const texts[] = {
		"", "{", "[]", "{}", "{\"header\":5}",
		"{\"header\":{\"revision\":\"-1\"}}",
		"{\"header\":{\"revision\":\"9223372036854775808\"}}",
		"{\"header\":{\"cluster_id\":\"18446744073709551616\"}}",
		"{\"header\":{\"revision\":\" 1\"}}",
		"{\"header\":{\"revision\":\"\"}}",
		"{\"header\":{\"revision\":true}}",
		"{" HEADER ",\"kvs\":[{}]}", "{" HEADER ",\"kvs\":[5]}",
		"{" HEADER ",\"kvs\":[{\"key\":5}]}",
		"{" HEADER ",\"kvs\":[{\"key\":\"Zm9\"}]}",
		"{" HEADER ",\"kvs\":[{\"key\":\"Zg==Zg==\"}]}",
		"{" HEADER ",\"kvs\":[{\"key\":\"Zm-v\"}]}",
		"{" HEADER ",\"kvs\":[{\"key\":\"====\"}]}",
		"{" HEADER ",\"kvs\":[{\"key\":\"Zm=v\"}]}",
	};
	struct arena *arena = arena_new(256);
	struct etcd_range range;
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		cr_expect_eq(read_range(&range, arena, texts[i]), -1, "%s",
			     texts[i]);
	arena_free(&arena);
}

Test(etcd_wire, transaction_that_failed_says_nothing_of_it)
{
	static const char failed[] = "{" HEADER "}";
	static const char done[] = "{" HEADER ",\"succeeded\":true,"
		"\"responses\":[{\"response_put\":{\"header\":"
		"{\"revision\":\"3\"}}}]}";
	struct etcd_txn_answer answer;
	struct err err = { "" };

	cr_expect_eq(etcd_wire_read_txn(&answer, failed, strlen(failed), &err),
		     0);
	cr_expect(!answer.succeeded);
	cr_expect_eq(answer.header.revision, 3);
	cr_expect_eq(etcd_wire_read_txn(&answer, done, strlen(done), &err), 0);
	cr_expect(answer.succeeded);
	cr_expect_eq(etcd_wire_read_txn(&answer, "{}", 2, &err), -1);
}

Test(etcd_wire, lease_that_is_dead_has_no_ttl)
{
	static const char granted[] = "{" HEADER ",\"ID\":"
		"\"4325604273432952841\",\"TTL\":\"10\"}";
	static const char dead[] = "{\"result\":{" HEADER
		",\"ID\":\"12345\"}}\n";
	struct etcd_lease_answer answer;
	struct err err = { "" };

	cr_expect_eq(etcd_wire_read_lease(&answer, granted, strlen(granted),
					  &err), 0);
	cr_expect_eq(answer.id, 4325604273432952841);
	cr_expect_eq(answer.ttl, 10);
	cr_expect_eq(etcd_wire_read_lease(&answer, dead, strlen(dead), &err),
		     0);
	cr_expect_eq(answer.id, 12345);
	cr_expect_eq(answer.ttl, 0);
	cr_expect_eq(etcd_wire_read_lease(&answer, "{}", 2, &err), -1);
	cr_expect_eq(etcd_wire_read_lease(&answer, "{", 1, &err), -1);
}

Test(etcd_wire, token)
{
	static const char good[] = "{" HEADER ",\"token\":\"abc.7\"}";
	static const char split[] = "{\"token\":\"a\\r\\nHost: b\"}";
	struct arena *arena = arena_new(256);
	struct err err = { "" };

	cr_expect_str_eq(etcd_wire_read_token(arena, good, strlen(good), &err),
			 "abc.7");
	cr_expect_null(etcd_wire_read_token(arena, split, strlen(split),
					    &err));
	cr_expect_str_eq(err.text, "the answer has no token");
	cr_expect_null(etcd_wire_read_token(arena, "{}", 2, &err));
	arena_free(&arena);
}

static int read_watch(struct etcd_watch_line *line, struct arena *arena,
		      const char *text)
{
	struct err err = { "" };

	return etcd_wire_read_watch(line, arena, text, strlen(text), &err);
}

Test(etcd_wire, watch_events)
{
	struct arena *arena = arena_new(256);
	struct etcd_watch_line line;

	cr_assert_eq(read_watch(&line, arena, "{\"result\":{" HEADER
		",\"created\":true}}"), 0);
	cr_expect(line.created);
	cr_expect_eq(line.count, 0);
	cr_assert_eq(read_watch(&line, arena, "{\"result\":{" HEADER
		",\"events\":[{\"kv\":{\"key\":\"eA==\",\"create_revision\":"
		"\"3\",\"mod_revision\":\"3\",\"version\":\"1\"}},"
		"{\"type\":\"DELETE\",\"kv\":{\"key\":\"Zm9v\","
		"\"mod_revision\":\"3\"}}]}}"), 0);
	cr_expect(!line.created && !line.canceled);
	cr_assert_eq(line.count, 2);
	cr_expect(!line.events[0].delete);
	cr_expect_str_eq(line.events[0].kv.key.data, "x");
	cr_expect_eq(line.events[0].kv.value.len, 0);
	cr_expect(line.events[1].delete);
	cr_expect_str_eq(line.events[1].kv.key.data, "foo");
	cr_expect_eq(line.events[1].kv.mod_revision, 3);
	cr_expect_eq(read_watch(&line, arena, "{\"result\":{" HEADER
		",\"events\":[{\"type\":\"NEW\",\"kv\":{\"key\":\"eA==\"}}]}}"),
		-1);
	cr_expect_eq(read_watch(&line, arena, "{\"result\":{" HEADER
		",\"events\":[{}]}}"), -1);
	arena_free(&arena);
}

Test(etcd_wire, watch_that_is_compacted_or_not_allowed)
{
	struct arena *arena = arena_new(256);
	struct etcd_watch_line line;

	cr_assert_eq(read_watch(&line, arena, "{\"result\":{\"header\":"
		"{\"cluster_id\":\"6\",\"member_id\":\"3\",\"raft_term\":"
		"\"2\"},\"canceled\":true,\"compact_revision\":\"5\"}}"), 0);
	cr_expect(line.canceled);
	cr_expect_eq(line.compact_revision, 5);
	cr_expect_str_eq(line.reason, "");
	cr_assert_eq(read_watch(&line, arena, "{\"result\":{" HEADER
		",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,"
		"\"cancel_reason\":\"user name is empty\"}}"), 0);
	cr_expect(line.created && line.canceled);
	cr_expect_eq(line.compact_revision, 0);
	cr_expect_str_eq(line.reason, "user name is empty");
	arena_free(&arena);
}

Test(etcd_wire, watch_of_a_server_that_is_stopped)
{
	struct arena *arena = arena_new(256);
	struct etcd_watch_line line;

	cr_assert_eq(read_watch(&line, arena, "{\"error\":{\"grpc_code\":14,"
		"\"http_code\":503,\"message\":\"stopped\"}}"), 0);
	cr_expect_eq(line.error_code, 14);
	cr_expect_str_eq(line.error, "stopped");
	cr_expect_eq(read_watch(&line, arena, "{\"error\":{}}"), -1);
	cr_expect_eq(read_watch(&line, arena, "{}"), -1);
	arena_free(&arena);
}

Test(etcd_wire, failure)
{
	static const char body[] = "{\"error\":\"x\",\"message\":\"compacted\","
		"\"code\":11}";
	struct arena *arena = arena_new(256);
	struct etcd_failure failure;

	etcd_wire_read_failure(&failure, arena, body, strlen(body));
	cr_expect_eq(failure.code, 11);
	cr_expect_str_eq(failure.text, "compacted");
	etcd_wire_read_failure(&failure, arena, "<html>", 6);
	cr_expect_eq(failure.code, 0);
	cr_expect_str_eq(failure.text, "");
	arena_free(&arena);
}

Test(etcd_wire, member_that_is_stale)
{
	struct etcd_header seen = { .cluster_id = 0 }, now = {
		.cluster_id = 7, .member_id = 1, .raft_term = 3,
	};

	cr_expect_null(etcd_wire_distrust(&seen, &now));
	now.member_id = 2;
	now.raft_term = 4;
	cr_expect_null(etcd_wire_distrust(&seen, &now));
	now.raft_term = 3;
	cr_expect_str_eq(etcd_wire_distrust(&seen, &now), "it is behind the "
			 "cluster: its raft term went back");
	now.raft_term = 5;
	now.cluster_id = 8;
	cr_expect_str_eq(etcd_wire_distrust(&seen, &now),
			 "it belongs to another cluster");
	cr_expect_eq(seen.raft_term, 4, "%llu",
		     (unsigned long long)seen.raft_term);
}
