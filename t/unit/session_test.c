/* Whole sessions against a scripted backend, everything on one loop. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/stream.h"
#include "proxy/session/session.h"
#include "proxy/worker/worker.h"
#include "t/unit/session_helper.h"

TestSuite(session, .init = setup, .fini = teardown, .timeout = 60);

Test(session, one_message)
{
	expect("220 proxy.test ready.\r\n");
	say("LHLO client\r\n");
	expect("250-PIPELINING\r\n");
	say("MAIL FROM:<a@b>\r\n");
	expect("250 2.1.0 OK\r\n");
	say("RCPT TO:<Joe@X>\r\n");
	expect("250 2.1.5 recipient ok\r\n");
	say("DATA\r\n");
	expect("354 OK\r\n");
	say(MESSAGE);
	expect(" Saved\r\n");
	expect("250 2.0.0 <Joe@X> ");
	say("QUIT\r\n");
	expect_closed();
	expect("221 2.0.0 Bye\r\n");
	cr_assert_eq(world.delivered, 1);
	cr_assert_eq(count(&world.received, "RCPT TO:<joe@x> ORCPT=rfc822;"),
		     1);
	cr_assert_eq(count(&world.received, "Subject: hi\r\n\r\nhello\r\n.\r\n"),
		     1);
	cr_assert_eq(count(&world.received, "\tfor <Joe@X>; "), 1);
}

Test(session, greeting_with_variables)
{
	world_disconnect(&world);
	world.settings->lmtp.login_greeting = "%{hostname} for %r (%s)";
	world_connect(&world);
	expect("220 proxy.test proxy.test for 192.0.2.99 (lmtp)\r\n");
}

Test(session, pipelined_recipients_are_answered_in_order)
{
	const char *a, *b, *c;

	say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nRCPT TO:<nobody@x>\r\n"
	    "RCPT TO:<c@x>\r\nDATA\r\n");
	expect("354 OK\r\n");
	say(MESSAGE);
	expect("<c@x> ");
	a = strstr(str_c(&world.replies), "250 2.1.5 ");
	b = strstr(str_c(&world.replies), "550 5.1.1 <nobody@x> User doesn't "
					  "exist: nobody@x\r\n250 2.1.5 ");
	c = strstr(str_c(&world.replies), "354 OK");
	cr_assert(a != NULL && b > a && c > b, "%s", str_c(&world.replies));
	a = strstr(c, "250 2.0.0 <a@x> ");
	b = strstr(c, "250 2.0.0 <c@x> ");
	cr_assert(a != NULL && b > a);
	cr_assert_eq(world.delivered, 2);
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(count(&world.received, "MAIL FROM:<>"), 1);
}

Test(session, everything_in_one_piece_with_half_close)
{
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	say(MESSAGE "MAIL FROM:<2@b>\r\nRCPT TO:<joe@x>\r\n");
	world_half_close(&world);
	expect_closed();
	cr_assert_eq(world.delivered, 1);
	cr_assert_eq(count(&world.replies, "250 2.1.5"), 2);
}

Test(session, byte_by_byte)
{
	const char *all = "LHLO c\r\n" ENVELOPE "DATA\r\n";
	const char *p;

	for (p = all; *p != '\0'; p++) {
		world_send(&world, p, 1);
		world_run(&world, "nothing like this", 0);
	}
	expect("354");
	for (p = MESSAGE; *p != '\0'; p++) {
		world_send(&world, p, 1);
		world_run(&world, "nothing like this", 0);
	}
	expect("Saved");
	cr_assert_eq(world.delivered, 1);
}

Test(session, second_message_uses_the_same_connection)
{
	int i;

	say("LHLO c\r\n");
	for (i = 0; i < 3; i++) {
		str_clear(&world.replies);
		say(ENVELOPE "DATA\r\n");
		expect("354");
		say(MESSAGE);
		expect("Saved");
	}
	cr_assert_eq(world.delivered, 3);
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(count(&world.received, "RSET"), 0);
	cr_assert_eq(count(&world.replies, ":T3 Saved"), 1);
}

Test(session, rset_resets_the_backend_before_reuse)
{
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say("RSET\r\n");
	expect("250 2.0.0 OK");
	say(ENVELOPE "DATA\r\n");
	expect("354");
	say(MESSAGE);
	expect("Saved");
	cr_assert_eq(world.delivered, 1);
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(count(&world.received, "RSET\r\n"), 1);
}

Test(session, next_transaction_follows_the_reset)
{
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say("RSET\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	say(MESSAGE);
	expect("Saved");
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(count(&world.received, "RSET\r\nMAIL FROM"), 1);
}

Test(session, refused_reset_is_not_followed)
{
	struct misbehaviour bad = { WORLD_RSET, "451 4.3.0 cannot\r\n", 1 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say("RSET\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	say(MESSAGE);
	expect("Saved");
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(world.delivered, 1);
}

static const char *refuse_first_rcpt(struct world *w, enum world_stage stage)
{
	unsigned *asked = w->owner;

	if (stage == WORLD_RCPT && (*asked)++ == 0)
		return "550 5.1.1 no such user\r\n";
	return world_good_answer(w, stage);
}

/* The recipient whose backend cannot have him leaves its connection with the
 * reply to RSET still to come. */
Test(session, reset_outlasts_a_transaction_that_asked_nothing)
{
	struct misbehaviour bad = { WORLD_RSET, "", 1 };
	unsigned asked = 0;

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "RSET\r\nMAIL FROM:<a@b>\r\n"
	    "RCPT TO:<joe@x> NOTIFY=NEVER\r\nRCPT TO:<nobody.else@x>\r\n"
	    "DATA\r\n" MESSAGE);
	expect("Saved");
	world.owner = &asked;
	world.answer = refuse_first_rcpt;
	str_clear(&world.replies);
	say(ENVELOPE "RCPT TO:<jim@x>\r\n");
	world_settle(&world);
	world_backend_says(&world, world.conns.next, "250 2.0.0 reset\r\n");
	expect("550 5.1.1 <joe@x> no such user\r\n250 2.1.5 ");
	say("DATA\r\n" MESSAGE);
	expect("Saved");
}

Test(session, refusals_of_the_backend_pass_verbatim)
{
	struct misbehaviour bad = { WORLD_RCPT,
				    "552-5.2.2 <joe@x> full\r\n"
				    "552 5.2.2 <joe@x> really\r\n", 0 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE);
	expect("552-5.2.2 <joe@x> full\r\n552 5.2.2 <joe@x> really\r\n");
	say("DATA\r\n");
	expect("503 5.5.0 No valid recipients\r\n");
}

Test(session, refusal_of_mail_is_every_recipients)
{
	struct misbehaviour bad = { WORLD_MAIL, "451 4.7.1 greylisted\r\n", 0 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "RCPT TO:<b@x>\r\n");
	expect("451 4.7.1 <joe@x> greylisted\r\n451 4.7.1 <b@x> greylisted\r\n");
	bad.stage = WORLD_STAGES;
	say("RCPT TO:<c@x>\r\n");
	expect("250 2.1.5");
}

Test(session, refusal_without_enhanced_code_gets_one)
{
	struct misbehaviour bad = { WORLD_DOT, "554 no\r\n", 0 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	say(MESSAGE);
	expect("554 5.0.0 <joe@x> no\r\n");
	cr_assert_eq(world.delivered, 0);
}

static const char *dsn_but_no_syntax(struct world *w, enum world_stage stage)
{
	if (stage == WORLD_LHLO)
		return "250-backend\r\n250-PIPELINING\r\n250 DSN\r\n";
	if (stage == WORLD_RCPT)
		return "501 5.1.3 bad syntax\r\n";
	if (stage == WORLD_DATA)
		return "503 5.5.1 nobody was accepted\r\n";
	return world_good_answer(w, stage);
}

/* ORCPT is nothing that it does not know. */
Test(session, data_ahead_of_a_recipient_with_bad_syntax)
{
	world.answer = dsn_but_no_syntax;
	say("LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<nobody.else@x>\r\n"
	    "DATA\r\n");
	expect("501 5.1.3 <nobody.else@x> bad syntax\r\n503 5.5.0 ");
	cr_assert_eq(count(&world.received, "RCPT TO:<else@x> ORCPT="), 1);
}

static void assert_temporary_failure(enum world_stage stage, const char *text)
{
	struct misbehaviour bad = { stage, text, 0 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE "QUIT\r\n");
	expect_closed();
	cr_assert_eq(count(&world.replies, "Saved"), 0, "%s",
		     str_c(&world.replies));
	cr_assert_eq(count(&world.replies, "\r\n451 4.4.0 <joe@x> "), 1,
		     "stage %d: %s", (int)stage, str_c(&world.replies));
	str_clear(&world.replies);
	world_connect(&world);
}

Test(session, backend_killed_at_each_stage)
{
	int stage;

	for (stage = WORLD_GREETING; stage <= WORLD_DOT; stage++)
		assert_temporary_failure((enum world_stage)stage, NULL);
	cr_assert_eq(world.delivered, 0);
}

Test(session, backend_says_421_at_each_stage)
{
	int stage;

	for (stage = WORLD_GREETING; stage <= WORLD_DOT; stage++)
		assert_temporary_failure((enum world_stage)stage,
					 "421 4.3.2 shutting down\r\n");
}

Test(session, backend_talks_garbage_at_each_stage)
{
	int stage;

	for (stage = WORLD_GREETING; stage <= WORLD_DOT; stage++)
		assert_temporary_failure((enum world_stage)stage,
					 "HTTP/1.1 400 Bad Request\r\n");
}

Test(session, data_answered_with_250_is_no_delivery)
{
	assert_temporary_failure(WORLD_DATA, "250 2.0.0 whatever\r\n");
	assert_temporary_failure(WORLD_DOT, "354 go on\r\n");
}

/* The second would be taken for the answer to what is asked next. */
Test(session, two_replies_before_anything_else_is_asked)
{
	assert_temporary_failure(WORLD_GREETING,
				 "220 ready\r\n250 too early\r\n");
	assert_temporary_failure(WORLD_LHLO,
				 "250-b\r\n250 PIPELINING\r\n250 again\r\n");
	cr_assert_eq(count(&world.received, "MAIL"), 0);
}

Test(session, greeting_that_refuses_is_no_bounce)
{
	assert_temporary_failure(WORLD_GREETING, "554 5.3.2 no\r\n");
	assert_temporary_failure(WORLD_LHLO, "550 5.7.1 no\r\n");
}

Test(session, idle_connection_closed_by_the_backend_is_replaced)
{
	struct misbehaviour bad = { WORLD_MAIL, NULL, 1 };

	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	say(MESSAGE);
	expect("Saved");
	str_clear(&world.replies);
	backend_does(&bad);
	say(ENVELOPE "DATA\r\n");
	expect("354");
	say(MESSAGE);
	expect("Saved");
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(world.delivered, 2);
}

Test(session, client_gone_in_the_body_delivers_nothing)
{
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	say("Subject: half\r\n\r\nhalf a mess");
	world_run(&world, "nothing like this", 50);
	world_disconnect(&world);
	world.closed = false;
	world_run(&world, "nothing like this", 50);
	cr_assert_eq(count(&world.received, "half a mess"), 1);
	cr_assert_eq(count(&world.received, "\r\n.\r\n"), 0);
	cr_assert_eq(world.delivered, 0);
}

Test(session, too_many_bad_commands_end_it)
{
	int i;

	for (i = 0; i < 12; i++)
		say("BOGUS\r\n");
	expect_closed();
	cr_assert_eq(count(&world.replies, "500 5.5.1 Unknown command\r\n"),
		     10);
	cr_assert_eq(count(&world.replies, "421 4.7.0 proxy.test Too many "
					   "invalid commands.\r\n"),
		     1);
}

Test(session, endless_line_is_refused_and_skipped)
{
	char block[1024];
	int i;

	memset(block, 'A', sizeof(block));
	for (i = 0; i < 1024; i++) {
		world_send(&world, block, sizeof(block));
		world_run(&world, "nothing like this", 0);
	}
	say("\r\nNOOP\r\n");
	expect("500 5.5.2 Line too long\r\n250 2.0.0 OK\r\n");
}

Test(session, last_reply_reaches_a_client_that_goes_on_talking)
{
	char block[8192];
	int i;

	memset(block, 'A', sizeof(block));
	say("LHLO c\r\n" ENVELOPE "BDAT 9999999999999999999 LAST\r\n");
	for (i = 0; i < 128; i++)
		world_send(&world, block, sizeof(block));
	expect("501 5.5.4 ");
	expect_closed();
	cr_assert_eq(count(&world.received, "AAAA"), 0);
}

Test(session, message_over_the_limit)
{
	char line[1001];
	int i;

	world.settings->lmtp.lmtp_max_message_size = 100 * 1000;
	memset(line, 'x', 998);
	memcpy(line + 998, "\r\n", 3);
	say("LHLO c\r\nMAIL FROM:<a@b> SIZE=200000\r\n");
	expect("552 5.3.4 ");
	say(ENVELOPE "DATA\r\n");
	expect("354");
	for (i = 0; i < 200; i++)
		say(line);
	say(".\r\nNOOP\r\n");
	expect("552 5.3.4 <joe@x> ");
	expect("250 2.0.0 OK");
	cr_assert_eq(world.delivered, 0);
}

Test(session, stop_lets_the_transaction_finish)
{
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	session_stop((struct session *)world.worker->sessions.next);
	say(MESSAGE "MAIL FROM:<2@b>\r\n");
	expect_closed();
	cr_assert_eq(count(&world.replies, "Saved"), 1);
	cr_assert_eq(count(&world.replies, "421 4.3.2 proxy.test Shutting "
					   "down\r\n"),
		     1);
}

Test(session, stop_lets_a_message_come_for_who_was_accepted)
{
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	session_stop((struct session *)world.worker->sessions.next);
	world_settle(&world);
	cr_assert_not(world.closed, "%s", str_c(&world.replies));
	say("DATA\r\n" MESSAGE);
	expect_closed();
	cr_assert_eq(count(&world.replies, "Saved"), 1);
}

Test(session, stop_does_not_wait_for_a_transaction_without_recipients)
{
	say("LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<nobody@x>\r\n");
	expect("550 5.1.1");
	session_stop((struct session *)world.worker->sessions.next);
	expect_closed();
	expect("421 4.3.2 ");
}

Test(session, stop_ends_an_idle_session_at_once)
{
	say("LHLO c\r\n");
	expect("SMTPUTF8");
	session_stop((struct session *)world.worker->sessions.next);
	expect_closed();
	expect("421 4.3.2 ");
}

/* A session over TCP, which resets a connection when it is closed with input
 * unread. Returns the client's end. */
static int tcp_session(void)
{
	int listening = socket(AF_INET, SOCK_STREAM, 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	struct addr local, remote;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_eq(bind(listening, (struct sockaddr *)&in, len), 0);
	cr_assert_eq(listen(listening, 1), 0);
	cr_assert_eq(getsockname(listening, (struct sockaddr *)&in, &len), 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&in, len), 0);
	addr_parse_ip(&local, "192.0.2.1", 24);
	addr_parse_ip(&remote, "192.0.2.2", 50000);
	session_start(world.worker,
		      accept4(listening, NULL, NULL, SOCK_NONBLOCK), &local,
		      &remote, 0);
	close(listening);
	return fd;
}

static struct session *last_session(void)
{
	return (struct session *)world.worker->sessions.prev;
}

Test(session, the_last_reply_survives_input_that_has_just_come)
{
	struct list *first = world.worker->sessions.next;
	int fd = tcp_session(), i;
	char text[1024] = "";
	size_t len;

	world_settle(&world);
	cr_assert_eq(send(fd, "x", 1, 0), 1);
	cr_assert(session_kick(last_session()));
	world_settle(&world);
	len = (size_t)recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	cr_assert_lt(len, sizeof(text), "the connection was reset");
	cr_assert(strstr(text, "\r\n421 4.3.2 proxy.test Kicked by "), "%s",
		  text);
	/* Who stays is read out for a time, and not for ever. */
	for (i = 0; i < 100 && world.worker->sessions.prev != first; i++) {
		send(fd, "x", 1, MSG_NOSIGNAL);
		wait_ms(100);
	}
	cr_assert_gt(i, 0);
	cr_assert_lt(i, 100);
	close(fd);
}

/* Runs the loop for a while, whatever comes. */
Test(session, input_that_was_held_back_flows_again_in_the_body)
{
	struct misbehaviour bad = { WORLD_RCPT, "", 1 };
	int i;

	backend_does(&bad);
	world.settings->lmtp.lmtp_max_recipients = 1;
	say("LHLO c\r\n" ENVELOPE);
	/* More than what stops the reading, and all of it read by then. */
	for (i = 0; i < 2800; i++)
		say("RCPT TO:<one.too.many@x>\r\n");
	say("DATA\r\n");
	world_settle(&world);
	world_backend_says(&world, world.conns.next, "250 2.1.5 late\r\n");
	expect("354");
	say(MESSAGE);
	world_settle(&world);
	cr_assert_eq(count(&world.received, MESSAGE), 1);
}

Test(session, client_gone_before_its_data_command_was_reached)
{
	struct misbehaviour bad = { WORLD_RCPT, "", 1 };

	backend_does(&bad);
	world.settings->lmtp.lmtp_client_timeout = 60000;
	say("LHLO c\r\n" ENVELOPE "DATA\r\nSubject: half\r\n");
	world_half_close(&world);
	wait_ms(20);
	world_backend_says(&world, world.conns.next, "250 2.1.5 late\r\n");
	expect_closed();
	cr_assert_eq(world.delivered, 0);
}

Test(session, commands_go_on_after_much_output)
{
	struct str all = STR_INIT;
	int i;

	for (i = 0; i < 6000; i++)
		str_puts(&all, "HELP\r\n");
	str_puts(&all, "QUIT\r\n");
	world_send(&world, all.data, all.len);
	str_free(&all);
	expect_closed();
	cr_assert_eq(count(&world.replies, "214 2.0.0"), 6000);
}

Test(session, reply_before_the_message_is_no_delivery)
{
	struct misbehaviour bad = { WORLD_DATA,
				    "354 go on\r\n250 2.0.0 early\r\n", 0 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("<joe@x> ");
	cr_assert_eq(count(&world.replies, "Saved"), 0, "%s",
		     str_c(&world.replies));
	expect("451 4.4.0 <joe@x> ");
	cr_assert_eq(count(&world.received, "\r\n.\r\n"), 0);
}

Test(session, connection_with_half_a_reply_is_not_used_again)
{
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	world_backend_says(&world, world.conns.next, "55");
	wait_ms(20);
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
	cr_assert_eq(world.connections, 2);
}

/* The refusal may have been sent before the dot came, and the answer to the dot
 * be on its way. */
Test(session, connection_is_left_after_a_refused_message)
{
	struct misbehaviour bad = { WORLD_DOT, "552 5.2.2 full\r\n", 1 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "RCPT TO:<b@x>\r\nDATA\r\n" MESSAGE);
	expect("552 5.2.2 <joe@x> full\r\n250 2.0.0 <b@x> ");
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
	cr_assert_eq(world.connections, 2);
}

Test(session, connection_whose_mail_was_refused_serves_the_next)
{
	struct misbehaviour bad = { WORLD_MAIL, "451 4.7.1 greylisted\r\n", 1 };

	world.settings->lmtp.lmtp_proxy_pool_max_connections = 1;
	world.settings->lmtp.lmtp_proxy_pool_wait_timeout = 300;
	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE);
	expect("451 4.7.1 <joe@x> greylisted");
	say("RCPT TO:<b@x>\r\n");
	expect("250 2.1.5");
	cr_assert_eq(world.connections, 1);
}

Test(session, recipients_of_one_backend_share_a_connection)
{
	say("LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<Joe@X>\r\n"
	    "RCPT TO:<b@x>\r\nDATA\r\n" MESSAGE);
	expect("<Joe@X> ");
	expect("250 2.0.0 <b@x> ");
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(count(&world.received, "MAIL FROM"), 1);
}

static void stop_and_say(const char *command)
{
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	session_stop((struct session *)world.worker->sessions.next);
	say(command);
	expect_closed();
}

Test(session, lhlo_in_a_transaction_ends_a_stopping_session)
{
	stop_and_say("LHLO c\r\n");
}

Test(session, rset_in_a_transaction_ends_a_stopping_session)
{
	stop_and_say("RSET\r\n");
}

Test(session, client_has_its_time_after_a_slow_backend)
{
	struct misbehaviour bad = { WORLD_RCPT, "", 1 };

	world_disconnect(&world);
	world.settings->lmtp.lmtp_client_timeout = 1000;
	world_connect(&world);
	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE);
	wait_ms(700);
	world_backend_says(&world, world.conns.next, "250 2.1.5 late\r\n");
	expect("late");
	wait_ms(600);
	say("NOOP\r\n");
	expect("250 2.0.0 OK");
}

Test(session, client_is_not_blamed_for_a_slow_backend)
{
	struct misbehaviour bad = { WORLD_DATA, "", 1 };
	char line[1001];
	int i;

	world_disconnect(&world);
	world.settings->lmtp.lmtp_client_timeout = 200;
	world_connect(&world);
	backend_does(&bad);
	memset(line, 'x', 998);
	memcpy(line + 998, "\r\n", 3);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354");
	for (i = 0; i < 2000; i++)
		say(line);
	say(".\r\n");
	wait_ms(700);
	cr_assert(!world.closed, "%s", str_c(&world.replies));
	world_backend_takes_body(&world, world.conns.next);
	expect("Saved");
}

/* The replies that wait for those of pipelined recipients are not ones that the
 * client leaves unread. */
Test(session, client_is_not_blamed_for_replies_kept_back)
{
	struct misbehaviour bad = { WORLD_RCPT, "", 1 };

	backend_does(&bad);
	world.settings->lmtp.lmtp_client_timeout = 30;
	say("LHLO c\r\n" ENVELOPE);
	wait_ms(200);
	cr_assert_not(world.closed, "%s", str_c(&world.replies));
	world.settings->lmtp.lmtp_client_timeout = 5000;
	world_backend_says(&world, world.conns.next, "250 2.1.5 late\r\n");
	expect("250 2.1.0 OK\r\n250 2.1.5 late\r\n");
}

Test(session, recipients_that_cannot_be_read_count)
{
	world.settings->lmtp.lmtp_max_recipients = 2;
	say("LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@x> NO=1\r\n"
	    "RCPT TO:<a@x> NO=2\r\nRCPT TO:<a@x> NO=3\r\n");
	expect("452 4.5.3 ");
	cr_assert_eq(count(&world.replies, "\r\n555 5.5.4 "), 2, "%s",
		     str_c(&world.replies));
}

/* Another worker's idle connection must not stand in the way: two pools with
 * one count are what two workers are to each other. */
Test(session, idle_connection_of_another_worker_makes_room)
{
	struct remote_pool *own = world.worker->pool;

	world.settings->lmtp.lmtp_proxy_pool_max_connections = 1;
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	world.worker->pool = remote_pool_new(world.loop, world.worker->dns,
					     world.set.limits);
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
	cr_assert_eq(world.connections, 2);
	remote_pool_free(&world.worker->pool);
	world.worker->pool = own;
}

Test(session, last_replies_leave_before_the_end)
{
	struct str all = STR_INIT;
	int i;

	world_disconnect(&world);
	world.send_buffer = 4096;
	world_connect(&world);
	for (i = 0; i < 2000; i++)
		str_puts(&all, "NOOP\r\n");
	str_puts(&all, "QUIT\r\n");
	world_send(&world, all.data, all.len);
	str_free(&all);
	expect_closed();
	cr_assert_eq(count(&world.replies, "250 2.0.0 OK\r\n"), 2000);
	cr_assert_eq(count(&world.replies, "221 2.0.0 Bye\r\n"), 1);
}

Test(session, abort_does_not_wait_for_the_client)
{
	struct session *session;
	int i;

	world_disconnect(&world);
	world.send_buffer = 4096;
	world_connect(&world);
	expect("220 ");
	stream_want_read(world.client, false);
	for (i = 0; i < 2000; i++)
		say("NOOP\r\n");
	say("QUIT\r\n");
	wait_ms(20);
	session = (struct session *)world.worker->sessions.prev;
	cr_assert(!list_empty(&world.worker->sessions));
	session_abort(session);
	cr_assert(list_empty(&world.worker->sessions));
}
