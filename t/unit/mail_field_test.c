#include "backends/local/mail/field.h"

#include <criterion/criterion.h>
#include <string.h>

/* wanted NULL: there is no such field. */
static void expect_len(const char *text, size_t len, const char *name,
		       const char *wanted)
{
	struct str out = STR_INIT;

	str_puts(&out, "=");
	cr_expect_eq(mail_field_find(&out, text, len, name), wanted != NULL,
		     "%s", text);
	cr_expect_str_eq(str_c(&out) + 1, wanted != NULL ? wanted : "");
	str_free(&out);
}

static void expect(const char *text, const char *name, const char *wanted)
{
	expect_len(text, strlen(text), name, wanted);
}

Test(mail_field, finds_the_first_one)
{
	expect("A: 1\nSubject: x\nSubject: y\n\n", "Subject", "x");
	expect("A: 1\r\nsubJECT: \tx  y \r\n", "Subject", "x  y ");
	expect("Subject \t: x\n", "Subject", "x");
	expect("Subject:\nB: 1\n", "Subject", "");
	expect("Subject-2: x\nSub: y\n", "Subject", NULL);
	expect("Subject x\n", "Subject", NULL);
	expect("", "Subject", NULL);
	expect("\n", "Subject", NULL);
}

Test(mail_field, unfolds)
{
	expect("Subject: a\n b\n\t c\nB: 1\n", "Subject", "a b  c");
	expect("Subject:\r\n a\r\n  b\r\n", "Subject", "a  b");
	expect(" Subject: a\nX: 1\n Subject: b\n", "Subject", NULL);
}

Test(mail_field, ends_with_the_header)
{
	expect("A: 1\n\nSubject: x\n", "Subject", NULL);
	expect("A: 1\r\n\r\nSubject: x\n", "Subject", NULL);
	expect("Subject: x", "Subject", NULL);
	expect("Subject: x\n y", "Subject", "x");
}

Test(mail_field, bytes_of_any_kind)
{
	static const char nul[] = "Subject: a\0b\n";

	expect_len(nul, sizeof(nul) - 1, "Subject", "a b");
	expect("Subject: \x01\xff\n", "Subject", "\x01\xff");
}
