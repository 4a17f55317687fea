/* Whether a mail may be saved is what dovecot-lda of Dovecot 2.3.19 decides with the
 * same settings, mails and maildirsize. */
#include "backends/local/quota/quota.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t/files.h"

#define MAX_SETTINGS 5

static struct files files;
static struct mail_location location;
static struct quota_settings settings;
static struct quota *quota;
static struct local_result result;
static struct quota_warnings warnings;
static struct err err;

static void setup(void)
{
	char value[128];

	files_init(&files);
	mkdir(files_path(&files, "tmp"), 0700);
	snprintf(value, sizeof(value), "maildir:%s", files.dir);
	cr_assert_eq(mail_location_parse(&location, value, NULL, &err), 0);
	settings = (struct quota_settings){ .tree.location = &location };
}

static void teardown(void)
{
	quota_close(&quota);
	mail_location_free(&location);
	files_done(&files);
}

TestSuite(quota, .init = setup, .fini = teardown);

static int open_with(const struct quota_setting *list)
{
	quota_close(&quota);
	settings.list = list;
	settings.count = 0;
	while (settings.count < MAX_SETTINGS &&
	       list[settings.count].name != NULL)
		settings.count++;
	return quota_open(&settings, &quota, &err);
}

/* Mails of 1000 bytes each, in cur of a folder. */
static void fill(const char *folder, unsigned count)
{
	char name[128];
	unsigned i;

	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%scur/%u.M1P1.h,S=1000,W=1001:2,S",
			 folder, i);
		files_write(&files, name, "");
	}
}

static const char *file(void)
{
	static struct str text;

	str_clear(&text);
	if (access(files_path(&files, "maildirsize"), F_OK) == 0)
		files_read(files.path, &text);
	return str_c(&text);
}

static void restart(void)
{
	teardown();
	setup();
}

#define M { "quota", "maildir:U" }

Test(quota, may_it_be_saved)
{
	static const struct {
		struct quota_setting list[MAX_SETTINGS];
		unsigned mails;	      /* of 1000 bytes */
		const char *file;     /* NULL: none */
		const char *mailbox;
		uint64_t size;
		bool may;
	} rows[] = {
		/* a last mail may go past the limit by 10 % of that */
		{ { M, { "quota_rule", "*:bytes=10000" } }, 0, NULL, "INBOX",
		  11000, true },
		{ { M, { "quota_rule", "*:bytes=10000" } }, 0, NULL, "INBOX",
		  11001, false },
		{ { M, { "quota_rule", "*:bytes=10000" } }, 9, NULL, "INBOX",
		  2000, true },
		{ { M, { "quota_rule", "*:bytes=10000" } }, 9, NULL, "INBOX",
		  2001, false },
		{ { M, { "quota_rule", "*:bytes=10000" }, { "quota_grace", "0" } },
		  9, NULL, "INBOX", 1000, true },
		{ { M, { "quota_rule", "*:bytes=10000" }, { "quota_grace", "0" } },
		  9, NULL, "INBOX", 1001, false },
		/* but not when it is reached; and to ask is not to save */
		{ { M, { "quota_rule", "*:bytes=9000" } }, 9, NULL, "INBOX", 1,
		  false },
		{ { M, { "quota_rule", "*:bytes=9000" } }, 9, NULL, "INBOX", 0,
		  true },
		{ { M, { "quota_rule", "*:bytes=8999" } }, 9, NULL, "INBOX", 0,
		  false },
		{ { M, { "quota_rule", "*:bytes=9001" } }, 9, NULL, "INBOX", 13,
		  true },
		{ { M, { "quota_rule", "*:messages=10" } }, 9, NULL, "INBOX", 13,
		  true },
		{ { M, { "quota_rule", "*:messages=10" } }, 10, NULL, "INBOX", 13,
		  false },
		{ { M, { "quota_rule", "*:messages=10" } }, 10, NULL, "INBOX", 0,
		  false },
		{ { { "quota", "maildir:U:noenforcing" },
		    { "quota_rule", "*:messages=10" } }, 10, NULL, "INBOX", 13,
		  true },
		/* mailboxes */
		{ { M, { "quota_rule", "*:bytes=9000" },
		    { "quota_rule2", "Trash:bytes=+1000" } }, 9, NULL, "Trash",
		  13, true },
		{ { M, { "quota_rule", "*:bytes=9000" },
		    { "quota_rule2", "Trash:bytes=+1000" } }, 9, NULL, "INBOX",
		  13, false },
		{ { M, { "quota_rule", "*:bytes=9000" },
		    { "quota_rule2", "Trash:ignore" } }, 9, NULL, "Trash", 13,
		  true },
		{ { M, { "quota_rule", "*:bytes=10000" },
		    { "quota_rule2", "Trash:bytes=-99%" } }, 9, NULL, "Trash", 13,
		  false },
		/* no limit, whatever else is said */
		{ { M, { "quota_rule", "*:bytes=0" },
		    { "quota_rule2", "Trash:bytes=+10" } }, 9, NULL, "Trash", 13,
		  true },
		{ { M }, 9, NULL, "INBOX", 99999, true },
		{ { { NULL, NULL } }, 9, NULL, "INBOX", 99999, true },
		/* the limit in the file, against none or a weak one */
		{ { M }, 9, "9000S\n9000 9\n", "INBOX", 13, false },
		{ { M, { "quota_rule", "?:bytes=9000" } }, 9, NULL, "INBOX", 13,
		  false },
		{ { M, { "quota_rule", "?:bytes=9000" } }, 9,
		  "10000S\n9000 9\n", "INBOX", 13, true },
		{ { M, { "quota_rule", "?:bytes=90000" } }, 9,
		  "9000S\n9000 9\n", "INBOX", 13, false },
		{ { M, { "quota_rule", "*:bytes=10000" } }, 9,
		  "9000S\n9000 9\n", "INBOX", 13, true },
		{ { M, { "quota_rule", "*:bytes=0" } }, 9, "9000S\n9000 9\n",
		  "INBOX", 13, true },
		/* what the file says counts, when it can be believed */
		{ { M, { "quota_rule", "*:bytes=10000" } }, 9, "10000S\n1 1\n",
		  "INBOX", 9000, true },
		{ { M, { "quota_rule", "*:bytes=10000" } }, 9,
		  "10000S\n1 1\nx\n", "INBOX", 9000, false },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		restart();
		fill("", rows[i].mails);
		if (rows[i].file != NULL)
			files_write(&files, "maildirsize", rows[i].file);
		cr_assert_eq(open_with(rows[i].list), 0, "row %zu: %s", i,
			     err.text);
		cr_expect_eq(quota_allows(quota, rows[i].mailbox, rows[i].size,
					  &result), rows[i].may, "row %zu: %s", i,
			     result.text);
		if (!rows[i].may)
			cr_expect_eq(result.status, LOCAL_OVER_QUOTA);
	}
}

Test(quota, says_why_not)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		M, { "quota_rule", "*:bytes=1000:messages=7" },
		{ "quota_max_mail_size", "5000" },
		{ "quota_exceeded_message", "No more" },
	};

	fill("", 2);
	cr_assert_eq(open_with(list), 0);
	cr_expect_eq(quota_allows(quota, "INBOX", 5000, &result), 0);
	cr_expect_str_eq(result.text, "quota \"U\" is exceeded: 2000 of 1000 "
			 "bytes and 2 of 7 messages are used (0: no limit), 5000 "
			 "bytes were to be saved");
	cr_expect_str_eq(quota_exceeded_message(quota), "No more");
	cr_expect_eq(quota_allows(quota, "INBOX", 5001, &result), 0);
	cr_expect_eq(result.status, LOCAL_TOO_BIG);
	cr_expect_str_eq(result.text, "the mail has 5001 bytes, "
			 "quota_max_mail_size is 5000");
}

/* Without a root there still is a largest mail. */
Test(quota, largest_mail_alone)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		{ "quota_max_mail_size", "999" },
	};

	cr_assert_eq(open_with(list), 0);
	cr_expect_eq(quota_allows(quota, "INBOX", 999, &result), 1);
	cr_expect_eq(quota_allows(quota, "INBOX", 1000, &result), 0);
	cr_expect_eq(result.status, LOCAL_TOO_BIG);
	cr_expect_str_eq(file(), "");
}

static void save(const char *mailbox, const char *name, uint64_t bytes)
{
	quota_saving(quota, mailbox);
	files_write(&files, name, "");
	cr_expect_eq(quota_saved(quota, mailbox, bytes, 1, &warnings, &err), 0,
		     "%s", err.text);
}

Test(quota, counts_what_is_saved)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		M, { "quota_rule", "*:bytes=10000" },
		{ "quota_rule2", "Junk:ignore" },
		{ "quota_warning", "bytes=4000 mid" },
		{ "quota_warning2", "storage=10% low 10" },
	};

	fill("", 1);
	cr_assert_eq(open_with(list), 0);
	save("INBOX", "new/1.h,S=1000", 1000);
	cr_expect_str_eq(file(), "10000S\n2000 2\n");
	cr_expect_eq(warnings.count, 0);
	save("Sent", ".Sent/new/1.h,S=2500", 2500);
	cr_expect_str_eq(file(), "10000S\n2000 2\n2500 1\n");
	cr_assert_eq(warnings.count, 1);
	cr_expect_str_eq(warnings.commands[0], "mid");
	save("Junk", ".Junk/new/1.h,S=2500", 2500);
	cr_expect_str_eq(file(), "10000S\n2000 2\n2500 1\n");
	cr_expect_eq(warnings.count, 0);
}

/* Two who reach a limit together: the one that is counted last says so. */
Test(quota, warnings_see_what_others_save)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		M, { "quota_rule", "*:bytes=10000" },
		{ "quota_warning", "bytes=2000 two" },
	};
	struct quota *other;

	files_write(&files, "maildirsize", "10000S\n0 0\n");
	cr_assert_eq(open_with(list), 0);
	cr_assert_eq(quota_open(&settings, &other, &err), 0);
	quota_saving(quota, "INBOX");
	quota_saving(other, "INBOX");
	cr_expect_eq(quota_saved(quota, "INBOX", 1000, 1, &warnings, &err), 0);
	cr_expect_eq(warnings.count, 0);
	cr_expect_eq(quota_saved(other, "INBOX", 1000, 1, &warnings, &err), 0);
	cr_expect_eq(warnings.count, 1);
	quota_close(&other);
}

Test(quota, ignored_mail_is_not_counted_anew)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		M, { "quota_rule", "*:bytes=9000" },
		{ "quota_rule2", "Gel\xc3\xb6scht/*:ignore" },
	};

	settings.tree.naming.separator = '/';
	fill("", 1);
	fill(".Gel&APY-scht.alt/", 9);
	cr_assert_eq(open_with(list), 0);
	cr_expect_eq(quota_allows(quota, "INBOX", 1000, &result), 1);
	cr_expect_str_eq(file(), "9000S\n1000 1\n");
}

/* It is for those who call to save the mail nevertheless. */
Test(quota, cannot_be_known)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		M, { "quota_rule", "*:bytes=9000" },
	};

	cr_assert_eq(mkfifo(files_path(&files, "maildirsize"), 0600), 0);
	cr_assert_eq(open_with(list), 0);
	cr_expect_eq(quota_allows(quota, "INBOX", 1000, &result), -1);
	cr_expect_eq(result.status, LOCAL_FAILED);
	cr_expect(strstr(result.text, "is no file") != NULL, "%s", result.text);
	cr_expect_eq(quota_saved(quota, "INBOX", 1000, 1, &warnings, &err), -1);
	cr_expect_eq(warnings.count, 0);
}

Test(quota, settings_that_are_wrong)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		M, { "quota_rule", "10M" },
	};

	cr_expect_eq(open_with(list), -1);
	cr_expect_null(quota);
	cr_expect(strstr(err.text, "quota_rule: ") != NULL, "%s", err.text);
}

Test(quota, mail_in_no_maildir)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		M, { "quota_rule", "*:bytes=1" },
	};
	static const struct quota_setting fs[MAX_SETTINGS] = {
		{ "quota", "fs:D:mount=/" }, { "quota_rule", "*:bytes=1" },
	};
	static const struct quota_setting unclear[MAX_SETTINGS] = {
		{ "quota", "fs:D" }, { "quota_rule", "*:bytes=1" },
	};

	location.format = MAIL_FORMAT_MBOX;
	cr_assert_eq(open_with(list), 0);
	cr_expect_str_eq(quota_doubt(quota), "quota \"U\" counts nothing: the "
			 "backend maildir is for mail in a Maildir, see fs");
	cr_expect_eq(quota_allows(quota, "INBOX", 1000, &result), 1);
	settings.tree.location = NULL;
	cr_assert_eq(open_with(fs), 0);
	cr_expect_str_eq(quota_doubt(quota), "");
	cr_assert_eq(open_with(unclear), 0);
	cr_expect_eq(quota_allows(quota, "INBOX", 1, &result), -1);
	cr_expect_str_eq(result.text, "quota \"D\": mount= has to say which file "
			 "system this is for");
}

/* Where the file system has no quota (its own limits would replace that of the rule),
 * everything may be saved. What a full one does is EDQUOT, and the kernel's. */
Test(quota, file_system_without_quota)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		{ "quota", "fs:Disk" }, { "quota_rule", "*:bytes=1" },
		{ "quota_warning", "bytes=1 never" },
	};
	static const struct quota_setting without_rule[MAX_SETTINGS] = {
		{ "quota", "fs:Disk:mount=/gone" },
	};
	int status;

	cr_assert_eq(open_with(list), 0);
	status = quota_allows(quota, "INBOX", 1000, &result);
	if (status < 0) /* not every kernel knows of quotas */
		cr_expect(strstr(result.text, "cannot find out the quota on the "
				 "file system of ") != NULL, "%s", result.text);
	else
		cr_expect_eq(status, 1, "%s", result.text);
	/* as in Dovecot, it is not even asked for then */
	cr_assert_eq(open_with(without_rule), 0);
	cr_expect_eq(quota_allows(quota, "INBOX", 1000, &result), 1);
	cr_expect_eq(quota_saved(quota, "INBOX", 1000, 1, &warnings, &err), 0);
}

Test(quota, file_system_that_is_not_there)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		{ "quota", "fs:Disk:mount=/gone" }, { "quota_rule", "*:bytes=1" },
	};

	cr_assert_eq(open_with(list), 0);
	cr_expect_eq(quota_allows(quota, "INBOX", 1000, &result), -1);
	cr_expect_str_eq(result.text, "cannot find out the quota on the file "
			 "system of /gone: No such file or directory");
}

/* The settings may go once it is open. */
Test(quota, keeps_its_own)
{
	char value[] = "*:bytes=10", message[] = "Full", command[] = "bytes=5 w x";
	struct quota_setting list[MAX_SETTINGS] = {
		M, { "quota_rule", value }, { "quota_warning", command },
		{ "quota_exceeded_message", message },
	};

	cr_assert_eq(open_with(list), 0);
	memset(value, 'x', sizeof(value) - 1);
	memset(message, 'x', sizeof(message) - 1);
	memset(command, 'x', sizeof(command) - 1);
	memset(list, 0, sizeof(list));
	save("INBOX", "new/1.h,S=6", 6);
	cr_assert_eq(warnings.count, 1);
	cr_expect_str_eq(warnings.commands[0], "w x");
	cr_expect_str_eq(quota_exceeded_message(quota), "Full");
}
