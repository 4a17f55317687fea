/* Clients that send a byte now and then. How long they last is in
 * session_pace_test.c. */
#include "t/unit/session_helper.h"

TestSuite(session_slow, .init = setup, .fini = teardown, .timeout = 60);

static void connect_with(unsigned timeout, uint64_t rate)
{
	world_disconnect(&world);
	world.settings->lmtp.lmtp_client_timeout = timeout;
	world.settings->lmtp.lmtp_client_min_rate = rate;
	world_connect(&world);
	expect("220 ");
}

/* Says it again and again, for three seconds or until the session ends. */
static void repeat(const char *text)
{
	int i;

	for (i = 0; i < 300 && !world.closed; i++) {
		say(text);
		wait_ms(10);
	}
}

static void expect_inactive(void)
{
	cr_assert(world.closed, "still there:\n%s", str_c(&world.replies));
	expect("421 4.4.2 proxy.test Disconnected for inactivity\r\n");
	cr_assert_eq(world.delivered, 0);
}

Test(session_slow, command)
{
	connect_with(100, 1);
	repeat("N");
	expect_inactive();
}

Test(session_slow, command_that_is_too_long)
{
	char part[5001] = "";

	connect_with(100, 1);
	memset(part, 'N', sizeof(part) - 1);
	say(part);
	repeat("N");
	expect_inactive();
}

Test(session_slow, part_of_a_command_behind_whole_ones)
{
	connect_with(100, 1);
	say("LHLO c\r\nNOOP\r\nNO");
	expect("250 2.0.0 OK\r\n");
	repeat("O");
	expect_inactive();
}

Test(session_slow, commands_one_by_one)
{
	int i;

	connect_with(1000, 1000000);
	for (i = 0; i < 15; i++) {
		say("NOOP\r\n");
		wait_ms(100);
	}
	say("QUIT\r\n");
	expect("221 ");
}

Test(session_slow, message)
{
	connect_with(100, 10000);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354 ");
	repeat("x");
	expect_inactive();
	cr_assert_eq(count(&world.received, "\r\n.\r\n"), 0);
}

Test(session_slow, chunk)
{
	connect_with(100, 10000);
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5 ");
	say("BDAT 1000000 LAST\r\n");
	repeat("x");
	expect_inactive();
}

Test(session_slow, small_chunks)
{
	connect_with(100, 10000);
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5 ");
	repeat("BDAT 1\r\nx");
	expect_inactive();
}

Test(session_slow, nothing_between_chunks)
{
	connect_with(100, 10000);
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5 ");
	say("BDAT 1\r\nx");
	expect("250 2.0.0 Added 1 octets\r\n");
	repeat("NOOP\r\n");
	expect_inactive();
}

Test(session_slow, chunk_that_nobody_wants)
{
	connect_with(100, 10000);
	say("BDAT 1000000 LAST\r\n");
	expect("503 5.5.0 MAIL needed first\r\n");
	repeat("x");
	expect_inactive();
}

static void send_at_a_good_rate(void)
{
	int i;

	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354 ");
	for (i = 0; i < 15; i++) {
		say("0123456789abcdef0123456789abcdef\r\n");
		wait_ms(100);
	}
	say(".\r\n");
	expect(" Saved\r\n");
}

Test(session_slow, message_that_takes_longer_than_the_timeout)
{
	connect_with(1000, 34);
	send_at_a_good_rate();
}

Test(session_slow, any_rate)
{
	connect_with(1000, 0);
	send_at_a_good_rate();
}
