#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/session/id.h"
#include "proxy/session/received.h"

static struct addr remote;
static struct received received;

static void setup(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	addr_parse_ip(&remote, "192.0.2.7", 4711);
	received = (struct received){
		.helo = "mx.example.org",
		.remote = &remote,
		.hostname = "proxy.example.org",
		.id = "ID:T2",
		.mail_from = "a@b",
		.rcpt = "joe@example.org",
		.now = 1000000000,
	};
}

TestSuite(received, .init = setup);

static void assert_header(const char *expected)
{
	struct str out = STR_INIT;

	received_write(&out, &received);
	cr_assert_str_eq(str_c(&out), expected);
	str_free(&out);
}

Test(received, whole)
{
	assert_header("Received: from mx.example.org ([192.0.2.7])\r\n"
		      "\tby proxy.example.org with LMTP\r\n"
		      "\tid ID:T2\r\n"
		      "\t(envelope-from <a@b>)\r\n"
		      "\tfor <joe@example.org>; "
		      "Sun, 09 Sep 2001 01:46:40 +0000\r\n");
}

Test(received, through_tls)
{
	static const struct tls_info tls = {
		.protocol = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384",
		.bits = 256, .cipher_bits = 256,
	};

	received.tls = &tls;
	assert_header("Received: from mx.example.org ([192.0.2.7])\r\n"
		      "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
		      "(256/256 bits))\r\n"
		      "\tby proxy.example.org with LMTPS\r\n"
		      "\tid ID:T2\r\n"
		      "\t(envelope-from <a@b>)\r\n"
		      "\tfor <joe@example.org>; "
		      "Sun, 09 Sep 2001 01:46:40 +0000\r\n");
}

Test(received, little_known_and_hostile)
{
	addr_set_unix(&remote, "/x");
	received.helo = NULL;
	received.rcpt = NULL;
	received.mail_from = "a(\r\n\tb\\)";
	assert_header("Received: from unknown\r\n"
		      "\tby proxy.example.org with LMTP\r\n"
		      "\tid ID:T2\r\n"
		      "\t(envelope-from <a????b?" "?>); "
		      "Sun, 09 Sep 2001 01:46:40 +0000\r\n");
}

/* Nothing behind an address is inside of its quotes. */
Test(received, quotes)
{
	static const char *const rows[][2] = {
		{ "\"a.b\"@c", "\"a.b\"@c" },
		{ "\"a b\"@c", "\"a?b\"@c" },
		{ "\"a\\\"b\"@c", "\"a?" "?b\"@c" },
		{ "\"a\\\\\"@c", "\"a?" "?\"@c" },
		{ "a\"b@c", "a?b@c" },
		{ "\"a\\", "?a?" },
	};
	struct str out = STR_INIT;
	char want[64];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		received.rcpt = rows[i][0];
		str_truncate(&out, 0);
		received_write(&out, &received);
		snprintf(want, sizeof(want), "\tfor <%s>; Sun", rows[i][1]);
		cr_expect(strstr(str_c(&out), want) != NULL, "%s", str_c(&out));
	}
	str_free(&out);
}

Test(session_id, is_22_characters_of_base64_and_new_each_time)
{
	char a[SESSION_ID_SIZE], b[SESSION_ID_SIZE];
	int i;

	session_id_make(a);
	cr_assert_eq(strlen(a), 22);
	for (i = 0; i < 1000; i++) {
		session_id_make(b);
		cr_assert_str_neq(a, b);
	}
	cr_assert_eq(strspn(b, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
			       "stuvwxyz0123456789+/"),
		     22);
}
