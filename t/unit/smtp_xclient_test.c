#include "lib/smtp/xclient.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena *arena;
static struct str out;

static void setup(void)
{
	arena = arena_new(1024);
	out = (struct str)STR_INIT;
}

static void teardown(void)
{
	arena_free(&arena);
	str_free(&out);
}

TestSuite(smtp_xclient, .init = setup, .fini = teardown);

#define ALL (~0U)

static int parse(struct smtp_xclient *xclient, const char *args,
		 struct err *err)
{
	return smtp_xclient_parse(arena, args, strlen(args), xclient, err);
}

static struct smtp_xclient parsed(const char *args)
{
	struct smtp_xclient xclient = { .set = 0 };
	struct err err;

	cr_assert_eq(parse(&xclient, args, &err), 0, "%s: %s", args, err.text);
	return xclient;
}

/* What was read, said again; and how it is said to an SMTP server. */
static const struct {
	const char *args, *lmtp, *smtp;
} cases[] = {
	{ "ADDR=192.0.2.1", "ADDR=192.0.2.1", NULL },
	{ "addr=192.0.2.1 Port=25", "PORT=25 ADDR=192.0.2.1", NULL },
	{ "ADDR=2001:DB8::1", "ADDR=2001:db8::1", "ADDR=IPV6:2001:db8::1" },
	{ "ADDR=IPV6:2001:db8::1", "ADDR=2001:db8::1",
	  "ADDR=IPV6:2001:db8::1" },
	{ "ADDR=ipv6:::1", "ADDR=::1", "ADDR=IPV6:::1" },
	{ "ADDR=IPV6:::ffff:192.0.2.1", "ADDR=192.0.2.1", NULL },
	{ "PORT=1", "PORT=1", NULL },
	{ "PORT=65535", "PORT=65535", NULL },
	{ "PORT=00025", "PORT=25", NULL },
	{ "PROTO=smtp", "PROTO=SMTP", NULL },
	{ "PROTO=Esmtp", "PROTO=ESMTP", NULL },
	{ "PROTO=LMTP", "PROTO=LMTP", NULL },
	{ "HELO=mx.example.org", "HELO=mx.example.org", NULL },
	{ "HELO=[192.0.2.1]", "HELO=[192.0.2.1]", NULL },
	{ "HELO=two+20words", "", NULL },
	{ "HELO=[two+20words]", "", NULL },
	{ "HELO=m+C3+BCller", "", NULL },
	{ "HELO=[", "", NULL },
	{ "LOGIN=a+3Db+2Bc+20d", "LOGIN=a+3Db+2Bc+20d", NULL },
	{ "LOGIN=m+c3+bcller", "LOGIN=m+C3+BCller", NULL },
	{ "SESSION=abc/DEF+2B:T2:P1", "SESSION=abc/DEF+2B:T2:P1", NULL },
	{ "TTL=0", "TTL=0", NULL },
	{ "TTL=4294967295", "TTL=4294967295", NULL },
	{ "TIMEOUT=300", "TIMEOUT=300", NULL },
	{ "CLIENT-TRANSPORT=TLSv1.3", "CLIENT-TRANSPORT=TLSv1.3", NULL },
	{ "DESTADDR=2001:db8::2 DESTPORT=24",
	  "DESTPORT=24 DESTADDR=2001:db8::2",
	  "DESTPORT=24 DESTADDR=IPV6:2001:db8::2" },
	{ "DESTNAME=lmtp.example.org", "DESTNAME=lmtp.example.org", NULL },
	{ "NAME=client.example.org", "NAME=client.example.org", NULL },
	{ "FORWARD=Y29sb3VyPWJsdWU+3D", "FORWARD=Y29sb3VyPWJsdWU+3D", NULL },
	/* All of them, in the order in which they are safe to say. */
	{ "ADDR=192.0.2.1 PORT=25 DESTADDR=192.0.2.2 DESTPORT=24 TIMEOUT=9 "
	  "TTL=4 FORWARD=x NAME=n DESTNAME=d CLIENT-TRANSPORT=t SESSION=s "
	  "LOGIN=l PROTO=LMTP HELO=h",
	  "HELO=h PROTO=LMTP LOGIN=l SESSION=s CLIENT-TRANSPORT=t DESTNAME=d "
	  "NAME=n FORWARD=x TTL=4 TIMEOUT=9 DESTPORT=24 DESTADDR=192.0.2.2 "
	  "PORT=25 ADDR=192.0.2.1", NULL },
	/* Blanks around do not matter. */
	{ "  TTL=1   PORT=2 ", "TTL=1 PORT=2", NULL },
	{ "ADDR=[UNAVAILABLE]", "", NULL },
	{ "PORT=[TempUnavail] TTL=3", "TTL=3", NULL },
	{ "PROTO=[unavailable]", "", NULL },
};

static void check_written(const struct smtp_xclient *xclient, bool lmtp,
			  const char *args, const char *given)
{
	const char *want = args[0] == '\0' ? "" :
			   arena_concat(arena, "XCLIENT ", args, "\r\n");
	unsigned lines;

	str_clear(&out);
	lines = smtp_xclient_write(&out, xclient, ALL, lmtp);
	cr_assert_str_eq(str_c(&out), want, "'%s'", given);
	cr_assert_eq(lines, args[0] != '\0', "'%s'", given);
}

Test(smtp_xclient, cases)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_xclient xclient = parsed(cases[i].args);

		check_written(&xclient, true, cases[i].lmtp, cases[i].args);
		check_written(&xclient, false,
			      cases[i].smtp != NULL ? cases[i].smtp :
						      cases[i].lmtp,
			      cases[i].args);
	}
}

static const struct {
	const char *args, *text;
} bad[] = {
	{ "", "Missing" },
	{ "  ", "Missing" },
	{ "ADDR", "ADDR" },
	{ "ADDR=", "ADDR" },
	{ "ADDR=example.org", "ADDR" },
	{ "ADDR=192.0.2.256", "ADDR" },
	{ "ADDR=192.0.2.1:25", "ADDR" },
	{ "ADDR=IPV6:192.0.2.1", "ADDR" },
	{ "ADDR=IPV6:", "ADDR" },
	{ "ADDR=IPV6:IPV6:::1", "ADDR" },
	{ "ADDR=192.0.2.1+00", "ADDR" },
	{ "ADDR=/run/socket", "ADDR" },
	{ "DESTADDR=local", "DESTADDR" },
	{ "PORT=0", "PORT" },
	{ "PORT=65536", "PORT" },
	{ "PORT=-1", "PORT" },
	{ "PORT=2x", "PORT" },
	{ "PORT=99999999999999999999999999", "PORT" },
	{ "DESTPORT=smtp", "DESTPORT" },
	{ "PROTO=HTTP", "PROTO" },
	{ "PROTO=LMTPS", "PROTO" },
	{ "TTL=4294967296", "TTL" },
	{ "TTL=", "TTL" },
	{ "TIMEOUT=1.5", "TIMEOUT" },
	{ "LOGIN=a=b", "LOGIN" },
	{ "LOGIN=a+0Ab", "LOGIN" },
	{ "LOGIN=a+00b", "LOGIN" },
	{ "LOGIN=a+7F", "LOGIN" },
	{ "LOGIN=+FF", "LOGIN" },
	{ "LOGIN=a+", "LOGIN" },
	{ "LOGIN=a+4", "LOGIN" },
	{ "LOGIN=a+GG", "LOGIN" },
	{ "LOGIN=\303\274", "LOGIN" },
	{ "SESSION=+0D+0A250", "SESSION" },
	{ "HELO=\x01", "HELO" },
	{ "DESTNAME=a..b", "DESTNAME" },
	{ "DESTNAME=a+20b", "DESTNAME" },
	{ "TTL=1 TTL=2", "Duplicate TTL" },
	{ "TTL=[UNAVAILABLE] ttl=2", "Duplicate TTL" },
};

Test(smtp_xclient, bad_ones_change_nothing)
{
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct smtp_xclient before = parsed("TTL=7 HELO=h"), after;
		struct err err = { "" };

		after = before;
		cr_assert_eq(parse(&after, bad[i].args, &err), -1, "'%s'",
			     bad[i].args);
		cr_assert_not_null(strstr(err.text, bad[i].text), "'%s': %s",
				   bad[i].args, err.text);
		cr_assert(smtp_xclient_equal(&before, &after, ALL), "'%s'",
			  bad[i].args);
	}
}

static char *repeat(const char *prefix, char c, size_t count)
{
	char *text = arena_alloc(arena, strlen(prefix) + count + 1);

	memcpy(text, prefix, strlen(prefix));
	memset(text + strlen(prefix), c, count);
	return text;
}

Test(smtp_xclient, longest_texts)
{
	struct smtp_xclient xclient = { .set = 0 };
	struct err err;

	parsed(repeat("LOGIN=", 'x', SMTP_XCLIENT_TEXT_MAX));
	cr_assert_eq(parse(&xclient,
			   repeat("LOGIN=", 'x', SMTP_XCLIENT_TEXT_MAX + 1),
			   &err), -1);
	parsed(repeat("FORWARD=", 'x', SMTP_XCLIENT_FORWARD_MAX));
	cr_assert_eq(parse(&xclient, repeat("FORWARD=", 'x',
					    SMTP_XCLIENT_FORWARD_MAX + 1),
			   &err), -1);
	cr_assert_eq(xclient.set, 0);
}

Test(smtp_xclient, commands_add_up)
{
	struct smtp_xclient xclient = parsed("ADDR=192.0.2.1 TTL=3 LOGIN=a");
	struct err err;

	cr_assert_eq(parse(&xclient, "PORT=25 TTL=2", &err), 0);
	check_written(&xclient, true,
		      "LOGIN=a TTL=2 PORT=25 ADDR=192.0.2.1", "two");
	cr_assert_eq(parse(&xclient, "LOGIN=[UNAVAILABLE]", &err), 0);
	check_written(&xclient, true, "TTL=2 PORT=25 ADDR=192.0.2.1", "three");
	cr_assert_eq(xclient.set, SMTP_XCLIENT_TTL | SMTP_XCLIENT_PORT |
					  SMTP_XCLIENT_ADDR);
}

Test(smtp_xclient, members)
{
	struct smtp_xclient xclient =
		parsed("ADDR=192.0.2.1 PORT=25 PROTO=ESMTP HELO=h LOGIN=l "
		       "SESSION=s TTL=4 TIMEOUT=5 CLIENT-TRANSPORT=t "
		       "DESTADDR=192.0.2.2 DESTPORT=24 DESTNAME=d NAME=n "
		       "FORWARD=f");
	struct addr addr, dest_addr;

	addr_parse_ip(&addr, "192.0.2.1", 0);
	addr_parse_ip(&dest_addr, "192.0.2.2", 0);
	cr_assert_eq(xclient.set, (1U << 14) - 1);
	cr_assert(addr_equal(&xclient.addr, &addr));
	cr_assert(addr_equal(&xclient.dest_addr, &dest_addr));
	cr_assert_eq(xclient.port, 25);
	cr_assert_eq(xclient.dest_port, 24);
	cr_assert_eq(xclient.proto, SMTP_XCLIENT_ESMTP);
	cr_assert_eq(xclient.ttl, 4);
	cr_assert_eq(xclient.timeout, 5);
	cr_assert_str_eq(xclient.helo, "h");
	cr_assert_str_eq(xclient.login, "l");
	cr_assert_str_eq(xclient.session, "s");
	cr_assert_str_eq(xclient.client_transport, "t");
	cr_assert_str_eq(xclient.dest_name, "d");
	cr_assert_str_eq(xclient.name, "n");
	cr_assert_str_eq(xclient.forward, "f");
}

Test(smtp_xclient, only_what_is_listed_is_said)
{
	struct smtp_xclient xclient =
		parsed("ADDR=192.0.2.1 PORT=25 HELO=h TTL=4");

	cr_assert_eq(smtp_xclient_write(&out, &xclient,
					SMTP_XCLIENT_ADDR | SMTP_XCLIENT_TTL |
						SMTP_XCLIENT_LOGIN, true), 1);
	cr_assert_str_eq(str_c(&out), "XCLIENT TTL=4 ADDR=192.0.2.1\r\n");
	str_clear(&out);
	cr_assert_eq(smtp_xclient_write(&out, &xclient, SMTP_XCLIENT_LOGIN,
					true), 0);
	cr_assert_eq(smtp_xclient_write(&out, &xclient, 0, true), 0);
	cr_assert_eq(out.len, 0);
}

/* Splits out at CRLF, and checks that there are so many lines. */
static void check_lines(const size_t *lens, unsigned count)
{
	const char *at = str_c(&out);
	unsigned i;

	for (i = 0; i < count; i++) {
		const char *end = strstr(at, "\r\n");

		cr_assert_not_null(end);
		cr_assert_eq((size_t)(end - at), lens[i], "line %u: %zu", i,
			     (size_t)(end - at));
		cr_assert_eq(strncmp(at, "XCLIENT ", 8), 0);
		at = end + 2;
	}
	cr_assert_eq(*at, '\0');
}

Test(smtp_xclient, lines_are_split)
{
	struct smtp_xclient xclient = { .set = 0 };
	struct err err;
	/* "XCLIENT" + " LOGIN=" + 250 + " SESSION=" + 237 = 510 */
	static const size_t one[] = { 510 }, two[] = { 264, 254 };

	parse(&xclient, repeat("LOGIN=", 'l', 250), &err);
	parse(&xclient, repeat("SESSION=", 's', 237), &err);
	cr_assert_eq(smtp_xclient_write(&out, &xclient, ALL, true), 1);
	check_lines(one, 1);
	parse(&xclient, repeat("SESSION=", 's', 238), &err);
	str_clear(&out);
	cr_assert_eq(smtp_xclient_write(&out, &xclient, ALL, true), 2);
	check_lines(two, 2);
}

/* Each on a line of its own where it must be; never a part of one. */
Test(smtp_xclient, one_long_text)
{
	struct smtp_xclient xclient = parsed("HELO=h TTL=1");
	struct str login = STR_INIT;
	struct err err;
	static const size_t lens[] = { 14, 7 + 7 + 3 * 255, 13 };
	size_t i;

	str_puts(&login, "LOGIN=");
	for (i = 0; i < SMTP_XCLIENT_TEXT_MAX; i++)
		str_puts(&login, "+20");
	cr_assert_eq(parse(&xclient, str_c(&login), &err), 0);
	cr_assert_eq(smtp_xclient_write(&out, &xclient, ALL, true), 3);
	check_lines(lens, 3);
	str_free(&login);
}

Test(smtp_xclient, copy_stands_alone)
{
	static const char args[] = "HELO=h LOGIN=l DESTNAME=d FORWARD=f TTL=1 "
				   "ADDR=192.0.2.1";
	struct arena *other = arena_new(256);
	struct smtp_xclient original = { .set = 0 }, copy;
	struct smtp_xclient want = parsed(args);
	struct err err;

	cr_assert_eq(smtp_xclient_parse(other, args, strlen(args), &original,
					&err), 0);
	smtp_xclient_copy(arena, &copy, &original);
	arena_free(&other);
	cr_assert(smtp_xclient_equal(&copy, &want, ALL));
	cr_assert_str_eq(copy.helo, "h");
	cr_assert_null(copy.session);
}

Test(smtp_xclient, equal)
{
	static const char *const all[] = {
		"ADDR=192.0.2.1", "PORT=1", "PROTO=SMTP", "HELO=a", "LOGIN=a",
		"SESSION=a", "TTL=1", "TIMEOUT=1", "CLIENT-TRANSPORT=a",
		"DESTADDR=192.0.2.1", "DESTPORT=1", "DESTNAME=a", "NAME=a",
		"FORWARD=a",
	};
	struct smtp_xclient none = { .set = 0 };
	struct smtp_xclient first =
		parsed("ADDR=192.0.2.9 PORT=9 PROTO=LMTP HELO=z LOGIN=z "
		       "SESSION=z TTL=9 TIMEOUT=9 CLIENT-TRANSPORT=z "
		       "DESTADDR=192.0.2.9 DESTPORT=9 DESTNAME=z NAME=z "
		       "FORWARD=z");
	struct err err;
	unsigned i;

	cr_assert(smtp_xclient_equal(&none, &none, ALL));
	cr_assert(smtp_xclient_equal(&first, &first, ALL));
	cr_assert_not(smtp_xclient_equal(&first, &none, ALL));
	cr_assert(smtp_xclient_equal(&first, &none, 0));
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct smtp_xclient second = first, third = first;

		cr_assert_eq(parse(&second, all[i], &err), 0);
		third.set &= ~(1U << i);
		cr_assert_not(smtp_xclient_equal(&first, &second, ALL), "%s",
			      all[i]);
		cr_assert(smtp_xclient_equal(&first, &second, ALL & ~(1U << i)),
			  "%s", all[i]);
		cr_assert_not(smtp_xclient_equal(&first, &third, ALL), "%s",
			      all[i]);
		cr_assert(smtp_xclient_equal(&first, &third, ALL & ~(1U << i)),
			  "%s", all[i]);
	}
}

Test(smtp_xclient, what_was_said_before_must_not_stay)
{
	struct smtp_xclient none = { .set = 0 };
	struct smtp_xclient two = parsed("HELO=a TTL=1");
	struct smtp_xclient three = parsed("HELO=b TTL=2 LOGIN=x");

	cr_assert(smtp_xclient_replaces(&three, &two, ALL));
	cr_assert(smtp_xclient_replaces(&three, &three, ALL));
	cr_assert(smtp_xclient_replaces(&two, &none, ALL));
	cr_assert_not(smtp_xclient_replaces(&two, &three, ALL));
	cr_assert_not(smtp_xclient_replaces(&none, &two, ALL));
	cr_assert(smtp_xclient_replaces(&two, &three,
					SMTP_XCLIENT_HELO | SMTP_XCLIENT_TTL));
}

static void check_applied(const char *args, const char *want_remote,
			  const char *want_local)
{
	struct smtp_xclient xclient = parsed(args);
	struct addr remote, local;
	struct str text = STR_INIT;

	addr_parse_ip(&remote, "203.0.113.1", 1000);
	addr_parse_ip(&local, "203.0.113.2", 2000);
	smtp_xclient_apply(&xclient, &remote, &local);
	addr_write(&text, &remote);
	cr_assert_str_eq(str_c(&text), want_remote, "'%s'", args);
	str_clear(&text);
	addr_write(&text, &local);
	cr_assert_str_eq(str_c(&text), want_local, "'%s'", args);
	str_free(&text);
}

Test(smtp_xclient, applied)
{
	check_applied("TTL=1", "203.0.113.1:1000", "203.0.113.2:2000");
	check_applied("ADDR=192.0.2.1 PORT=25", "192.0.2.1:25",
		      "203.0.113.2:2000");
	check_applied("ADDR=2001:db8::1", "[2001:db8::1]:0",
		      "203.0.113.2:2000");
	check_applied("PORT=25", "203.0.113.1:25", "203.0.113.2:2000");
	check_applied("DESTADDR=192.0.2.2 DESTPORT=24", "203.0.113.1:1000",
		      "192.0.2.2:24");
	check_applied("ADDR=[UNAVAILABLE]", "203.0.113.1:1000",
		      "203.0.113.2:2000");
}

Test(smtp_xclient, a_client_on_a_unix_socket)
{
	struct smtp_xclient port = parsed("PORT=25");
	struct smtp_xclient both = parsed("ADDR=192.0.2.1 PORT=25");
	struct addr remote, local = { .len = 0 };

	addr_set_unix(&remote, "/run/lmtp");
	smtp_xclient_apply(&port, &remote, &local);
	addr_write(&out, &remote);
	cr_assert_str_eq(str_c(&out), "/run/lmtp");
	smtp_xclient_apply(&both, &remote, &local);
	str_clear(&out);
	addr_write(&out, &remote);
	cr_assert_str_eq(str_c(&out), "192.0.2.1:25");
	cr_assert_eq(local.len, 0);
}

Test(smtp_xclient, listed)
{
	static const char words[] = "NAME ADDR  port LOGINS FORWARD ";

	cr_assert_eq(smtp_xclient_parse_listed(words, strlen(words)),
		     SMTP_XCLIENT_NAME | SMTP_XCLIENT_ADDR |
			     SMTP_XCLIENT_PORT | SMTP_XCLIENT_FORWARD);
	cr_assert_eq(smtp_xclient_parse_listed(words, 7), SMTP_XCLIENT_NAME);
	cr_assert_eq(smtp_xclient_parse_listed(words, 0), 0);
	smtp_xclient_write_listed(&out, SMTP_XCLIENT_OFFERED);
	cr_assert_str_eq(str_c(&out),
			 " ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT"
			 " CLIENT-TRANSPORT DESTADDR DESTPORT DESTNAME");
	str_clear(&out);
	smtp_xclient_write_listed(&out, 0);
	cr_assert_eq(out.len, 0);
}

Test(smtp_xclient, unknown_attributes_are_passed_over)
{
	static const char *const rows[] = {
		"REVERSE_NAME=x", "ADDRS=192.0.2.1 ADDRS=y", "=x", "x",
		"\tTTL=1", "REVERSE_NAME",
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena *own = arena_new(256);
		struct smtp_xclient xclient = { .set = 0 };
		struct err err;
		char *args = arena_printf(own, "%s TTL=7", rows[i]);

		cr_expect_eq(smtp_xclient_parse(own, rows[i], strlen(rows[i]),
						&xclient, &err), 0, "%s",
			     rows[i]);
		cr_expect_eq(xclient.set, 0, "%s", rows[i]);
		cr_expect_eq(smtp_xclient_parse(own, args, strlen(args),
						&xclient, &err), 0, "%s", args);
		cr_expect_eq(xclient.ttl, 7, "%s", args);
		arena_free(&own);
	}
}
