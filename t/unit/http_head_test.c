#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/http/head.h"
#include "lib/str.h"

static struct arena *arena;
static struct http_head head;

static void setup(void)
{
	arena = arena_new(256);
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(http_head, .init = setup, .fini = teardown, .timeout = 20);

static int parse(const char *text)
{
	return http_head_parse(&head, arena, text, strlen(text));
}

Test(http_head, a_request)
{
	const char *text = "GET /v1/who?pattern=a%40b&x HTTP/1.1\r\n"
			   "Host: localhost\r\n"
			   "x-empty:\r\n"
			   "X-Two:  a b \t\r\n\r\nbody";

	cr_assert_eq(parse(text), 1);
	cr_expect_str_eq(head.method, "GET");
	cr_expect_str_eq(head.path, "/v1/who");
	cr_expect_str_eq(head.query, "pattern=a%40b&x");
	cr_expect_eq(head.field_count, 3);
	cr_expect_str_eq(http_head_field(&head, "X-EMPTY"), "");
	cr_expect_str_eq(http_head_field(&head, "x-two"), "a b");
	cr_expect_null(http_head_field(&head, "x-three"));
	cr_expect(head.keep_alive);
	cr_expect_eq(head.body_len, 0);
	cr_expect_str_eq(text + head.size, "body");
}

Test(http_head, every_beginning_of_it_wants_more)
{
	const char *text = "POST /x HTTP/1.1\r\nHost: a\r\n"
			   "Content-Length: 12\r\n\r\n";
	size_t i, len = strlen(text);

	for (i = 0; i < len; i++)
		cr_expect_eq(http_head_parse(&head, arena, text, i), 0,
			     "%zu", i);
	cr_assert_eq(http_head_parse(&head, arena, text, len), 1);
	cr_expect_eq(head.body_len, 12);
}

Test(http_head, connections_that_can_be_kept)
{
	cr_assert_eq(parse("GET / HTTP/1.0\r\n\r\n"), 1);
	cr_expect_not(head.keep_alive);
	cr_assert_eq(parse("GET / HTTP/1.1\r\nHost: a\r\n"
			   "connection: Close\r\n\r\n"), 1);
	cr_expect_not(head.keep_alive);
	cr_expect_not(head.wants_continue);
	cr_assert_eq(parse("GET / HTTP/1.1\r\nHost: a\r\n"
			   "Expect: 100-Continue\r\n\r\n"), 1);
	cr_expect(head.keep_alive);
	cr_expect(head.wants_continue);
}

Test(http_head, paths_are_decoded)
{
	cr_assert_eq(parse("GET /a%2Fb%20c+d%e4 HTTP/1.0\r\n\r\n"), 1);
	cr_expect_str_eq(head.path, "/a/b c+d\xe4");
	cr_expect_str_eq(head.query, "");
}

Test(http_head, parameters)
{
	cr_assert_eq(parse("GET /?a=1&ab=2+3%2b&c&d=%zz&e=%00&a=4 HTTP/1.0\r\n"
			   "\r\n"), 1);
	cr_expect_str_eq(http_head_param(&head, arena, "a"), "1");
	cr_expect_str_eq(http_head_param(&head, arena, "ab"), "2 3+");
	cr_expect_str_eq(http_head_param(&head, arena, "c"), "");
	cr_expect_null(http_head_param(&head, arena, "d"));
	cr_expect_null(http_head_param(&head, arena, "e"));
	cr_expect_null(http_head_param(&head, arena, "b"));
}

Test(http_head, what_is_refused)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "\r\n", -400 },
		{ "GET\r\n\r\n", -400 },
		{ "GET /\r\n\r\n", -400 },
		{ "GET  / HTTP/1.0\r\n\r\n", -400 },
		{ "GET /  HTTP/1.0\r\n\r\n", -400 },
		{ "GET / HTTP/1.0 \r\n\r\n", -400 },
		{ "GE\x01T / HTTP/1.0\r\n\r\n", -400 },
		{ "GET http://a/ HTTP/1.0\r\n\r\n", -400 },
		{ "GET * HTTP/1.0\r\n\r\n", -400 },
		{ "GET /%00 HTTP/1.0\r\n\r\n", -400 },
		{ "GET /%4 HTTP/1.0\r\n\r\n", -400 },
		{ "GET /% HTTP/1.0\r\n\r\n", -400 },
		{ "GET /\xc3\xa4 HTTP/1.0\r\n\r\n", -400 },
		{ "GET /\x7f HTTP/1.0\r\n\r\n", -400 },
		{ "GET / HTTP/1.x\r\n\r\n", -400 },
		{ "GET / HTTP/2.0\r\n\r\n", -505 },
		{ "GET / HTTP/1.0\n\n", -400 },
		{ "GET / HTTP/1.0\r\nA: b\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\nno colon\r\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\n folded: x\r\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\nA: b\r\n c\r\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\nA : b\r\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\nA: b\rc\r\n\r\n", -400 },
		{ "GET / HTTP/1.1\r\n\r\n", -400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\nContent-Length: -1\r\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\nContent-Length: \r\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\nContent-Length: 1x\r\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\nContent-Length: 1000000000\r\n\r\n",
		  -400 },
		{ "GET / HTTP/1.0\r\nContent-Length: 1\r\n"
		  "Content-Length: 1\r\n\r\n", -400 },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		  -501 },
		{ "GET / HTTP/1.0\r\nExpect: x\r\n\r\n", -417 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(parse(cases[i].text), cases[i].status, "%s: %d",
			     cases[i].text, parse(cases[i].text));
}

Test(http_head, a_nul_is_refused)
{
	static const char text[] = "GET /\0 HTTP/1.0\r\n\r\n";
	static const char field[] = "GET / HTTP/1.0\r\nA: b\0c\r\n\r\n";

	cr_expect_eq(http_head_parse(&head, arena, text, sizeof(text) - 1),
		     -400);
	cr_expect_eq(http_head_parse(&head, arena, field, sizeof(field) - 1),
		     -400);
}

Test(http_head, limits)
{
	struct str text = STR_INIT;
	int i;

	str_puts(&text, "GET / HTTP/1.0\r\n");
	for (i = 0; i < HTTP_HEAD_FIELDS; i++)
		str_puts(&text, "A: b\r\n");
	cr_expect_eq(parse(text.data), 0);
	str_puts(&text, "A: b\r\n");
	cr_expect_eq(parse(text.data), -431);
	str_clear(&text);
	str_puts(&text, "GET /");
	while (text.len < HTTP_HEAD_MAX - 1)
		str_putc(&text, 'a');
	cr_expect_eq(parse(text.data), 0);
	str_putc(&text, 'a');
	cr_expect_eq(parse(text.data), -431);
	str_free(&text);
}
