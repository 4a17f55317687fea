/* Which search goes where, and when. */
#include "t/unit/ldap_pool_helper.h"

/* Starts so many searches. */
static void ask(unsigned count)
{
	while (count-- > 0) {
		struct ldap_search *search = &searches[search_count++];

		cr_assert_leq(search_count, MAX_SEARCHES);
		search->arena = arena;
		search->done = on_done;
		ldap_pool_search(pool, search);
	}
	run();
}

static void ready(unsigned i)
{
	cr_assert_lt(i, link_count);
	links[i].ready = true;
	links[i].params.events->ready(links[i].params.owner, &links[i]);
	run();
}

static void lose(unsigned i, const char *why)
{
	cr_assert(!links[i].closed);
	links[i].params.events->lost(links[i].params.owner, &links[i], why);
	run();
}

static void answer_with(unsigned i, enum ldap_verdict verdict)
{
	struct ldap_search *search = ldap_link_take(&links[i]);

	cr_assert_not_null(search);
	search->verdict = verdict;
	search->text = "hm";
	links[i].answered = true;
	links[i].used_us = now_us;
	links[i].params.events->answered(links[i].params.owner, &links[i],
					 search);
}

/* Answers what was sent, and what is sent then, and so on. */
static void answer(unsigned i)
{
	while (sent(&links[i]) > 0) {
		answer_with(i, LDAP_VERDICT_OK);
		run();
	}
}

static unsigned open_links(void)
{
	unsigned i, count = 0;

	for (i = 0; i < link_count; i++)
		count += !links[i].closed;
	return count;
}

static bool is_to(unsigned i, const char *text)
{
	return strcmp(links[i].params.server->text, text) == 0;
}

/* --- connections --- */

Test(ldap_pool, connects_when_asked)
{
	open_pool(1);
	run();
	cr_expect_eq(link_count, 0);
	ask(3);
	cr_expect_eq(link_count, 1); /* others wait for the same */
	ready(0);
	cr_expect_eq(sent(&links[0]), 3);
	answer(0);
	cr_expect_eq(done_count, 3);
	ask(1);
	cr_expect_eq(link_count, 1);
	answer(0);
	close_pool();
}

Test(ldap_pool, grows_with_what_is_under_way)
{
	open_pool(1);
	ask(1);
	ready(0);
	ask(6);
	cr_expect_eq(link_count, 1);
	ask(1);
	cr_expect_eq(link_count, 2);
	ask(10); /* not a third */
	cr_expect_eq(link_count, 2);
	cr_expect_eq(sent(&links[0]), 10);
	ready(1);
	cr_expect_eq(sent(&links[1]), 8);
	ask(12);
	cr_expect_eq(link_count, 2);
	cr_expect_eq(sent(&links[0]), 10);
	cr_expect_eq(sent(&links[1]), 10);
	answer(1);
	cr_expect_eq(sent(&links[0]), 10);
	answer(0);
	cr_expect_eq(done_count, 30);
	close_pool();
}

Test(ldap_pool, idle_connections_are_closed)
{
	open_pool(1);
	ask(1);
	ready(0);
	answer(0);
	pass(59000);
	cr_expect_eq(open_links(), 1);
	pass(61000);
	cr_expect_eq(open_links(), 0);
	cr_expect_eq(the_timer->due_us, 0); /* nothing to wait for */
	ask(1);
	cr_expect_eq(open_links(), 1);
	ready(1);
	answer(1);
	close_pool();
}

Test(ldap_pool, worn_connections_are_replaced)
{
	open_pool(1);
	ask(2);
	ready(0);
	links[0].worn = true;
	ask(1);
	cr_expect_eq(link_count, 2);
	cr_expect_eq(sent(&links[0]), 2);
	ready(1);
	cr_expect_eq(sent(&links[1]), 1);
	answer(0); /* what is under way is waited for */
	cr_expect(links[0].closed && !links[1].closed);
	answer(1);
	cr_expect_eq(done_count, 3);
	close_pool();
}

/* --- connections that end --- */

Test(ldap_pool, idle_end_is_no_failure)
{
	open_pool(1);
	ask(1);
	ready(0);
	answer(0);
	lose(0, "connection closed");
	cr_expect_eq(open_links(), 0);
	ask(1); /* at once */
	cr_expect_eq(link_count, 2);
	ready(1);
	answer(1);
	cr_expect_eq(done_count, 2);
	close_pool();
}

/* What was sent on a connection that had died in its sleep is sent at once on
 * another one. */
Test(ldap_pool, stale_end_is_no_failure)
{
	open_pool(2);
	ask(1);
	ready(0);
	answer(0);
	ask(3);
	links[0].stale = true;
	lose(0, "connection closed");
	cr_expect_eq(link_count, 2);
	cr_expect(is_to(1, "ldap://a"));
	ready(1);
	cr_expect_eq(sent(&links[1]), 3);
	answer(1);
	cr_expect_eq(done_count, 4);
	close_pool();
}

/* However many connections have died so: what was sent there is not what they died
 * of. */
Test(ldap_pool, stale_ends_do_not_count)
{
	unsigned i;

	open_pool(1);
	settings.max_connections = 4;
	ask(1);
	for (i = 0; i < 4; i++) {
		ready(i);
		ask(10);
	}
	cr_assert_eq(link_count, 4);
	for (i = 0; i < 4; i++)
		answer(i);
	cr_assert_eq(done_count, 41);
	ask(1);
	for (i = 0; i < 4; i++) {
		unsigned at = 0;

		while (links[at].closed || sent(&links[at]) == 0)
			at++;
		links[at].stale = true;
		lose(at, "connection closed");
		cr_assert_eq(done_count, 41);
	}
	cr_assert_eq(link_count, 5);
	ready(4);
	answer(4);
	cr_expect_eq(done_count, 42);
	cr_expect_eq(searches[41].verdict, LDAP_VERDICT_OK);
	close_pool();
}

/* A server that lets in and throws out is not hammered. */
Test(ldap_pool, end_behind_the_bind)
{
	unsigned last;

	open_pool(1);
	ask(1);
	for (last = 0; done_count == 0; last++) {
		cr_assert_eq(link_count, last + 1);
		links[last].ready = true;
		links[last].params.events->ready(links[last].params.owner,
						 &links[last]);
		lose(last, "connection closed"); /* before it was asked */
		cr_expect_eq(open_links(), 0);
		pass(2000);
	}
	cr_expect_leq(last, 7);
	cr_expect_eq(done_count, 1); /* that has been so for too long */
	cr_expect_eq(searches[0].verdict, LDAP_VERDICT_FAILED);
	cr_expect(strstr(searches[0].text, "ldap://a: connection closed") !=
		  NULL, "%s", searches[0].text);
	close_pool();
}

Test(ldap_pool, what_was_lost_is_sent_again)
{
	open_pool(1);
	ask(4);
	ready(0);
	lose(0, "connection closed");
	cr_expect_eq(done_count, 0);
	cr_expect_eq(open_links(), 0);
	pass(99);
	cr_expect_eq(link_count, 1);
	pass(1);
	cr_expect_eq(link_count, 2);
	ready(1);
	cr_expect_eq(sent(&links[1]), 4);
	answer(1);
	cr_expect_eq(done_count, 4);
	close_pool();
}

/* Before those that were never sent. */
Test(ldap_pool, what_was_lost_comes_first)
{
	open_pool(1);
	settings.max_connections = settings.max_outstanding = 1;
	ask(3);
	ready(0);
	lose(0, "x");
	pass(100);
	ready(1);
	cr_expect_eq(searches[0].link, &links[1]);
	answer(1);
	cr_expect_eq(done_count, 3);
	close_pool();
}

/* For the last time alone, so that one that is deadly harms no other. */
Test(ldap_pool, three_times_at_most)
{
	open_pool(1);
	ask(3);
	ready(0);
	lose(0, "x");
	pass(100);
	ready(1);
	cr_expect_eq(sent(&links[1]), 3);
	lose(1, "x");
	pass(200);
	ready(2);
	cr_expect_eq(sent(&links[2]), 1);
	ask(1); /* waits, too */
	cr_expect_eq(sent(&links[2]), 1);
	lose(2, "deadly");
	cr_expect_eq(done_count, 1);
	pass(400);
	ready(3);
	cr_expect_eq(sent(&links[3]), 1);
	answer_with(3, LDAP_VERDICT_OK);
	run();
	cr_expect_eq(sent(&links[3]), 1);
	answer(3);
	cr_expect_eq(done_count, 4);
	close_pool();
}

/* Others need not wait for it, if there is another connection. */
Test(ldap_pool, the_last_time_beside_others)
{
	open_pool(1);
	ask(1);
	ready(0);
	lose(0, "x");
	pass(100);
	ready(1);
	lose(1, "x");
	pass(200);
	ready(2);
	cr_expect_eq(sent(&links[2]), 1);
	ask(5);
	ready(3);
	cr_expect_eq(sent(&links[2]), 1);
	cr_expect_eq(sent(&links[3]), 5);
	answer(2);
	ask(2);
	cr_expect_eq(sent(&links[2]), 2);
	answer(2);
	answer(3);
	cr_expect_eq(done_count, 8);
	close_pool();
}

Test(ldap_pool, search_that_makes_no_sense)
{
	open_pool(1);
	ask(1);
	links[0].refuses = true;
	ready(0);
	cr_expect_eq(done_count, 1);
	cr_expect_eq(searches[0].verdict, LDAP_VERDICT_FAILED);
	cr_expect_str_eq(searches[0].text, "ldap://a: Bad search filter");
	close_pool();
}

/* --- servers that fail --- */

Test(ldap_pool, pauses_grow)
{
	static const unsigned pauses[] = {
		100, 200, 400, 800, 1600, 2000, 2000, 2000
	};
	unsigned i;

	open_pool(1);
	ask(1);
	for (i = 0; i < sizeof(pauses) / sizeof(*pauses); i++) {
		lose(i, "connect failed");
		pass(pauses[i] - 1);
		cr_expect_eq(link_count, i + 1);
		pass(1);
		cr_assert_eq(link_count, i + 2);
	}
	ldap_pool_cancel(pool, &searches[0]);
	run();
	close_pool();
}

Test(ldap_pool, others_are_asked_meanwhile)
{
	open_pool(2);
	ask(1);
	cr_expect(is_to(0, "ldap://a"));
	lose(0, "connect failed");
	cr_expect_eq(link_count, 2);
	cr_expect(is_to(1, "ldap://b"));
	ready(1);
	cr_expect_eq(sent(&links[1]), 1);
	answer(1);
	pass(100);
	cr_expect(is_to(2, "ldap://a"));
	ask(1);
	cr_expect_eq(sent(&links[1]), 1);
	answer(1);
	close_pool();
}

/* It has to answer one search before it gets more. */
Test(ldap_pool, server_that_comes_back)
{
	open_pool(2);
	ask(1);
	lose(0, "connect failed");
	ready(1);
	answer(1);
	pass(100);
	ready(2);
	ask(3);
	cr_expect_eq(sent(&links[2]), 1);
	cr_expect_eq(sent(&links[1]), 2);
	ask(2);
	cr_expect_eq(sent(&links[2]), 1);
	cr_expect_eq(sent(&links[1]), 4);
	answer(2);
	ask(2);
	cr_expect_eq(sent(&links[2]), 2);
	cr_expect_eq(sent(&links[1]), 4);
	answer(2);
	cr_expect(!links[1].closed);
	answer(1);
	cr_expect(links[1].closed); /* of no use now */
	cr_expect_eq(done_count, 8);
	close_pool();
}

/* What waited for it once waits for another. */
Test(ldap_pool, server_that_comes_back_and_is_silent)
{
	unsigned i;

	open_pool(2);
	ask(1);
	lose(0, "connect failed");
	ready(1);
	answer(1);
	pass(100);
	for (i = 2; i < 5; i++) {
		ready(i);
		ask(2);
		cr_expect_eq(sent(&links[i]), 1);
		cr_expect_eq(sent(&links[1]), 1);
		lose(i, "no answer to searches");
		cr_expect_eq(sent(&links[1]), 2);
		answer(1);
		pass(2000);
		cr_assert_eq(link_count, i + 2);
		cr_expect(is_to(i + 1, "ldap://a"));
	}
	cr_expect_eq(done_count, 7);
	close_pool();
}

/* Whoever lost time with it waits for the other one, though that is not there
 * yet. */
Test(ldap_pool, trial_is_for_others)
{
	open_pool(2);
	ask(1);
	ready(0);
	lose(0, "no answer to searches");
	cr_expect(is_to(1, "ldap://b"));
	pass(100);
	cr_expect(is_to(2, "ldap://a"));
	ready(2);
	cr_expect_eq(sent(&links[2]), 0);
	ready(1);
	cr_expect_eq(sent(&links[1]), 1);
	answer(1);
	close_pool();
}

Test(ldap_pool, end_in_a_trial)
{
	open_pool(2);
	ask(1);
	lose(0, "connect failed");
	ready(1);
	answer(1);
	pass(100);
	ready(2);
	lose(2, "connection closed");
	cr_expect_eq(link_count, 3);
	pass(199);
	cr_expect_eq(link_count, 3);
	pass(1);
	cr_expect_eq(link_count, 4);
	close_pool();
}

Test(ldap_pool, pauses_begin_anew)
{
	open_pool(1);
	ask(1);
	lose(0, "connect failed");
	pass(100);
	lose(1, "connect failed");
	pass(200);
	ready(2);
	answer(2);
	ask(1);
	lose(2, "x");
	pass(100);
	cr_expect_eq(link_count, 4);
	ready(3);
	answer(3);
	close_pool();
}

/* One that is idle for long goes, and comes again, as long as the better server
 * has not shown what it can. */
Test(ldap_pool, trial_goes_on)
{
	open_pool(2);
	ask(1);
	lose(0, "connect failed");
	ready(1);
	answer(1);
	pass(100);
	ready(2);
	pass(130000);
	ask(1);
	cr_expect_eq(open_links(), 2);
	cr_expect(is_to(3, "ldap://a") || is_to(4, "ldap://a"));
	ready(3);
	ready(4);
	ask(1);
	answer(3);
	answer(4);
	cr_expect_eq(done_count, 3);
	close_pool();
}

/* Without another server it gets all there is, as before. */
Test(ldap_pool, only_server_comes_back)
{
	open_pool(1);
	ask(5);
	lose(0, "connect failed");
	pass(100);
	ready(1);
	cr_expect_eq(sent(&links[1]), 5);
	answer(1);
	close_pool();
}

Test(ldap_pool, nobody_waits_for_the_hopeless)
{
	unsigned i;

	open_pool(2);
	ask(2);
	for (i = 0; done_count == 0; i++) {
		cr_assert_lt(i, link_count);
		lose(i, is_to(i, "ldap://a") ? "a is dead" : "b is dead");
		if (open_links() == 0)
			pass(2000);
	}
	cr_expect_eq(done_count, 2);
	cr_expect_geq(now_us, UINT64_C(11000000));
	cr_expect_str_eq(searches[0].text, "ldap://a: a is dead");
	ask(1); /* at once */
	cr_expect_eq(done_count, 3);
	ready(link_count - 1); /* it lives */
	ask(1);
	cr_expect_eq(done_count, 3);
	answer(link_count - 1);
	cr_expect_eq(done_count, 4);
	close_pool();
}

Test(ldap_pool, busy)
{
	open_pool(2);
	ask(2);
	ready(0);
	answer_with(0, LDAP_VERDICT_BUSY);
	run();
	cr_expect_eq(sent(&links[0]), 1); /* goes on */
	cr_expect(is_to(1, "ldap://b"));
	ready(1);
	cr_expect_eq(sent(&links[1]), 1);
	answer(1);
	answer(0); /* so it is not that busy */
	ask(1);
	cr_expect_eq(sent(&links[0]), 1);
	answer(0);
	cr_expect_eq(done_count, 3);
	close_pool();
}

Test(ldap_pool, busy_again_and_again)
{
	unsigned i;

	open_pool(1);
	ask(1);
	ready(0);
	for (i = 0; i < 3; i++) {
		cr_assert_eq(sent(&links[0]), 1, "%u", i);
		answer_with(0, LDAP_VERDICT_BUSY);
		run();
		cr_expect_eq(sent(&links[0]), 0);
		pass(2000);
	}
	cr_expect_eq(done_count, 1);
	cr_expect_eq(link_count, 1);
	close_pool();
}

/* --- searches that are given up --- */

Test(ldap_pool, cancel)
{
	open_pool(1);
	ask(2);
	cr_expect_eq(ldap_pool_waiting(pool), 2);
	ldap_pool_cancel(pool, &searches[0]); /* waits */
	run();
	cr_expect_eq(ldap_pool_waiting(pool), 1);
	ready(0);
	cr_expect_eq(ldap_pool_waiting(pool), 0);
	cr_expect_eq(sent(&links[0]), 1);
	ldap_pool_cancel(pool, &searches[1]); /* is sent */
	run();
	cr_expect_eq(ldap_link_outstanding(&links[0]), 1);
	ask(10); /* the server is still at it */
	cr_expect_eq(ldap_link_outstanding(&links[0]), 10);
	links[0].orphans--;
	answer_with(0, LDAP_VERDICT_OK);
	run();
	cr_expect_eq(sent(&links[0]), 9);
	answer(0);
	cr_expect_eq(done_count, 10);
	close_pool();
}

/* Also between a failure and the report of it. */
Test(ldap_pool, cancel_what_has_failed)
{
	open_pool(1);
	ask(1);
	links[0].refuses = links[0].ready = true;
	links[0].params.events->ready(links[0].params.owner, &links[0]);
	ldap_pool_cancel(pool, &searches[0]);
	run();
	cr_expect_eq(done_count, 0);
	close_pool();
}

Test(ldap_pool, closed_with_connections)
{
	open_pool(2);
	ask(2);
	ready(0);
	ldap_pool_cancel(pool, &searches[0]);
	ldap_pool_cancel(pool, &searches[1]);
	close_pool(); /* with an answer owed, and a task queued */
}
