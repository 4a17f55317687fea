#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backends/local/request.h"
#include "lib/channel.h"

static struct local_request in, out;
static struct str bytes;
static struct err err;
static char longer[LOCAL_REQUEST_STRING + 2];

static void setup(void)
{
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	in = (struct local_request){
		.uid = 1001,
		.gid = 0xfffffffe,
		.groups_user = "joe",
		.groups = "a,b",
		.copy = "/srv/x,S=3",
		.user = "joe@example.org",
		.home = "/home/joe",
		.chroot = "",
		.location = "maildir:~/Maildir",
		.mailbox = "INBOX",
		.mail_from = "",
		.rcpt_to = "joe+x@example.org",
		.orcpt = "old@example.org",
		.detail = "x",
		.session_ms = 0xfffefdfc,
		.rules = { { "quota_rule", "*:storage=1G" },
			   { "quota_rule2", "" } },
		.rule_count = 2,
		.head = "Return-Path: <x@y>\n",
		.head_len = 19,
		.size = 123456789012,
		.received = { 1700000000, 999999999 },
		.deadline_ms = 0x0102030405060708u,
	};
}

static void teardown(void)
{
	str_free(&bytes);
}

TestSuite(local_request, .init = setup, .fini = teardown);

static void encode(void)
{
	str_clear(&bytes);
	cr_assert_eq(local_request_encode(&bytes, &in, &err), 0, "%s",
		     err.text);
}

static int decode(void)
{
	return local_request_decode(&out, bytes.data, bytes.len, &err);
}

Test(local_request, comes_back_as_it_was)
{
	encode();
	cr_assert_eq(decode(), 0, "%s", err.text);
	cr_assert_eq(out.uid, in.uid);
	cr_assert_eq(out.gid, in.gid);
	cr_assert_str_eq(out.groups_user, "joe");
	cr_assert_str_eq(out.groups, "a,b");
	cr_assert_str_eq(out.user, in.user);
	cr_assert_str_eq(out.home, in.home);
	cr_assert_str_eq(out.chroot, "");
	cr_assert_str_eq(out.location, in.location);
	cr_assert_str_eq(out.mailbox, in.mailbox);
	cr_assert_str_eq(out.mail_from, "");
	cr_assert_str_eq(out.rcpt_to, in.rcpt_to);
	cr_assert_str_eq(out.orcpt, in.orcpt);
	cr_assert_str_eq(out.detail, "x");
	cr_assert_eq(out.session_ms, in.session_ms);
	cr_assert_str_eq(out.copy, in.copy);
	cr_assert_eq(out.kind, LOCAL_REQUEST_SAVE);
	cr_assert_eq(out.rule_count, 2);
	cr_assert_str_eq(out.rules[0].name, "quota_rule");
	cr_assert_str_eq(out.rules[0].value, "*:storage=1G");
	cr_assert_str_eq(out.rules[1].name, "quota_rule2");
	cr_assert_str_eq(out.rules[1].value, "");
	cr_assert_eq(out.head_len, in.head_len);
	cr_assert_str_eq(out.head, in.head);
	cr_assert_eq(out.size, in.size);
	cr_assert_eq(out.deadline_ms, in.deadline_ms);
	cr_assert_eq(out.received.tv_sec, in.received.tv_sec);
	cr_assert_eq(out.received.tv_nsec, in.received.tv_nsec);
}

Test(local_request, the_longest_strings_fit_and_longer_ones_are_named)
{
	in.home = longer;
	cr_assert_eq(local_request_encode(&bytes, &in, &err), -1);
	cr_assert_str_eq(err.text, "home has 1025 bytes, which is more than "
				   "1024");
	longer[LOCAL_REQUEST_STRING] = '\0';
	in.user = in.chroot = in.location = in.mailbox = longer;
	encode();
	cr_assert_eq(decode(), 0, "%s", err.text);
	cr_assert_str_eq(out.mailbox, longer);
}

Test(local_request, more_rules_than_there_is_room_for)
{
	/* Behind the strings: 2, then the first rule. */
	const char *at;

	encode();
	at = memmem(bytes.data, bytes.len, "\2\12\0quota_rule", 13);
	cr_assert_not_null(at);
	bytes.data[at - bytes.data] = LOCAL_REQUEST_RULES + 1;
	cr_assert_eq(decode(), -1);
	bytes.data[at - bytes.data] = 1;
	cr_assert_eq(decode(), -1);
}

Test(local_request, a_question_has_no_message)
{
	in.kind = LOCAL_REQUEST_CHECK;
	encode();
	cr_assert_eq(decode(), 0, "%s", err.text);
	cr_assert_eq(out.kind, LOCAL_REQUEST_CHECK);
	cr_assert_eq(local_request_fds(out.kind), 1);
	cr_assert_eq(local_request_fds(LOCAL_REQUEST_SAVE), 2);
}

Test(local_request, what_no_packet_holds_is_an_error)
{
	char *head = calloc(1, CHANNEL_MAX_DATA);

	memset(head, 'h', CHANNEL_MAX_DATA - 1);
	in.head = head;
	in.head_len = CHANNEL_MAX_DATA - 1;
	cr_assert_eq(local_request_encode(&bytes, &in, &err), -1);
	free(head);
}

Test(local_request, every_cut_and_every_byte_more_is_malformed)
{
	size_t len;

	encode();
	for (len = 0; len < bytes.len; len++)
		cr_assert_eq(local_request_decode(&out, bytes.data, len, &err),
			     -1, "%zu bytes", len);
	str_putc(&bytes, '\0');
	cr_assert_eq(decode(), -1);
}

static void expect_malformed(const char *what)
{
	encode();
	cr_expect_eq(decode(), -1, "%s", what);
	setup();
}

Test(local_request, what_is_out_of_range_is_malformed)
{
	in.kind = 2;
	expect_malformed("kind");
	in.rules[1].name = "quota_warning";
	expect_malformed("a command");
	in.rules[1].name = "quota_rule2x";
	expect_malformed("no rule");
	in.user = "";
	expect_malformed("no user");
	in.mailbox = "";
	expect_malformed("no mailbox");
	in.home = "home";
	expect_malformed("relative home");
	in.chroot = "./";
	expect_malformed("relative chroot");
	in.size = (uint64_t)INT64_MAX + 1;
	expect_malformed("size");
	in.received.tv_nsec = 1000000000;
	expect_malformed("nanoseconds");
	in.received.tv_sec = -1;
	expect_malformed("seconds");
}

/* Offset of the length of "user". */
#define AT_USER (1 + 1 + 4 + 4 + 8 + 8 + 4 + 8 + 4)

Test(local_request, wrong_lengths_are_malformed)
{
	unsigned i;

	encode();
	cr_assert_str_eq(bytes.data + AT_USER + 2, in.user);
	for (i = 0; i < 0x10000; i++) {
		bytes.data[AT_USER] = (char)(i & 0xff);
		bytes.data[AT_USER + 1] = (char)(i >> 8);
		cr_assert_eq(decode() == 0, i == strlen(in.user), "%u", i);
	}
	encode();
	bytes.data[AT_USER + 4] = '\0';
	cr_assert_eq(decode(), -1, "a NUL within");
	encode();
	bytes.data[0]++;
	cr_assert_eq(decode(), -1, "another version");
}

Test(local_request, results_come_back_as_they_were)
{
	struct local_result result = { .status = LOCAL_OVER_QUOTA,
				       .error = EDQUOT }, back;
	size_t len;
	char *end;

	memset(result.text, 't', sizeof(result.text) - 1);
	memset(result.reply, 'r', sizeof(result.reply) - 1);
	memset(result.path, '/', sizeof(result.path) - 1);
	result.linked = true;
	local_result_encode(&bytes, &result);
	cr_assert_lt(bytes.len, LOCAL_RESULT_MAX);
	cr_assert_eq(local_result_decode(&back, bytes.data, bytes.len, &err),
		     0);
	cr_assert_eq(back.status, result.status);
	cr_assert_eq(back.error, EDQUOT);
	cr_assert_str_eq(back.text, result.text);
	cr_assert_str_eq(back.reply, result.reply);
	cr_assert_str_eq(back.path, result.path);
	cr_assert(back.linked);
	for (len = 0; len < bytes.len; len++)
		cr_assert_eq(local_result_decode(&back, bytes.data, len, &err),
			     -1);
	end = memchr(bytes.data, 'r', bytes.len);
	*end = '\n';
	cr_assert_eq(local_result_decode(&back, bytes.data, bytes.len, &err),
		     -1, "a line of the reply ends");
	*end = 'r';
	bytes.data[bytes.len - 1] = 2;
	cr_assert_eq(local_result_decode(&back, bytes.data, bytes.len, &err),
		     -1, "a flag that is none");
	bytes.data[bytes.len - 1] = 1;
	cr_assert_eq(local_result_decode(&back, bytes.data, bytes.len, &err), 0);
	bytes.data[0] = LOCAL_FAILED + 1;
	cr_assert_eq(local_result_decode(&back, bytes.data, bytes.len, &err),
		     -1);
}
