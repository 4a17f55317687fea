/* The settings of quota in plugin { }. */
#include "proxy/settings/quota.h"

#include "t/unit/settings_helper.h"

static struct arena *arena;
static struct conf_tree *tree;
static struct conf_errors errors;
static struct settings_quota quota;

static void end(void)
{
	conf_errors_free(&errors);
	conf_tree_free(&tree);
	arena_free(&arena);
}

TestSuite(settings_quota, .fini = end);

/* Reads a text; quota has what is set, errors what is wrong with it. */
static void take(const char *text)
{
	end();
	arena = arena_new(256);
	tree = read_text(text);
	errors = (struct conf_errors){ .errors = 0 };
	quota = (struct settings_quota){ .count = 0 };
	settings_quota_collect(arena, tree->root, &quota);
	settings_quota_check(tree->root, "", &errors);
}

Test(settings_quota, of_a_site)
{
	struct quota_config config;
	struct err err;

	take("plugin {\n quota = maildir:User quota\n sieve = x\n}\n"
	     "plugin {\n quota_rule = *:storage=1G\n"
	     " quota_rule2 = Trash:storage=+10%%\n"
	     " quota_warning = storage=95%% quota-warning 95 %u\n"
	     " quota_exceeded_message = 100% full, %u\n"
	     " quota_vsizes = yes\n quota_status_success = DUNNO\n}\n");
	cr_expect_str_eq(str_c(&errors.text), "");
	cr_assert_eq(quota.count, 7);
	cr_expect_str_eq(quota.list[0].name, "quota");
	cr_expect_str_eq(quota.list[0].value, "maildir:User quota");
	cr_expect_str_eq(quota.list[2].name, "quota_rule2");
	cr_expect_str_eq(quota.list[2].value, "Trash:storage=+10%%");
	cr_expect_eq(quota_config_read(quota.list, quota.count, "", arena, &config,
				       &err), 0, "%s", err.text);
	cr_expect_eq(quota_rules_base(&config.roots[0].rules).bytes, 1 << 30);
}

Test(settings_quota, filters_come_later)
{
	const struct conf_node *filter;

	take("plugin {\n quota = maildir\n quota_rule = *:bytes=1\n}\n"
	     "protocol lmtp {\n plugin {\n quota_rule = *:bytes=2\n }\n}\n");
	cr_expect_eq(quota.count, 2);
	filter = conf_node_section(tree->root, "protocol", "lmtp");
	settings_quota_collect(arena, filter, &quota);
	cr_assert_eq(quota.count, 3);
	cr_expect_str_eq(quota.list[2].value, "*:bytes=2");
	cr_expect_str_eq(quota.list[0].name, "quota");
}

Test(settings_quota, nothing_without_quota)
{
	take("plugin {\n quota_rule2 = a/b\n quota_grace = x\n}\n");
	cr_expect_eq(errors.errors + errors.warnings, 0);
	take("plugin {\n quota =\n quota_rule2 = a/b\n}\n");
	cr_expect_eq(errors.errors + errors.warnings, 0);
	take("");
	cr_expect_eq(quota.count, 0);
}

#define Q "plugin {\n quota = maildir:U\n "

Test(settings_quota, wrong)
{
	static const struct {
		const char *text, *want;
		bool warning;
	} rows[] = {
		{ "plugin {\n quota = count:U\n}\n",
		  "f:2: quota: the backend count needs Dovecot's own delivery: "
		  "use maildir, or fs, or have lda_command call dovecot-lda\n",
		  false },
		{ Q "quota_rule = 1G\n}\n",
		  "f:3: quota_rule: \"1G\" is no rule: one is written as "
		  "MAILBOX:LIMITS, such as *:storage=1G\n", false },
		{ Q "quota_rule2 = Trash:storage=100M\n}\n",
		  "f:3: quota_rule2: storage=100M should be written with a + in "
		  "front of the number\n", true },
		{ Q "quota_rule = *:storage=%{x}G\n"
		  " quota_rule3 = *:storage=1G\n}\n",
		  "f:4: quota_rule3 has no effect: there is no quota_rule2\n",
		  true },
		{ Q "quota_warning2 = storage=1G exec:/x\n}\n",
		  "f:3: quota_warning2 has no effect: there is no "
		  "quota_warning\n", true },
		{ Q "quota_warning = storage=95%% quota-warning 95 %u\n}\n",
		  "f:3: quota_warning: \"quota-warning 95 %u\" is not run: there are "
		  "no services of Dovecot's here; write the program as exec:/PATH "
		  "ARGUMENTS\n", true },
		{ Q "quota_warning = storage=1G exec:x\n}\n",
		  "f:3: quota_warning: \"exec:x\" is not run", true },
		{ Q "quota3 = fs:D\n}\n",
		  "f:3: quota3 has no effect: there is no quota2\n", true },
		{ Q "quota2 = fs:D\n quota2_rule = *:backend=1S\n}\n",
		  "f:4: quota2_rule: backend= is for quota = maildir\n", false },
		{ Q "quota_rule = *:backend=x\n}\n",
		  "f:3: quota_rule: backend=x: limits of Maildir++ are written "
		  "as 1000000S,500C\n", false },
		{ Q "quota_warning = storage=95% exec:/x 95\n}\n",
		  "f:3: quota_warning: a percent sign is written %%: a single "
		  "one starts a variable\n", true },
		{ Q "quota_grace = 10%\n}\n",
		  "f:3: quota_grace: a percent sign is written %%: a single one "
		  "starts a variable\n", true },
		{ Q "quota_grace = ten\n}\n",
		  "f:3: quota_grace: \"ten\" is no number, or too large\n",
		  false },
		{ Q "quota_max_mail_size = 5x\n}\n",
		  "f:3: quota_max_mail_size: ", false },
		{ Q "quota_rules = *:storage=1G\n}\n",
		  "f:3: quota_rules has no effect (did you mean "
		  "\"quota_rule\"?)\n", true },
		{ Q "quota_something_else_entirely = 1\n}\n",
		  "f:3: quota_something_else_entirely has no effect\n", true },
		{ Q "quota_rule = <x\n}\n",
		  "f:3: quota_rule cannot come from a file of its own\n", false },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at;

		take(rows[i].text);
		cr_expect_eq(errors.errors, !rows[i].warning, "%s: %s",
			     rows[i].text, str_c(&errors.text));
		cr_expect_eq(errors.warnings, rows[i].warning, "%s: %s",
			     rows[i].text, str_c(&errors.text));
		at = strstr(str_c(&errors.text), "f:");
		cr_assert_not_null(at, "%s", rows[i].text);
		if (rows[i].warning)
			cr_expect(strstr(at, strchr(rows[i].want, ' ') + 1) !=
				  NULL, "%s", at);
		else
			cr_expect_eq(strncmp(at, rows[i].want,
					     strlen(rows[i].want)), 0, "%s", at);
	}
}

/* The table has what the rest reads, with the same defaults. */
Test(settings_quota, table)
{
	struct quota_plugin_settings settings;
	const struct conf_def *def;
	struct quota_config config;
	struct err err;
	unsigned number;

	take("");
	for (def = settings_quota_table.defs; def->name != NULL; def++) {
		cr_expect_neq(quota_setting_kind(def->name, &number), QUOTA_NOT,
			      "%s", def->name);
		if (*def->value != '\0')
			cr_expect_eq(quota_setting_check(
				quota_setting_kind(def->name, &number),
				def->value, true, "", &err), 0, "%s", def->name);
	}
	conf_defaults(&settings_quota_table, arena, &settings);
	cr_expect_eq(quota_config_read(NULL, 0, "", arena, &config, &err), 0);
	cr_expect_str_eq(settings.exceeded_message, config.exceeded_message);
	cr_expect_str_eq(settings.grace, "10%%");
	cr_expect_str_eq(settings.max_mail_size, "0");
}
