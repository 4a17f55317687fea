#include "backends/local/mail/location.h"

#include <criterion/criterion.h>

#include "lib/mem.h"

static struct mail_location location;
static struct err err;

static int parse(const char *value, const char *home)
{
	err.text[0] = '\0';
	return mail_location_parse(&location, value, home, &err);
}

static void accept(const char *value, const char *home)
{
	cr_assert_eq(parse(value, home), 0, "%s: %s", value, err.text);
}

/* The error names the value, and says reason. */
static void refuse(const char *value, const char *home, const char *reason)
{
	cr_assert_eq(parse(value, home), -1, "%s", value);
	cr_expect_not_null(strstr(err.text, value), "%s", err.text);
	cr_expect_not_null(strstr(err.text, reason), "%s", err.text);
	cr_expect_null(location.root);
}

TestSuite(mail_location, .timeout = 20);

Test(mail_location, only_a_path)
{
	accept("maildir:/var/mail/joe", NULL);
	cr_expect_str_eq(location.root, "/var/mail/joe");
	cr_expect_str_eq(location.inbox, "/var/mail/joe");
	cr_expect_str_eq(location.control, "/var/mail/joe");
	cr_expect_str_eq(location.subscriptions, "subscriptions");
	cr_expect_eq(location.layout, MAIL_LAYOUT_MAILDIR);
	cr_expect_not(location.utf8);
	cr_expect_not(location.in_home);
	mail_location_free(&location);
}

Test(mail_location, below_the_home)
{
	accept("maildir:~/Maildir", "/home/joe");
	cr_expect_str_eq(location.root, "/home/joe/Maildir");
	cr_expect(location.in_home);
	mail_location_free(&location);
	accept("maildir:~", "/home/joe/");
	cr_expect_str_eq(location.root, "/home/joe");
	mail_location_free(&location);
}

Test(mail_location, all_keys)
{
	accept("maildir:~/m/:INBOX=~/in:CONTROL=/c:INDEX=MEMORY:LAYOUT=fs:"
	       "SUBSCRIPTIONS=subs:UTF-8:ALT=/a:VOLATILEDIR=/v:NO-NOSELECT:", "/h");
	cr_expect_str_eq(location.root, "/h/m");
	cr_expect_str_eq(location.inbox, "/h/in");
	cr_expect_str_eq(location.control, "/c");
	cr_expect_str_eq(location.subscriptions, "subs");
	cr_expect_eq(location.layout, MAIL_LAYOUT_FS);
	cr_expect(location.utf8);
	mail_location_free(&location);
}

/* As Dovecot 2.3 has it. */
Test(mail_location, inbox_depends_on_how_the_layout_is_written)
{
	static const struct {
		const char *value, *inbox;
		enum mail_layout layout;
	} cases[] = {
		{ "maildir:/m:LAYOUT=maildir++", "/m", MAIL_LAYOUT_MAILDIR },
		{ "maildir:/m:LAYOUT=Maildir++", "/m/.INBOX", MAIL_LAYOUT_MAILDIR },
		{ "maildir:/m:LAYOUT=fs", "/m", MAIL_LAYOUT_FS },
		{ "maildir:/m:LAYOUT=FS", "/m/INBOX", MAIL_LAYOUT_FS },
		{ "maildir:/m:INBOX=/i:LAYOUT=FS", "/i", MAIL_LAYOUT_FS },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		accept(cases[i].value, NULL);
		cr_expect_eq(location.layout, cases[i].layout);
		cr_expect_str_eq(location.inbox, cases[i].inbox);
		mail_location_free(&location);
	}
}

Test(mail_location, the_last_of_a_key_counts)
{
	accept("maildir:/m:INBOX=/a:INBOX=/b", NULL);
	cr_expect_str_eq(location.inbox, "/b");
	mail_location_free(&location);
}

Test(mail_location, colons_in_paths)
{
	accept("maildir:/m/a::b::::c:INBOX=/i::j", NULL);
	cr_expect_str_eq(location.root, "/m/a:b::c");
	cr_expect_str_eq(location.inbox, "/i:j");
	mail_location_free(&location);
}

Test(mail_location, mbox)
{
	accept("mbox:~/mail", "/h");
	cr_expect_eq(location.format, MAIL_FORMAT_MBOX);
	cr_expect_eq(location.layout, MAIL_LAYOUT_FS);
	cr_expect_str_eq(location.root, "/h/mail");
	cr_expect_str_eq(location.inbox, "/h/mail/inbox");
	cr_expect_str_eq(location.subscriptions, ".subscriptions");
	mail_location_free(&location);
	accept("mbox:/m:INBOX=/var/mail/joe:LAYOUT=fs", NULL);
	cr_expect_str_eq(location.inbox, "/var/mail/joe");
	mail_location_free(&location);
	refuse("mbox:/m:LAYOUT=maildir++", NULL, "LAYOUT");
	refuse("mbox:INBOX=/var/mail/joe", NULL, "no path");
}

Test(mail_location, other_formats)
{
	static const char *const values[] = {
		"mdbox:~/mdbox",
		"sdbox:~/dbox", "dbox:~/dbox", "obox:x", "imapc:~/x", "pop3c:",
	};
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		refuse(values[i], "/h", "lda_command");
	refuse("", "/h", "maildir:~/Maildir");
	refuse("~/Maildir", "/h", "maildir:~/Maildir");
	refuse("/m", "/h", "maildir:~/Maildir");
	refuse("auto:~/Maildir", "/h", "maildir:~/Maildir");
	refuse("Maildir:~/Maildir", "/h", "maildir:~/Maildir");
}

Test(mail_location, paths_that_are_none)
{
	refuse("maildir:", "/h", "no path");
	refuse("maildir:INBOX=/m", "/h", "no path");
	refuse("maildir:mail", "/h", "not an absolute path");
	refuse("maildir:~/mail", NULL, "no home");
	refuse("maildir:~joe/mail", "/h", "own home");
	refuse("maildir:~/mail", "h", "not an absolute path");
	refuse("maildir:/m:INBOX=", "/h", "not an absolute path");
	refuse("maildir:/m:CONTROL", "/h", "not an absolute path");
}

Test(mail_location, no_way_out_of_a_path)
{
	accept("maildir:/m/..x/x../...", NULL);
	mail_location_free(&location);
	refuse("maildir:/var/mail/../../etc", NULL, "..");
	refuse("maildir:/var/mail/..", NULL, "..");
	refuse("maildir:/var/mail/./x", NULL, "..");
	refuse("maildir:/m:INBOX=/m/../i", NULL, "..");
	refuse("maildir:~/m", "/home/..", "..");
}

Test(mail_location, keys_that_cannot_be_served)
{
	refuse("maildir:/m:LAYOUT=index", NULL, "LAYOUT");
	refuse("maildir:/m:LAYOUT", NULL, "LAYOUT");
	refuse("maildir:/m:DIRNAME=x", NULL, "DIRNAME");
	refuse("maildir:/m:FULLDIRNAME=x", NULL, "FULLDIRNAME");
	refuse("maildir:/m:MAILBOXDIR=x", NULL, "MAILBOXDIR");
	refuse("maildir:/m:BROKENCHAR=%", NULL, "BROKENCHAR");
	refuse("maildir:/m:INBIX=/x", NULL, "unknown key INBIX");
	refuse("maildir:/m:SUBSCRIPTIONS=", NULL, "SUBSCRIPTIONS");
	refuse("maildir:/m:SUBSCRIPTIONS=../x", NULL, "SUBSCRIPTIONS");
	refuse("maildir:/m:SUBSCRIPTIONS=a/x", NULL, "SUBSCRIPTIONS");
}

Test(mail_location, a_path_that_is_too_long)
{
	char *value = mem_printf("maildir:/%02100d", 1);

	cr_expect_eq(parse(value, NULL), -1);
	cr_expect_not_null(strstr(err.text, "too long"), "%s", err.text);
	mem_free(&value);
}
