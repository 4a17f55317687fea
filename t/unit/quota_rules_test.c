/* Limits are what "doveadm -D quota get" of Dovecot 2.3.19 makes of the same rules. */
#include "backends/local/quota/rules.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MAX_ROWS 5

static struct arena *arena;
static struct quota_rules rules;
static struct err err;

static void setup(void)
{
	arena = arena_new(256);
	quota_rules_init(&rules, arena, true);
	err.text[0] = '\0';
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(quota_rules, .init = setup, .fini = teardown);

static void restart(void)
{
	teardown();
	setup();
}

static struct quota_amount limit(const char *mailbox)
{
	struct quota_amount base = quota_rules_base(&rules);

	return quota_rules_limit(&rules, &base, mailbox);
}

Test(quota_rules, base_limits)
{
	static const struct {
		const char *rule;
		uint64_t bytes, messages, grace;
	} rows[] = {
		{ "*:storage=1M", 1048576, 0, 104857 },
		{ "*:storage=1G:messages=100", 1073741824, 100, 107374182 },
		{ "*:bytes=1000", 1000, 0, 100 },
		{ "*:bytes=1K", 1024, 0, 102 },
		{ "*:storage=10", 10240, 0, 1024 },
		{ "*:storage=10B", 10, 0, 1 },
		{ "*:storage=10KB", 10240, 0, 1024 },
		{ "*:storage=10kib", 10240, 0, 1024 },
		{ "*:storage=1t", 1099511627776, 0, 109951162777 },
		{ "*:storage=00010M", 10485760, 0, 1048576 },
		{ "*:messages=1K", 0, 1024, 0 },
		{ "*:messages=5", 0, 5, 0 },
		{ "*:storage=0", 0, 0, 0 },
		{ "*:storage=1M:storage=2M", 2097152, 0, 209715 },
		{ "*:storage=1M:bytes=5", 5, 0, 0 },
		{ "*:", 0, 0, 0 },
		{ "*:ignore", 0, 0, 0 },
		{ "*:backend=1000S,5C", 1000, 5, 100 },
		{ "*:backend=5C", 0, 5, 0 },
		{ "*:backend=NOQUOTA", 0, 0, 0 },
	};
	struct quota_amount base;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		restart();
		cr_expect_eq(quota_rules_add(&rules, rows[i].rule, &err), 0,
			     "%s: %s", rows[i].rule, err.text);
		base = quota_rules_base(&rules);
		cr_expect_eq(base.bytes, rows[i].bytes, "%s", rows[i].rule);
		cr_expect_eq(base.messages, rows[i].messages, "%s",
			     rows[i].rule);
		cr_expect_eq(quota_rules_grace(&rules, &base), rows[i].grace,
			     "%s", rows[i].rule);
		cr_expect(rules.forced);
	}
}

Test(quota_rules, weak_base)
{
	cr_expect_eq(quota_rules_add(&rules, "?:storage=1M", &err), 0);
	cr_expect_not(rules.forced);
	cr_expect_eq(limit("INBOX").bytes, 1048576);
	cr_expect_eq(quota_rules_add(&rules, "*:messages=3", &err), 0);
	cr_expect(rules.forced);
	cr_expect_eq(limit("INBOX").bytes, 1048576);
	cr_expect_eq(limit("INBOX").messages, 3);
}

Test(quota_rules, wrong)
{
	static const struct {
		const char *rule, *error;
	} rows[] = {
		{ "", "\"\" is no rule: one is written as MAILBOX:LIMITS, such "
		      "as *:storage=1G" },
		{ "*", "\"*\" is no rule: one is written as MAILBOX:LIMITS, such "
		       "as *:storage=1G" },
		{ "*:storage=10 M", "unknown unit \" M\": it may be B, K, M, G, T "
				    "or %" },
		{ "*:storage=1.5G", "unknown unit \".5G\": it may be B, K, M, G, T "
				    "or %" },
		{ "*:storage=0x10", "unknown unit \"x10\": it may be B, K, M, G, T "
				    "or %" },
		{ "*:storage=10Bytes", "unknown unit \"Bytes\": it may be B, K, M, "
				       "G, T or %" },
		{ "*:storage=", "\"\" is no number, or too large" },
		{ "*:storage= 1", "\" 1\" is no number, or too large" },
		{ "*:storage=9999999999999999999",
		  "\"9999999999999999999\" is no number, or too large" },
		{ "*:storage=9223372036854775807",
		  "9223372036854775807 is too large" },
		{ "*:storage=9007199254740992T",
		  "9007199254740992T is too large" },
		{ "*:storage", "\"storage\" is no limit: there are storage=, "
			       "bytes= and messages=" },
		{ "*:foo=1", "\"foo=1\" is no limit: there are storage=, bytes= "
			     "and messages=" },
		{ "*:STORAGE=1", "\"STORAGE=1\" is no limit: there are storage=, "
				 "bytes= and messages=" },
		{ "*:ignore:storage=1", "\"ignore\" is no limit: there are "
					"storage=, bytes= and messages=" },
		{ "*:storage=-1", "storage=-1: + and - are for rules of single "
				  "mailboxes" },
		{ "*:storage=+1", "storage=+1: + and - are for rules of single "
				  "mailboxes" },
		{ "*:storage=10%", "storage=10%: there is nothing that this could "
				   "be a percentage of" },
		{ "*:storage=1M:", "nothing follows the last colon" },
		{ "Trash:storage=-100%", "100% is out of range" },
		{ "Trash:storage=+4294967296%", "4294967296% is out of range" },
		{ "Trash:storage=+%", "\"%\" is no number, or too large" },
		{ "Trash:storage=--1", "storage=--1 has two signs" },
		{ "Trash:messages=+1x", "unknown unit \"x\": it may be B, K, M, G, "
					"T or %" },
		{ "*:backend=x", "backend=x: limits of Maildir++ are written as "
				 "1000000S,500C" },
		{ "*:backend=1000S,x", "backend=1000S,x: limits of Maildir++ are "
				       "written as 1000000S,500C" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		restart();
		cr_expect_eq(quota_rules_add(&rules, rows[i].rule, &err), -1,
			     "%s", rows[i].rule);
		cr_expect_str_eq(err.text, rows[i].error);
	}
}

Test(quota_rules, backend_rules_are_for_maildir)
{
	quota_rules_init(&rules, arena, false);
	cr_expect_eq(quota_rules_add(&rules, "*:backend=1S", &err), -1);
	cr_expect_str_eq(err.text, "backend= is for quota = maildir");
}

/* The limits of a mailbox were found with mails that dovecot-lda saved, or did not. */
Test(quota_rules, mailboxes)
{
	static const struct {
		const char *rules[MAX_ROWS];
		const char *mailbox;
		uint64_t bytes, messages;
	} rows[] = {
		{ { "*:storage=1M", "Trash:storage=+100K" }, "Trash", 1150976, 0 },
		{ { "*:storage=1M", "Trash:storage=+100K" }, "INBOX", 1048576, 0 },
		{ { "*:storage=1M", "Trash:storage=-100K" }, "Trash", 946176, 0 },
		{ { "*:storage=1M", "Trash:storage=+10%" }, "Trash", 1153433, 0 },
		{ { "*:storage=1M", "Trash:storage=+10%%" }, "Trash", 1153433, 0 },
		{ { "*:storage=1M", "Trash:storage=-10%" }, "Trash", 943719, 0 },
		{ { "*:storage=1M", "Trash:storage=-99%" }, "Trash", 10486, 0 },
		{ { "*:storage=1M:messages=10", "Trash:storage=+200%:messages=+50%" },
		  "Trash", 3145728, 15 },
		{ { "Trash:storage=+10%", "*:storage=1M" }, "Trash", 1153433, 0 },
		{ { "*:storage=1M", "Trash:ignore" }, "Trash", 0, 0 },
		{ { "*:storage=1M", "Trash:ignore" }, "Trashes", 1048576, 0 },
		/* without any base limit nothing else counts */
		{ { "*:bytes=0", "Trash:bytes=+10" }, "Trash", 0, 0 },
		{ { "Trash:bytes=+10" }, "Trash", 0, 0 },
		/* but a limit of another kind is enough */
		{ { "*:messages=100", "Trash:bytes=+10" }, "Trash", 10, 100 },
		/* what is not left is no limit */
		{ { "*:bytes=10000", "Trash:bytes=-20000" }, "Trash", 0, 0 },
		/* the first one that fits counts; case matters, but for INBOX */
		{ { "*:bytes=9000", "Tr*:bytes=+1000" }, "Trash", 10000, 0 },
		{ { "*:bytes=9000", "Tr?sh:bytes=+0", "Trash:bytes=+1000" },
		  "Trash", 9000, 0 },
		{ { "*:bytes=9000", "trash:bytes=+1000" }, "Trash", 9000, 0 },
		{ { "*:bytes=9000", "inbox:bytes=+1000" }, "INBOX", 10000, 0 },
		{ { "*:bytes=9000", "inb*:bytes=+1000" }, "INBOX", 9000, 0 },
		{ { "*:bytes=9000", "Trash/*:bytes=+1000" }, "Trash.x", 9000, 0 },
		{ { "*:bytes=9000", "Trash.*:bytes=+1000" }, "Trash.x", 10000, 0 },
		{ { "*:bytes=9000", "*x*y:bytes=+1" }, "axbxyay", 9001, 0 },
		{ { "*:bytes=9000", "*x*y:bytes=+1" }, "axbxyaz", 9000, 0 },
		{ { "*:bytes=9000", "Gel\xc3\xb6scht:bytes=+1" },
		  "Gel\xc3\xb6scht", 9001, 0 },
		/* a second rule of a mailbox changes the first one */
		{ { "*:bytes=9000", "A:bytes=+1", "A:messages=+2", "*:messages=5" },
		  "A", 9001, 7 },
		{ { "*:bytes=9000", "A:bytes=+1", "A:bytes=+2" }, "A", 9002, 0 },
		{ { "*:bytes=9000", "A:bytes=+1", "A:ignore" }, "A", 0, 0 },
	};
	size_t i, j;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		restart();
		for (j = 0; j < MAX_ROWS && rows[i].rules[j] != NULL; j++)
			cr_expect_eq(quota_rules_add(&rules, rows[i].rules[j],
						     &err), 0, "%s: %s",
				     rows[i].rules[j], err.text);
		cr_expect_eq(limit(rows[i].mailbox).bytes, rows[i].bytes,
			     "row %zu: %zu", i,
			     (size_t)limit(rows[i].mailbox).bytes);
		cr_expect_eq(limit(rows[i].mailbox).messages, rows[i].messages,
			     "row %zu", i);
	}
}

/* Dovecot logs that the + is missing, and takes it as there. */
Test(quota_rules, signs_may_be_missing)
{
	cr_expect_eq(quota_rules_add(&rules, "*:storage=1M", &err), 0);
	cr_expect_eq(quota_rules_add(&rules, "Trash:storage=100K:messages=+1",
				     &err), 1);
	cr_expect_str_eq(err.text, "storage=100K should be written with a + in "
			 "front of the number");
	cr_expect_eq(limit("Trash").bytes, 1150976);
}

Test(quota_rules, ignored_mailboxes)
{
	cr_expect_eq(quota_rules_add(&rules, "Spam*:ignore", &err), 0);
	cr_expect(quota_rules_ignore(&rules, "Spam"));
	cr_expect(quota_rules_ignore(&rules, "Spam/old"));
	cr_expect_not(quota_rules_ignore(&rules, "INBOX"));
}

Test(quota_rules, percentages_follow_the_base)
{
	const struct quota_amount base = { 500, 40 };

	quota_rules_add(&rules, "?:bytes=1000:messages=10", &err);
	quota_rules_add(&rules, "A:bytes=+50%:messages=-50%", &err);
	cr_expect_eq(quota_rules_limit(&rules, &base, "A").bytes, 750);
	cr_expect_eq(quota_rules_limit(&rules, &base, "A").messages, 20);
	cr_expect_eq(quota_rules_grace(&rules, &base), 50);
}

Test(quota_rules, large_numbers_stay_large)
{
	quota_rules_add(&rules, "*:bytes=9223372036854775807", &err);
	quota_rules_add(&rules, "A:bytes=+4294967295%", &err);
	cr_expect_eq(limit("A").bytes, INT64_MAX);
	cr_expect_eq(limit("B").bytes, INT64_MAX);
}

Test(quota_rules, grace)
{
	static const struct {
		const char *text;
		uint64_t grace;
	} rows[] = {
		{ "10%", 104857 }, { "10%%", 104857 }, { "0", 0 }, { "100", 100 },
		{ "1M", 1048576 }, { "200%", 2097152 }, { "0%", 0 },
	};
	static const char *const wrong[] = { "", "x", "-5", "-5%", "5 M", "50%x" };
	struct quota_amount base;
	size_t i;

	quota_rules_add(&rules, "*:storage=1M", &err);
	base = quota_rules_base(&rules);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(quota_rules_set_grace(&rules, rows[i].text, &err),
			     0, "%s", rows[i].text);
		cr_expect_eq(quota_rules_grace(&rules, &base), rows[i].grace,
			     "%s", rows[i].text);
	}
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_expect_eq(quota_rules_set_grace(&rules, wrong[i], &err), -1,
			     "%s", wrong[i]);
}

static const char *fired(uint64_t bytes_before, uint64_t bytes_after,
			 uint64_t messages_before, uint64_t messages_after)
{
	const struct quota_amount before = { bytes_before, messages_before };
	const struct quota_amount after = { bytes_after, messages_after };
	const struct quota_amount base = quota_rules_base(&rules);
	const char *command = quota_rules_warning(&rules, &base, &before, &after);

	return command != NULL ? command : "";
}

Test(quota_rules, first_warning_that_fires)
{
	static const char *const warnings[] = {
		"storage=95% warn 95 joe", "storage=80%% warn 80 joe",
		"+messages=5 warn many", "-storage=100% warn below joe",
		"bytes=1:messages=3 three",
	};
	size_t i;

	quota_rules_add(&rules, "*:bytes=1000", &err);
	for (i = 0; i < sizeof(warnings) / sizeof(warnings[0]); i++)
		cr_expect_eq(quota_rules_add_warning(&rules, warnings[i], &err),
			     0, "%s: %s", warnings[i], err.text);
	cr_expect_str_eq(fired(10, 799, 1, 2), "");
	cr_expect_str_eq(fired(10, 800, 1, 2), "warn 80 joe");
	cr_expect_str_eq(fired(800, 949, 1, 2), "");
	cr_expect_str_eq(fired(800, 950, 1, 2), "warn 95 joe");
	cr_expect_str_eq(fired(10, 5000, 1, 9), "warn 95 joe");
	cr_expect_str_eq(fired(950, 5000, 1, 9), "warn many");
	cr_expect_str_eq(fired(1000, 999, 9, 8), "warn below joe");
	cr_expect_str_eq(fired(999, 998, 9, 8), "");
	cr_expect_str_eq(fired(0, 1, 0, 0), "three");
	cr_expect_str_eq(fired(1, 2, 2, 3), "three");
	cr_expect_str_eq(fired(5, 5, 5, 5), "");
}

Test(quota_rules, warnings_without_base)
{
	quota_rules_add_warning(&rules, "storage=0% a", &err);
	quota_rules_add_warning(&rules, "storage=95% b", &err);
	quota_rules_add_warning(&rules, "bytes=10  c  d ", &err);
	cr_expect_str_eq(fired(0, 9, 0, 1), "");
	cr_expect_str_eq(fired(9, 10, 0, 1), "c  d ");
}

Test(quota_rules, wrong_warnings)
{
	static const char *const rows[] = {
		"", "storage=1M", "storage=1M ", "storage=1M  ", "storage=+5 c",
		"storage=-5 c", "ignore c", "x c", "--storage=1 c",
		"storage=1M: c",
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(quota_rules_add_warning(&rules, rows[i], &err), -1,
			     "%s", rows[i]);
	cr_expect_eq(quota_rules_add_warning(&rules, "storage=1M", &err), -1);
	cr_expect_str_eq(err.text, "\"storage=1M\" is no warning: one is written "
			 "as LIMITS COMMAND, such as storage=95% quota-warning "
			 "95");
}

Test(quota_rules, there_is_an_end_of_rules)
{
	char rule[32];
	unsigned i;

	for (i = 0; i < QUOTA_MAX_RULES; i++) {
		snprintf(rule, sizeof(rule), "A%u:bytes=+1", i);
		cr_assert_eq(quota_rules_add(&rules, rule, &err), 0);
		cr_assert_eq(quota_rules_add_warning(&rules, "bytes=1 c", &err),
			     0);
	}
	cr_expect_eq(quota_rules_add(&rules, "B:bytes=+1", &err), -1);
	cr_expect_str_eq(err.text, "there are more than 1000 rules");
	cr_expect_eq(quota_rules_add_warning(&rules, "bytes=1 c", &err), -1);
}
