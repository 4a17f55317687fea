#include "backends/local/mbox/text.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct str out;

/* However it comes in pieces, it is the same. */
static void expect(const char *message, const char *expected)
{
	size_t len = strlen(message), piece, at;

	for (piece = 1; piece <= len + 1; piece++) {
		struct mbox_text text = MBOX_TEXT_INIT;

		str_clear(&out);
		for (at = 0; at < len; at += piece)
			mbox_text_add(&text, message + at,
				      len - at < piece ? len - at : piece, &out);
		mbox_text_end(&text, &out);
		cr_assert_str_eq(str_c(&out), expected, "%zu: %s", piece,
				 str_c(&out));
	}
}

static void free_out(void)
{
	str_free(&out);
}

TestSuite(mbox_text, .fini = free_out, .timeout = 20);

Test(mbox_text, a_message)
{
	expect("A: b\nC: d\n e\n\nbody\n", "A: b\nC: d\n e\n\nbody\n\n");
}

Test(mbox_text, the_end)
{
	expect("A: b\n\nno end", "A: b\n\nno end\n\n");
	expect("A: b\n\nF", "A: b\n\nF\n\n");
	expect("A: b\n\n", "A: b\n\n\n");
	expect("A: b\n", "A: b\n\n\n");
	expect("A: b", "A: b\n\n\n");
	expect("", "\n\n");
}

Test(mbox_text, from_in_the_body)
{
	expect("A: b\n\nFrom x\nFrom\nFROM x\nFrom: x\n>From x\nx From y\nFrom ",
	       "A: b\n\n>From x\nFrom\nFROM x\nFrom: x\n>From x\nx From y\n>From \n"
	       "\n");
	expect("From x\n\nFrom y\n", ">From x\n\n>From y\n\n");
}

Test(mbox_text, fields_that_readers_believe)
{
	expect("A: b\nX-UID: 7\nX-Status: A\n more\n\tof it\nstatus : RO\n"
	       "Content-Length:5\nx-imap: 1\nX-IMAPbase: 1 2\nX-Keywords:\nC: d\n\n"
	       "Status: RO\n",
	       "A: b\nC: d\n\nStatus: RO\n\n");
	expect("Status: x", "\n\n");
}

Test(mbox_text, other_fields_stay)
{
#define FIELDS "Statuses: x\nX-UIDL: x\nStatus of things\nX-Status-Quo: 1\n" \
	       " Status: continues\nContent-Length-of-it: 5\nX-IMAPbases: 3\n"

	expect(FIELDS "\n\n", FIELDS "\n\n\n");
}

Test(mbox_text, a_header_that_ends_with_crlf)
{
	expect("Status: x\r\nA: b\r\n\r\nStatus: x\r\n",
	       "A: b\r\n\r\nStatus: x\r\n\n");
}

static void expect_from(const char *sender, const char *expected)
{
	str_clear(&out);
	mbox_text_from(&out, sender, 1700000000);
	cr_expect_str_eq(str_c(&out), expected, "%s", str_c(&out));
}

Test(mbox_text, the_line_between_messages)
{
	setenv("TZ", "UTC", 1);
	expect_from("joe@example.org",
		    "From joe@example.org  Tue Nov 14 22:13:20 2023\n");
	expect_from("", "From MAILER-DAEMON  Tue Nov 14 22:13:20 2023\n");
	expect_from("\"a b\"\n@x", "From \"a_b\"_@x  Tue Nov 14 22:13:20 2023\n");
}
