#include "lib/smtp/capability.h"

#include <criterion/criterion.h>
#include <string.h>

#include "lib/smtp/xclient.h"

static const struct {
	const char *line;
	unsigned flags;
	uint64_t size;
} lines[] = {
	{ "8BITMIME", SMTP_CAP_8BITMIME, 0 },
	{ "BINARYMIME", SMTP_CAP_BINARYMIME, 0 },
	{ "CHUNKING", SMTP_CAP_CHUNKING, 0 },
	{ "DSN", SMTP_CAP_DSN, 0 },
	{ "EnhancedStatusCodes", SMTP_CAP_ENHANCEDSTATUSCODES, 0 },
	{ "pipelining", SMTP_CAP_PIPELINING, 0 },
	{ "SMTPUTF8", SMTP_CAP_SMTPUTF8, 0 },
	{ "STARTTLS", SMTP_CAP_STARTTLS, 0 },
	{ "XCLIENT NAME ADDR", SMTP_CAP_XCLIENT, 0 },
	{ "XRCPTFORWARD", SMTP_CAP_XRCPTFORWARD, 0 },
	{ "SIZE", SMTP_CAP_SIZE, 0 },
	{ "SIZE 10240000", SMTP_CAP_SIZE, 10240000 },
	{ "SIZE 5 more", SMTP_CAP_SIZE, 5 },
	{ "SIZE 18446744073709551615", SMTP_CAP_SIZE, UINT64_MAX },
	{ "SIZE 18446744073709551616", SMTP_CAP_SIZE, 0 },
	{ "SIZE 99999999999999999999", SMTP_CAP_SIZE, 0 },
	{ "SIZE 12k", SMTP_CAP_SIZE, 0 },
	{ "SIZE -1", SMTP_CAP_SIZE, 0 },
	{ "SIZE ", SMTP_CAP_SIZE, 0 },
	{ "", 0, 0 },
	{ " DSN", 0, 0 },
	{ "DSNX", 0, 0 },
	{ "DS", 0, 0 },
	{ "AUTH=LOGIN", 0, 0 },
	{ "VRFY", 0, 0 },
};

Test(smtp_capability, lines)
{
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct smtp_capabilities caps = { .flags = 0 };

		smtp_capability_parse(&caps, lines[i].line,
				      strlen(lines[i].line));
		cr_assert_eq(caps.flags, lines[i].flags, "\"%s\"",
			     lines[i].line);
		cr_assert_eq(caps.size, lines[i].size, "\"%s\"",
			     lines[i].line);
	}
}

Test(smtp_capability, lines_add_up)
{
	struct smtp_capabilities caps = { .flags = 0 };

	smtp_capability_parse(&caps, "SIZE 7", 6);
	smtp_capability_parse(&caps, "DSN", 3);
	smtp_capability_parse(&caps, "UNKNOWN", 7);
	cr_assert_eq(caps.flags, SMTP_CAP_SIZE | SMTP_CAP_DSN);
	cr_assert_eq(caps.size, 7);
}

static void check_written(unsigned flags, uint64_t size, const char *want)
{
	struct smtp_capabilities caps = {
		.flags = flags,
		.size = size,
		.xclient = SMTP_XCLIENT_ADDR | SMTP_XCLIENT_PORT |
			   SMTP_XCLIENT_DESTNAME,
	};
	struct str out = STR_INIT;

	str_puts(&out, "> ");
	smtp_capability_write(&out, "mx.example", &caps);
	cr_assert_str_eq(str_c(&out) + 2, want);
	str_free(&out);
}

Test(smtp_capability, written_in_alphabetical_order)
{
	check_written(0, 0, "250 mx.example\r\n");
	check_written(SMTP_CAP_SIZE, 0,
		      "250-mx.example\r\n"
		      "250 SIZE\r\n");
	check_written(SMTP_CAP_SIZE, 1000,
		      "250-mx.example\r\n"
		      "250 SIZE 1000\r\n");
	check_written(SMTP_CAP_XCLIENT | SMTP_CAP_XRCPTFORWARD |
			      SMTP_CAP_STARTTLS,
		      0,
		      "250-mx.example\r\n"
		      "250-STARTTLS\r\n"
		      "250-XCLIENT ADDR PORT DESTNAME\r\n"
		      "250 XRCPTFORWARD\r\n");
	check_written(SMTP_CAP_SMTPUTF8 | SMTP_CAP_PIPELINING |
			      SMTP_CAP_ENHANCEDSTATUSCODES | SMTP_CAP_DSN |
			      SMTP_CAP_CHUNKING | SMTP_CAP_BINARYMIME |
			      SMTP_CAP_8BITMIME,
		      0,
		      "250-mx.example\r\n"
		      "250-8BITMIME\r\n"
		      "250-BINARYMIME\r\n"
		      "250-CHUNKING\r\n"
		      "250-DSN\r\n"
		      "250-ENHANCEDSTATUSCODES\r\n"
		      "250-PIPELINING\r\n"
		      "250 SMTPUTF8\r\n");
}

Test(smtp_capability, the_list_of_xclient)
{
	static const struct {
		const char *line;
		unsigned xclient;
	} rows[] = {
		{ "XCLIENT", 0 },
		{ "XCLIENT ", 0 },
		{ "xclient addr Port", SMTP_XCLIENT_ADDR | SMTP_XCLIENT_PORT },
		{ "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT",
		  SMTP_XCLIENT_NAME | SMTP_XCLIENT_ADDR | SMTP_XCLIENT_PROTO |
		  SMTP_XCLIENT_HELO | SMTP_XCLIENT_PORT },
		{ "XFORWARD ADDR", 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_capabilities caps = { .flags = 0 };

		smtp_capability_parse(&caps, rows[i].line,
				      strlen(rows[i].line));
		cr_assert_eq(caps.xclient, rows[i].xclient, "\"%s\"",
			     rows[i].line);
	}
}
