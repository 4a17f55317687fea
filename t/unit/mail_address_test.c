#include "backends/local/mail/address.h"

#include <criterion/criterion.h>

/* wanted: local part, |, domain; NULL: none. */
static void expect(const char *text, const char *wanted)
{
	struct str got = STR_INIT, domain = STR_INIT;
	bool found = mail_address_first(text, &got, &domain);

	cr_expect_eq(found, wanted != NULL, "%s", text);
	if (found)
		str_putc(&got, '|');
	str_puts(&got, str_c(&domain));
	cr_expect_str_eq(str_c(&got), wanted != NULL ? wanted : "", "%s: %s",
			 text, str_c(&got));
	str_free(&got);
	str_free(&domain);
}

Test(mail_address, plain)
{
	expect("joe@example.org", "joe|example.org");
	expect(" joe.doe @ example . org ", "joe.doe|example.org");
	expect("<joe@example.org>", "joe|example.org");
	expect("joe@[192.0.2.1]", "joe|[192.0.2.1]");
	expect("gr\u00fc\u00dfe@b\u00fccher.example",
	       "gr\u00fc\u00dfe|b\u00fccher.example");
}

Test(mail_address, with_a_name)
{
	expect("Joe Doe <joe@example.org>", "joe|example.org");
	expect("\"Doe, J. <x@y>\" <joe@example.org>", "joe|example.org");
	expect("joe@example.org (Joe (the \\) first))", "joe|example.org");
	expect("(a@b) joe(c)@example.org", "joe|example.org");
	expect("joe@home <joe@example.org>", "joe|example.org");
}

Test(mail_address, quoted)
{
	expect("\"a b\"@example.org", "a b|example.org");
	expect("\"a\\\"b\"@example.org", "a\"b|example.org");
	expect("\"a@b\"@example.org", "a@b|example.org");
}

Test(mail_address, the_first_of_several)
{
	expect("a@b, c@d", "a|b");
	expect("nobody, joe@example.org", NULL);
	expect("<>, joe@example.org", NULL);
	expect(", joe@example.org", NULL);
	expect("Friends: a@b, c@d;", NULL);
	expect("undisclosed-recipients:;", NULL);
	expect("<@x,@y:joe@example.org>", "joe|example.org");
	expect("<@x:joe@example.org>", "joe|example.org");
}

Test(mail_address, none)
{
	expect("", NULL);
	expect("joe", NULL);
	expect("<>", NULL);
	expect("@example.org", NULL);
	expect("joe@", NULL);
	expect("a b@example.org", NULL);
	expect("a@b@c", NULL);
	expect("a@b c", NULL);
	expect("\"open@example.org", NULL);
	expect("(open joe@example.org", NULL);
	expect("<joe", NULL);
	expect("\\", NULL);
	expect("a@[open", "a|[open]");
}
