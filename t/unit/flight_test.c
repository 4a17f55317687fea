/* Equal lookups of several chains, each with a loop of its own: the test is all
 * of their threads, and says whose turn it is. */
#include "passdb/flight.h"

#include "passdb/ask.h"
#include "passdb/shared.h"
#include "passdb/stats.h"
#include "t/unit/loop_helper.h"
#include "t/unit/passdb_helper.h"

#define CHAINS 3
#define REQUESTS 4 /* of each chain */

struct lookup {
	struct passdb_request request;
	struct arena *arena;
	bool done;
};

/* A thread's end, and what its passdb was asked and did not answer yet. */
struct chain {
	struct loop *loop;
	struct passdb *passdb;
	struct lookup lookups[REQUESTS];
	struct passdb_request *asked[REQUESTS];
	unsigned waiting;
	struct passdb_stats stats;
};

static struct helper helper;
static struct chain chains[CHAINS];
static unsigned asked, cancelled;
static enum passdb_answer at_once; /* PASSDB_ANSWER_WAIT: later */

/* --- the passdb --- */

static enum passdb_answer say(struct passdb_request *request,
			      enum passdb_answer answer)
{
	struct passdb_key key = passdb_key_parse(request->arena, "host");
	struct err err;

	if (answer == PASSDB_ANSWER_FOUND)
		passdb_request_put(request, &key, request->username, &err);
	return answer;
}

static struct chain *chain_of(const struct passdb_request *request)
{
	struct chain *chain = chains;

	while (chain->passdb != request->passdb)
		chain++;
	return chain;
}

static enum passdb_answer fake_lookup(void *state,
				      struct passdb_request *request)
{
	struct chain *chain = chain_of(request);

	(void)state;
	asked++;
	if (at_once != PASSDB_ANSWER_WAIT)
		return say(request, at_once);
	chain->asked[chain->waiting++] = request;
	return PASSDB_ANSWER_WAIT;
}

static void fake_cancel(struct passdb_request *request)
{
	struct chain *chain = chain_of(request);
	unsigned i;

	for (i = 0; i < chain->waiting && chain->asked[i] != request; i++)
		;
	cr_assert_lt(i, chain->waiting, "the driver was not asked");
	chain->asked[i] = chain->asked[--chain->waiting];
	cancelled++;
}

static bool fake_key(void *state, const struct passdb_request *request,
		     struct str *key)
{
	(void)state;
	str_puts(key, request->username);
	return true;
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

/* What was asked last on that chain. */
static void answer(struct chain *chain, enum passdb_answer what)
{
	struct passdb_request *request;

	cr_assert_gt(chain->waiting, 0, "nothing was asked");
	request = chain->asked[--chain->waiting];
	passdb_answer(request, say(request, what));
}

/* --- chains --- */

static void chain_open(struct chain *chain)
{
	chain->loop = loop_new();
	chain->passdb = passdb_new(chain->loop, NULL, helper.shared);
	passdb_count(chain->passdb, &chain->stats);
}

static void chain_close(struct chain *chain)
{
	unsigned i;

	for (i = 0; i < REQUESTS; i++) {
		passdb_cancel(&chain->lookups[i].request);
		arena_free(&chain->lookups[i].arena);
	}
	passdb_free(&chain->passdb);
	loop_free(&chain->loop);
}

static void setup(void)
{
	struct passdb_entry *entry;
	unsigned i;

	helper_init(&helper);
	helper.settings.cache_size = 64 * 1024;
	helper.settings.cache_ttl_ms = 3600000;
	helper.settings.cache_negative_ttl_ms = 0; /* is not kept */
	helper_add(&helper, "static", "nopassword=y");
	helper_open(&helper);
	passdb_free(&helper.passdb);
	entry = &helper.shared->chains[PASSDB_KIND_PASS].entries[0];
	entry->driver->close(entry->shared);
	entry->driver = &fake;
	entry->shared = NULL;
	for (i = 0; i < CHAINS; i++)
		chain_open(&chains[i]);
	at_once = PASSDB_ANSWER_WAIT;
}

static void teardown(void)
{
	unsigned i;

	for (i = 0; i < CHAINS; i++)
		chain_close(&chains[i]);
	helper_close(&helper);
}

TestSuite(flight, .init = setup, .fini = teardown, .timeout = 60);

static void lookup_done(struct passdb_request *request)
{
	container_of(request, struct lookup, request)->done = true;
}

static void start(struct chain *chain, unsigned i, const char *user)
{
	struct lookup *lookup = &chain->lookups[i];

	arena_free(&lookup->arena);
	lookup->arena = arena_new(256);
	lookup->done = false;
	lookup->request = (struct passdb_request){
		.arena = lookup->arena, .user = user,
		.client = &helper.client, .log = &helper.log,
		.done = lookup_done,
	};
	passdb_lookup(chain->passdb, &lookup->request);
}

/* The client has gone. */
static void cancel(struct chain *chain, unsigned i)
{
	passdb_cancel(&chain->lookups[i].request);
	arena_free(&chain->lookups[i].arena);
}

static void start_everywhere(const char *user)
{
	unsigned i;

	for (i = 0; i < CHAINS; i++)
		start(&chains[i], 0, user);
}

/* It is the turn of that chain. */
static void turn(struct chain *chain)
{
	pass(chain->loop);
}

static void everybodys_turn(void)
{
	unsigned i;

	for (i = 0; i < CHAINS; i++)
		turn(&chains[i]);
}

static void wait_for(struct chain *chain, unsigned i)
{
	while (!chain->lookups[i].done)
		turn(chain);
}

static void expect(struct chain *chain, unsigned i, enum passdb_result result)
{
	const struct passdb_request *request = &chain->lookups[i].request;

	cr_assert(chain->lookups[i].done, "chain %d, lookup %u is not over",
		  (int)(chain - chains), i);
	cr_assert_eq(request->result, result, "chain %d, lookup %u: %d",
		     (int)(chain - chains), i, (int)request->result);
	if (result == PASSDB_OK)
		cr_assert_str_eq(passdb_fields_get(&request->fields, "host"),
				 request->username);
}

static void expect_everywhere(enum passdb_result result)
{
	unsigned i;

	everybodys_turn();
	for (i = 0; i < CHAINS; i++)
		expect(&chains[i], 0, result);
}

/* Puts an answer into the cache that has expired. */
static void keep_expired(const char *user)
{
	at_once = PASSDB_ANSWER_FOUND;
	passdb_cache_free(&helper.shared->cache);
	helper.shared->cache = passdb_cache_new(64 * 1024, 1, 1);
	start(&chains[0], 0, user);
	turn(&chains[0]);
	expect(&chains[0], 0, PASSDB_OK);
	loop_now_us(chains[0].loop);
	helper_run_ms(&helper, 3);
	everybodys_turn();
	at_once = PASSDB_ANSWER_WAIT;
	asked = 0;
}

/* --- one answer for all --- */

Test(flight, one_asks_for_all)
{
	start_everywhere("joe");
	start(&chains[1], 1, "joe");
	start(&chains[2], 1, "ann");
	cr_assert_eq(asked, 2);
	answer(&chains[0], PASSDB_ANSWER_FOUND);
	turn(&chains[0]);
	expect(&chains[0], 0, PASSDB_OK);
	cr_assert_not(chains[1].lookups[0].done);
	expect_everywhere(PASSDB_OK);
	expect(&chains[1], 1, PASSDB_OK);
	cr_assert_not(chains[2].lookups[1].done);
	answer(&chains[2], PASSDB_ANSWER_FOUND);
	turn(&chains[2]);
	expect(&chains[2], 1, PASSDB_OK);
	cr_assert_eq(asked, 2);
}

Test(flight, an_answer_that_is_not_kept_is_everybodys)
{
	start_everywhere("joe");
	answer(&chains[0], PASSDB_ANSWER_NOT_FOUND);
	expect_everywhere(PASSDB_NOT_FOUND);
	cr_assert_eq(asked, 1);
	start_everywhere("joe");
	cr_assert_eq(asked, 2);
	answer(&chains[0], PASSDB_ANSWER_NOT_FOUND);
	expect_everywhere(PASSDB_NOT_FOUND);
}

Test(flight, a_failure_is_everybodys)
{
	start_everywhere("joe");
	answer(&chains[0], PASSDB_ANSWER_FAIL);
	expect_everywhere(PASSDB_FAIL);
	cr_assert_eq(asked, 1);
}

Test(flight, after_a_failure_what_has_expired_does_for_all)
{
	keep_expired("joe");
	start_everywhere("joe");
	cr_assert_eq(asked, 1);
	answer(&chains[0], PASSDB_ANSWER_FAIL);
	expect_everywhere(PASSDB_OK);
	cr_assert_eq(asked, 1);
}

Test(flight, what_follows_is_not_counted_as_asked)
{
	unsigned i;

	start_everywhere("joe");
	answer(&chains[0], PASSDB_ANSWER_FOUND);
	expect_everywhere(PASSDB_OK);
	for (i = 0; i < CHAINS; i++)
		cr_assert_eq(passdb_stats_find(&chains[i].stats, "fake")->found,
			     i == 0);
}

/* --- who leads is given up --- */

Test(flight, another_asks_for_one_that_is_given_up)
{
	start_everywhere("joe");
	start(&chains[1], 1, "joe");
	cancel(&chains[0], 0);
	cr_assert_eq(cancelled, 1);
	start(&chains[0], 0, "joe"); /* follows again */
	cr_assert_eq(asked, 1);
	everybodys_turn();
	cr_assert_eq(asked, 2);
	answer(&chains[1], PASSDB_ANSWER_FOUND);
	expect_everywhere(PASSDB_OK);
	expect(&chains[1], 1, PASSDB_OK);
	cr_assert_eq(asked, 2);
}

Test(flight, first_of_all_the_next_on_the_same_chain)
{
	start(&chains[0], 0, "joe");
	start(&chains[1], 0, "joe");
	start(&chains[0], 1, "joe");
	cancel(&chains[0], 0);
	cr_assert_eq(asked, 2);
	answer(&chains[0], PASSDB_ANSWER_FOUND);
	everybodys_turn();
	expect(&chains[0], 1, PASSDB_OK);
	expect(&chains[1], 0, PASSDB_OK);
	cr_assert_eq(asked, 2);
}

Test(flight, who_is_to_ask_may_be_given_up_before_it_does)
{
	start_everywhere("joe");
	cancel(&chains[0], 0);
	cancel(&chains[1], 0);
	everybodys_turn();
	cr_assert_eq(asked, 2);
	answer(&chains[2], PASSDB_ANSWER_FOUND);
	turn(&chains[2]);
	expect(&chains[2], 0, PASSDB_OK);
	cancel(&chains[2], 0);
	start(&chains[0], 0, "joe");
	turn(&chains[0]);
	expect(&chains[0], 0, PASSDB_OK);
}

Test(flight, who_was_to_ask_leaves_that_to_the_next_on_its_chain)
{
	start_everywhere("joe");
	start(&chains[1], 1, "joe");
	cancel(&chains[0], 0);
	cancel(&chains[1], 0);
	cr_assert_eq(asked, 2); /* at once */
	everybodys_turn();
	cr_assert_eq(asked, 2);
	answer(&chains[1], PASSDB_ANSWER_FOUND);
	everybodys_turn();
	expect(&chains[1], 1, PASSDB_OK);
	expect(&chains[2], 0, PASSDB_OK);
}

Test(flight, all_are_given_up)
{
	start_everywhere("joe");
	cancel(&chains[0], 0);
	cancel(&chains[2], 0);
	cancel(&chains[1], 0);
	everybodys_turn();
	cr_assert_eq(asked, 1);
	start_everywhere("joe");
	cr_assert_eq(asked, 2);
	answer(&chains[0], PASSDB_ANSWER_FOUND);
	expect_everywhere(PASSDB_OK);
}

Test(flight, who_asks_then_gets_an_answer_at_once)
{
	start_everywhere("joe");
	start(&chains[1], 1, "joe");
	cancel(&chains[0], 0);
	at_once = PASSDB_ANSWER_FOUND;
	turn(&chains[1]);
	turn(&chains[2]);
	expect(&chains[1], 0, PASSDB_OK);
	expect(&chains[1], 1, PASSDB_OK);
	expect(&chains[2], 0, PASSDB_OK);
	cr_assert_eq(asked, 2);
}

/* --- who follows is given up --- */

Test(flight, one_that_follows_is_forgotten)
{
	start_everywhere("joe");
	cancel(&chains[1], 0);
	cr_assert_eq(cancelled, 0);
	answer(&chains[0], PASSDB_ANSWER_FOUND);
	everybodys_turn();
	expect(&chains[0], 0, PASSDB_OK);
	expect(&chains[2], 0, PASSDB_OK);
}

Test(flight, others_of_its_chain_go_on_following)
{
	start(&chains[0], 0, "joe");
	start(&chains[1], 0, "joe");
	start(&chains[1], 1, "joe");
	start(&chains[1], 2, "joe");
	cancel(&chains[1], 0);
	start(&chains[1], 3, "joe");
	cancel(&chains[1], 1);
	answer(&chains[0], PASSDB_ANSWER_FOUND);
	turn(&chains[1]);
	expect(&chains[1], 2, PASSDB_OK);
	expect(&chains[1], 3, PASSDB_OK);
	cr_assert_eq(asked, 1);
}

Test(flight, given_up_when_the_answer_is_on_its_way)
{
	start_everywhere("joe");
	start(&chains[1], 1, "joe");
	answer(&chains[0], PASSDB_ANSWER_NOT_FOUND);
	cancel(&chains[1], 0);
	cancel(&chains[2], 0);
	everybodys_turn();
	expect(&chains[1], 1, PASSDB_NOT_FOUND);
	cr_assert_eq(asked, 1);
	cr_assert_eq(cancelled, 0);
}

/* --- deadlines --- */

Test(flight, who_follows_has_a_deadline_of_its_own)
{
	start(&chains[0], 0, "joe");
	helper.settings.lookup_timeout_ms = 10;
	start(&chains[1], 0, "joe");
	wait_for(&chains[1], 0);
	expect(&chains[1], 0, PASSDB_FAIL);
	cr_assert(chains[1].lookups[0].request.timed_out);
	cr_assert_eq(asked, 1);
	answer(&chains[0], PASSDB_ANSWER_FOUND);
	turn(&chains[0]);
	expect(&chains[0], 0, PASSDB_OK);
}

Test(flight, one_whose_time_is_over_leaves_asking_to_another)
{
	helper.settings.lookup_timeout_ms = 10;
	start(&chains[0], 0, "joe");
	helper.settings.lookup_timeout_ms = 60000;
	start(&chains[1], 0, "joe");
	wait_for(&chains[0], 0);
	expect(&chains[0], 0, PASSDB_FAIL);
	cr_assert_eq(cancelled, 1);
	turn(&chains[1]);
	cr_assert_eq(asked, 2);
	answer(&chains[1], PASSDB_ANSWER_FOUND);
	turn(&chains[1]);
	expect(&chains[1], 0, PASSDB_OK);
}

Test(flight, who_follows_a_silent_one_goes_on_with_what_has_expired)
{
	keep_expired("joe");
	start(&chains[0], 0, "joe");
	helper.settings.lookup_timeout_ms = 10;
	start(&chains[1], 0, "joe");
	start(&chains[1], 1, "joe");
	wait_for(&chains[1], 0);
	wait_for(&chains[1], 1);
	expect(&chains[1], 0, PASSDB_OK);
	expect(&chains[1], 1, PASSDB_OK);
	cr_assert_eq(asked, 1);
}

/* --- chains come and go --- */

Test(flight, a_chain_that_ends_leaves_asking_to_another)
{
	start_everywhere("joe");
	chain_close(&chains[0]);
	chain_close(&chains[1]); /* was to ask, and never heard of it */
	turn(&chains[2]);
	cr_assert_eq(asked, 2);
	answer(&chains[2], PASSDB_ANSWER_FOUND);
	turn(&chains[2]);
	expect(&chains[2], 0, PASSDB_OK);
	chain_open(&chains[0]);
	chain_open(&chains[1]);
}

Test(flight, a_chain_ends_when_the_answer_is_on_its_way)
{
	start_everywhere("joe");
	answer(&chains[0], PASSDB_ANSWER_FOUND);
	chain_close(&chains[1]);
	turn(&chains[0]);
	turn(&chains[2]);
	expect(&chains[2], 0, PASSDB_OK);
	chain_open(&chains[1]);
}

Test(flight, a_chain_alone_takes_part_in_nothing)
{
	chain_close(&chains[1]);
	chain_close(&chains[2]);
	start(&chains[0], 0, "joe");
	start(&chains[0], 1, "joe");
	chain_open(&chains[1]);
	start(&chains[1], 0, "joe"); /* cannot know of it */
	cr_assert_eq(asked, 2);
	cancel(&chains[0], 0);
	cr_assert_eq(asked, 3);
	answer(&chains[0], PASSDB_ANSWER_FOUND);
	answer(&chains[1], PASSDB_ANSWER_FOUND);
	turn(&chains[0]);
	turn(&chains[1]);
	expect(&chains[0], 1, PASSDB_OK);
	expect(&chains[1], 0, PASSDB_OK);
	chain_open(&chains[2]);
}

/* --- flights alone --- */

/* One that lands between a look into the cache and the start of another. */
Test(flight, who_comes_late_looks_into_the_cache_once_more)
{
	struct passdb_flights *flights = helper.shared->flights;
	struct passdb_flight one = { .key = "joe", .key_len = 3 }, two = one;
	uint64_t landed = passdb_flights_landed(flights);

	cr_assert_eq(passdb_flight_start(&one, &chains[0].passdb->inbox,
					 landed), PASSDB_FLIGHT_LEADS);
	passdb_flight_land(&one, NULL);
	cr_assert_eq(passdb_flight_start(&two, &chains[1].passdb->inbox,
					 landed), PASSDB_FLIGHT_LATE);
	cr_assert_null(two.inbox);
	landed = passdb_flights_landed(flights);
	cr_assert_eq(passdb_flight_start(&two, &chains[1].passdb->inbox,
					 landed), PASSDB_FLIGHT_LEADS);
	cr_assert_eq(passdb_flight_start(&one, &chains[0].passdb->inbox,
					 landed), PASSDB_FLIGHT_FOLLOWS);
	passdb_flight_leave(&one);
	passdb_flight_leave(&two);
}

Test(flight, keys_of_one_bucket_are_kept_apart)
{
	struct passdb_inbox *inbox = &chains[0].passdb->inbox;
	struct passdb_flight flights[] = {
		{ .key = "joe", .key_len = 3 }, { .key = "ann", .key_len = 3 },
		{ .key = "jo", .key_len = 2 },
	};
	unsigned i;

	for (i = 0; i < 3; i++)
		cr_assert_eq(passdb_flight_start(&flights[i], inbox, 0),
			     PASSDB_FLIGHT_LEADS);
	for (i = 0; i < 3; i++)
		passdb_flight_leave(&flights[i]);
}
