#include "backends/local/mailbox_name.h"

#include <criterion/criterion.h>

static struct mail_location location = { .subscriptions = (char[]){ "subs" } };
static struct str folder;
static struct err err;

static const char *prefix;

static int find(enum mail_layout layout, char separator, const char *name)
{
	const struct mailbox_naming naming = { separator, prefix };

	location.layout = layout;
	str_clear(&folder);
	err.text[0] = '\0';
	return mailbox_name_folder(&location, &naming, name, &folder, &err);
}

static void expect(enum mail_layout layout, char separator, const char *name,
		   const char *expected)
{
	cr_expect_eq(find(layout, separator, name), 0, "%s: %s", name, err.text);
	cr_expect_str_eq(str_c(&folder), expected, "%s: %s", name,
			 str_c(&folder));
}

static void refuse(enum mail_layout layout, char separator, const char *name,
		   const char *reason)
{
	cr_expect_eq(find(layout, separator, name), -1, "%s: %s", name,
		     str_c(&folder));
	cr_expect_not_null(strstr(err.text, reason), "%s: %s", name, err.text);
}

static void free_folder(void)
{
	str_free(&folder);
}

TestSuite(mailbox_name, .fini = free_folder, .timeout = 20);

Test(mailbox_name, inbox)
{
	expect(MAIL_LAYOUT_MAILDIR, '\0', "INBOX", "");
	expect(MAIL_LAYOUT_FS, '\0', "inBox", "");
	expect(MAIL_LAYOUT_MAILDIR, '\0', "INBOX.x", ".INBOX.x");
	expect(MAIL_LAYOUT_FS, '\0', "INBOX/x", "INBOX/x");
	expect(MAIL_LAYOUT_MAILDIR, '\0', "inBox.x", ".INBOX.x");
	expect(MAIL_LAYOUT_MAILDIR, '/', "inBox/x/y", ".INBOX.x.y");
	expect(MAIL_LAYOUT_FS, '\0', "Inbox/x", "INBOX/x");
	expect(MAIL_LAYOUT_FS, '\0', "inboxes/x", "inboxes/x");
	expect(MAIL_LAYOUT_FS, '\0', "x/inbox", "x/inbox");
}

/* Behind one, Dovecot makes no difference between letters and others. */
Test(mailbox_name, inbox_behind_a_prefix)
{
	prefix = "My/";
	expect(MAIL_LAYOUT_MAILDIR, '/', "INBOX", "");
	expect(MAIL_LAYOUT_MAILDIR, '/', "inbox", ".inbox");
	expect(MAIL_LAYOUT_MAILDIR, '/', "InBox/d", ".InBox.d");
	expect(MAIL_LAYOUT_MAILDIR, '/', "INBOX/d", ".INBOX.d");
	expect(MAIL_LAYOUT_FS, '/', "Inbox/d", "Inbox/d");
	prefix = "";
	expect(MAIL_LAYOUT_MAILDIR, '/', "inbox", "");
}

Test(mailbox_name, parts)
{
	expect(MAIL_LAYOUT_MAILDIR, '\0', "A", ".A");
	expect(MAIL_LAYOUT_MAILDIR, '\0', "A.B c.D", ".A.B c.D");
	expect(MAIL_LAYOUT_MAILDIR, '/', "A/B/C", ".A.B.C");
	expect(MAIL_LAYOUT_MAILDIR, '^', "A^B", ".A.B");
	expect(MAIL_LAYOUT_FS, '\0', "A/B.c", "A/B.c");
	expect(MAIL_LAYOUT_FS, '.', "A.B", "A/B");
	expect(MAIL_LAYOUT_FS, '/', ".hidden/...", ".hidden/...");
}

/* As Dovecot 2.3 writes them. */
Test(mailbox_name, modified_utf7)
{
	expect(MAIL_LAYOUT_MAILDIR, '\0', "Grüße.süß & co.日本語",
	       ".Gr&APwA3w-e.s&APwA3w- &- co.&ZeVnLIqe-");
	expect(MAIL_LAYOUT_MAILDIR, '\0', "😀.x&y", ".&2D3eAA-.x&-y");
	expect(MAIL_LAYOUT_FS, '\0', "&/é/a&é&", "&-/&AOk-/a&-&AOk-&-");
	/* RFC 3501 5.1.3 */
	expect(MAIL_LAYOUT_FS, '\0', "台北/日本語", "&U,BTFw-/&ZeVnLIqe-");
}

Test(mailbox_name, utf8_names)
{
	location.utf8 = true;
	expect(MAIL_LAYOUT_MAILDIR, '\0', "Grüße.&x", ".Grüße.&x");
	expect(MAIL_LAYOUT_FS, '\0', "Grüße/&x", "Grüße/&x");
}

Test(mailbox_name, no_way_out)
{
	refuse(MAIL_LAYOUT_FS, '\0', "..", "..");
	refuse(MAIL_LAYOUT_FS, '\0', ".", "..");
	refuse(MAIL_LAYOUT_FS, '\0', "a/../../b", "..");
	refuse(MAIL_LAYOUT_FS, '\0', "/etc", "empty");
	refuse(MAIL_LAYOUT_FS, '\0', "a//b", "empty");
	refuse(MAIL_LAYOUT_FS, '\0', "a/", "empty");
	refuse(MAIL_LAYOUT_FS, '.', "a./etc", "/");
	refuse(MAIL_LAYOUT_FS, '\0', "~/x", "~");
	refuse(MAIL_LAYOUT_MAILDIR, '\0', "~x", "~");
	refuse(MAIL_LAYOUT_MAILDIR, '\0', "../x", "empty");
	refuse(MAIL_LAYOUT_MAILDIR, '\0', "x/../../y", "/");
	refuse(MAIL_LAYOUT_MAILDIR, '\0', "a/b", "/");
	refuse(MAIL_LAYOUT_MAILDIR, '\0', ".a", "empty");
	refuse(MAIL_LAYOUT_MAILDIR, '\0', "a..b", "empty");
	refuse(MAIL_LAYOUT_MAILDIR, '\0', "a.", "empty");
	refuse(MAIL_LAYOUT_MAILDIR, '/', "a.b/c", ".");
	refuse(MAIL_LAYOUT_MAILDIR, '/', "../c", ".");
	refuse(MAIL_LAYOUT_MAILDIR, '^', "a/b", "/");
}

Test(mailbox_name, not_in_the_way_of_other_files)
{
	static const char *const names[] = {
		"cur", "a/new", "tmp/a", "maildirfolder", "maildirsize",
		"subs", "subs.lock", "dovecot-uidlist", "a/dovecot.index.log",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		refuse(MAIL_LAYOUT_FS, '\0', names[i], "meaning of its own");
	expect(MAIL_LAYOUT_FS, '\0', "subs2/dovecot/current",
	       "subs2/dovecot/current");
	expect(MAIL_LAYOUT_MAILDIR, '\0', "cur.subs", ".cur.subs");
}

Test(mailbox_name, not_in_the_way_of_files_beside_an_mbox)
{
	location.format = MAIL_FORMAT_MBOX;
	refuse(MAIL_LAYOUT_FS, '\0', "a.lock", "meaning of its own");
	refuse(MAIL_LAYOUT_FS, '\0', "a.lock/b", "meaning of its own");
	refuse(MAIL_LAYOUT_FS, '\0', "a/.imap", "meaning of its own");
	refuse(MAIL_LAYOUT_FS, '\0', "subs", "meaning of its own");
	expect(MAIL_LAYOUT_FS, '\0', "cur/new/dovecot.x", "cur/new/dovecot.x");
}

Test(mailbox_name, what_is_no_text)
{
	refuse(MAIL_LAYOUT_FS, '\0', "", "empty");
	refuse(MAIL_LAYOUT_FS, '\0', "a\xff", "UTF-8");
	refuse(MAIL_LAYOUT_FS, '\0', "a\xc0\xaf", "UTF-8");
	refuse(MAIL_LAYOUT_FS, '\0', "a\nb", "control");
	refuse(MAIL_LAYOUT_FS, '\0', "a\x7f", "control");
	cr_expect_null(strchr(err.text, '\x7f'), "the error is one line");
}

static const char *repeated(char *name, const char *unit, size_t count)
{
	size_t i, len = strlen(unit);

	for (i = 0; i < count; i++)
		memcpy(name + i * len, unit, len);
	name[count * len] = '\0';
	return name;
}

Test(mailbox_name, length)
{
	char name[3000];

	find(MAIL_LAYOUT_MAILDIR, '\0', repeated(name, "x", 254));
	cr_expect_eq(folder.len, 255);
	refuse(MAIL_LAYOUT_MAILDIR, '\0', repeated(name, "x", 255), "long");
	refuse(MAIL_LAYOUT_MAILDIR, '/', repeated(name, "xxxxx/", 50), "long");
	refuse(MAIL_LAYOUT_MAILDIR, '\0', repeated(name, "é.", 60), "long");
	find(MAIL_LAYOUT_FS, '\0', repeated(name, "x", 255));
	cr_expect_eq(folder.len, 255);
	refuse(MAIL_LAYOUT_FS, '\0', repeated(name, "x", 256), "long");
	refuse(MAIL_LAYOUT_FS, '\0', repeated(name, "x", 1001), "long");
	refuse(MAIL_LAYOUT_FS, '\0', repeated(name, "é/", 300), "long");
}
