/* The watches of lib/etcd/etcd.h. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "lib/mem.h"
#include "t/etcd_gateway.h"

#define EVENT(revision) \
	ETCD_LINE(ETCD_AT(revision) ",\"events\":[{\"kv\":{\"key\":\"aw==\"," \
		  "\"mod_revision\":\"" revision "\"}}]")
#define CANCELED(inside) \
	ETCD_LINE(ETCD_AT("7") ",\"canceled\":true" inside)
#define REFUSED_TOKEN \
	ETCD_LINE(ETCD_AT("7") ",\"watch_id\":\"-1\",\"created\":true," \
		  "\"canceled\":true,\"cancel_reason\":\"rpc error: code = " \
		  "Unauthenticated desc = etcdserver: invalid auth token\"")
#define REFUSED_USER \
	ETCD_LINE(ETCD_AT("7") ",\"watch_id\":\"-1\",\"created\":true," \
		  "\"canceled\":true,\"cancel_reason\":\"rpc error: code = " \
		  "InvalidArgument desc = etcdserver: user name is empty\"")
#define TOKEN "{" ETCD_AT("7") ",\"token\":\"tok.1\"}"
#define TOKEN_2 "{" ETCD_AT("7") ",\"token\":\"tok.2\"}"
#define DONE "{" ETCD_AT("7") ",\"succeeded\":true}"

struct watcher {
	struct etcd_watch *watch;
	struct str seen; /* "created 7,", "8," */
	unsigned ends;
	enum etcd_watch_end how;
	char why[256];
};

static void line(void *arg, const struct etcd_watch_line *line)
{
	struct watcher *watcher = arg;
	size_t i;

	if (line->created)
		str_printf(&watcher->seen, "created %lld,",
			   (long long)line->header.revision);
	for (i = 0; i < line->count; i++)
		str_printf(&watcher->seen, "%lld,",
			   (long long)line->events[i].kv.mod_revision);
}

static void end(void *arg, enum etcd_watch_end how, const char *why)
{
	struct watcher *watcher = arg;

	watcher->watch = NULL;
	watcher->ends++;
	watcher->how = how;
	snprintf(watcher->why, sizeof(watcher->why), "%s", why);
}

static void watch(struct etcd_world *world, struct watcher *watcher)
{
	static const struct etcd_watch_events events = { line, end };
	static const struct etcd_header since = {
		.cluster_id = 16480892258270070991u, .revision = 7,
	};

	*watcher = (struct watcher){ .ends = 0 };
	watcher->watch = etcd_watch(world->etcd, (struct etcd_bytes){ "k", 1 },
				    &since, &events, watcher);
}

static void watch_free(struct watcher *watcher)
{
	etcd_watch_cancel(&watcher->watch);
	str_free(&watcher->seen);
}

static void reply(struct etcd_world *world, unsigned member,
		  const char *path, const char *body)
{
	gateway_reply(&world->gateways[member], (struct gateway_reply){
		path, body, strcmp(path, "watch") == 0 ? GATEWAY_STREAM :
		GATEWAY_ANSWER, 200 });
}

static bool saw(const struct watcher *watcher, const char *text)
{
	return strcmp(str_c(&watcher->seen), text) == 0;
}

static void start(struct etcd_world *world, unsigned members)
{
	etcd_world_init(world, members);
	etcd_world_start(world);
}

static void txn_done(void *arg, const struct etcd_txn_answer *answer,
		     const char *error)
{
	unsigned *calls = arg;

	(void)answer;
	(void)error;
	++*calls;
}

static void call(struct etcd_world *world)
{
	const struct etcd_txn txn = { .ops = NULL };
	unsigned calls = 0;

	etcd_txn(world->etcd, &txn, txn_done, &calls);
	WAIT(world, calls == 1);
}

Test(etcd_watch, lines_in_pieces)
{
	struct etcd_world world;
	struct watcher watcher;
	const char *text = EVENT("8") EVENT("9");
	char piece[2] = "";

	start(&world, 1);
	reply(&world, 0, "watch", ETCD_CREATED("7"));
	watch(&world, &watcher);
	WAIT(&world, saw(&watcher, "created 7,"));
	cr_expect(gateway_saw(&world.gateways[0], "\"start_revision\":\"8\""));
	for (; *text != '\0'; text++) {
		piece[0] = *text;
		gateway_say(&world.gateways[0], piece);
	}
	WAIT(&world, saw(&watcher, "created 7,8,9,"));
	etcd_watch_cancel(&watcher.watch);
	WAIT(&world, world.gateways[0].open == 0);
	cr_expect_eq(watcher.ends, 0);
	watch_free(&watcher);
	etcd_world_free(&world);
}

/* The timeout is that of its beginning. */
Test(etcd_watch, may_be_silent)
{
	struct etcd_world world;
	struct watcher watcher;

	etcd_world_init(&world, 1);
	world.settings.timeout_ms = 500;
	etcd_world_start(&world);
	reply(&world, 0, "watch", ETCD_CREATED("7"));
	watch(&world, &watcher);
	WAIT(&world, saw(&watcher, "created 7,"));
	etcd_world_run(&world, 1000);
	cr_expect_eq(watcher.ends, 0);
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, compacted_watch_stays_open)
{
	struct etcd_world world;
	struct watcher watcher;

	start(&world, 2);
	reply(&world, 0, "watch", ETCD_CREATED("7")
	      CANCELED(",\"compact_revision\":\"9\""));
	watch(&world, &watcher);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_HOPELESS);
	WAIT(&world, world.gateways[0].open == 0);
	cr_expect_str_eq(etcd_member(world.etcd), world.urls[0].text);
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, canceled_for_another_reason)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{ CANCELED(",\"cancel_reason\":\"permission denied\""),
		  "permission denied" },
		{ CANCELED(""), "etcd canceled the watch" },
	};
	size_t i;

	for (i = 0; i < 2; i++) {
		struct etcd_world world;
		struct watcher watcher;

		start(&world, 1);
		reply(&world, 0, "watch", cases[i].line);
		watch(&world, &watcher);
		WAIT(&world, watcher.ends == 1);
		cr_expect_eq(watcher.how, ETCD_WATCH_REFUSED);
		cr_expect_str_eq(watcher.why, cases[i].why);
		cr_expect(saw(&watcher, ""));
		WAIT(&world, world.gateways[0].open == 0);
		watch_free(&watcher);
		etcd_world_free(&world);
	}
}

/* It says so without the end of the line. */
Test(etcd_watch, member_that_is_stopped)
{
	struct etcd_world world;
	struct watcher watcher;

	start(&world, 2);
	reply(&world, 0, "watch", ETCD_CREATED("7"));
	watch(&world, &watcher);
	WAIT(&world, saw(&watcher, "created 7,"));
	gateway_say(&world.gateways[0], "{\"error\":{\"grpc_code\":14,"
		    "\"http_code\":503,\"message\":\"etcdserver: server "
		    "stopped\",\"http_status\":\"Service Unavailable\"}}");
	etcd_world_run(&world, 20);
	cr_expect_eq(watcher.ends, 0, "a line without an end may go on");
	gateway_end_streams(&world.gateways[0]);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_BROKEN);
	cr_expect_str_eq(watcher.why, "etcdserver: server stopped");
	cr_expect_str_eq(etcd_member(world.etcd), world.urls[1].text);
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, error_line_of_another_kind)
{
	struct etcd_world world;
	struct watcher watcher;

	start(&world, 1);
	reply(&world, 0, "watch", "{\"error\":{\"grpc_code\":7,"
	      "\"message\":\"permission denied\"}}\n");
	watch(&world, &watcher);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_REFUSED);
	cr_expect_str_eq(watcher.why, "permission denied");
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, streams_that_end)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct etcd_world world;
		struct watcher watcher;

		start(&world, 2);
		reply(&world, 0, "watch", ETCD_CREATED("7"));
		watch(&world, &watcher);
		WAIT(&world, saw(&watcher, "created 7,"));
		if (i == 0)
			gateway_end_streams(&world.gateways[0]);
		else
			gateway_down(&world.gateways[0]);
		WAIT(&world, watcher.ends == 1);
		cr_expect_eq(watcher.how, ETCD_WATCH_BROKEN, "%s",
			     watcher.why);
		cr_expect_str_eq(etcd_member(world.etcd), world.urls[1].text);
		watch_free(&watcher);
		etcd_world_free(&world);
	}
}

Test(etcd_watch, begins_at_the_next_member)
{
	static const struct gateway_reply cases[] = {
		{ .path = "watch", .how = GATEWAY_BREAK },
		{ .path = "watch", .how = GATEWAY_SILENT },
		{ "watch", ETCD_ERROR("etcdserver: no leader", "14"),
		  GATEWAY_TRAILER, 503 },
		{ "watch", "not etcd\n", GATEWAY_STREAM, 200 },
		{ "watch", "{\"error\":{\"grpc_code\":14}}", GATEWAY_ANSWER,
		  200 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct etcd_world world;
		struct watcher watcher;

		etcd_world_init(&world, 2);
		world.settings.timeout_ms = 1000;
		etcd_world_start(&world);
		gateway_reply(&world.gateways[0], cases[i]);
		reply(&world, 1, "watch", ETCD_CREATED("7") EVENT("8"));
		watch(&world, &watcher);
		WAIT(&world, saw(&watcher, "created 7,8,"));
		cr_expect_eq(watcher.ends, 0, "case %zu", i);
		cr_expect_eq(gateway_count(&world.gateways[0], "watch"), 1);
		watch_free(&watcher);
		etcd_world_free(&world);
	}
}

Test(etcd_watch, nobody_takes_it)
{
	struct etcd_world world;
	struct watcher watcher;

	etcd_world_init(&world, 1);
	world.settings.timeout_ms = 300;
	etcd_world_start(&world);
	gateway_down(&world.gateways[0]);
	watch(&world, &watcher);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_REFUSED);
	cr_expect(strstr(watcher.why, "no answer within 300 ms; http://") !=
		  NULL, "%s", watcher.why);
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, refused_by_status)
{
	struct etcd_world world;
	struct watcher watcher;

	start(&world, 1);
	gateway_reply(&world.gateways[0], (struct gateway_reply){
		"watch", ETCD_ERROR("unknown field", "3"), GATEWAY_TRAILER,
		400 });
	watch(&world, &watcher);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_REFUSED);
	cr_expect_str_eq(watcher.why, "unknown field");
	watch_free(&watcher);
	etcd_world_free(&world);
}

/* It answers 200, says that it is created and canceled, and stays open. */
Test(etcd_watch, refused_token_is_renewed_once)
{
	static const char *const lines[] = { REFUSED_TOKEN, REFUSED_USER };
	size_t i;

	for (i = 0; i < 2; i++) {
		struct etcd_world world;
		struct watcher watcher;

		etcd_world_init(&world, 1);
		world.settings.user = "way";
		etcd_world_start(&world);
		reply(&world, 0, "auth/authenticate", TOKEN);
		reply(&world, 0, "auth/authenticate", TOKEN_2);
		reply(&world, 0, "watch", lines[i]);
		reply(&world, 0, "watch", ETCD_CREATED("7"));
		watch(&world, &watcher);
		WAIT(&world, saw(&watcher, "created 7,"));
		cr_expect(gateway_saw(&world.gateways[0], "watch tok.1 "));
		cr_expect(gateway_saw(&world.gateways[0], "watch tok.2 "));
		WAIT(&world, world.gateways[0].streams == 1);
		cr_expect_eq(watcher.ends, 0);
		watch_free(&watcher);
		etcd_world_free(&world);
	}
}

Test(etcd_watch, token_that_is_refused_again)
{
	struct etcd_world world;
	struct watcher watcher;

	etcd_world_init(&world, 1);
	world.settings.user = "way";
	etcd_world_start(&world);
	reply(&world, 0, "auth/authenticate", TOKEN);
	reply(&world, 0, "watch", REFUSED_TOKEN);
	watch(&world, &watcher);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_REFUSED);
	cr_expect(strstr(watcher.why, "invalid auth token") != NULL);
	cr_expect_eq(gateway_count(&world.gateways[0], "watch"), 2);
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, wrong_password)
{
	struct etcd_world world;
	struct watcher watcher;

	etcd_world_init(&world, 1);
	world.settings.user = "way";
	etcd_world_start(&world);
	gateway_reply(&world.gateways[0], (struct gateway_reply){
		"auth/authenticate", ETCD_ERROR("etcdserver: authentication "
						"failed", "3"),
		GATEWAY_TRAILER, 400 });
	watch(&world, &watcher);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_REFUSED);
	cr_expect(strstr(watcher.why, "login as way failed") != NULL);
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, line_that_is_too_long)
{
	struct str text = STR_INIT;
	struct etcd_world world;
	struct watcher watcher;

	while (text.len <= ETCD_MAX_LINE)
		str_puts(&text, "0123456789012345678901234567890123456789");
	start(&world, 1);
	reply(&world, 0, "watch", ETCD_CREATED("7"));
	watch(&world, &watcher);
	WAIT(&world, saw(&watcher, "created 7,"));
	gateway_say(&world.gateways[0], str_c(&text));
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_HOPELESS, "%s", watcher.why);
	str_free(&text);
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, unreadable_line)
{
	struct etcd_world world;
	struct watcher watcher;

	start(&world, 2);
	reply(&world, 0, "watch", ETCD_CREATED("7") "{\"result\":\n");
	watch(&world, &watcher);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_BROKEN);
	cr_expect_str_eq(etcd_member(world.etcd), world.urls[1].text);
	watch_free(&watcher);
	etcd_world_free(&world);
}

/* A call finds out that the member is cut off, and the watch goes, too. */
Test(etcd_watch, moves_with_the_calls)
{
	struct etcd_world world;
	struct watcher watcher;

	etcd_world_init(&world, 2);
	world.settings.timeout_ms = 1000;
	etcd_world_start(&world);
	reply(&world, 0, "watch", ETCD_CREATED("7"));
	reply(&world, 1, "kv/txn", DONE);
	watch(&world, &watcher);
	WAIT(&world, saw(&watcher, "created 7,"));
	call(&world);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_BROKEN);
	WAIT(&world, world.gateways[0].open == 0);
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, distrusted_member_is_left)
{
	static const char *const lines[] = {
		ETCD_LINE(ETCD_HEADER("5", "7", "2") ",\"created\":true"),
		ETCD_LINE(ETCD_HEADER("16480892258270070991", "7", "1")
			  ",\"created\":true"),
	};
	size_t i;

	for (i = 0; i < 2; i++) {
		struct etcd_world world;
		struct watcher watcher;

		start(&world, 2);
		reply(&world, 0, "kv/txn", DONE);
		reply(&world, 0, "watch", lines[i]);
		reply(&world, 1, "watch", ETCD_CREATED("7"));
		call(&world);
		watch(&world, &watcher);
		WAIT(&world, saw(&watcher, "created 7,"));
		cr_expect_str_eq(etcd_member(world.etcd), world.urls[1].text);
		watch_free(&watcher);
		etcd_world_free(&world);
	}
}

/* It has counted terms by itself; the others are not old for that. */
Test(etcd_watch, member_that_was_cut_off_makes_nobody_look_old)
{
	struct etcd_world world;
	struct watcher watcher;

	etcd_world_init(&world, 2);
	world.settings.timeout_ms = 1000;
	etcd_world_start(&world);
	reply(&world, 0, "watch", ETCD_LINE(
		ETCD_HEADER("16480892258270070991", "7", "50")
		",\"created\":true"));
	reply(&world, 1, "kv/txn", DONE);
	reply(&world, 1, "watch", ETCD_CREATED("7"));
	watch(&world, &watcher);
	WAIT(&world, saw(&watcher, "created 7,"));
	call(&world);
	WAIT(&world, watcher.ends == 1);
	watch_free(&watcher);
	watch(&world, &watcher);
	WAIT(&world, saw(&watcher, "created 7,"));
	cr_expect_str_eq(etcd_member(world.etcd), world.urls[1].text);
	watch_free(&watcher);
	etcd_world_free(&world);
}

/* It will be as far some time; until then nobody should rely on it. */
Test(etcd_watch, member_that_is_behind_is_left)
{
	struct etcd_world world;
	struct watcher watcher;

	start(&world, 2);
	reply(&world, 0, "watch", ETCD_CREATED("6"));
	reply(&world, 1, "watch", ETCD_CREATED("7"));
	watch(&world, &watcher);
	WAIT(&world, saw(&watcher, "created 7,"));
	cr_expect_str_eq(etcd_member(world.etcd), world.urls[1].text);
	watch_free(&watcher);
	etcd_world_free(&world);
}

Test(etcd_watch, revisions_of_another_cluster)
{
	struct etcd_world world;
	struct watcher watcher;

	start(&world, 1);
	reply(&world, 0, "watch", ETCD_LINE(ETCD_HEADER("5", "900", "2")
					    ",\"created\":true"));
	watch(&world, &watcher);
	WAIT(&world, watcher.ends == 1);
	cr_expect_eq(watcher.how, ETCD_WATCH_HOPELESS);
	cr_expect(saw(&watcher, ""));
	watch_free(&watcher);
	etcd_world_free(&world);
}

/* While it waits for a login, for a pause, for its end. */
Test(etcd_watch, cancel)
{
	struct etcd_world world;
	struct watcher watcher;

	etcd_world_init(&world, 1);
	world.settings.user = "way";
	etcd_world_start(&world);
	watch(&world, &watcher);
	WAIT(&world, gateway_count(&world.gateways[0],
				   "auth/authenticate") == 1);
	watch_free(&watcher);
	gateway_down(&world.gateways[0]);
	etcd_world_run(&world, 20);
	watch(&world, &watcher);
	etcd_world_run(&world, 20);
	watch_free(&watcher);
	etcd_world_run(&world, 200);
	cr_expect_eq(watcher.ends, 0);
	etcd_world_free(&world);
}
