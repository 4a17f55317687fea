#include "lib/smtp/reply.h"

#include <criterion/criterion.h>
#include <string.h>

static struct smtp_reply_parser parser;
static struct arena *arena;

static void setup(void)
{
	smtp_reply_parser_init(&parser);
	arena = arena_new(1024);
}

static void teardown(void)
{
	smtp_reply_parser_free(&parser);
	arena_free(&arena);
}

TestSuite(smtp_reply, .init = setup, .fini = teardown, .timeout = 60);

static void check_written(const struct smtp_reply *reply, const char *path,
			  const char *want)
{
	struct str out = STR_INIT;

	smtp_reply_write(&out, reply, path);
	cr_assert_str_eq(str_c(&out), want);
	str_free(&out);
}

Test(smtp_reply, written)
{
	struct smtp_reply reply = { .code = 250, .text = "OK" };

	check_written(&reply, NULL, "250 OK\r\n");
	check_written(&reply, "a@b", "250 <a@b> OK\r\n");
	reply.enhanced = (struct smtp_enhanced){ 2, 1, 5 };
	check_written(&reply, NULL, "250 2.1.5 OK\r\n");
	check_written(&reply, "a@b", "250 2.1.5 <a@b> OK\r\n");
	reply.text = "one\ntwo\n\nfour";
	check_written(&reply, "a@b",
		      "250-2.1.5 <a@b> one\r\n"
		      "250-2.1.5 <a@b> two\r\n"
		      "250-2.1.5 <a@b>\r\n"
		      "250 2.1.5 <a@b> four\r\n");
	reply.text = "";
	check_written(&reply, NULL, "250 2.1.5\r\n");
	check_written(&reply, "", "250 2.1.5 <>\r\n");
	reply = (struct smtp_reply){ .code = 354, .text = NULL };
	check_written(&reply, NULL, "354 \r\n");
	reply.text = "\n";
	check_written(&reply, NULL, "354-\r\n354 \r\n");
	reply = (struct smtp_reply){ .code = 554,
				     .enhanced = { 5, 999, 999 },
				     .text = "x" };
	check_written(&reply, NULL, "554 5.999.999 x\r\n");
}

Test(smtp_reply, control_bytes_do_not_get_out)
{
	struct smtp_reply reply = { .code = 550,
				    .text = "a\rb\001c\x7f\td\xc3\xa4" };

	check_written(&reply, "x\r\n250 y",
		      "550 <x??250 y> a?b?c?\td\xc3\xa4\r\n");
}

Test(smtp_reply, described)
{
	struct smtp_reply reply = { .code = 250,
				    .enhanced = { 2, 0, 0 },
				    .text = "one\ntwo" };
	struct str out = STR_INIT;

	smtp_reply_describe(&out, &reply);
	cr_assert_str_eq(str_c(&out), "250 2.0.0 one / two");
	str_clear(&out);
	reply = (struct smtp_reply){ .code = 421, .text = "" };
	smtp_reply_describe(&out, &reply);
	cr_assert_str_eq(str_c(&out), "421");
	str_clear(&out);
	reply.text = NULL;
	smtp_reply_describe(&out, &reply);
	cr_assert_str_eq(str_c(&out), "421");
	str_free(&out);
}

Test(smtp_reply, copied)
{
	char text[] = "text";
	struct smtp_reply copy, reply = { .code = 451,
					  .enhanced = { 4, 3, 0 },
					  .origin = SMTP_ORIGIN_REMOTE,
					  .text = text };

	smtp_reply_copy(arena, &copy, &reply);
	text[0] = 'n';
	cr_assert_eq(copy.code, 451);
	cr_assert_eq(copy.enhanced.subject, 3);
	cr_assert_eq(copy.origin, SMTP_ORIGIN_REMOTE);
	cr_assert_str_eq(copy.text, "text");
	reply.text = NULL;
	smtp_reply_copy(arena, &copy, &reply);
	cr_assert_str_eq(copy.text, "");
}

Test(smtp_reply, success_is_2xx)
{
	static const int codes[] = { 199, 200, 250, 299, 300, 354, 451, 550 };
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct smtp_reply reply = { .code = codes[i] };

		cr_assert_eq(smtp_reply_is_success(&reply), i >= 1 && i <= 3,
			     "%d", codes[i]);
	}
}

/* A reply as it comes in, and what is read from it; code 0: none. */
static const struct {
	const char *in;
	int code;
	struct smtp_enhanced enhanced;
	const char *text;
} rows[] = {
	{ "250 OK\r\n", 250, { 0, 0, 0 }, "OK" },
	{ "250 2.0.0 OK\r\n", 250, { 2, 0, 0 }, "OK" },
	{ "250 2.0.0 OK\n", 250, { 2, 0, 0 }, "OK" },
	{ "250\r\n", 250, { 0, 0, 0 }, "" },
	{ "250 \r\n", 250, { 0, 0, 0 }, "" },
	{ "250 2.1.5\r\n", 250, { 2, 1, 5 }, "" },
	{ "250 2.1.5 \r\n", 250, { 2, 1, 5 }, "" },
	{ "250  two\tblanks \r\n", 250, { 0, 0, 0 }, " two\tblanks " },
	{ "354 go\r\n", 354, { 0, 0, 0 }, "go" },
	{ "299 x\r\n", 299, { 0, 0, 0 }, "x" },
	{ "571 5.7.1 x\r\n", 571, { 5, 7, 1 }, "x" },
	{ "550 5.123.999 x\r\n", 550, { 5, 123, 999 }, "x" },
	{ "550 \xc3\xa4\xff\r\n", 550, { 0, 0, 0 }, "\xc3\xa4\xff" },
	/* several lines */
	{ "250-one\r\n250-two\r\n250 three\r\n", 250, { 0, 0, 0 },
	  "one\ntwo\nthree" },
	{ "250-2.0.0 one\r\n250 2.0.0 two\r\n", 250, { 2, 0, 0 }, "one\ntwo" },
	{ "250-\n250-\r\n250\r\n", 250, { 0, 0, 0 }, "\n\n" },
	{ "250-mx\r\n250-SIZE 5\r\n250 2.0.0 x\r\n", 250, { 2, 0, 0 },
	  "mx\nSIZE 5\nx" },
	{ "550-5.7.1 one\r\n550 5.7.26 two\r\n", 550, { 5, 7, 1 },
	  "one\n5.7.26 two" },
	{ "550-5.7.1 one\r\n550 5.2.1 two\r\n", 550, { 5, 7, 1 },
	  "one\n5.2.1 two" },
	{ "550-5.7.1 one\r\n550 two\r\n", 550, { 5, 7, 1 }, "one\ntwo" },
	/* what is no enhanced code */
	{ "550 4.0.0 x\r\n", 550, { 0, 0, 0 }, "4.0.0 x" },
	{ "250 5.0.0 x\r\n", 250, { 0, 0, 0 }, "5.0.0 x" },
	{ "354 3.0.0 x\r\n", 354, { 0, 0, 0 }, "3.0.0 x" },
	{ "250 2.0 x\r\n", 250, { 0, 0, 0 }, "2.0 x" },
	{ "250 2.0.\r\n", 250, { 0, 0, 0 }, "2.0." },
	{ "250 2..0 x\r\n", 250, { 0, 0, 0 }, "2..0 x" },
	{ "250 2.0.0.1 x\r\n", 250, { 0, 0, 0 }, "2.0.0.1 x" },
	{ "250 2.0.0x\r\n", 250, { 0, 0, 0 }, "2.0.0x" },
	{ "250 2.0.0\tx\r\n", 250, { 0, 0, 0 }, "2.0.0\tx" },
	{ "250 2.00.1 x\r\n", 250, { 0, 0, 0 }, "2.00.1 x" },
	{ "250 2.0.01 x\r\n", 250, { 0, 0, 0 }, "2.0.01 x" },
	{ "250 2.1000.0 x\r\n", 250, { 0, 0, 0 }, "2.1000.0 x" },
	{ "250 2.0.1000 x\r\n", 250, { 0, 0, 0 }, "2.0.1000 x" },
	{ "250 2\r\n", 250, { 0, 0, 0 }, "2" },
	{ "250 2.0.\r\n", 250, { 0, 0, 0 }, "2.0." },
	{ "250 22.0.0 x\r\n", 250, { 0, 0, 0 }, "22.0.0 x" },
	/* what is no reply */
	{ "\r\n", 0, { 0, 0, 0 }, "Not a reply: \"\"" },
	{ "hello\r\n", 0, { 0, 0, 0 }, "Not a reply: \"hello\"" },
	{ "25\r\n", 0, { 0, 0, 0 }, "Not a reply: \"25\"" },
	{ "2500 x\r\n", 0, { 0, 0, 0 }, "Not a reply: \"2500 x\"" },
	{ "250_x\r\n", 0, { 0, 0, 0 }, "Not a reply: \"250_x\"" },
	{ "150 x\r\n", 0, { 0, 0, 0 }, "Not a reply: \"150 x\"" },
	{ "650 x\r\n", 0, { 0, 0, 0 }, "Not a reply: \"650 x\"" },
	{ "050 x\r\n", 0, { 0, 0, 0 }, "Not a reply: \"050 x\"" },
	{ "2a0 x\r\n", 0, { 0, 0, 0 }, "Not a reply: \"2a0 x\"" },
	{ "25b x\r\n", 0, { 0, 0, 0 }, "Not a reply: \"25b x\"" },
	{ " 250 x\r\n", 0, { 0, 0, 0 }, "Not a reply: \" 250 x\"" },
	{ "\x16\x03\x01\n", 0, { 0, 0, 0 },
	  "Not a reply: \"\\x16\\x03\\x01\"" },
	{ "250 a\rb\r\n", 0, { 0, 0, 0 },
	  "Control byte in reply: \"250 a\\x0db\"" },
	{ "250 a\r\r\n", 0, { 0, 0, 0 },
	  "Control byte in reply: \"250 a\\x0d\"" },
	{ "250 a\x1b[1m\r\n", 0, { 0, 0, 0 },
	  "Control byte in reply: \"250 a\\x1b[1m\"" },
	{ "250 a\x7f\r\n", 0, { 0, 0, 0 },
	  "Control byte in reply: \"250 a\\x7f\"" },
	{ "250-a\r\n251 b\r\n", 0, { 0, 0, 0 },
	  "Reply code changed within reply: \"251 b\"" },
	{ "250-a\r\n550 b\r\n", 0, { 0, 0, 0 },
	  "Reply code changed within reply: \"550 b\"" },
	{ "250-a\r\nb\r\n", 0, { 0, 0, 0 }, "Not a reply: \"b\"" },
};

/* Feeds in[0..len) in pieces of the given size. */
static int feed(const char *in, size_t len, size_t piece, size_t *used_r,
		struct smtp_reply *reply, struct err *err)
{
	size_t part, used;
	int ret = 0;

	for (*used_r = 0; *used_r < len && ret == 0; *used_r += used) {
		part = len - *used_r < piece ? len - *used_r : piece;
		ret = smtp_reply_parse(&parser, in + *used_r, part, &used,
				       reply, err);
		cr_assert(ret != 0 || used == part);
		cr_assert_leq(used, part);
	}
	return ret;
}

static void check_row(size_t row, size_t piece)
{
	const char *in = rows[row].in;
	struct smtp_reply reply;
	struct err err = { "" };
	size_t used;
	int ret = feed(in, strlen(in), piece, &used, &reply, &err);

	if (rows[row].code == 0) {
		cr_assert_eq(ret, -1, "\"%s\"", in);
		cr_assert_str_eq(err.text, rows[row].text, "\"%s\"", in);
		smtp_reply_parser_free(&parser);
		smtp_reply_parser_init(&parser);
		return;
	}
	cr_assert_eq(ret, 1, "\"%s\": %s", in, err.text);
	cr_assert_eq(used, strlen(in));
	cr_assert_eq(reply.code, rows[row].code, "\"%s\"", in);
	cr_assert_eq(reply.origin, SMTP_ORIGIN_REMOTE);
	cr_assert_eq(reply.enhanced.class, rows[row].enhanced.class, "\"%s\"",
		     in);
	cr_assert_eq(reply.enhanced.subject, rows[row].enhanced.subject);
	cr_assert_eq(reply.enhanced.detail, rows[row].enhanced.detail);
	cr_assert_str_eq(reply.text, rows[row].text, "\"%s\"", in);
}

/* One parser reads them all, one after the other, in pieces of all sizes. */
Test(smtp_reply, read)
{
	size_t i, piece;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (piece = 1; piece <= strlen(rows[i].in); piece++)
			check_row(i, piece);
}

Test(smtp_reply, several_in_one_read)
{
	static const char in[] = "250 one\r\n550-5.1.1 two\r\n550 5.1.1 x\r\n"
				 "354 three\r\n2";
	struct smtp_reply reply;
	struct err err;
	size_t used, at = 0;

	cr_assert_eq(smtp_reply_parse(&parser, in, strlen(in), &used, &reply,
				      &err),
		     1);
	cr_assert_eq(used, 9);
	cr_assert_str_eq(reply.text, "one");
	at += used;
	cr_assert_eq(smtp_reply_parse(&parser, in + at, strlen(in + at), &used,
				      &reply, &err),
		     1);
	cr_assert_str_eq(reply.text, "two\nx");
	cr_assert_eq(reply.enhanced.detail, 1);
	at += used;
	cr_assert_eq(smtp_reply_parse(&parser, in + at, strlen(in + at), &used,
				      &reply, &err),
		     1);
	cr_assert_str_eq(reply.text, "three");
	cr_assert_eq(reply.enhanced.class, 0);
	at += used;
	cr_assert_eq(smtp_reply_parse(&parser, in + at, strlen(in + at), &used,
				      &reply, &err),
		     0);
	cr_assert_eq(used, 1);
	cr_assert_eq(smtp_reply_parse(&parser, "", 0, &used, &reply, &err), 0);
	cr_assert_eq(used, 0);
}

Test(smtp_reply, nul_is_a_control_byte)
{
	struct smtp_reply reply;
	struct err err;
	size_t used;

	cr_assert_eq(smtp_reply_parse(&parser, "250 a\0b\r\n", 9, &used, &reply,
				      &err),
		     -1);
	cr_assert_str_eq(err.text, "Control byte in reply: \"250 a\\x00b\"");
}

/* A reply of lines of 100 bytes, and a last one that makes it len bytes. */
static int feed_long(size_t len, size_t piece, const char *ending,
		     struct err *err)
{
	struct str in = STR_INIT;
	struct smtp_reply reply;
	size_t used;
	int ret;

	while (len - in.len > 200)
		str_printf(&in, "250-%094d\r\n", 0);
	str_puts(&in, "250 ");
	while (in.len + strlen(ending) < len)
		str_putc(&in, 'x');
	str_puts(&in, ending);
	ret = feed(in.data, in.len, piece, &used, &reply, err);
	cr_assert(ret != 1 || strlen(reply.text) > len / 2);
	str_free(&in);
	smtp_reply_parser_free(&parser);
	smtp_reply_parser_init(&parser);
	return ret;
}

Test(smtp_reply, size_is_limited)
{
	static const size_t pieces[] = { 1, 7, 100, 4095, 4096, 4097, 10000 };
	const size_t max = SMTP_REPLY_MAX_SIZE;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t piece = pieces[i];

		cr_assert_eq(feed_long(max, piece, "\r\n", &err), 1);
		cr_assert_eq(feed_long(max + 1, piece, "\r\n", &err), -1);
		cr_assert_str_eq(err.text, "Reply longer than 4096 bytes");
		cr_assert_eq(feed_long(max, piece, "", &err), 0);
		cr_assert_eq(feed_long(max + 1, piece, "", &err), -1);
		cr_assert_eq(feed_long(max + 5000, piece, "\r\n", &err), -1);
	}
}

/* The limit is one reply's. */
Test(smtp_reply, many_replies_are_not_too_long)
{
	struct smtp_reply reply;
	struct err err;
	size_t i, used;

	for (i = 0; i < 1000; i++)
		cr_assert_eq(smtp_reply_parse(&parser, "250 2.0.0 OK\r\n", 14,
					      &used, &reply, &err),
			     1);
}

Test(smtp_reply, quoting_is_cut)
{
	struct smtp_reply reply;
	struct err err;
	char in[300];
	size_t used;

	memset(in, 'x', sizeof(in));
	in[299] = '\n';
	cr_assert_eq(smtp_reply_parse(&parser, in, sizeof(in), &used, &reply,
				      &err),
		     -1);
	cr_assert_eq(strlen(err.text),
		     strlen("Not a reply: \"\"") + 100 + strlen("..."));
}

/* What is written reads back the same. */
Test(smtp_reply, round_trip)
{
	static const struct smtp_reply replies[] = {
		{ .code = 250, .text = "OK" },
		{ .code = 550, .enhanced = { 5, 1, 1 }, .text = "a\nb\n\nc" },
		{ .code = 451, .enhanced = { 4, 0, 0 }, .text = "" },
	};
	size_t i, used;

	for (i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		struct str out = STR_INIT;
		struct smtp_reply back;
		struct err err;

		smtp_reply_write(&out, &replies[i], NULL);
		cr_assert_eq(smtp_reply_parse(&parser, out.data, out.len, &used,
					      &back, &err),
			     1);
		cr_assert_eq(back.code, replies[i].code);
		cr_assert_eq(back.enhanced.class, replies[i].enhanced.class);
		cr_assert_str_eq(back.text, replies[i].text);
		str_free(&out);
	}
}
