#include "backends/local/quota/config.h"

#include <criterion/criterion.h>
#include <string.h>

#define MAX_SETTINGS 8

static struct arena *arena;
static struct quota_config config;
static struct err err;

static void setup(void)
{
	arena = arena_new(256);
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(quota_config, .init = setup, .fini = teardown);

static int read_settings(const struct quota_setting *list)
{
	size_t count = 0;

	while (count < MAX_SETTINGS && list[count].name != NULL)
		count++;
	return quota_config_read(list, count, "x/", arena, &config, &err);
}

static uint64_t base(unsigned root)
{
	return quota_rules_base(&config.roots[root].rules).bytes;
}

Test(quota_config, nothing)
{
	cr_expect_eq(quota_config_read(NULL, 0, "", arena, &config, &err), 0);
	cr_expect_eq(config.root_count, 0);
	cr_expect_eq(config.max_mail_size, 0);
	cr_expect_str_eq(config.exceeded_message,
			 "Quota exceeded (mailbox for user is full)");
}

Test(quota_config, of_a_site)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		{ "quota", "maildir:User quota" },
		{ "quota_rule", "*:storage=1G" },
		{ "quota_rule2", "Trash:storage=+100M" },
		{ "quota_grace", "20%" },
		{ "quota_warning", "storage=95% quota-warning 95 joe" },
		{ "quota_max_mail_size", "10M" },
		{ "quota_exceeded_message", "Full" },
		{ "sieve", "~/sieve" },
	};
	const struct quota_rules *rules = &config.roots[0].rules;
	struct quota_amount amount;

	cr_assert_eq(read_settings(list), 0, "%s", err.text);
	cr_assert_eq(config.root_count, 1);
	cr_expect_str_eq(config.roots[0].name, "User quota");
	cr_expect_eq(config.roots[0].backend, QUOTA_MAILDIR);
	cr_expect_not(config.roots[0].noenforcing);
	cr_expect_eq(base(0), 1 << 30);
	amount = quota_rules_base(rules);
	cr_expect_eq(quota_rules_limit(rules, &amount, "Trash").bytes,
		     (1 << 30) + (100 << 20));
	cr_expect_eq(quota_rules_grace(rules, &amount), (1 << 30) / 5);
	cr_expect_str_eq(rules->first_warning->command, "quota-warning 95 joe");
	cr_expect_eq(config.max_mail_size, 10 << 20);
	cr_expect_str_eq(config.exceeded_message, "Full");
}

/* Of each name the last one counts, and the numbers have to follow each other. */
Test(quota_config, the_userdb_comes_last)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		{ "quota", "maildir" },
		{ "quota_rule", "*:bytes=1" },
		{ "quota_rule2", "A:bytes=+1" },
		{ "quota_rule4", "A:ignore" },
		{ "quota_rule", "*:bytes=7" },
		{ "quota_rule2", "A:bytes=+2" },
	};
	struct quota_amount amount;

	cr_assert_eq(read_settings(list), 0, "%s", err.text);
	cr_expect_eq(base(0), 7);
	amount = quota_rules_base(&config.roots[0].rules);
	cr_expect_eq(quota_rules_limit(&config.roots[0].rules, &amount,
				       "A").bytes, 9);
}

Test(quota_config, several_roots)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		{ "quota", "maildir:A" },
		{ "quota_rule", "*:bytes=1" },
		{ "quota2", "fs:B:group:mount=/home:noenforcing" },
		{ "quota2_rule", "*:bytes=2" },
		{ "quota2_rule2", "X:ignore" },
		{ "quota2_grace", "0" },
		{ "quota3", "fs:C:mount=/srv" },
		{ "quota5", "nonsense" },
	};
	const struct quota_root *fs = &config.roots[1];

	cr_assert_eq(read_settings(list), 0, "%s", err.text);
	cr_assert_eq(config.root_count, 3);
	cr_expect_str_eq(config.roots[2].mount, "/srv");
	cr_expect_eq(base(0), 1);
	cr_expect_eq(base(1), 2);
	cr_expect_eq(fs->backend, QUOTA_FS);
	cr_expect_str_eq(fs->name, "B");
	cr_expect_str_eq(fs->mount, "/home");
	cr_expect(fs->noenforcing && fs->group && !fs->user);
	cr_expect(quota_rules_ignore(&fs->rules, "X"));
	cr_expect_not(quota_rules_ignore(&config.roots[0].rules, "X"));
}

Test(quota_config, roots)
{
	static const struct {
		const char *value, *name;
		bool noenforcing;
	} rows[] = {
		{ "maildir", "", false },
		{ "maildir:", "", false },
		{ "maildir:User quota:noenforcing", "User quota", true },
		{ "maildir::noenforcing", "", true },
		{ "maildir:U:noenforcing:hidden", "U", true },
		{ "maildir:U:hidden:noenforcing:", "U", true },
		{ "maildir:U:ns=x/", "U", false },
		{ "maildir:ns=y/", "ns=y/", false },
		{ "fs", "", false },
		{ "fs:U:user:inode_per_mail", "U", false },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct quota_setting setting = { "quota", rows[i].value };

		cr_assert_eq(quota_config_read(&setting, 1, "x/", arena,
					       &config, &err),
			     0, "%s", err.text);
		cr_assert_eq(config.root_count, 1);
		cr_expect_str_eq(config.roots[0].name, rows[i].name);
		cr_expect_eq(config.roots[0].noenforcing, rows[i].noenforcing);
	}
}

Test(quota_config, wrong)
{
	static const struct {
		struct quota_setting list[MAX_SETTINGS];
		const char *error;
	} rows[] = {
		{ { { "quota", "count:U" } },
		  "quota: the backend count needs Dovecot's own delivery: use "
		  "maildir, or fs, or have lda_command call dovecot-lda" },
		{ { { "quota", "dict:U::file:/x" } },
		  "quota: the backend dict needs Dovecot's own delivery: use "
		  "maildir, or fs, or have lda_command call dovecot-lda" },
		{ { { "quota", "Maildir:U" } },
		  "quota: unknown backend \"Maildir\": there are maildir and fs" },
		{ { { "quota", "maildir:U:foo" } },
		  "quota: unknown parameter \"foo\"" },
		{ { { "quota", "maildir:U:user" } },
		  "quota: unknown parameter \"user\"" },
		{ { { "quota", "fs:U:ignoreunlimited" } },
		  "quota: unknown parameter \"ignoreunlimited\"" },
		{ { { "quota", "maildir" }, { "quota2", "maildir" } },
		  "quota2: there is another root with the backend maildir" },
		{ { { "quota", "maildir" }, { "quota_rule", "*:bytes=1" },
		    { "quota_rule2", "x" } },
		  "quota_rule2: \"x\" is no rule: one is written as "
		  "MAILBOX:LIMITS, such as *:storage=1G" },
		{ { { "quota", "maildir" }, { "quota_grace", "x" } },
		  "quota_grace: \"x\" is no number, or too large" },
		{ { { "quota", "maildir" }, { "quota2", "fs" },
		    { "quota2_warning", "x" } },
		  "quota2_warning: \"x\" is no warning: one is written as LIMITS "
		  "COMMAND, such as storage=95% quota-warning 95" },
		{ { { "quota_max_mail_size", "5x" } },
		  "quota_max_mail_size: " },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(read_settings(rows[i].list), -1, "%s", rows[i].error);
		cr_expect_eq(strncmp(err.text, rows[i].error,
				     strlen(rows[i].error)), 0, "%s", err.text);
	}
}

/* Those of namespaces where no mail is saved, whatever keeps count of them. */
Test(quota_config, elsewhere)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		{ "quota", "maildir:Shared:ns=Public/:ignoreunlimited" },
		{ "quota_rule", "*:storage=1K" },
		{ "quota2", "maildir:User:noenforcing:ns=x/" },
		{ "quota2_rule", "*:storage=2K" },
		{ "quota3", "dict:Other::ns=:file:%h/x" },
		{ "quota4", "fs:Longer:ns=x/y" },
	};

	cr_assert_eq(read_settings(list), 0, "%s", err.text);
	cr_assert_eq(config.root_count, 1);
	cr_expect_str_eq(config.roots[0].name, "User");
	cr_expect(config.roots[0].noenforcing);
	cr_expect_eq(base(0), 2048);
}

/* What is said of rules without a root does not matter. */
Test(quota_config, no_root)
{
	static const struct quota_setting list[MAX_SETTINGS] = {
		{ "quota", "" }, { "quota_rule", "nonsense" },
		{ "quota2", "maildir" },
	};

	cr_expect_eq(read_settings(list), 0, "%s", err.text);
	cr_expect_eq(config.root_count, 0);
}

Test(quota_config, ignoreunlimited)
{
	struct quota_setting list[MAX_SETTINGS] = {
		{ "quota", "maildir:U:ignoreunlimited" },
		{ "quota_rule", "*:bytes=0" },
	};

	cr_expect_eq(read_settings(list), 0);
	cr_expect_eq(config.root_count, 0);
	list[1].value = "*:bytes=1";
	cr_expect_eq(read_settings(list), 0);
	cr_expect_eq(config.root_count, 1);
}

Test(quota_config, kinds_of_settings)
{
	static const struct {
		const char *name;
		enum quota_setting_kind kind;
		unsigned number;
	} rows[] = {
		{ "quota", QUOTA_ROOT, 1 },
		{ "quota2", QUOTA_ROOT, 2 },
		{ "quota_rule", QUOTA_RULE, 1 },
		{ "quota_rule12", QUOTA_RULE, 12 },
		{ "quota3_rule12", QUOTA_RULE, 12 },
		{ "quota_warning", QUOTA_WARNING, 1 },
		{ "quota2_warning3", QUOTA_WARNING, 3 },
		{ "quota_grace", QUOTA_GRACE, 1 },
		{ "quota2_grace", QUOTA_GRACE, 1 },
		{ "quota_max_mail_size", QUOTA_MAX_MAIL_SIZE, 1 },
		{ "quota_exceeded_message", QUOTA_MESSAGE, 1 },
		{ "quota1", QUOTA_NOT, 0 },
		{ "quota0", QUOTA_NOT, 0 },
		{ "quota_rule1", QUOTA_NOT, 0 },
		{ "quota_rule02", QUOTA_NOT, 0 },
		{ "quota_rule2x", QUOTA_NOT, 0 },
		{ "quota_rules", QUOTA_NOT, 0 },
		{ "quota_grace2", QUOTA_NOT, 0 },
		{ "quotas", QUOTA_NOT, 0 },
		{ "sieve", QUOTA_NOT, 0 },
	};
	unsigned number;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(quota_setting_kind(rows[i].name, &number),
			     rows[i].kind, "%s", rows[i].name);
		if (rows[i].kind != QUOTA_NOT)
			cr_expect_eq(number, rows[i].number, "%s", rows[i].name);
	}
}

Test(quota_config, single_values)
{
	static const struct {
		enum quota_setting_kind kind;
		const char *value;
		bool maildir;
		int status;
	} rows[] = {
		{ QUOTA_ROOT, "", true, 0 },
		{ QUOTA_ROOT, "maildir:%u", true, 0 },
		{ QUOTA_ROOT, "count", true, -1 },
		{ QUOTA_ROOT, "maildir:U:ns=x/", true, 0 },
		{ QUOTA_ROOT, "count:U:ns=Public/", true, 1 },
		{ QUOTA_RULE, "*:storage=1G", true, 0 },
		{ QUOTA_RULE, "A:storage=1G", true, 1 },
		{ QUOTA_RULE, "x", true, -1 },
		{ QUOTA_RULE, "*:backend=1S", true, 0 },
		{ QUOTA_RULE, "*:backend=1S", false, -1 },
		{ QUOTA_WARNING, "storage=1G x", true, 0 },
		{ QUOTA_WARNING, "storage=1G", true, -1 },
		{ QUOTA_GRACE, "10%", true, 0 },
		{ QUOTA_GRACE, "", true, -1 },
		{ QUOTA_MAX_MAIL_SIZE, "1M", true, 0 },
		{ QUOTA_MAX_MAIL_SIZE, "M", true, -1 },
		{ QUOTA_MESSAGE, "any", true, 0 },
		{ QUOTA_NOT, "any", true, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(quota_setting_check(rows[i].kind, rows[i].value,
						 rows[i].maildir, "x/", &err),
			     rows[i].status, "%s", rows[i].value);
}
