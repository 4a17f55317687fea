#include "backends/local/mail/words.h"

#include <criterion/criterion.h>
#include <string.h>

#include "lib/utf8.h"

#define NONE "\xef\xbf\xbd"

static void expect(const char *text, const char *wanted)
{
	struct str out = STR_INIT;

	str_puts(&out, "=");
	mail_words_decode(&out, text, strlen(text));
	cr_expect_str_eq(str_c(&out) + 1, wanted, "%s: %s", text,
			 str_c(&out) + 1);
	cr_expect(utf8_is_valid(out.data, out.len));
	str_free(&out);
}

/* What is wanted here is what a Dovecot 2.3.19 has logged. */

Test(mail_words, encodings)
{
	expect("", "");
	expect("plain =? text", "plain =? text");
	expect("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Gr\xc3\xbc\xc3\x9f" "e");
	expect("=?UTF-8?B?R3LDvMOfZQ==?=", "Gr\xc3\xbc\xc3\x9f" "e");
	expect("=?utf-8?Q?a_b=5fc=3D=?=", "a b_c==");
	expect("=?utf-8?q?=ZZ=C=?=", "=ZZ=C=");
	expect("=?utf-8?q?a b?=", "a b");
	expect("=?utf-8?qx?a?=", "a");
	expect("=?utf-8?q?" "?=", "");
	expect("=?utf-8?b?R3LDvM OfZQ==?=", "Gr\xc3\xbc\xc3\x9f" "e");
	expect("=?utf-8?b?w7w?= x", "\xc3\xbc x");
	expect("=?utf-8?b?w7w=w7w=?=", "\xc3\xbc");
	expect("=?utf-8?b?w7x!w7w=?=", "\xc3\xbc");
	expect("=?utf-8?b?Y?=", "");
	expect("=?utf-8?b?!!?=", "");
	expect("=?utf-8?q?x=00a=09?=", "x a\t");
}

Test(mail_words, blanks_between)
{
	expect("=?utf-8?q?a?= =?utf-8?q?b?=", "ab");
	expect("=?utf-8?q?a?= \t =?utf-8?q?b?=", "ab");
	expect("=?utf-8?q?a?==?utf-8?q?b?=", "ab");
	expect("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c");
	expect("a  =?utf-8?q?b?=  c", "a  b  c");
	expect("=?utf-8?q?=20?=x=?utf-8?q?=20a?=", " x a");
	expect("=?utf-8?q?a?= ", "a ");
	expect("=?utf-8?q?a?= =", "a =");
	expect("(=?utf-8?q?b?=)", "(b)");
	expect("a==?utf-8?q?b?=", "a=b");
}

Test(mail_words, what_is_no_word)
{
	expect("=?utf-8?q?a", "=?utf-8?q?a");
	expect("=?utf-8?q?a?", "=?utf-8?q?a?");
	expect("=?utf-8?q?a?b?=", "=?utf-8?q?a?b?=");
	expect("=?utf-8?x?abc?=", "=?utf-8?x?abc?=");
	expect("=?utf-8?" "?a?=", "=?utf-8?" "?a?=");
	expect("=?utf-8?q?a?= =?bad", "a=?bad");
	expect("=?bad =?utf-8?q?a?=", "=?bad a");
	expect("=?a?q?b =?utf-8?q?a?=", "=?a?q?b a");
	expect("=?=?utf-8?q?a?=", "=?a");
	expect("x =?bad y", "x =?bad y");
	expect("=?", "=?");
}

Test(mail_words, charsets)
{
	expect("=?iso-8859-1?Q?Gr=FC=DFe?= x", "Gr\xc3\xbc\xc3\x9f" "e x");
	expect("=?latin1?q?=80?=", "\xc2\x80");
	expect("=?utf-8*de?q?a?=", "a");
	expect("=?ISO-8859-15?q?=A4=A6=A8=B4=B8=BC=BD=BE=E9?=",
	       "\xe2\x82\xac\xc5\xa0\xc5\xa1\xc5\xbd\xc5\xbe\xc5\x92\xc5\x93\xc5\xb8"
	       "\xc3\xa9");
	expect("=?windows-1252?q?=80=81=99=9F=A0?=",
	       "\xe2\x82\xac" NONE "\xe2\x84\xa2\xc5\xb8\xc2\xa0");
	expect("=?us-ascii?q?a=80b?=", "a" NONE "b");
	expect("=?koi8-r?q?=F0?= =?utf-8?q?a?=", "=?koi8-r?q?=F0?= a");
}

Test(mail_words, what_is_no_text)
{
	expect("raw \xc3\xbc \xfc", "raw \xc3\xbc " NONE);
	expect("\xff\xfe x \xed\xa0\x80 y \xc3", NONE " x " NONE " y " NONE);
	expect("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", NONE);
	expect("=?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ==?=",
	       "Gr" NONE "\xc3\x9f" "e");
	expect("=?utf-8?q?=ff?=\xff", NONE);
	expect("=?utf-8?q?=EF=BF=BD=FF?=", NONE);
	expect("=?utf-8?q?=EF=BF=BD?= =?utf-8?q?=EF=BF=BD?=", NONE NONE);
}
