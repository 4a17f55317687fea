#include "lib/etcd/mirror.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "lib/mem.h"
#include "t/etcd_gateway.h"

/* Keys: "a" is YQ==, "b" Yg==, "c" Yw==; values: "1" is MQ==. */
#define KV(key, revision) \
	"{\"key\":\"" key "\",\"create_revision\":\"2\",\"mod_revision\":\"" \
	revision "\",\"version\":\"1\",\"value\":\"MQ==\"}"
#define RANGE(revision, kvs, more) \
	"{" ETCD_AT(revision) ",\"kvs\":[" kvs "]" more ",\"count\":\"9\"}"
/* Nothing was put, and there are so many keys. */
#define KEYS(revision, count) "{" ETCD_AT(revision) ",\"count\":\"" count "\"}"
#define NOTHING(revision) "{" ETCD_AT(revision) "}"
#define MORE ",\"more\":true"
#define PUT(revision, key) "{\"kv\":" KV(key, revision) "}"
#define DELETE(revision, key) \
	"{\"type\":\"DELETE\",\"kv\":{\"key\":\"" key \
	"\",\"mod_revision\":\"" revision "\"}}"
#define EVENTS(revision, events) \
	ETCD_LINE(ETCD_AT(revision) ",\"events\":[" events "]")
#define COMPACTED \
	ETCD_LINE(ETCD_AT("9") ",\"canceled\":true,\"compact_revision\":\"9\"")

/* Of what has to be answered in time, on a busy machine, too, while a test waits for
 * some of it. */
#define TIMEOUT_MS 400

struct told {
	struct etcd_world world;
	struct etcd_mirror *mirror;
	struct str text; /* "begins a=1 settled 7\n" and so on */
	unsigned losses;
};

static void begins(void *arg)
{
	str_puts(&((struct told *)arg)->text, "begins ");
}

static void put(void *arg, const struct etcd_kv *kv)
{
	str_printf(&((struct told *)arg)->text, "%s=%s ", kv->key.data,
		   kv->value.data);
}

static void gone(void *arg, struct etcd_bytes key, int64_t revision)
{
	str_printf(&((struct told *)arg)->text, "-%s@%lld ", key.data,
		   (long long)revision);
}

static void settled(void *arg, int64_t revision)
{
	str_printf(&((struct told *)arg)->text, "settled %lld\n",
		   (long long)revision);
}

static void lost(void *arg, const char *why)
{
	struct told *told = arg;

	cr_expect_gt(strlen(why), 0);
	told->losses++;
	str_puts(&told->text, "lost\n");
}

static void told_init(struct told *told, unsigned members, unsigned timeout_ms)
{
	*told = (struct told){ .losses = 0 };
	etcd_world_init(&told->world, members);
	told->world.settings.timeout_ms = timeout_ms;
}

static void told_start(struct told *told)
{
	static const struct etcd_mirror_events events = {
		begins, put, gone, settled, lost,
	};

	etcd_world_start(&told->world);
	told->mirror = etcd_mirror_new(told->world.etcd, "k/", &events, told);
	cr_expect_eq(told->text.len, 0, "called inside etcd_mirror_new()");
}

static void told_free(struct told *told)
{
	etcd_mirror_free(&told->mirror);
	etcd_world_free(&told->world);
	str_free(&told->text);
}

static void range(struct told *told, unsigned member, const char *body)
{
	gateway_reply(&told->world.gateways[member], (struct gateway_reply){
		"kv/range", body, GATEWAY_ANSWER, 200 });
}

static void watch(struct told *told, unsigned member, const char *body)
{
	gateway_reply(&told->world.gateways[member], (struct gateway_reply){
		"watch", body, GATEWAY_STREAM, 200 });
}

static bool is_told(const struct told *told, const char *text)
{
	return strcmp(str_c(&told->text), text) == 0;
}

static bool ends_in(const struct told *told, const char *text)
{
	size_t len = strlen(text);

	return told->text.len >= len &&
	       strcmp(told->text.data + told->text.len - len, text) == 0;
}

#define WAIT_TOLD(told, text) \
	do { \
		while (!is_told((told), (text))) \
			etcd_world_turn(&(told)->world, (text)); \
	} while (0)

/* Pages of one revision; the watch begins behind it, though much has happened
 * meanwhile. */
Test(etcd_mirror, loads_pages_of_one_revision_and_watches_from_the_next)
{
	struct told told;
	const struct gateway *gateway = &told.world.gateways[0];

	told_init(&told, 1, 4000);
	range(&told, 0, RANGE("7", KV("YQ==", "3") "," KV("Yg==", "5"), MORE));
	range(&told, 0, RANGE("20", KV("Yw==", "7"), ""));
	watch(&told, 0, ETCD_CREATED("20"));
	told_start(&told);
	WAIT_TOLD(&told, "begins a=1 b=1 c=1 settled 7\n");
	WAIT(&told.world, gateway_count(gateway, "watch") == 1);
	cr_expect(gateway_saw(gateway, "kv/range - {\"key\":\"ay8=\","
			      "\"range_end\":\"azA=\",\"limit\":\"256\"}\n"));
	/* "b\0" */
	cr_expect(gateway_saw(gateway, "kv/range - {\"key\":\"YgA=\","
			      "\"range_end\":\"azA=\",\"limit\":\"256\","
			      "\"revision\":\"7\"}\n"));
	cr_expect(gateway_saw(gateway, "\"start_revision\":\"8\""), "%s",
		  str_c(&gateway->seen));
	told_free(&told);
}

Test(etcd_mirror, no_keys)
{
	struct told told;

	told_init(&told, 1, 4000);
	range(&told, 0, NOTHING("7"));
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT_TOLD(&told, "begins settled 7\n");
	told_free(&told);
}

/* A put has no type, and an empty value is left out. The header's revision is
 * not what counts: more lines may come for it. */
Test(etcd_mirror, changes)
{
	struct told told;

	told_init(&told, 1, 4000);
	range(&told, 0, RANGE("7", KV("YQ==", "3"), ""));
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT(&told.world, told.world.gateways[0].streams == 1);
	gateway_say(&told.world.gateways[0],
		    EVENTS("30", PUT("8", "Yg==") "," DELETE("9", "YQ=="))
		    EVENTS("30", "{\"kv\":{\"key\":\"Yw==\","
			   "\"mod_revision\":\"30\"}}")
		    ETCD_LINE(ETCD_AT("31")));
	WAIT_TOLD(&told, "begins a=1 settled 7\nb=1 -a@9 settled 9\n"
		  "c= settled 30\n");
	told_free(&told);
}

Test(etcd_mirror, goes_on_at_another_member_without_a_loss)
{
	struct told told;

	told_init(&told, 2, 4000);
	range(&told, 0, NOTHING("7"));
	watch(&told, 0, ETCD_CREATED("7") EVENTS("9", PUT("9", "YQ==")));
	watch(&told, 1, ETCD_CREATED("11") EVENTS("11", PUT("10", "Yg==") ","
						  PUT("11", "Yw==")));
	told_start(&told);
	WAIT_TOLD(&told, "begins settled 7\na=1 settled 9\n");
	gateway_down(&told.world.gateways[0]);
	WAIT_TOLD(&told, "begins settled 7\na=1 settled 9\n"
		  "b=1 c=1 settled 11\n");
	cr_expect(gateway_saw(&told.world.gateways[1],
			      "\"start_revision\":\"10\""));
	told_free(&told);
}

Test(etcd_mirror, lost_when_nobody_takes_the_watch)
{
	struct told told;

	told_init(&told, 2, 600);
	range(&told, 0, NOTHING("7"));
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT(&told.world, told.world.gateways[0].streams == 1);
	gateway_down(&told.world.gateways[0]);
	WAIT_TOLD(&told, "begins settled 7\nlost\n");
	etcd_world_run(&told.world, 1500);
	cr_expect(is_told(&told, "begins settled 7\nlost\n"), "once: %s",
		  str_c(&told.text));
	range(&told, 1, RANGE("9", KV("YQ==", "9"), ""));
	watch(&told, 1, ETCD_CREATED("9"));
	WAIT_TOLD(&told, "begins settled 7\nlost\nbegins a=1 settled 9\n");
	gateway_down(&told.world.gateways[1]);
	WAIT(&told.world, told.losses == 2);
	told_free(&told);
}

Test(etcd_mirror, compacted_while_away)
{
	struct told told;

	told_init(&told, 1, 4000);
	range(&told, 0, RANGE("7", KV("YQ==", "3"), ""));
	range(&told, 0, RANGE("9", KV("Yg==", "9"), ""));
	watch(&told, 0, ETCD_CREATED("7"));
	watch(&told, 0, ETCD_CREATED("9") COMPACTED);
	watch(&told, 0, ETCD_CREATED("9"));
	told_start(&told);
	WAIT(&told.world, told.world.gateways[0].streams == 1);
	gateway_end_streams(&told.world.gateways[0]);
	WAIT_TOLD(&told, "begins a=1 settled 7\nlost\nbegins b=1 settled 9\n");
	WAIT(&told.world, gateway_count(&told.world.gateways[0], "watch") == 3);
	told_free(&told);
}

Test(etcd_mirror, compacted_between_pages)
{
	struct told told;

	told_init(&told, 1, 4000);
	range(&told, 0, RANGE("7", KV("YQ==", "3"), MORE));
	gateway_reply(&told.world.gateways[0], (struct gateway_reply){
		"kv/range", ETCD_ERROR("etcdserver: mvcc: required revision "
				       "has been compacted", "11"),
		GATEWAY_TRAILER, 400 });
	range(&told, 0, RANGE("9", KV("Yg==", "9"), ""));
	watch(&told, 0, ETCD_CREATED("9"));
	told_start(&told);
	WAIT_TOLD(&told, "begins a=1 begins b=1 settled 9\n");
	told_free(&told);
}

Test(etcd_mirror, pages_of_two_clusters)
{
	struct told told;

	told_init(&told, 1, 300);
	range(&told, 0, RANGE("7", KV("YQ==", "3"), MORE));
	range(&told, 0, "{" ETCD_HEADER("5", "9", "9") "}");
	watch(&told, 0, ETCD_LINE(ETCD_HEADER("5", "9", "9")
				  ",\"created\":true"));
	told_start(&told);
	WAIT(&told.world, ends_in(&told, "begins settled 9\n"));
	cr_expect(strncmp(str_c(&told.text), "begins a=1 ", 11) == 0);
	told_free(&told);
}

/* All keys together are too large for an answer, but not page by page. */
Test(etcd_mirror, smaller_pages_for_large_keys)
{
	struct str large = STR_INIT;
	struct told told;

	while (large.len <= 8 * 1024 * 1024)
		str_puts(&large, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
	told_init(&told, 1, 10000);
	range(&told, 0, str_c(&large));
	range(&told, 0, RANGE("7", KV("YQ==", "3"), ""));
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT_TOLD(&told, "begins a=1 settled 7\n");
	cr_expect(gateway_saw(&told.world.gateways[0], "\"limit\":\"64\""));
	str_free(&large);
	told_free(&told);
}

Test(etcd_mirror, first_load_fails)
{
	struct told told;

	told_init(&told, 1, 200);
	gateway_down(&told.world.gateways[0]);
	told_start(&told);
	WAIT_TOLD(&told, "lost\n");
	etcd_world_run(&told.world, 1000);
	cr_expect(is_told(&told, "lost\n"), "%s", str_c(&told.text));
	told_free(&told);
}

/* Refused for good: it does not ask all the time. */
Test(etcd_mirror, permission_denied)
{
	struct told told;

	told_init(&told, 1, 200);
	gateway_reply(&told.world.gateways[0], (struct gateway_reply){
		"kv/range", ETCD_ERROR("etcdserver: permission denied", "7"),
		GATEWAY_TRAILER, 403 });
	told_start(&told);
	WAIT_TOLD(&told, "lost\n");
	etcd_world_run(&told.world, 1000);
	cr_expect_geq(gateway_count(&told.world.gateways[0], "kv/range"), 3);
	cr_expect_leq(gateway_count(&told.world.gateways[0], "kv/range"), 6);
	told_free(&told);
}

Test(etcd_mirror, asks_what_is_new_while_nothing_comes)
{
	struct told told;

	told_init(&told, 1, TIMEOUT_MS);
	range(&told, 0, NOTHING("7"));
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT(&told.world, gateway_count(&told.world.gateways[0],
					"kv/range") == 4);
	cr_expect(gateway_saw(&told.world.gateways[0], "\"keys_only\":true,"
			      "\"min_mod_revision\":\"8\"}"));
	cr_expect(is_told(&told, "begins settled 7\n"), "%s",
		  str_c(&told.text));
	cr_expect_eq(gateway_count(&told.world.gateways[0], "watch"), 1);
	told_free(&told);
}

/* The range knows of something that the watch never tells. */
Test(etcd_mirror, member_whose_watch_is_silent_is_left)
{
	struct told told;

	told_init(&told, 2, TIMEOUT_MS);
	range(&told, 0, NOTHING("7"));
	range(&told, 0, RANGE("8", KV("YQ==", "8"), ""));
	range(&told, 1, KEYS("8", "1"));
	watch(&told, 0, ETCD_CREATED("7"));
	watch(&told, 1, ETCD_CREATED("8") EVENTS("8", PUT("8", "YQ==")));
	told_start(&told);
	WAIT_TOLD(&told, "begins settled 7\na=1 settled 8\n");
	cr_expect_geq(gateway_count(&told.world.gateways[0], "kv/range"), 3);
	cr_expect_str_eq(etcd_member(told.world.etcd), told.world.urls[1].text);
	told_free(&told);
}

/* Nor of a deletion, of which the range only has that there is a key less. */
Test(etcd_mirror, member_whose_watch_tells_no_deletion_is_left)
{
	struct told told;

	told_init(&told, 2, TIMEOUT_MS);
	range(&told, 0, RANGE("7", KV("YQ==", "3") "," KV("Yg==", "5"), ""));
	range(&told, 0, KEYS("8", "1"));
	range(&told, 1, KEYS("8", "1"));
	watch(&told, 0, ETCD_CREATED("7"));
	watch(&told, 1, ETCD_CREATED("8") EVENTS("8", DELETE("8", "YQ==")));
	told_start(&told);
	WAIT_TOLD(&told, "begins a=1 b=1 settled 7\n-a@8 settled 8\n");
	cr_expect_str_eq(etcd_member(told.world.etcd), told.world.urls[1].text);
	cr_expect_eq(told.losses, 0);
	told_free(&told);
}

/* Keys of others change all the time. */
Test(etcd_mirror, as_many_keys_as_before_are_no_news)
{
	struct told told;

	told_init(&told, 2, TIMEOUT_MS);
	range(&told, 0, RANGE("7", KV("YQ==", "3") "," KV("Yg==", "5"), ""));
	range(&told, 0, KEYS("8", "2"));
	range(&told, 0, KEYS("20", "2"));
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT(&told.world, gateway_count(&told.world.gateways[0],
					"kv/range") == 6);
	cr_expect(is_told(&told, "begins a=1 b=1 settled 7\n"), "%s",
		  str_c(&told.text));
	cr_expect_eq(told.world.gateways[1].accepted, 0);
	told_free(&told);
}

/* Of "a" that changes, goes and comes back, "c" that comes, and "b" that goes, two
 * keys are left. */
Test(etcd_mirror, keys_are_counted)
{
	struct told told;
	struct gateway *gateway = &told.world.gateways[0];

	told_init(&told, 2, TIMEOUT_MS);
	range(&told, 0, RANGE("7", KV("YQ==", "3"), MORE));
	range(&told, 0, RANGE("7", KV("Yg==", "5"), ""));
	range(&told, 0, KEYS("14", "2"));
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT(&told.world, gateway->streams == 1);
	gateway_say(gateway,
		    EVENTS("9", "{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":"
			   "\"8\",\"version\":\"2\"}}," DELETE("9", "YQ=="))
		    EVENTS("14", PUT("10", "YQ==") "," PUT("11", "Yw==") ","
			   DELETE("12", "Yg==")));
	WAIT(&told.world, ends_in(&told, "settled 12\n"));
	WAIT(&told.world, gateway_count(gateway, "kv/range") == 6);
	cr_expect(ends_in(&told, "settled 12\n"), "%s", str_c(&told.text));
	cr_expect_eq(told.losses, 0);
	cr_expect_eq(told.world.gateways[1].accepted, 0);
	told_free(&told);
}

/* The deletion came a little later than the range. */
Test(etcd_mirror, deletion_may_be_later_than_the_range)
{
	struct told told;
	struct gateway *gateway = &told.world.gateways[0];

	told_init(&told, 2, TIMEOUT_MS);
	range(&told, 0, RANGE("7", KV("YQ==", "3"), ""));
	range(&told, 0, NOTHING("8"));
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT(&told.world, gateway_count(gateway, "kv/range") == 2);
	etcd_world_run(&told.world, 20);
	gateway_say(gateway, EVENTS("8", DELETE("8", "YQ==")));
	WAIT(&told.world, gateway_count(gateway, "kv/range") == 5);
	cr_expect(is_told(&told, "begins a=1 settled 7\n-a@8 settled 8\n"),
		  "%s", str_c(&told.text));
	cr_expect_eq(told.world.gateways[1].accepted, 0);
	told_free(&told);
}

/* No watch tells what there should be: all is read again. */
Test(etcd_mirror, what_no_watch_explains_is_read_again)
{
	struct told told;
	struct gateway *gateway = &told.world.gateways[0];

	told_init(&told, 1, TIMEOUT_MS);
	range(&told, 0, RANGE("7", KV("YQ==", "3"), ""));
	range(&told, 0, NOTHING("8"));
	watch(&told, 0, ETCD_CREATED("8"));
	told_start(&told);
	WAIT(&told.world, told.losses == 1);
	WAIT(&told.world, ends_in(&told, "lost\nbegins settled 8\n"));
	etcd_world_run(&told.world, 3 * TIMEOUT_MS);
	cr_expect_eq(told.losses, 1);
	cr_expect_geq(gateway_count(gateway, "watch"), 3);
	told_free(&told);
}

/* The watch only was a little later than the range. */
Test(etcd_mirror, watch_may_be_later_than_the_range)
{
	struct told told;

	told_init(&told, 2, TIMEOUT_MS);
	range(&told, 0, NOTHING("7"));
	range(&told, 0, RANGE("8", KV("YQ==", "8"), ""));
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT(&told.world, gateway_count(&told.world.gateways[0],
					"kv/range") == 2);
	gateway_say(&told.world.gateways[0], EVENTS("8", PUT("8", "YQ==")));
	WAIT(&told.world, gateway_count(&told.world.gateways[0],
					"kv/range") == 3);
	etcd_world_run(&told.world, 20);
	cr_expect(is_told(&told, "begins settled 7\na=1 settled 8\n"), "%s",
		  str_c(&told.text));
	cr_expect_eq(told.world.gateways[1].accepted, 0);
	told_free(&told);
}

/* The watch stays open, but the member cannot reach the others. */
Test(etcd_mirror, member_without_quorum_is_left)
{
	struct told told;

	told_init(&told, 2, 400);
	range(&told, 0, NOTHING("7"));
	gateway_reply(&told.world.gateways[0], (struct gateway_reply){
		.path = "kv/range", .how = GATEWAY_SILENT });
	range(&told, 1, NOTHING("9"));
	watch(&told, 0, ETCD_CREATED("7"));
	watch(&told, 1, ETCD_CREATED("9") EVENTS("9", PUT("9", "YQ==")));
	told_start(&told);
	WAIT_TOLD(&told, "begins settled 7\na=1 settled 9\n");
	told_free(&told);
}

Test(etcd_mirror, no_member_has_a_quorum)
{
	struct told told;

	told_init(&told, 1, 300);
	range(&told, 0, NOTHING("7"));
	gateway_reply(&told.world.gateways[0], (struct gateway_reply){
		"kv/range", ETCD_ERROR("etcdserver: no leader", "14"),
		GATEWAY_TRAILER, 503 });
	watch(&told, 0, ETCD_CREATED("7"));
	told_start(&told);
	WAIT_TOLD(&told, "begins settled 7\nlost\n");
	gateway_reset(&told.world.gateways[0]);
	range(&told, 0, NOTHING("8"));
	watch(&told, 0, ETCD_CREATED("8"));
	WAIT_TOLD(&told, "begins settled 7\nlost\nbegins settled 8\n");
	told_free(&told);
}

/* From a backup, with lower revisions: the watch must not wait for them. */
Test(etcd_mirror, cluster_that_was_restored)
{
	struct told told;
	struct gateway *gateway = &told.world.gateways[0];

	told_init(&told, 1, 300);
	range(&told, 0, NOTHING("700"));
	watch(&told, 0, ETCD_CREATED("700"));
	told_start(&told);
	WAIT(&told.world, gateway->streams == 1);
	gateway_reset(gateway);
	range(&told, 0, "{" ETCD_HEADER("5", "9", "1") "}");
	watch(&told, 0, ETCD_LINE(ETCD_HEADER("5", "9", "1")
				  ",\"created\":true"));
	gateway_end_streams(gateway);
	WAIT_TOLD(&told, "begins settled 700\nlost\nbegins settled 9\n");
	told_free(&told);
}

/* It has lost all its data, but is called as before. */
Test(etcd_mirror, cluster_that_begins_anew)
{
	struct told told;
	struct gateway *gateway = &told.world.gateways[0];

	told_init(&told, 1, 300);
	range(&told, 0, NOTHING("700"));
	watch(&told, 0, ETCD_CREATED("700"));
	told_start(&told);
	WAIT(&told.world, gateway->streams == 1);
	gateway_reset(gateway);
	range(&told, 0, NOTHING("9"));
	watch(&told, 0, ETCD_CREATED("9"));
	gateway_end_streams(gateway);
	WAIT_TOLD(&told, "begins settled 700\nlost\nbegins settled 9\n");
	told_free(&told);
}

Test(etcd_mirror, freed_at_any_time)
{
	struct told told;
	unsigned ms;

	for (ms = 1; ms < 12; ms++) {
		told_init(&told, 1, 4000);
		range(&told, 0, RANGE("7", KV("YQ==", "3"), MORE));
		range(&told, 0, RANGE("7", KV("Yg==", "3"), ""));
		watch(&told, 0, ETCD_CREATED("7"));
		told_start(&told);
		etcd_world_run(&told.world, ms);
		told_free(&told);
	}
}
