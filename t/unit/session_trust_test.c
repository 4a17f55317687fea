/* Sessions of clients that are believed (XCLIENT, XRCPTFORWARD, the PROXY
 * header), and backends that are told (XCLIENT, referrals). */
#include <dirent.h>
#include <stdio.h>

#include "t/files.h"
#include "t/unit/session_helper.h"

static void setup_trusted(void)
{
	world_open(&world);
	world_trust(&world, "192.0.2.0/24");
	world_connect(&world);
}

TestSuite(session_trust, .init = setup_trusted, .fini = teardown,
	  .timeout = 60);

static const char lhlo_xclient[] =
	"250-backend\r\n250-PIPELINING\r\n250-XCLIENT ADDR PORT PROTO HELO "
	"LOGIN SESSION TTL TIMEOUT\r\n250-XRCPTFORWARD\r\n"
	"250 ENHANCEDSTATUSCODES\r\n";

static void send_message(void)
{
	say(ENVELOPE "DATA\r\n");
	expect("354 ");
	say(MESSAGE);
	expect(" Saved\r\n");
	str_clear(&world.replies);
}

static void xclient(const char *args)
{
	str_clear(&world.replies);
	say("XCLIENT ");
	say(args);
	say("\r\n");
	expect("220 proxy.test ");
	str_clear(&world.replies);
}

static bool received(const char *text)
{
	return strstr(str_c(&world.received), text) != NULL;
}

/* --- from the client --- */

Test(session_trust, untrusted_clients_are_not_believed)
{
	world_disconnect(&world);
	world.remote = "198.51.100.1";
	world_connect(&world);
	say("LHLO c\r\n");
	expect("250 SMTPUTF8\r\n");
	cr_assert_eq(count(&world.replies, "XCLIENT"), 0);
	cr_assert_eq(count(&world.replies, "XRCPTFORWARD"), 0);
	say("XCLIENT ADDR=192.0.2.1\r\n");
	expect("550 5.7.14 You are not from trusted IP\r\n");
	say("MAIL FROM:<a@b>\r\nRCPT TO:<joe@x> XRCPTFORWARD=a+3Db\r\n");
	expect("550 5.7.14 Unacceptable XRCPTFORWARD= parameter: You are not "
	       "from trusted IP\r\n");
}

Test(session_trust, xclient_is_offered)
{
	say("LHLO c\r\n");
	expect("250-XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT "
	       "CLIENT-TRANSPORT DESTADDR DESTPORT DESTNAME\r\n"
	       "250 XRCPTFORWARD\r\n");
}

Test(session_trust, errors_of_xclient)
{
	say("LHLO c\r\nXCLIENT ADDR=x\r\n");
	expect("501 5.5.4 Invalid ADDR parameter\r\n");
	say("XCLIENT PROTO=UUCP\r\n");
	expect("501 5.5.4 Invalid PROTO parameter\r\n");
	say("MAIL FROM:<a@b>\r\nXCLIENT ADDR=192.0.2.1\r\n");
	expect("503 5.5.0 XCLIENT not permitted during a mail "
	       "transaction\r\n");
}

Test(session_trust, xclient_starts_anew)
{
	world.settings->lmtp.login_greeting = "for %r %{session}";
	say("LHLO c\r\nXCLIENT ADDR=203.0.113.9 PORT=99 HELO=orig.example "
	    "SESSION=front\r\n");
	expect("220 proxy.test for 203.0.113.9 front\r\n");
	send_message();
	cr_assert(received("Received: from orig.example ([203.0.113.9])\r\n"));
	cr_assert(received("\tid front\r\n"));
	/* What it says later adds up, and trust is the connection's. */
	say("XCLIENT TTL=3\r\n");
	expect("220 proxy.test for 203.0.113.9 front\r\n");
	say("LHLO c\r\n");
	send_message();
	cr_assert(received("\tid front:T2\r\n"));
	cr_assert(received("Received: from c ([203.0.113.9])\r\n"));
	say("XCLIENT ADDR=[UNAVAILABLE] SESSION=[UNAVAILABLE]\r\n");
	expect("220 proxy.test for 192.0.2.99 ");
}

Test(session_trust, ttl_0_is_a_loop)
{
	xclient("TTL=0");
	say(ENVELOPE);
	expect("554 5.4.6 <joe@x> Proxying appears to be looping (TTL=0)\r\n");
	cr_assert_eq(world.connections, 0);
	say("RSET\r\n");
	expect("250 2.0.0");
	xclient("TTL=1");
	say(ENVELOPE);
	expect("250 2.1.5");
}

Test(session_trust, xrcptforward)
{
	world.lhlo = lhlo_xclient;
	say("LHLO c\r\nMAIL FROM:<a@b>\r\n"
	    "RCPT TO:<joe@x> XRCPTFORWARD=colour+3Dblue+09size+3D7\r\n");
	expect("250 2.1.5");
	cr_assert(received(" XRCPTFORWARD=colour+3Dblue+09size+3D7\r\n"));
	say("RCPT TO:<ann@x> XRCPTFORWARD=+09+09\r\n");
	expect("501 5.5.4 Invalid XRCPTFORWARD= parameter: Field without "
	       "key\r\n");
}

Test(session_trust, xrcptforward_stays_where_it_is_not_offered)
{
	say("LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<joe@x> XRCPTFORWARD=a\r\n");
	expect("250 2.1.5");
	cr_assert(!received("XRCPTFORWARD"));
}

/* --- to the backend --- */

Test(session_trust, backend_is_told)
{
	world.lhlo = lhlo_xclient;
	say("LHLO client.example\r\n");
	xclient("ADDR=203.0.113.9 PORT=99 LOGIN=me SESSION=front TTL=4 "
		"TIMEOUT=60");
	say("LHLO client.example\r\n");
	send_message();
	cr_assert(received("LHLO proxy.test\r\nXCLIENT HELO=client.example "
			   "PROTO=LMTP LOGIN=me SESSION=front:P1 TTL=3 "
			   "TIMEOUT=60 PORT=99 ADDR=203.0.113.9\r\n"
			   "LHLO proxy.test\r\nMAIL FROM:<a@b>\r\n"),
		  "%s", str_c(&world.received));
}

Test(session_trust, backend_is_told_of_each_message_on_one_connection)
{
	int i;

	world.lhlo = lhlo_xclient;
	say("LHLO c.example\r\n");
	for (i = 0; i < 4; i++)
		send_message();
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(world.delivered, 4);
	cr_assert_eq(count(&world.received, "XCLIENT "), 4);
	cr_assert_eq(count(&world.received, "LHLO proxy.test"), 5);
	cr_assert_eq(count(&world.received, ":T4:P1 TTL=5 "), 1);
}

Test(session_trust, backend_is_not_told_when_switched_off)
{
	world.settings->lmtp.lmtp_proxy_xclient = false;
	world.lhlo = lhlo_xclient;
	say("LHLO c\r\n");
	send_message();
	cr_assert(!received("XCLIENT"));
}

/* Postfix decides by the address that it was told, and lists nothing then. */
static const char *postfix(struct world *w, enum world_stage stage)
{
	bool *told = w->owner;

	if (stage == WORLD_XCLIENT)
		*told = true;
	if (stage == WORLD_GREETING)
		*told = false;
	if (stage == WORLD_LHLO && !*told)
		return "250-backend\r\n250-PIPELINING\r\n"
		       "250 XCLIENT NAME ADDR PORT\r\n";
	return world_good_answer(w, stage);
}

Test(session_trust, identity_is_part_of_the_key_of_a_peer_like_postfix)
{
	bool told = false;

	world.owner = &told;
	world.answer = postfix;
	say("LHLO c\r\n");
	send_message();
	send_message();
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(count(&world.received, "XCLIENT PORT=50000 "
			   "ADDR=192.0.2.99\r\n"), 1);
	xclient("ADDR=203.0.113.9 PORT=9");
	send_message();
	cr_assert_eq(world.connections, 2);
	xclient("ADDR=192.0.2.99 PORT=50000");
	send_message();
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(count(&world.received, "XCLIENT "), 2);
	cr_assert_eq(world.delivered, 4);
}

/* It lists XCLIENT, but refuses a second one. */
static const char *only_once(struct world *w, enum world_stage stage)
{
	unsigned *said = w->owner;

	if (stage == WORLD_GREETING)
		*said = 0;
	if (stage == WORLD_XCLIENT && ++*said > 1)
		return "550 5.7.0 only once\r\n";
	return world_good_answer(w, stage);
}

Test(session_trust, a_second_xclient_that_is_refused)
{
	unsigned said = 0;
	int i;

	world.lhlo = lhlo_xclient;
	world.owner = &said;
	world.answer = only_once;
	say("LHLO c\r\n");
	for (i = 0; i < 4; i++)
		send_message();
	/* The second one was tried once. */
	cr_assert_eq(count(&world.received, "XCLIENT "), 5);
	cr_assert_eq(world.connections, 4);
	cr_assert_eq(world.delivered, 4);
}

/* ... after some that were taken: the envelope is behind it already. */
Test(session_trust, a_later_xclient_that_is_refused)
{
	struct misbehaviour bad = { WORLD_XCLIENT, "550 5.7.0 no more\r\n", 1 };

	world.lhlo = lhlo_xclient;
	say("LHLO c\r\n");
	send_message();
	send_message();
	send_message();
	cr_assert_eq(world.connections, 1);
	backend_does(&bad);
	send_message();
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(world.delivered, 4);
	cr_assert_eq(count(&world.received, "MAIL FROM"), 5);
	cr_assert_eq(count(&world.received, "Subject: hi"), 4);
}

Test(session_trust, a_first_xclient_that_is_refused)
{
	struct misbehaviour bad = { WORLD_XCLIENT, "550 5.7.0 no\r\n", 0 };

	world.lhlo = lhlo_xclient;
	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE);
	expect("451 4.4.0 <joe@x> Proxy failed (XCLIENT refused, session=");
	cr_assert_eq(count(&world.received, "MAIL"), 0);
}

/* The identity is lost on the way to a peer that closes at XCLIENT. */
Test(session_trust, a_peer_that_closes_at_the_second_xclient)
{
	struct misbehaviour bad = { WORLD_XCLIENT, NULL, 1 };

	world.lhlo = lhlo_xclient;
	say("LHLO c\r\n");
	send_message();
	backend_does(&bad);
	send_message();
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(world.delivered, 2);
}

Test(session_trust, a_connection_of_nobody_is_for_everybody)
{
	world.lhlo = lhlo_xclient;
	world.settings->lmtp.lmtp_proxy_xclient = false;
	say("LHLO c\r\n");
	send_message();
	world.settings->lmtp.lmtp_proxy_xclient = true;
	send_message();
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(count(&world.received, "XCLIENT "), 1);
	/* ... but not the other way round. */
	world.settings->lmtp.lmtp_proxy_xclient = false;
	send_message();
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(count(&world.received, "XCLIENT "), 1);
}

/* What the next client does not have would be taken from the one before. */
Test(session_trust, what_cannot_be_taken_back)
{
	world.lhlo = lhlo_xclient;
	xclient("LOGIN=me");
	send_message();
	xclient("LOGIN=[UNAVAILABLE]");
	send_message();
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(count(&world.received, "LOGIN=me"), 1);
}

/* With one place, whose owner is another client's connection. */
Test(session_trust, waiting_for_somebody_elses_connection)
{
	static const char again[] =
		"250-backend\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n";
	unsigned said = 0;

	world.lhlo = again;
	world.owner = &said;
	world.answer = only_once;
	world.settings->lmtp.lmtp_proxy_pool_max_connections = 1;
	say("LHLO c\r\n");
	send_message();
	xclient("ADDR=203.0.113.9");
	send_message();
	xclient("ADDR=203.0.113.10");
	send_message();
	cr_assert_eq(world.connections, 3);
	cr_assert_eq(world.delivered, 3);
}

/* A peer that answers XCLIENT this way and that. */
static const char *moody(struct world *w, enum world_stage stage)
{
	static const char *const moods[] = {
		"220 again\r\n", "250 ok\r\n", "550 5.7.0 no\r\n",
		"220 again\r\n", "421 4.3.2 going\r\n", "220 again\r\n",
		NULL, "220 again\r\n", "220 again\r\n", "354 what\r\n",
	};
	unsigned *mood = w->owner;

	if (stage != WORLD_XCLIENT)
		return world_good_answer(w, stage);
	*mood = *mood * 1103515245 + 12345;
	return moods[*mood / 65536 % (sizeof(moods) / sizeof(moods[0]))];
}

Test(session_trust, nobody_is_taken_for_somebody_else)
{
	unsigned mood = 1, i;
	char name[64];

	world.lhlo = lhlo_xclient;
	world.owner = &mood;
	world.answer = moody;
	for (i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), " SESSION=s%u", i);
		xclient(name);
		say(ENVELOPE);
		world_settle(&world);
		if (count(&world.replies, "250 2.1.5 ") == 0) {
			cr_assert_eq(count(&world.replies, "\r\n451 4.4.0 "), 1);
			say("RSET\r\n");
			expect("250 2.0.0 OK\r\n");
			continue;
		}
		say("DATA\r\n");
		expect("354 ");
		say(MESSAGE);
		expect(" Saved\r\n");
		strcat(name, ":P1 ");
		cr_assert_eq(count(&world.told, name), 1, "%s: %s", name,
			     str_c(&world.told));
	}
	cr_assert_gt(world.delivered, 100);
	cr_assert_lt(world.delivered, 200);
}

Test(session_trust, a_second_xclient_that_leads_to_421)
{
	struct misbehaviour bad = { WORLD_XCLIENT, "421 4.3.2 going\r\n", 1 };

	world.lhlo = lhlo_xclient;
	say("LHLO c\r\n");
	send_message();
	backend_does(&bad);
	send_message();
	send_message();
	/* That was no refusal of XCLIENT. */
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(world.delivered, 3);
}

Test(session_trust, a_peer_that_does_not_greet_again)
{
	struct misbehaviour bad = { WORLD_XCLIENT, "250 2.0.0 ok\r\n", 0 };

	world.lhlo = lhlo_xclient;
	backend_does(&bad);
	say("LHLO c\r\n");
	send_message();
	cr_assert_eq(count(&world.received, "LHLO proxy.test"), 1);
}

/* It does greet again, but not in its reply to XCLIENT. */
static const char *greets_late(struct world *w, enum world_stage stage)
{
	switch (stage) {
	case WORLD_XCLIENT:
		return "250 2.0.0 ok\r\n";
	case WORLD_MAIL:
		return "220 backend ready again\r\n250 2.1.0 ok\r\n";
	case WORLD_RCPT:
		return "";
	case WORLD_DOT:
		return "550 5.7.1 not this\r\n";
	default:
		return world_good_answer(w, stage);
	}
}

/* Its replies would all be taken for those to the next command, and the one to
 * RCPT for that to the message. */
Test(session_trust, a_peer_that_greets_too_late)
{
	world.lhlo = "250-backend\r\n250-PIPELINING\r\n250-CHUNKING\r\n"
		     "250 XCLIENT ADDR PORT\r\n";
	world.answer = greets_late;
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	world_settle(&world);
	say(MESSAGE);
	world_settle(&world);
	if (!list_empty(&world.conns))
		world_backend_says(&world, world.conns.next,
				   "250 2.1.5 recipient ok\r\n");
	world_settle(&world);
	cr_assert_eq(count(&world.replies, " Saved\r\n"), 0, "%s",
		     str_c(&world.replies));
	cr_assert_eq(count(&world.replies, "451 4.4.0 <joe@x> "), 1);
}

static const char *greets_behind_lhlo(struct world *w, enum world_stage stage)
{
	return stage == WORLD_LHLO ? "220 backend ready again\r\n"
				   : world_good_answer(w, stage);
}

Test(session_trust, a_peer_that_greets_twice)
{
	world.answer = greets_behind_lhlo;
	say("LHLO c\r\n" ENVELOPE);
	expect("451 4.4.0 <joe@x> Proxy failed (bad reply, session=");
	cr_assert_not(received("MAIL"));
}

Test(session_trust, a_peer_that_offers_less_afterwards)
{
	int i;

	world.lhlo = lhlo_xclient;
	say("LHLO c\r\n");
	for (i = 0; i < 3; i++)
		send_message();
	cr_assert_eq(world.connections, 1);
	world.lhlo = "250-backend\r\n250-PIPELINING\r\n"
		     "250 XCLIENT ADDR PORT\r\n";
	send_message();
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(world.delivered, 4);
}

Test(session_trust, what_fills_more_than_one_line)
{
	struct str args = STR_INIT;
	int i;

	str_puts(&args, "LOGIN=");
	for (i = 0; i < 250; i++)
		str_putc(&args, 'l');
	str_puts(&args, " SESSION=");
	for (i = 0; i < 240; i++)
		str_putc(&args, 's');
	world.lhlo = lhlo_xclient;
	xclient(str_c(&args));
	str_free(&args);
	say("LHLO c\r\n");
	for (i = 0; i < 3; i++)
		send_message();
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(count(&world.received, "XCLIENT "), 6);
	cr_assert_eq(count(&world.received, "LHLO "), 4);
}

Test(session_trust, not_a_connection_for_each_client_of_half_a_minute)
{
	struct list *node, *tmp;
	bool told = false;
	char name[64];
	unsigned i;

	world.owner = &told;
	world.answer = postfix;
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "ADDR=203.0.113.%u", i);
		xclient(name);
		send_message();
	}
	cr_assert_eq(world.connections, 40);
	world_settle(&world);
	i = 0;
	list_each(&world.conns, node, tmp)
		i++;
	cr_assert_eq(i, 16);
}

/* --- referrals --- */

static void expect_referral(const char *answer, const char *want)
{
	struct misbehaviour bad = { WORLD_RCPT, answer, 0 };

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE);
	expect(want);
}

Test(session_trust, referral_to_the_same_server)
{
	expect_referral("550 5.2.900 <joe@x> 127.0.0.1 Referral\r\n",
			"554 5.4.6 <joe@x> Proxying loops to itself\r\n");
	cr_assert_eq(world.connections, 1);
}

Test(session_trust, referral_to_nowhere)
{
	expect_referral("550 5.2.900 <joe@x> a..b Referral\r\n",
			"451 4.3.5 <joe@x> Internal user lookup failure\r\n");
}

Test(session_trust, referral_to_ourself)
{
	expect_referral("550 5.2.900 <joe@x> 192.0.2.1:24 Referral\r\n",
			"554 5.4.6 <joe@x> Proxying loops to itself\r\n");
}

Test(session_trust, referral_is_followed)
{
	/* Nobody listens there. */
	expect_referral("550 5.2.900 <joe@x> 127.0.0.1:1 Referral\r\n",
			"451 4.4.0 <joe@x> Proxy failed (connect, session=");
}

Test(session_trust, referral_beyond_the_last_proxy)
{
	xclient("TTL=1");
	expect_referral("550 5.2.900 <joe@x> 127.0.0.1:1 Referral\r\n",
			"554 5.4.6 <joe@x> Proxying appears to be looping "
			"(TTL=0)\r\n");
}

Test(session_trust, referral_behind_data_ahead)
{
	struct misbehaviour bad = {
		WORLD_RCPT, "550 5.2.900 <joe@x> 127.0.0.1:1 Referral\r\n", 1
	};

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "RCPT TO:<ann@x>\r\nDATA\r\n");
	expect("451 4.4.0 <joe@x> Proxy failed (connect, session=");
	expect("354 ");
	say(MESSAGE);
	expect("250 2.0.0 <ann@x> ");
	cr_assert_eq(world.delivered, 1);
}

Test(session_trust, referral_after_the_message_is_a_refusal)
{
	struct misbehaviour bad = {
		WORLD_DOT, "550 5.2.900 <joe@x> 127.0.0.1:1 Referral\r\n", 0
	};

	backend_does(&bad);
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	expect("354 ");
	say(MESSAGE);
	expect("550 5.2.900 <joe@x> 127.0.0.1:1 Referral\r\n");
}

/* --- the PROXY header --- */

static void connect_by_haproxy(const char *trusted)
{
	world_disconnect(&world);
	world_trust_balancers(&world, trusted);
	world.settings->lmtp.login_greeting = "%l %r";
	world_connect(&world);
}

#define V1 "PROXY TCP4 203.0.113.7 192.0.2.80 4711 2424\r\n"

Test(session_trust, header_gives_the_addresses)
{
	connect_by_haproxy("192.0.2.99");
	world_settle(&world);
	cr_assert_eq(world.replies.len, 0, "greeted too early");
	say(V1 "LHLO c\r\n");
	expect("220 proxy.test 192.0.2.80 203.0.113.7\r\n");
	expect("250 SMTPUTF8\r\n"); /* it is not the balancer who is trusted */
	world.lhlo = lhlo_xclient;
	send_message();
	cr_assert(received("Received: from c ([203.0.113.7])\r\n"));
	cr_assert(received("PORT=4711 ADDR=203.0.113.7\r\n"));
}

Test(session_trust, header_byte_by_byte)
{
	const char *p;

	connect_by_haproxy("192.0.2.99");
	for (p = V1; *p != '\0'; p++) {
		world_send(&world, p, 1);
		world_settle(&world);
	}
	expect("220 proxy.test 192.0.2.80 203.0.113.7\r\n");
}

Test(session_trust, header_of_version_2_with_tls)
{
	static const char v2[] =
		"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x23"
		"\xcb\0\x71\x07\xc0\0\x02\x50\x12\x67\x09\x78"
		"\x20\0\x14\x01\0\0\0\0\x21\0\x07TLSv1.3\x23\0\x02xx";

	connect_by_haproxy("192.0.2.99");
	world_send(&world, v2, sizeof(v2) - 1);
	expect("220 proxy.test 192.0.2.80 203.0.113.7\r\n");
	world.lhlo = "250-backend\r\n250 XCLIENT ADDR CLIENT-TRANSPORT\r\n";
	say("LHLO c\r\n");
	send_message();
	cr_assert(received("XCLIENT CLIENT-TRANSPORT=TLS ADDR=203.0.113.7\r\n"),
		  "%s", str_c(&world.received));
}

/* What TLS the client has is known only as long as no proxy spoke for it. */
Test(session_trust, backends_are_told_of_the_transport)
{
	static const char *const rows[][2] = {
		{ "TTL=3", "XCLIENT ADDR=192.0.2.99\r\n" },
		{ "CLIENT-TRANSPORT=TLSv1.3",
		  "XCLIENT CLIENT-TRANSPORT=TLSv1.3 ADDR=192.0.2.99\r\n" },
		{ "DESTNAME=mx.example",
		  "XCLIENT CLIENT-TRANSPORT=TLSv1.3 DESTNAME=mx.example "
		  "ADDR=192.0.2.99\r\n" },
		{ "CLIENT-TRANSPORT=insecure",
		  "XCLIENT CLIENT-TRANSPORT=insecure DESTNAME=mx.example "
		  "ADDR=192.0.2.99\r\n" },
	};
	size_t i;

	world.lhlo = "250-backend\r\n"
		     "250 XCLIENT ADDR CLIENT-TRANSPORT DESTNAME\r\n";
	say("LHLO c\r\n");
	send_message();
	cr_assert(received("XCLIENT CLIENT-TRANSPORT=insecure "
			   "ADDR=192.0.2.99\r\n"));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		str_clear(&world.received);
		xclient(rows[i][0]);
		say("LHLO c\r\n");
		send_message();
		cr_expect(received(rows[i][1]), "%s: %s", rows[i][0],
			  str_c(&world.received));
	}
}

Test(session_trust, header_of_a_health_check)
{
	connect_by_haproxy("192.0.2.99");
	say("PROXY UNKNOWN\r\n");
	expect("220 proxy.test 192.0.2.1 192.0.2.99\r\n");
}

Test(session_trust, header_from_an_untrusted_balancer)
{
	connect_by_haproxy("192.0.2.98");
	say(V1);
	expect_closed();
	cr_assert_eq(world.replies.len, strlen("220 proxy.test ready.\r\n") *
		     count(&world.replies, "220 "));
	cr_assert_eq(count(&world.replies, "203.0.113.7"), 0);
}

Test(session_trust, no_header)
{
	connect_by_haproxy("192.0.2.99");
	say("LHLO c\r\n");
	expect_closed();
	cr_assert_eq(count(&world.replies, "250"), 0);
}

Test(session_trust, header_that_does_not_come)
{
	world.settings->haproxy_timeout = 20;
	connect_by_haproxy("192.0.2.99");
	say("PROXY TCP4 ");
	expect_closed();
}

Test(session_trust, half_a_header)
{
	connect_by_haproxy("192.0.2.99");
	say("PROXY TCP4 ");
	world_half_close(&world);
	expect_closed();
}

/* --- raw logs --- */

/* All files of dir whose name has that end, in one. */
static void read_rawlogs(const char *dir, const char *end, struct str *out)
{
	struct dirent *entry;
	DIR *handle = opendir(dir);
	char path[512], buf[8192];
	size_t len;
	FILE *file;

	while ((entry = readdir(handle)) != NULL) {
		if (strstr(entry->d_name, end) == NULL)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		file = fopen(path, "r");
		while ((len = fread(buf, 1, sizeof(buf), file)) > 0)
			str_append(out, buf, len);
		fclose(file);
	}
	closedir(handle);
}

Test(session_trust, rawlogs_of_both_sides)
{
	struct str in = STR_INIT, out = STR_INIT;
	struct files files;

	files_init(&files);
	world_disconnect(&world);
	world.settings->lmtp.lmtp_rawlog_dir = files.dir;
	world.settings->lmtp.lmtp_proxy_rawlog_dir = files.dir;
	world_connect(&world);
	say("LHLO c\r\n");
	send_message();
	say("QUIT\r\n");
	expect_closed();
	read_rawlogs(files.dir, ".in", &in);
	read_rawlogs(files.dir, ".out", &out);
	cr_expect_eq(count(&in, " LHLO c\r\n"), 1);
	cr_expect_eq(count(&in, " Subject: hi\r\n"), 1);
	cr_expect_eq(count(&in, " 220 backend ready\r\n"), 1);
	cr_expect_eq(count(&in, " 250 2.0.0 delivered\r\n"), 1);
	cr_expect_eq(count(&out, " LHLO proxy.test\r\n"), 1);
	cr_expect_eq(count(&out, " Subject: hi\r\n"), 1);
	cr_expect_eq(count(&out, " Saved\r\n"), 1);
	cr_expect_eq(count(&out, " 221 2.0.0 Bye\r\n"), 1);
	str_free(&in);
	str_free(&out);
	files_done(&files);
}
