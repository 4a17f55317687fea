#include "lib/smtp/command.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
	const char *line;
	enum smtp_verb verb;
	const char *name, *args;
} good[] = {
	{ "LHLO client.example", SMTP_VERB_LHLO, "LHLO", "client.example" },
	{ "EHLO x", SMTP_VERB_EHLO, "EHLO", "x" },
	{ "HELO x", SMTP_VERB_HELO, "HELO", "x" },
	{ "mail from:<a@b> SIZE=1", SMTP_VERB_MAIL, "mail",
	  "from:<a@b> SIZE=1" },
	{ "RcPt TO:<a@b>", SMTP_VERB_RCPT, "RcPt", "TO:<a@b>" },
	{ "DATA", SMTP_VERB_DATA, "DATA", "" },
	{ "DATA \t ", SMTP_VERB_DATA, "DATA", "" },
	{ "BDAT 12 LAST", SMTP_VERB_BDAT, "BDAT", "12 LAST" },
	{ "RSET", SMTP_VERB_RSET, "RSET", "" },
	{ "NOOP", SMTP_VERB_NOOP, "NOOP", "" },
	{ "VRFY x", SMTP_VERB_VRFY, "VRFY", "x" },
	{ "EXPN x", SMTP_VERB_EXPN, "EXPN", "x" },
	{ "HELP", SMTP_VERB_HELP, "HELP", "" },
	{ "QUIT", SMTP_VERB_QUIT, "QUIT", "" },
	{ "AUTH PLAIN =", SMTP_VERB_AUTH, "AUTH", "PLAIN =" },
	{ "STARTTLS", SMTP_VERB_STARTTLS, "STARTTLS", "" },
	{ "XCLIENT ADDR=1.2.3.4", SMTP_VERB_XCLIENT, "XCLIENT",
	  "ADDR=1.2.3.4" },
	{ "GET / HTTP/1.1", SMTP_VERB_UNKNOWN, "GET", "/ HTTP/1.1" },
	{ "DATAX", SMTP_VERB_UNKNOWN, "DATAX", "" },
	{ "DAT", SMTP_VERB_UNKNOWN, "DAT", "" },
	{ "NOOP  two\tblanks ", SMTP_VERB_NOOP, "NOOP", " two\tblanks" },
	{ "NOOP \xc3\xa4", SMTP_VERB_NOOP, "NOOP", "\xc3\xa4" },
	{ "abcdefghijklmnopqrstuvwxyzABCDEF x", SMTP_VERB_UNKNOWN,
	  "abcdefghijklmnopqrstuvwxyzABCDEF", "x" },
};

static const char *const bad[] = {
	"", " ", " DATA", "\tDATA", "DATA\tx", "DATA\r", "DA\001TA", "D4TA",
	"MAIL:x", "NOOP a\001b", "NOOP a\x7f", "NOOP a\rb", "NOOP \xc3",
	"NOOP \xff", "\xc3\xa4",
	/* 33 letters */
	"abcdefghijklmnopqrstuvwxyzABCDEFG x",
};

static void check_span(const char *got, size_t len, const char *want,
		       const char *line)
{
	cr_assert(len == strlen(want) && memcmp(got, want, len) == 0,
		  "\"%s\": \"%.*s\" is not \"%s\"", line, (int)len, got, want);
}

Test(smtp_command, commands)
{
	struct smtp_command command;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *line = good[i].line;

		cr_assert_eq(smtp_command_parse(line, strlen(line), &command),
			     0, "\"%s\"", line);
		cr_assert_eq(command.verb, good[i].verb, "\"%s\"", line);
		check_span(command.name, command.name_len, good[i].name, line);
		check_span(command.args, command.args_len, good[i].args, line);
	}
}

Test(smtp_command, what_is_no_command)
{
	struct smtp_command command;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(smtp_command_parse(bad[i], strlen(bad[i]),
						&command),
			     -1, "row %zu: \"%s\"", i, bad[i]);
	cr_assert_eq(smtp_command_parse("NOOP a\0b", 8, &command), -1);
	cr_assert_eq(smtp_command_parse("NOOP\0", 5, &command), -1);
}

Test(smtp_command, length_is_honoured)
{
	struct smtp_command command;

	cr_assert_eq(smtp_command_parse("QUITx\001", 4, &command), 0);
	cr_assert_eq(command.verb, SMTP_VERB_QUIT);
	cr_assert_eq(command.args_len, 0);
}
