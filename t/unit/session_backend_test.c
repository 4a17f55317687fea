/* Backends that take their time, and clients that do: whose time it is, and
 * what becomes of connections meanwhile. */
#include "t/unit/session_helper.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "backends/remote/pool.h"
#include "backends/remote/stats.h"
#include "lib/stream.h"
#include "proxy/session/session.h"
#include "proxy/user_limit.h"

/* Of the backend; and longer than that. */
#define LIMIT_MS 2000
#define LONGER_MS 2300

TestSuite(session_backend, .init = setup, .fini = teardown, .timeout = 60);

/* --- time --- */

static uint64_t skipped_ms;

/* That of this program, for libraries, too. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	long status = syscall(SYS_clock_gettime, clock, ts);

	ts->tv_sec += (time_t)(skipped_ms / 1000);
	ts->tv_nsec += (long)(skipped_ms % 1000) * 1000000;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_nsec -= 1000000000;
		ts->tv_sec++;
	}
	return (int)status;
}

/* In steps, so that what a timer begins has its time, too. */
static void skip_ms(unsigned ms)
{
	const unsigned step_ms = 50;
	unsigned done_ms;

	for (done_ms = 0; done_ms < ms; done_ms += step_ms) {
		world_settle(&world);
		skipped_ms += step_ms;
	}
	world_settle(&world);
}

/* --- the client's time --- */

static void limit_backend(void)
{
	world.settings->lmtp.lmtp_proxy_command_timeout = LIMIT_MS;
	world.settings->lmtp.lmtp_proxy_data_timeout = LIMIT_MS;
}

static void backend_says(const char *text)
{
	world_backend_says(&world, world.conns.next, text);
}

Test(session_backend, client_takes_its_time_before_the_message)
{
	limit_backend();
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	skip_ms(LONGER_MS);
	say("DATA\r\n" MESSAGE);
	expect("Saved");
}

Test(session_backend, client_takes_its_time_behind_data_ahead)
{
	limit_backend();
	world.settings->lmtp.lmtp_add_received_header = false;
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	skip_ms(LONGER_MS);
	say(MESSAGE);
	expect("Saved");
}

/* To a backend that has answered the chunk before. */
Test(session_backend, client_takes_its_time_between_chunks)
{
	char line[1001];
	int i;

	limit_backend();
	world.chunking = true;
	memset(line, 'x', 998);
	memcpy(line + 998, "\r\n", 3);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	for (i = 0; i < 100; i++)
		say(line);
	world_settle(&world);
	cr_assert_gt(world.chunks, 0);
	skip_ms(LONGER_MS);
	say(".\r\n");
	expect("Saved");
}

/* --- the backend's time --- */

Test(session_backend, each_outcome_has_its_time)
{
	struct misbehaviour slow = { WORLD_DOT, "", 0 };

	limit_backend();
	backend_does(&slow);
	say("LHLO c\r\n" ENVELOPE "RCPT TO:<b@x>\r\nRCPT TO:<c@x>\r\n"
	    "DATA\r\n" MESSAGE);
	expect("354");
	skip_ms(LIMIT_MS * 6 / 10);
	backend_says("250 2.0.0 one\r\n");
	expect("<joe@x> ");
	skip_ms(LIMIT_MS * 6 / 10);
	backend_says("250 2.0.0 two\r\n250 2.0.0 three\r\n");
	expect("<c@x> ");
	cr_assert_eq(count(&world.replies, "Saved"), 3, "%s",
		     str_c(&world.replies));
}

/* No more of the message is sent to who speaks already, and this is no reply
 * yet. */
Test(session_backend, half_a_reply_within_the_message_has_an_end)
{
	limit_backend();
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	say("Subject: hi\r\n");
	world_settle(&world);
	backend_says("452-4.3.1 no\r\n");
	world_settle(&world);
	say("\r\nhello\r\n.\r\n");
	skip_ms(LONGER_MS);
	expect("451 4.4.0 <joe@x> ");
	cr_assert_eq(world.delivered, 0);
}

/* --- sessions that wait for one connection --- */

/* Has a second client ask for a recipient, whose backend may have one
 * connection, which the first client has. */
static struct stream *second_client_waits(void)
{
	struct stream *first = world.client;

	world.settings->lmtp.lmtp_proxy_pool_max_connections = 1;
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	world_connect(&world);
	say("LHLO d\r\nMAIL FROM:<d@b>\r\nRCPT TO:<jim@x>\r\n");
	world_settle(&world);
	cr_assert_eq(count(&world.received, "jim@x"), 0);
	return first;
}

static void finish_first(struct stream **first)
{
	stream_puts(*first, "DATA\r\n" MESSAGE);
	expect("Saved");
	world_settle(&world);
	cr_assert_eq(count(&world.replies, "250 2.1.5"), 2);
	stream_close(first);
}

static void assert_waited_no_more(unsigned max_age, unsigned connections)
{
	struct stream *first;

	world.settings->lmtp.lmtp_proxy_pool_max_age = max_age;
	world.settings->lmtp.lmtp_proxy_pool_wait_timeout = LIMIT_MS;
	first = second_client_waits();
	wait_ms(2);
	finish_first(&first);
	cr_assert_eq(world.connections, connections);
	skip_ms(LONGER_MS);
	say("DATA\r\n" MESSAGE);
	world_settle(&world);
	cr_assert_eq(count(&world.replies, "Saved"), 2);
}

Test(session_backend, who_was_given_a_connection_waits_no_more)
{
	assert_waited_no_more(60000, 1);
}

/* Nobody is given one that is too old to be used again. */
Test(session_backend, who_has_opened_a_connection_waits_no_more)
{
	assert_waited_no_more(1, 2);
}

/* The connection goes to whoever still waits. */
Test(session_backend, who_has_waited_too_long_is_passed_over)
{
	struct stream *first, *second;

	world.settings->lmtp.lmtp_proxy_pool_wait_timeout = 50;
	first = second_client_waits();
	expect("451 4.4.5 <jim@x> ");
	second = world.client;
	world.settings->lmtp.lmtp_proxy_pool_wait_timeout = WAIT_MS;
	world_connect(&world);
	say("LHLO e\r\nMAIL FROM:<e@b>\r\nRCPT TO:<ann@x>\r\n");
	world_settle(&world);
	finish_first(&first);
	stream_close(&second);
}

Test(session_backend, server_that_does_not_answer_reset_is_left)
{
	struct misbehaviour silent = { WORLD_RSET, "", 1 };
	struct stream *first;

	limit_backend();
	first = second_client_waits();
	backend_does(&silent);
	str_clear(&world.replies);
	stream_puts(first, "RSET\r\n");
	expect("250 2.0.0 OK\r\n");
	skip_ms(LONGER_MS);
	expect("250 2.1.5 ");
	cr_assert_eq(world.connections, 2);
	stream_close(&first);
}

/* Not even by the one whose connection it was, and whose RSET may be followed. */
Test(session_backend, who_waits_is_not_overtaken_behind_reset)
{
	struct misbehaviour slow = { WORLD_RSET, "", 1 };
	struct stream *first = second_client_waits();

	backend_does(&slow);
	stream_puts(first, "RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<bob@x>\r\n");
	world_settle(&world);
	backend_says("250 2.0.0 reset\r\n");
	world_settle(&world);
	cr_assert_eq(count(&world.received, "jim@x"), 1);
	cr_assert_eq(count(&world.received, "bob@x"), 0);
	say("DATA\r\n" MESSAGE);
	expect("Saved");
	world_settle(&world);
	cr_assert_eq(count(&world.received, "bob@x"), 1);
	cr_assert_eq(world.connections, 1);
	stream_close(&first);
}

/* So that those grow old that are too many. */
Test(session_backend, connection_used_last_is_used_next)
{
	struct stream *first = world.client;

	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	world_connect(&world);
	say("LHLO d\r\n" ENVELOPE);
	world_settle(&world);
	stream_puts(first, "DATA\r\n" MESSAGE);
	world_settle(&world);
	say("DATA\r\n" MESSAGE);
	world_settle(&world);
	cr_assert_eq(count(&world.replies, "Saved"), 2);
	cr_assert_eq(world.connections, 2);
	world_backend_stops_reading(world.conns.next);
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
	stream_close(&first);
}

/* --- what was said --- */

/* Without PIPELINING some have not been asked for yet. */
Test(session_backend, refusal_of_mail_is_for_those_not_asked_for)
{
	struct misbehaviour bad = { WORLD_MAIL, "451 4.7.1 greylisted\r\n", 1 };

	world.lhlo = "250-backend\r\n250 8BITMIME\r\n";
	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "RCPT TO:<b@x>\r\n");
	expect("451 4.7.1 <joe@x> greylisted\r\n451 4.7.1 <b@x> greylisted\r\n");
	cr_assert_eq(count(&world.received, "RCPT"), 0);
	say("RCPT TO:<c@x>\r\n");
	expect("250 2.1.5");
}

/* Whatever it answers to RSET. */
Test(session_backend, connection_with_421_in_between_is_left)
{
	struct misbehaviour slow = { WORLD_RCPT, "", 1 };

	backend_does(&slow);
	say("LHLO c\r\n" ENVELOPE);
	world_settle(&world);
	session_kick((struct session *)world.worker->sessions.next);
	expect_closed();
	world_settle(&world);
	cr_assert_eq(count(&world.received, "RSET"), 1);
	backend_says("421 4.3.2 going\r\n");
	world_settle(&world);
	world_connect(&world);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	cr_assert_eq(world.connections, 2);
}

/* Nothing is answered before it is said so; the second recipient is refused. */
static const char *say_nothing_yet(struct world *w, enum world_stage stage)
{
	unsigned *rcpts = w->owner;

	if (stage == WORLD_MAIL || stage == WORLD_RSET)
		return "";
	if (stage == WORLD_RCPT && (*rcpts)++ > 0)
		return "550 5.1.1 no\r\n";
	return world_good_answer(w, stage);
}

/* The client left while MAIL and RCPT were under way. */
Test(session_backend, each_reply_that_is_owed_is_waited_for)
{
	unsigned rcpts = 0;

	world.owner = &rcpts;
	world.answer = say_nothing_yet;
	say("LHLO c\r\n" ENVELOPE);
	world_settle(&world);
	session_kick((struct session *)world.worker->sessions.next);
	expect_closed();
	world_settle(&world);
	cr_assert_eq(count(&world.received, "RSET"), 1);
	backend_says("250 2.1.0 first\r\n");
	world_settle(&world);
	world_connect(&world);
	say("LHLO c\r\n" ENVELOPE);
	world_settle(&world);
	cr_assert_eq(world.connections, 1);
	backend_says("250 2.0.0 reset\r\n250 2.1.0 second\r\n");
	expect("550 5.1.1 <joe@x> no\r\n");
}

/* RSET is followed at once only by what may be pipelined. */
Test(session_backend, nothing_follows_reset_without_pipelining)
{
	struct misbehaviour slow = { WORLD_RSET, "", 1 };

	world.lhlo = "250-backend\r\n250 8BITMIME\r\n";
	backend_does(&slow);
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say("RSET\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	cr_assert_eq(world.connections, 2);
}

/* What it has accepted is not asked for again, but lost with it. */
Test(session_backend, idle_connection_that_ends_behind_a_reply)
{
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	str_clear(&world.replies);
	say(ENVELOPE);
	expect("250 2.1.5");
	world_backend_leaves(world.conns.next);
	world_settle(&world);
	say("RCPT TO:<b@x>\r\n");
	expect("250 2.1.5 recipient ok\r\n250 2.1.5 ");
	say("DATA\r\n" MESSAGE);
	expect("<b@x> ");
	cr_assert_eq(count(&world.replies, "\r\n451 4.4.0 <joe@x> "), 1, "%s",
		     str_c(&world.replies));
	cr_assert_eq(count(&world.replies, "Saved"), 1);
}

/* It is asked again on a new connection, once. */
Test(session_backend, dead_idle_connection_and_then_a_dead_server)
{
	struct misbehaviour bad = { WORLD_MAIL, NULL, 0 };

	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	backend_does(&bad);
	say(ENVELOPE);
	expect("451 4.4.0 <joe@x> ");
	cr_assert_eq(world.connections, 2);
}

Test(session_backend, connection_of_refused_recipients_serves_the_next)
{
	struct misbehaviour bad = { WORLD_RCPT, "550 5.1.1 no\r\n", 1 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE);
	expect("550 5.1.1 <joe@x> no");
	say("RCPT TO:<nobody.else@x>\r\nDATA\r\n" MESSAGE);
	expect("Saved");
	cr_assert_eq(count(&world.received, "for <nobody.else@x>"), 1);
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
	cr_assert_eq(world.connections, 2);
}

Test(session_backend, connection_whose_data_was_refused_serves_the_next)
{
	struct misbehaviour bad = { WORLD_DATA, "451 4.3.0 later\r\n", 1 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say("DATA\r\n" MESSAGE);
	expect("451 4.3.0 <joe@x> later");
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
	cr_assert_eq(world.connections, 1);
}

/* Before the client has sent all of it. */
Test(session_backend, message_that_nobody_gets_is_broken_off)
{
	world.settings->lmtp.lmtp_max_message_size = 10;
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	say("Subject: too large\r\n");
	world_settle(&world);
	cr_assert(list_empty(&world.conns));
	say(".\r\n");
	expect("552 5.3.4 <joe@x> ");
}

Test(session_backend, user_is_busy_no_longer_than_the_transaction)
{
	world.set.user_limit = user_limit_new();
	world.settings->local.lmtp_user_concurrency_limit = 1;
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say("RCPT TO:<JOE@X>\r\n"); /* the same user */
	expect("451 4.3.0 <JOE@X> Too many");
	str_clear(&world.replies);
	say("RSET\r\n" ENVELOPE);
	expect("250 2.1.5");
	say("DATA\r\n" MESSAGE);
	expect("Saved");
	user_limit_free(&world.set.user_limit);
}

static const char *refuse_and_go_on(struct world *w, enum world_stage stage)
{
	if (stage == WORLD_MAIL)
		return "451 4.7.1 greylisted\r\n503 5.5.1 MAIL first\r\n"
		       "250 2.0.0 more\r\n";
	return stage == WORLD_RCPT || stage == WORLD_RSET
		       ? "" : world_good_answer(w, stage);
}

/* What it says beyond the replies to MAIL and RCPT is none to RSET. */
Test(session_backend, connection_with_a_reply_too_many_is_not_reset)
{
	world.answer = refuse_and_go_on;
	say("LHLO c\r\n" ENVELOPE);
	expect("451 4.7.1 <joe@x> greylisted");
	world_settle(&world);
	cr_assert(list_empty(&world.conns));
}

static void assert_counted(unsigned connections, unsigned failed)
{
	const struct remote_stats *stats =
		container_of(remote_pool_stats(world.worker->pool)->list.next,
			     struct remote_stats, node);

	cr_assert_eq(stats->connections, connections);
	cr_assert_eq(stats->failed_connections, failed);
	cr_assert_eq(stats->open, 0);
	cr_assert_eq(stats->idle, 0);
}

Test(session_backend, only_connections_that_never_served_have_failed)
{
	struct misbehaviour bad = { WORLD_GREETING, NULL, 0 };

	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	world_backend_leaves(world.conns.next);
	world_settle(&world);
	assert_counted(1, 0);
	backend_does(&bad);
	say(ENVELOPE);
	expect("451 4.4.0 <joe@x> ");
	assert_counted(2, 1);
}
