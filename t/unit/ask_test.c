/* Lookups through the cache, with a passdb that answers when it is told to. */
#include "passdb/ask.h"

#include "passdb/shared.h"
#include "t/unit/loop_helper.h"
#include "t/unit/passdb_helper.h"

#define REQUESTS 8

static struct helper helper;

/* --- the passdb --- */

static struct passdb_request *asked[REQUESTS];
static unsigned lookups, waiting, cancelled;
static enum passdb_answer at_once; /* PASSDB_ANSWER_WAIT: later */
static const char *host;
static bool fails_half_way; /* behind some of its fields */

static enum passdb_answer say(struct passdb_request *request,
			      enum passdb_answer answer)
{
	struct passdb_key key = passdb_key_parse(request->arena, "host");
	struct err err;

	if (answer == PASSDB_ANSWER_FOUND)
		passdb_request_put(request, &key, host, &err);
	if (answer == PASSDB_ANSWER_FAIL && fails_half_way) {
		key = passdb_key_parse(request->arena, "port");
		passdb_request_put(request, &key, "99", &err);
		key = passdb_key_parse(request->arena, "user");
		passdb_request_put(request, &key, "somebody", &err);
	}
	return answer;
}

static enum passdb_answer fake_lookup(void *state,
				      struct passdb_request *request)
{
	(void)state;
	lookups++;
	if (at_once != PASSDB_ANSWER_WAIT)
		return say(request, at_once);
	cr_assert_lt(waiting, REQUESTS);
	asked[waiting++] = request;
	return PASSDB_ANSWER_WAIT;
}

static void fake_cancel(struct passdb_request *request)
{
	unsigned i;

	for (i = 0; i < waiting && asked[i] != request; i++)
		;
	cr_assert_lt(i, waiting, "the driver was not asked");
	asked[i] = asked[--waiting];
	cancelled++;
}

static bool fake_key(void *state, const struct passdb_request *request,
		     struct str *key)
{
	(void)state;
	str_puts(key, request->username);
	return strcmp(request->username, "unkept") != 0;
}

static void fake_close(void *shared)
{
	(void)shared;
}

static const struct passdb_driver fake = {
	.name = "fake",
	.lookup = fake_lookup,
	.cancel = fake_cancel,
	.cache_key = fake_key,
	.close = fake_close,
};

static void answer(enum passdb_answer what)
{
	struct passdb_request *request = asked[--waiting];

	passdb_answer(request, say(request, what));
}

/* --- lookups --- */

static struct passdb_request requests[REQUESTS];
static struct arena *arenas[REQUESTS];
static unsigned done;

static void request_done(struct passdb_request *request)
{
	(void)request;
	done++;
}

static void use_fake(struct passdb_entry *entry)
{
	entry->driver->close(entry->shared);
	entry->driver = &fake;
	entry->shared = NULL;
}

static void setup(void)
{
	helper_init(&helper);
	helper.settings.cache_size = 64 * 1024;
	helper.settings.cache_ttl_ms = 3600000;
	helper.settings.cache_negative_ttl_ms = 3600000;
	helper_add(&helper, "static", "nopassword=y");
	helper_add_userdb(&helper, "static", "uid=1 gid=1 home=/h");
	helper_open(&helper);
	passdb_free(&helper.passdb);
	use_fake(&helper.shared->chains[PASSDB_KIND_PASS].entries[0]);
	use_fake(&helper.shared->chains[PASSDB_KIND_USER].entries[0]);
	helper.passdb = passdb_new(helper.loop, NULL, helper.shared);
	host = "one";
}

static void teardown(void)
{
	unsigned i;

	for (i = 0; i < REQUESTS; i++)
		arena_free(&arenas[i]);
	helper_close(&helper);
}

TestSuite(ask, .init = setup, .fini = teardown, .timeout = 60);

static void start_kind(unsigned i, const char *user, enum passdb_kind kind)
{
	arena_free(&arenas[i]);
	arenas[i] = arena_new(256);
	requests[i] = (struct passdb_request){
		.arena = arenas[i], .user = user, .client = &helper.client,
		.log = &helper.log, .done = request_done,
	};
	passdb_request_start(helper.passdb, &requests[i], kind);
}

static void start(unsigned i, const char *user)
{
	start_kind(i, user, PASSDB_KIND_PASS);
}

static void pump(void)
{
	pass(helper.loop);
}

static void expect(unsigned i, enum passdb_result result, const char *value)
{
	const char *got = passdb_fields_get(&requests[i].fields, "host");

	cr_assert_null(requests[i].passdb, "lookup %u is not over", i);
	cr_assert_eq(requests[i].result, result, "lookup %u", i);
	if (value != NULL)
		cr_assert_str_eq(got, value);
}

/* What is kept has expired from now on. */
static void expire(void)
{
	struct passdb_cache_answer kept;
	struct passdb_cache *old = helper.shared->cache;

	cr_assert_neq(passdb_cache_get(old, "0\t0\tjoe", 7, 0, arenas[0], &kept),
		      PASSDB_CACHE_NONE);
	helper.shared->cache = passdb_cache_new(64 * 1024, 1, 1);
	passdb_cache_put(helper.shared->cache, "0\t0\tjoe", 7, 0, &kept);
	passdb_cache_free(&old);
}

Test(ask, a_second_lookup_is_answered_by_the_cache)
{
	at_once = PASSDB_ANSWER_FOUND;
	start(0, "joe");
	pump();
	host = "two";
	start(1, "joe");
	start(2, "ann");
	pump();
	expect(0, PASSDB_OK, "one");
	expect(1, PASSDB_OK, "one");
	expect(2, PASSDB_OK, "two");
	cr_assert_eq(lookups, 2);
}

Test(ask, what_a_passdb_says_is_no_answer_of_a_userdb)
{
	at_once = PASSDB_ANSWER_FOUND;
	start(0, "joe");
	pump();
	start_kind(1, "joe", PASSDB_KIND_USER);
	start_kind(2, "joe", PASSDB_KIND_USER);
	pump();
	cr_assert_eq(lookups, 2);
}

Test(ask, that_there_is_no_such_user_is_kept_too)
{
	at_once = PASSDB_ANSWER_NOT_FOUND;
	start(0, "joe");
	pump();
	at_once = PASSDB_ANSWER_FOUND;
	start(1, "joe");
	pump();
	expect(1, PASSDB_NOT_FOUND, NULL);
	cr_assert_eq(lookups, 1);
}

Test(ask, what_has_no_key_is_not_kept)
{
	at_once = PASSDB_ANSWER_FOUND;
	start(0, "unkept");
	pump();
	start(1, "unkept");
	pump();
	expect(1, PASSDB_OK, "one");
	cr_assert_eq(lookups, 2);
}

Test(ask, a_failure_is_not_kept)
{
	at_once = PASSDB_ANSWER_FAIL;
	start(0, "joe");
	pump();
	expect(0, PASSDB_FAIL, NULL);
	at_once = PASSDB_ANSWER_FOUND;
	start(1, "joe");
	pump();
	expect(1, PASSDB_OK, "one");
}

Test(ask, an_expired_answer_does_when_there_is_no_other)
{
	at_once = PASSDB_ANSWER_FOUND;
	start(0, "joe");
	pump();
	expire();
	at_once = PASSDB_ANSWER_FAIL;
	host = "two";
	start(1, "joe");
	pump();
	expect(1, PASSDB_OK, "one");
	at_once = PASSDB_ANSWER_FOUND;
	start(2, "joe");
	pump();
	expect(2, PASSDB_OK, "two");
	cr_assert_eq(lookups, 3);
}

/* Nobody is bounced because a passdb is down. */
Test(ask, an_expired_answer_is_not_mixed_with_half_of_another)
{
	at_once = PASSDB_ANSWER_FOUND;
	start(0, "joe");
	pump();
	expire();
	at_once = PASSDB_ANSWER_FAIL;
	fails_half_way = true;
	start(1, "joe");
	pump();
	expect(1, PASSDB_OK, "one");
	cr_assert_null(passdb_fields_get(&requests[1].fields, "port"));
	cr_assert_str_eq(requests[1].username, "joe");
}

Test(ask, an_expired_no_such_user_is_no_answer)
{
	at_once = PASSDB_ANSWER_NOT_FOUND;
	start(0, "joe");
	pump();
	expire();
	at_once = PASSDB_ANSWER_FAIL;
	start(1, "joe");
	pump();
	expect(1, PASSDB_FAIL, NULL);
	helper.settings.lookup_timeout_ms = 10;
	at_once = PASSDB_ANSWER_WAIT;
	start(2, "joe");
	while (done < 3)
		pump();
	expect(2, PASSDB_FAIL, NULL);
}

Test(ask, equal_lookups_are_made_once)
{
	unsigned i;

	at_once = PASSDB_ANSWER_WAIT;
	for (i = 0; i < 4; i++)
		start(i, "joe");
	start(4, "ann");
	cr_assert_eq(lookups, 2);
	answer(PASSDB_ANSWER_NOT_FOUND);
	answer(PASSDB_ANSWER_FOUND);
	pump();
	for (i = 0; i < 4; i++)
		expect(i, PASSDB_OK, "one");
	expect(4, PASSDB_NOT_FOUND, NULL);
	cr_assert_eq(done, 5);
}

/* What is under way when the cache is flushed may be what was wrong. */
Test(ask, who_comes_after_a_flush_gets_another_answer)
{
	at_once = PASSDB_ANSWER_WAIT;
	start(0, "joe");
	passdb_shared_cache_flush(helper.shared);
	start(1, "joe");
	cr_assert_eq(lookups, 2);
	host = "new";
	answer(PASSDB_ANSWER_FOUND);
	host = "old";
	answer(PASSDB_ANSWER_FOUND);
	start(2, "joe");
	pump();
	expect(0, PASSDB_OK, "old");
	expect(1, PASSDB_OK, "new");
	expect(2, PASSDB_OK, "new");
	cr_assert_eq(lookups, 2);
}

Test(ask, a_failure_is_everybodys)
{
	at_once = PASSDB_ANSWER_WAIT;
	start(0, "joe");
	start(1, "joe");
	answer(PASSDB_ANSWER_FAIL);
	pump();
	expect(0, PASSDB_FAIL, NULL);
	expect(1, PASSDB_FAIL, NULL);
}

Test(ask, the_next_goes_on_for_one_that_is_given_up)
{
	at_once = PASSDB_ANSWER_WAIT;
	start(0, "joe");
	start(1, "joe");
	start(2, "joe");
	passdb_cancel(&requests[0]);
	cr_assert_eq(cancelled, 1);
	cr_assert_eq(lookups, 2);
	arena_free(&arenas[0]);
	answer(PASSDB_ANSWER_FOUND);
	pump();
	expect(1, PASSDB_OK, "one");
	expect(2, PASSDB_OK, "one");
}

Test(ask, a_follower_that_is_given_up_is_forgotten)
{
	at_once = PASSDB_ANSWER_WAIT;
	start(0, "joe");
	start(1, "joe");
	passdb_cancel(&requests[1]);
	arena_free(&arenas[1]);
	cr_assert_eq(cancelled, 0);
	answer(PASSDB_ANSWER_FOUND);
	pump();
	expect(0, PASSDB_OK, "one");
	cr_assert_eq(done, 1);
}

Test(ask, an_answer_at_once_for_followers_of_one_given_up)
{
	at_once = PASSDB_ANSWER_WAIT;
	start(0, "joe");
	start(1, "joe");
	start(2, "joe");
	at_once = PASSDB_ANSWER_FOUND;
	passdb_cancel(&requests[0]);
	pump();
	expect(1, PASSDB_OK, "one");
	expect(2, PASSDB_OK, "one");
}

Test(ask, a_passdb_that_does_not_answer_leaves_the_expired)
{
	at_once = PASSDB_ANSWER_FOUND;
	start(0, "joe");
	pump();
	expire();
	helper.settings.lookup_timeout_ms = 10;
	at_once = PASSDB_ANSWER_WAIT;
	start(1, "joe");
	start(2, "joe");
	while (done < 3)
		pump();
	expect(1, PASSDB_OK, "one");
	expect(2, PASSDB_OK, "one");
	cr_assert_eq(waiting, 0);
}
