/* DATA, and replies, in a group that the client has pipelined (RFC 2920). */
#include "t/unit/session_helper.h"

TestSuite(session_ahead, .init = setup, .fini = teardown, .timeout = 60);

/* ... and DATA is taken although nobody was accepted. */
static const char *misbehave_and_take_data(struct world *w,
					   enum world_stage stage)
{
	return stage == WORLD_DATA ? "354 for nobody\r\n"
				   : misbehave(w, stage);
}

Test(session_ahead, data_goes_with_the_recipients_it_was_sent_behind)
{
	struct misbehaviour bad = { WORLD_RCPT, "", 1 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "RCPT TO:<b@x>\r\nDATA\r\n");
	world_settle(&world);
	cr_assert_eq(count(&world.received, "\r\nDATA\r\n"), 1, "%s",
		     str_c(&world.received));
	cr_assert_eq(count(&world.replies, "354"), 0);
	world_backend_says(&world, world.conns.next, "250 2.1.5 late\r\n");
	expect("354");
	cr_assert_eq(world.delivered, 0);
	say(MESSAGE);
	expect("<joe@x> ");
	expect("<b@x> ");
	cr_assert_eq(world.delivered, 2);
	cr_assert_eq(count(&world.received, "DATA\r\n"), 1);
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
	cr_assert_eq(world.connections, 1);
}

Test(session_ahead, replies_before_a_pipelined_recipient_go_out_with_its_own)
{
	struct misbehaviour bad = { WORLD_RCPT, "", 1 };

	backend_does(&bad);
	say("LHLO c\r\n");
	expect("250 ");
	say(ENVELOPE);
	world_settle(&world);
	cr_assert_eq(count(&world.replies, "2.1.0"), 0);
	world_backend_says(&world, world.conns.next, "250 2.1.5 late\r\n");
	expect("250 2.1.0 OK\r\n250 2.1.5 late\r\n");
}

Test(session_ahead, data_ahead_of_a_refused_recipient_is_answered_with_503)
{
	struct misbehaviour bad = { WORLD_RCPT, "550 5.1.1 no\r\n", 1 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("503 5.5.0 No valid recipients\r\n");
	say("RCPT TO:<b@x>\r\n");
	expect("250 2.1.5");
	world_settle(&world);
	cr_assert_eq(count(&world.received, "DATA"), 1, "%s",
		     str_c(&world.received));
	say("DATA\r\n" MESSAGE);
	expect("Saved");
	cr_assert_eq(world.delivered, 1);
	cr_assert_eq(world.connections, 1);
}

Test(session_ahead, data_ahead_of_a_refused_sender_is_answered_with_503)
{
	struct misbehaviour bad = { WORLD_MAIL, "451 4.7.1 greylisted\r\n", 1 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("451 4.7.1 <joe@x> greylisted\r\n503 5.5.0 ");
	say("RSET\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	cr_assert_eq(world.connections, 1);
}

/* Only the end of the connection is sure to deliver nothing. */
Test(session_ahead, backend_that_takes_data_for_nobody_is_left)
{
	struct misbehaviour bad = { WORLD_RCPT, "550 5.1.1 no\r\n", 1 };

	backend_does(&bad);
	world.answer = misbehave_and_take_data;
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE "RSET\r\n");
	expect("503 5.5.0 No valid recipients\r\n");
	world_settle(&world);
	cr_assert(list_empty(&world.conns));
	cr_assert_eq(count(&world.received, "\r\n.\r\n"), 0);
}

Test(session_ahead, data_ahead_on_a_dead_idle_connection_is_sent_again)
{
	struct misbehaviour bad = { WORLD_MAIL, NULL, 1 };

	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	backend_does(&bad);
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(world.delivered, 2);
}

Test(session_ahead, refused_data_ahead_refuses_the_recipients)
{
	struct misbehaviour bad = { WORLD_DATA, "452 4.3.1 full\r\n", 1 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "RCPT TO:<b@x>\r\nDATA\r\n");
	expect("452 4.3.1 <joe@x> full\r\n452 4.3.1 <b@x> full\r\n503 ");
	say("RSET\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	cr_assert_eq(world.connections, 1);
}

Test(session_ahead, client_gone_after_data_ahead_delivers_nothing)
{
	struct misbehaviour bad = { WORLD_RCPT, "", 1 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	world_settle(&world);
	world_half_close(&world);
	world_backend_says(&world, world.conns.next, "250 2.1.5 late\r\n");
	expect_closed();
	world_settle(&world);
	cr_assert(list_empty(&world.conns));
	cr_assert_eq(world.delivered, 0);
}

/* Whom a peer refuses for an ORCPT that it never offered is asked for again:
 * till then it must not hear DATA. */
Test(session_ahead, data_waits_for_a_recipient_that_may_be_asked_again)
{
	struct misbehaviour bad = { WORLD_RCPT, "555 5.5.4 what\r\n", 1 };

	backend_does(&bad);
	say("LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<nobody.else@x>\r\n"
	    "DATA\r\n" MESSAGE);
	expect("Saved");
	cr_assert_eq(count(&world.received, "RCPT TO:<else@x> ORCPT="), 1);
	cr_assert_eq(count(&world.received, "RCPT TO:<else@x>\r\n"), 1);
}

/* Those without a backend are not waited for. */
Test(session_ahead, data_goes_although_some_are_unknown)
{
	struct misbehaviour bad = { WORLD_RCPT, "", 1 };

	backend_does(&bad);
	say("LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<nobody@x>\r\n"
	    "RCPT TO:<joe@x>\r\nDATA\r\n");
	world_settle(&world);
	cr_assert_eq(count(&world.received, "\r\nDATA\r\n"), 1, "%s",
		     str_c(&world.received));
	world_backend_says(&world, world.conns.next, "250 2.1.5 late\r\n");
	expect("354");
	say(MESSAGE);
	expect("Saved");
}
