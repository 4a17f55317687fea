#include "lib/smtp/params.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena *arena;

static void setup(void)
{
	arena = arena_new(1024);
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(smtp_params, .init = setup, .fini = teardown);

#define ALL (~0U)
#define BINARY (SMTP_CAP_BINARYMIME | SMTP_CAP_CHUNKING)

/* What comes of text when offered, and what is written of it for peer. */
struct row {
	const char *text;
	unsigned offered;
	int code; /* 0: fine */
	const char *written;
};

static const struct row mail_rows[] = {
	{ "", 0, 0, "" },
	{ "  ", 0, 0, "" },
	{ " BODY=7BIT", 0, 0, " BODY=7BIT" },
	{ " body=8bitMime", SMTP_CAP_8BITMIME, 0, " BODY=8BITMIME" },
	{ " BODY=8BITMIME", 0, 555, NULL },
	{ " BODY=BINARYMIME", BINARY, 0, " BODY=BINARYMIME" },
	{ " BODY=BINARYMIME", SMTP_CAP_BINARYMIME, 555, NULL },
	{ " BODY=BINARYMIME", SMTP_CAP_8BITMIME, 555, NULL },
	{ " BODY=9BIT", ALL, 555, NULL },
	{ " BODY=7BITS", ALL, 555, NULL },
	{ " BODY=7BI", ALL, 555, NULL },
	{ " BODY", ALL, 501, NULL },
	{ " BODY=", ALL, 501, NULL },
	{ " BODY=7BIT BODY=7BIT", ALL, 501, NULL },
	{ " SIZE=0", ALL, 0, " SIZE=0" },
	{ " SIZE=12345", SMTP_CAP_SIZE, 0, " SIZE=12345" },
	{ " SIZE=12345", 0, 555, NULL },
	{ " SIZE=00000000000000000001", ALL, 0, " SIZE=1" },
	{ " SIZE=000000000000000000001", ALL, 501, NULL },
	{ " SIZE=18446744073709551615", ALL, 0, " SIZE=18446744073709551615" },
	{ " SIZE=18446744073709551616", ALL, 0, " SIZE=18446744073709551615" },
	{ " SIZE=99999999999999999999", ALL, 0, " SIZE=18446744073709551615" },
	{ " SIZE=1k", ALL, 501, NULL },
	{ " SIZE=-1", ALL, 501, NULL },
	{ " SIZE=", ALL, 501, NULL },
	{ " SIZE", ALL, 501, NULL },
	{ " SIZE=1 SIZE=1", ALL, 501, NULL },
	{ " SMTPUTF8", SMTP_CAP_SMTPUTF8, 0, " SMTPUTF8" },
	{ " SMTPUTF8", 0, 555, NULL },
	{ " SMTPUTF8=yes", ALL, 501, NULL },
	{ " SMTPUTF8=", ALL, 501, NULL },
	{ " SMTPUTF8 SMTPUTF8", ALL, 501, NULL },
	{ " RET=FULL", SMTP_CAP_DSN, 0, " RET=FULL" },
	{ " ret=hdrs", SMTP_CAP_DSN, 0, " RET=HDRS" },
	{ " RET=FULL", 0, 555, NULL },
	{ " RET=NONE", ALL, 501, NULL },
	{ " RET", ALL, 501, NULL },
	{ " RET=FULL RET=HDRS", ALL, 501, NULL },
	{ " ENVID=QQ+2B314159", SMTP_CAP_DSN, 0, " ENVID=QQ+2B314159" },
	{ " ENVID=a+20b", ALL, 0, " ENVID=a+20b" },
	{ " ENVID=x", 0, 555, NULL },
	{ " ENVID=+", ALL, 501, NULL },
	{ " ENVID=+0D+0A", ALL, 501, NULL },
	{ " ENVID=a+00b", ALL, 501, NULL },
	{ " ENVID=+C3+A4", ALL, 501, NULL },
	{ " ENVID=\xc3\xa4", ALL, 501, NULL },
	{ " ENVID=", ALL, 501, NULL },
	{ " ENVID=a ENVID=b", ALL, 501, NULL },
	{ " SIZE=1  BODY=8BITMIME ", ALL, 0, " BODY=8BITMIME SIZE=1" },
	{ " ENVID=x RET=HDRS SMTPUTF8 SIZE=1 BODY=7BIT", ALL, 0,
	  " BODY=7BIT SIZE=1 SMTPUTF8 RET=HDRS ENVID=x" },
	{ " AUTH=<>", ALL, 555, NULL },
	{ " NOTIFY=NEVER", ALL, 555, NULL },
	{ " X-UNKNOWN", ALL, 555, NULL },
	{ " X-UNKNOWN=1", ALL, 555, NULL },
	{ " KEYWORDTHATISLONGERTHANANYREALONE=1", ALL, 555, NULL },
	{ " SIZ=1", ALL, 555, NULL },
	{ " SIZEX=1", ALL, 555, NULL },
	{ " =1", ALL, 501, NULL },
	{ " -X=1", ALL, 501, NULL },
	{ " S\xc3\xa4=1", ALL, 501, NULL },
	{ " SI_ZE=1", ALL, 501, NULL },
	{ " SIZE:1", ALL, 501, NULL },
	{ " SIZE==1", ALL, 501, NULL },
	{ " SIZE=1=1", ALL, 501, NULL },
	{ " SIZE=1\t2", ALL, 501, NULL },
	{ "\tSIZE=1", ALL, 501, NULL },
};

static const struct row rcpt_rows[] = {
	{ "", 0, 0, "" },
	{ " NOTIFY=NEVER", SMTP_CAP_DSN, 0, " NOTIFY=NEVER" },
	{ " notify=delay,success,Failure", ALL, 0,
	  " NOTIFY=SUCCESS,FAILURE,DELAY" },
	{ " NOTIFY=SUCCESS,SUCCESS", ALL, 0, " NOTIFY=SUCCESS" },
	{ " NOTIFY=NEVER", 0, 555, NULL },
	{ " NOTIFY=NEVER,SUCCESS", ALL, 501, NULL },
	{ " NOTIFY=SUCCESS,NEVER", ALL, 501, NULL },
	{ " NOTIFY=SUCCESS,", ALL, 501, NULL },
	{ " NOTIFY=,SUCCESS", ALL, 501, NULL },
	{ " NOTIFY=SUCCESS,,DELAY", ALL, 501, NULL },
	{ " NOTIFY=SOMETIMES", ALL, 501, NULL },
	{ " NOTIFY=SUCCES", ALL, 501, NULL },
	{ " NOTIFY=", ALL, 501, NULL },
	{ " NOTIFY", ALL, 501, NULL },
	{ " NOTIFY=DELAY NOTIFY=DELAY", ALL, 501, NULL },
	{ " ORCPT=rfc822;a@b", 0, 0, " ORCPT=rfc822;a@b" },
	{ " ORCPT=RFC822;a", 0, 0, " ORCPT=RFC822;a" },
	{ " orcpt=rfc822;a+2Bb@c", 0, 0, " ORCPT=rfc822;a+2Bb@c" },
	{ " ORCPT=rfc822;a+2bb@c", 0, 0, " ORCPT=rfc822;a+2Bb@c" },
	{ " ORCPT=rfc822;+22a+20b+22@c", 0, 0, " ORCPT=rfc822;\"a+20b\"@c" },
	{ " ORCPT=x400;/C=US", ALL, 501, NULL },
	{ " ORCPT=x400;/C+3DUS/", ALL, 0, " ORCPT=x400;/C+3DUS/" },
	{ " ORCPT=unknown;a@@b", ALL, 0, " ORCPT=unknown;a@@b" },
	{ " ORCPT=rfc822;@", ALL, 501, NULL },
	{ " ORCPT=rfc822;a@b+20c", ALL, 501, NULL },
	{ " ORCPT=rfc822;", ALL, 501, NULL },
	{ " ORCPT=rfc822", ALL, 501, NULL },
	{ " ORCPT=;a@b", ALL, 501, NULL },
	{ " ORCPT=rfc 822;a@b", ALL, 501, NULL },
	{ " ORCPT=rfc+20;a@b", ALL, 501, NULL },
	{ " ORCPT=rfc822;a+0D+0Ab@c", ALL, 501, NULL },
	{ " ORCPT=x;a+00b", ALL, 501, NULL },
	{ " ORCPT=rfc822;a+@b", ALL, 501, NULL },
	{ " ORCPT=rfc822;\xc3\xa4@b", ALL, 501, NULL },
	{ " ORCPT=rfc822;+C3+A4@b", ALL, 0, " ORCPT=rfc822;+C3+A4@b" },
	{ " ORCPT=x;+C3", ALL, 501, NULL },
	{ " ORCPT=utf-8;\xc3\xa4@b", ALL, 0, " ORCPT=utf-8;\xc3\xa4@b" },
	{ " ORCPT=UTF-8;a\\x{E4}@b", ALL, 0, " ORCPT=UTF-8;a\\x{E4}@b" },
	{ " ORCPT=utf-8;\xc3", ALL, 501, NULL },
	{ " ORCPT", ALL, 501, NULL },
	{ " ORCPT=", ALL, 501, NULL },
	{ " ORCPT=rfc822;a ORCPT=rfc822;a", ALL, 501, NULL },
	{ " XRCPTFORWARD=colour+3Dblue+09size+3D7", SMTP_CAP_XRCPTFORWARD, 0,
	  " XRCPTFORWARD=colour+3Dblue+09size+3D7" },
	{ " XRCPTFORWARD=a", 0, 555, NULL },
	{ " XRCPTFORWARD=+4", ALL, 501, NULL },
	{ " XRCPTFORWARD=", ALL, 501, NULL },
	{ " XRCPTFORWARD=a XRCPTFORWARD=a", ALL, 501, NULL },
	{ " XRCPTFORWARD=a ORCPT=rfc822;b NOTIFY=DELAY", ALL, 0,
	  " NOTIFY=DELAY ORCPT=rfc822;b XRCPTFORWARD=a" },
	{ " SIZE=1", ALL, 555, NULL },
	{ " BODY=7BIT", ALL, 555, NULL },
};

static const struct smtp_capabilities everything = { .flags = ALL };

static void check_outcome(const struct row *row, int ret, int code,
			  const struct err *err)
{
	cr_assert_eq(ret, row->code == 0 ? 0 : -1, "\"%s\": %s", row->text,
		     err->text);
	cr_assert_eq(code, row->code, "\"%s\": %d %s", row->text, code,
		     err->text);
	cr_assert((code == 0) == (err->text[0] == '\0'), "\"%s\"", row->text);
}

Test(smtp_params, mail)
{
	size_t i;

	for (i = 0; i < sizeof(mail_rows) / sizeof(mail_rows[0]); i++) {
		const struct row *row = &mail_rows[i];
		struct smtp_capabilities offered = { .flags = row->offered };
		struct smtp_mail_params params;
		struct str out = STR_INIT;
		struct err err = { "" };
		int ret, code = 0;

		ret = smtp_mail_params_parse(arena, row->text,
					     strlen(row->text), &offered,
					     &params, &code, &err);
		check_outcome(row, ret, code, &err);
		if (ret < 0)
			continue;
		smtp_mail_params_write(&out, &params, &everything);
		cr_assert_str_eq(str_c(&out), row->written, "\"%s\"",
				 row->text);
		str_free(&out);
	}
}

Test(smtp_params, rcpt)
{
	size_t i;

	for (i = 0; i < sizeof(rcpt_rows) / sizeof(rcpt_rows[0]); i++) {
		const struct row *row = &rcpt_rows[i];
		struct smtp_capabilities offered = { .flags = row->offered };
		struct smtp_rcpt_params params;
		struct str out = STR_INIT;
		struct err err = { "" };
		int ret, code = 0;

		ret = smtp_rcpt_params_parse(arena, row->text,
					     strlen(row->text), &offered,
					     &params, &code, &err);
		check_outcome(row, ret, code, &err);
		if (ret < 0)
			continue;
		smtp_rcpt_params_write(&out, &params, &everything, false);
		cr_assert_str_eq(str_c(&out), row->written, "\"%s\"",
				 row->text);
		str_free(&out);
	}
}

Test(smtp_params, mail_values)
{
	static const char text[] =
		" BODY=8BITMIME SIZE=7 SMTPUTF8 RET=HDRS ENVID=a+20b";
	struct smtp_mail_params params;
	struct err err;
	int code;

	cr_assert_eq(smtp_mail_params_parse(arena, text, strlen(text),
					    &everything, &params, &code, &err),
		     0);
	cr_assert_eq(params.body, SMTP_BODY_8BITMIME);
	cr_assert(params.size_given);
	cr_assert_eq(params.size, 7);
	cr_assert(params.smtputf8);
	cr_assert_eq(params.ret, SMTP_RET_HDRS);
	cr_assert_str_eq(params.envid, "a b");
	cr_assert_eq(smtp_mail_params_parse(arena, "", 0, &everything, &params,
					    &code, &err),
		     0);
	cr_assert_eq(params.body, SMTP_BODY_NONE);
	cr_assert_not(params.size_given);
	cr_assert_not(params.smtputf8);
	cr_assert_eq(params.ret, SMTP_RET_NONE);
	cr_assert_null(params.envid);
}

Test(smtp_params, rcpt_values)
{
	static const char text[] = " NOTIFY=SUCCESS,DELAY"
				   " ORCPT=rfc822;+22a+20b+22@c XRCPTFORWARD=x";
	struct smtp_rcpt_params params;
	struct err err;
	int code;

	cr_assert_eq(smtp_rcpt_params_parse(arena, text, strlen(text),
					    &everything, &params, &code, &err),
		     0);
	cr_assert_eq(params.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
	cr_assert_str_eq(params.orcpt_type, "rfc822");
	cr_assert_str_eq(params.orcpt_addr, "\"a b\"@c");
	cr_assert_str_eq(params.xrcptforward, "x");
	cr_assert_eq(smtp_rcpt_params_parse(arena, "", 0, &everything, &params,
					    &code, &err),
		     0);
	cr_assert_eq(params.notify, 0);
	cr_assert_null(params.orcpt_type);
	cr_assert_null(params.xrcptforward);
}

static int parse_padded(bool mail, const char *prefix, size_t len)
{
	struct smtp_mail_params mail_params;
	struct smtp_rcpt_params rcpt_params;
	struct str text = STR_INIT;
	struct err err;
	int code = 0;

	str_puts(&text, prefix);
	while (text.len < strlen(" ENVID=") + len)
		str_putc(&text, 'x');
	if (mail)
		smtp_mail_params_parse(arena, text.data, text.len, &everything,
				       &mail_params, &code, &err);
	else
		smtp_rcpt_params_parse(arena, text.data, text.len, &everything,
				       &rcpt_params, &code, &err);
	str_free(&text);
	return code;
}

Test(smtp_params, lengths)
{
	cr_assert_eq(parse_padded(true, " ENVID=", 100), 0);
	cr_assert_eq(parse_padded(true, " ENVID=", 101), 501);
	cr_assert_eq(parse_padded(false, " ORCPT=x400;", 500), 0);
	cr_assert_eq(parse_padded(false, " ORCPT=x400;", 501), 501);
}

Test(smtp_params, nul_is_no_part_of_a_value)
{
	struct smtp_mail_params params;
	struct err err;
	int code = 0;

	cr_assert_eq(smtp_mail_params_parse(arena, " ENVID=a\0b", 10,
					    &everything, &params, &code, &err),
		     -1);
	cr_assert_eq(code, 501);
}

static void check_mail_written(const struct smtp_mail_params *params,
			       unsigned peer, const char *want)
{
	struct smtp_capabilities caps = { .flags = peer };
	struct str out = STR_INIT;

	smtp_mail_params_write(&out, params, &caps);
	cr_assert_str_eq(str_c(&out), want);
	str_free(&out);
}

Test(smtp_params, mail_written_for_peer)
{
	struct smtp_mail_params params = {
		.body = SMTP_BODY_BINARYMIME,
		.size_given = true,
		.size = 7,
		.smtputf8 = true,
		.ret = SMTP_RET_FULL,
		.envid = "a b",
	};

	check_mail_written(&params, 0, "");
	check_mail_written(&params, SMTP_CAP_8BITMIME, "");
	check_mail_written(&params, SMTP_CAP_BINARYMIME, "");
	check_mail_written(&params, BINARY, " BODY=BINARYMIME");
	check_mail_written(&params, SMTP_CAP_SIZE, " SIZE=7");
	check_mail_written(&params, SMTP_CAP_SMTPUTF8, " SMTPUTF8");
	check_mail_written(&params, SMTP_CAP_DSN, " RET=FULL ENVID=a+20b");
	params.body = SMTP_BODY_7BIT;
	check_mail_written(&params, SMTP_CAP_8BITMIME, " BODY=7BIT");
	check_mail_written(&params, 0, "");
	params = (struct smtp_mail_params){ .envid = NULL };
	check_mail_written(&params, ALL, "");
}

static void check_rcpt_written(const struct smtp_rcpt_params *params,
			       unsigned peer, bool force, const char *want)
{
	struct smtp_capabilities caps = { .flags = peer };
	struct str out = STR_INIT;

	smtp_rcpt_params_write(&out, params, &caps, force);
	cr_assert_str_eq(str_c(&out), want);
	str_free(&out);
}

Test(smtp_params, rcpt_written_for_peer)
{
	struct smtp_rcpt_params params = {
		.notify = SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
		.orcpt_type = "rfc822",
		.orcpt_addr = "a+b=c\xc3\xa4@d",
		.xrcptforward = "x+3Dy",
	};

	check_rcpt_written(&params, 0, false, "");
	check_rcpt_written(&params, 0, true,
			   " ORCPT=rfc822;a+2Bb+3Dc+C3+A4@d");
	check_rcpt_written(&params, SMTP_CAP_DSN, false,
			   " NOTIFY=FAILURE,DELAY"
			   " ORCPT=rfc822;a+2Bb+3Dc+C3+A4@d");
	check_rcpt_written(&params, SMTP_CAP_XRCPTFORWARD, false,
			   " XRCPTFORWARD=x+3Dy");
	params = (struct smtp_rcpt_params){
		.orcpt_type = "utf-8", .orcpt_addr = "\xc3\xa4+b@d"
	};
	check_rcpt_written(&params, SMTP_CAP_DSN, false, "");
	check_rcpt_written(&params, 0, true, "");
	check_rcpt_written(&params, SMTP_CAP_DSN | SMTP_CAP_SMTPUTF8, false,
			   " ORCPT=utf-8;\xc3\xa4\\x{2B}b@d");
	params.orcpt_addr = "\"\xc3\xa4\\\\\"\\x{E4}@d";
	check_rcpt_written(&params, ALL, false,
			   " ORCPT=utf-8;\"\xc3\xa4\\x{5C}\\x{5C}\"\\x{E4}@d");
	params = (struct smtp_rcpt_params){ .orcpt_type = NULL };
	check_rcpt_written(&params, ALL, true, "");
}

/* 500 bytes at most, whatever they were before. */
Test(smtp_params, orcpt_that_becomes_long)
{
	char addr[100], want[600] = " ORCPT=utf-8;";
	struct smtp_rcpt_params params = {
		.orcpt_type = "utf-8", .orcpt_addr = addr,
	};
	size_t i;

	/* 6 and 81 times 6, and 8 in the end */
	memset(addr, '\\', 81);
	strcpy(addr + 81, "aaaa@d.e");
	for (i = 0; i < 81; i++)
		strcat(want, "\\x{5C}");
	strcat(want, "aaaa@d.e");
	check_rcpt_written(&params, ALL, true, want);
	strcpy(addr + 81, "aaaaa@d.e");
	check_rcpt_written(&params, ALL, true, "");
}
