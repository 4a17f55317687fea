#include "backends/local/mail/head.h"

#include <criterion/criterion.h>

static struct str out;

static void expect(const struct mail_head *head, const char *expected)
{
	str_clear(&out);
	mail_head_write(&out, head);
	cr_expect_str_eq(str_c(&out), expected, "%s", str_c(&out));
}

static void free_out(void)
{
	str_free(&out);
}

TestSuite(mail_head, .fini = free_out, .timeout = 20);

Test(mail_head, all_lines)
{
	expect(&(struct mail_head){ "joe@example.org", "ann@example.net",
				    "Received: from a\r\n\tby b; today\r\n" },
	       "Return-Path: <joe@example.org>\n"
	       "Delivered-To: ann@example.net\n"
	       "Received: from a\n\tby b; today\n");
}

Test(mail_head, a_bounce_to_several)
{
	expect(&(struct mail_head){ "", NULL, NULL }, "Return-Path: <>\n");
}

Test(mail_head, several_trace_fields)
{
	expect(&(struct mail_head){ "", NULL, "Received: 1\nReceived: 2" },
	       "Return-Path: <>\nReceived: 1\nReceived: 2\n");
}

Test(mail_head, nothing_can_end_the_header)
{
	expect(&(struct mail_head){ "a\r\n\r\nb", "c\nX: \x01\x7f",
				    "Received: 1\r\n\r\n\nReceived: 2\r\n" },
	       "Return-Path: <a????b>\nDelivered-To: c?X: ??\n"
	       "Received: 1\nReceived: 2\n");
}

Test(mail_head, utf8_and_quotes_pass)
{
	expect(&(struct mail_head){ "\"a b\"@x", "jörg@exämple.org", NULL },
	       "Return-Path: <\"a b\"@x>\nDelivered-To: jörg@exämple.org\n");
}

Test(mail_head, no_line_is_too_long)
{
	char address[2001];
	size_t i;

	for (i = 0; i < sizeof(address) - 1; i++)
		address[i] = "\xc3\xa4"[i % 2];
	address[i] = '\0';
	str_clear(&out);
	mail_head_write(&out, &(struct mail_head){ address, NULL, NULL });
	cr_expect_leq(out.len, 999);
	cr_expect_str_eq(out.data + out.len - 4, "\xc3\xa4>\n");
}

static void expect_sender(const char *head, const char *expected)
{
	str_clear(&out);
	mail_head_sender(&out, head, strlen(head));
	cr_expect_str_eq(str_c(&out), expected, "%s: %s", head, str_c(&out));
}

Test(mail_head, the_sender_again)
{
	expect_sender("Return-Path: <joe@example.org>\nX: y\n", "joe@example.org");
	expect_sender("Return-Path: <\"a>b\"@x>\n", "\"a>b\"@x");
	expect_sender("Return-Path: <>\nX: <y>\n", "");
	expect_sender("Return-Path: <", "");
	expect_sender("Return-Path: <x>", "");
	expect_sender("Return-Path: <\n>\n", "");
	expect_sender("X-Return-Path: <x>\n", "");
	expect_sender("", "");
}
