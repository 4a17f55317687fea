/* What waypost -l prints. */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "proxy/lookup/report.h"

static struct arena *arena;
static struct lookup_report report;
static FILE *to;
static char *text;
static size_t len;

static void start(void)
{
	arena = arena_new(1024);
	to = open_memstream(&text, &len);
	lookup_report_start(&report, to, arena, "joe@example.org");
	rewind(to);
}

static void end(void)
{
	fclose(to);
	free(text);
	arena_free(&arena);
}

TestSuite(lookup_report, .init = start, .fini = end);

/* Since the last time; times are replaced by T. */
static void assert_printed(const char *expected)
{
	char *ms = NULL, *from;

	fflush(to);
	text[ftell(to)] = '\0';
	while ((ms = strstr(text, " ms\n")) != NULL) {
		for (from = ms; from[-1] != ' '; from--)
			;
		memmove(from + 1, ms + 3, strlen(ms + 3) + 1);
		*from = 'T';
	}
	cr_expect_str_eq(text, expected);
	rewind(to);
}

static void tell(struct passdb_request *request, enum passdb_event_type type,
		 const char *name, const char *what)
{
	static const struct passdb_block block = {
		.driver = "static", .name = "", .file = "/etc/w\n", .line = 7,
	};
	const struct passdb_event event = { type, request, &block, name, what };

	report.observer.tell(&report.observer, &event);
}

Test(lookup_report, escape)
{
	static const char *const cases[][2] = {
		{ "plain", "plain" },
		{ "a\nb\r\t\x1b[31m\x7f\\", "a\\x0ab\\x0d\\x09\\x1b[31m\\x7f"
					    "\\x5c" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" },
		{ "\xc2\xa0", "\xc2\xa0" },
		{ "\xff\xc3\xbc", "\\xff\\xc3\\xbc" },
		{ "\xc2", "\\xc2" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		lookup_report_no_route(&report, cases[i][0]);
		assert_printed(arena_concat(arena, "route: none\n  note: ",
					    cases[i][1], "\n"));
	}
}

Test(lookup_report, chain)
{
	struct passdb_request request = { .username = "joe", .step = 1 };

	tell(&request, PASSDB_EVENT_STEP, NULL, NULL);
	tell(&request, PASSDB_EVENT_SOURCE, "default_fields", NULL);
	tell(&request, PASSDB_EVENT_FIELD, "a\n", "b\n");
	tell(&request, PASSDB_EVENT_ASKED, "base", "ou=x\n");
	tell(&request, PASSDB_EVENT_SOURCE, NULL, "uid=joe\n");
	tell(&request, PASSDB_EVENT_FIELD, "proxy", "");
	tell(&request, PASSDB_EVENT_NOTE, NULL, "trouble");
	request.username = "jim";
	tell(&request, PASSDB_EVENT_ANSWER, "deny=yes", "found");
	tell(&request, PASSDB_EVENT_STEP, NULL, "username_filter");
	assert_printed("  name: joe\n"
		       "passdb 2: static, /etc/w\\x0a:7\n"
		       "  default_fields: a\\x0a=b\\x0a\n"
		       "  asked: base=ou=x\\x0a\n"
		       "  from: uid=joe\\x0a\n"
		       "  said: proxy\n"
		       "  note: trouble\n"
		       "  name: jim\n"
		       "  answer: found, deny=yes, T\n"
		       "passdb 2: static, /etc/w\\x0a:7\n"
		       "  skipped: username_filter\n");
}

Test(lookup_report, secrets)
{
	struct passdb_request request = { .username = "joe" };
	struct passdb_fields fields = { NULL, 0, 0 };

	tell(&request, PASSDB_EVENT_FIELD, "pass", "hunter2");
	tell(&request, PASSDB_EVENT_FIELD, "token", "hunter22");
	tell(&request, PASSDB_EVENT_FIELD, "pass", "ab");
	tell(&request, PASSDB_EVENT_FIELD, "nopassword", "y");
	tell(&request, PASSDB_EVENT_FIELD, "host", "xhunter22hunter2.ab");
	tell(&request, PASSDB_EVENT_ASKED, "filter", "(a=hunter2)");
	passdb_fields_put(&fields, arena, "Secret", "gggggg", false);
	passdb_fields_put(&fields, arena, "x", "=gggggg", false);
	passdb_fields_put(&fields, arena, "key", "", false);
	lookup_report_fields(&report, &fields);
	lookup_report_no_route(&report, NULL);
	assert_printed("  said: pass=<hidden>\n"
		       "  said: token=<hidden>\n"
		       "  said: pass=<hidden>\n"
		       "  said: nopassword=y\n"
		       "  said: host=x<hidden><hidden>.ab\n"
		       "  asked: filter=(a=<hidden>)\n"
		       "fields:\n"
		       "  Secret=<hidden>\n"
		       "  x==<hidden>\n"
		       "  key\n"
		       "route: none\n");
}

Test(lookup_report, many_secrets)
{
	struct passdb_fields fields = { NULL, 0, 0 };
	struct str expected = STR_INIT;
	unsigned i;

	for (i = 0; i < 40; i++) {
		passdb_fields_put(&fields, arena,
				  arena_printf(arena, "pass%u", i),
				  arena_printf(arena, "secret%u.", i), false);
		str_printf(&expected, "  given: pass%u=<hidden>\n", i);
	}
	lookup_report_given(&report, &fields);
	lookup_report_no_route(&report, "secret0. secret39.");
	str_puts(&expected, "route: none\n  note: <hidden> <hidden>\n");
	assert_printed(str_c(&expected));
	str_free(&expected);
}

Test(lookup_report, client)
{
	struct passdb_client client = { .session = "x" };

	addr_parse_ip(&client.local, "192.0.2.1", 24);
	addr_parse_ip(&client.remote, "2001:db8::1", 1234);
	client.real_local = client.local;
	client.real_remote = client.remote;
	lookup_report_client(&report, &client, "mail");
	addr_set_port(&client.real_local, 25);
	addr_parse_ip(&client.real_remote, "192.0.2.3", 5);
	lookup_report_client(&report, &client, "mail");
	assert_printed("  client: rip=2001:db8::1 rport=1234 lip=192.0.2.1 "
		       "lport=24\n"
		       "  runs as: mail\n"
		       "  client: rip=2001:db8::1 rport=1234 lip=192.0.2.1 "
		       "lport=24 real_rip=192.0.2.3 real_rport=5 "
		       "real_lip=192.0.2.1 real_lport=25\n"
		       "  runs as: mail\n");
}

Test(lookup_report, route)
{
	struct route route = {
		.address = "joe@x",
		.target = { .protocol = REMOTE_LMTP, .host = "h", .port = 24 },
	};

	lookup_report_route(&report, &route);
	assert_printed("route:\n  host=h\n  port=24\n  protocol=lmtp\n"
		       "  tls=no\n  address=joe@x\n");
	route.target.protocol = REMOTE_SMTP;
	route.target.tls = REMOTE_TLS_STARTTLS;
	addr_parse_ip(&route.target.addr, "192.0.2.1", 24);
	addr_parse_ip(&route.target.source, "192.0.2.2", 0);
	route.timeout_ms = 5000;
	lookup_report_route(&report, &route);
	assert_printed("route:\n  host=h\n  hostip=192.0.2.1\n  port=24\n"
		       "  protocol=smtp\n  tls=starttls\n"
		       "  certificate=checked\n  source_ip=192.0.2.2\n"
		       "  proxy_timeout=5\n  address=joe@x\n");
	route.target.tls = REMOTE_TLS_IMMEDIATE;
	route.target.any_cert = true;
	route.target.host = "192.0.2.1";
	route.target.source.len = 0;
	route.timeout_ms = 0;
	lookup_report_route(&report, &route);
	assert_printed("route:\n  host=192.0.2.1\n  port=24\n"
		       "  protocol=smtp\n  tls=immediate\n"
		       "  certificate=any\n  address=joe@x\n");
}

Test(lookup_report, choice_of_the_director)
{
	static const struct director_server server;
	struct route route = {
		.address = "joe@x",
		.target = { .protocol = REMOTE_LMTP, .host = "h", .port = 24 },
		.choice = { .server = &server, .method = "md5-ring",
			    .text = "joe\n", .hash = 0x123456789abcdef,
			    .tag = "" },
	};

	lookup_report_route(&report, &route);
	assert_printed("route:\n  director=md5-ring\n  hash=0123456789abcdef\n"
		       "  hash_of=joe\\x0a\n  host=h\n  port=24\n"
		       "  protocol=lmtp\n  tls=no\n  address=joe@x\n");
	route.choice.tag = "x";
	lookup_report_route(&report, &route);
	assert_printed("route:\n  director=md5-ring\n  hash=0123456789abcdef\n"
		       "  hash_of=joe\\x0a\n  director_tag=x\n  host=h\n"
		       "  port=24\n  protocol=lmtp\n  tls=no\n"
		       "  address=joe@x\n");
}

Test(lookup_report, dns_and_reply)
{
	struct addr addrs[2] = { { .len = 0 } };
	struct dns_answer answer = { addrs, 2, NULL };
	const struct smtp_reply reply = { 450, { 4, 2, 1 }, SMTP_ORIGIN_LOCAL,
					  "a\nb\x1b" };

	addr_parse_ip(&addrs[0], "192.0.2.1", 0);
	addr_parse_ip(&addrs[1], "2001:db8::1", 0);
	lookup_report_dns(&report, "h\n", &answer, lookup_report_now_us());
	answer = (struct dns_answer){ NULL, 0, "timeout" };
	lookup_report_dns(&report, "h", &answer, lookup_report_now_us());
	lookup_report_reply(&report, &reply, "joe@x");
	lookup_report_end(&report);
	assert_printed("dns: h\\x0a, T\n  address=192.0.2.1\n"
		       "  address=2001:db8::1\n"
		       "dns: h, T\n  note: timeout\n"
		       "reply: 450-4.2.1 <joe@x> a\n"
		       "reply: 450 4.2.1 <joe@x> b?\n"
		       "time: T\n");
}
