#include "proxy/check.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"

/* A configuration in which nothing is wrong; it has three lines. */
#define GOOD "lmtp_proxy = yes\nhostname = mx.example\n" USER
#define PASSDB "passdb {\n driver = static\n args = proxy=y\n}\n"
#define USER "default_internal_user = nobody\n"

/* The whole report on a configuration, f, must be want. */
static void expect_report(const char *config, const char *want)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct settings *settings;
	struct conf_tree *tree;

	tree = conf_tree_parse("f", config, strlen(config), NULL, &errors);
	cr_assert_not_null(tree, "%s", str_c(&errors.text));
	settings = settings_new_checked(tree, check_settings, &errors);
	cr_expect_str_eq(str_c(&errors.text), want, "[%s]: %s", config,
			 str_c(&errors.text));
	cr_expect_eq(settings == NULL, errors.errors > 0);
	if (settings == NULL)
		conf_tree_free(&tree);
	settings_unref(&settings);
	conf_errors_free(&errors);
}

Test(check, nothing_is_wrong)
{
	expect_report(GOOD PASSDB, "");
}

Test(check, what_local_delivery_needs)
{
	const char *installed = PKGLIBEXECDIR "/waypost-deliver";
	char *report = mem_printf("local delivery needs the program %s: "
				  "No such file or directory\n", installed);

	expect_report(GOOD PASSDB "mail_location = maildir:~/Maildir\n"
		      "userdb {\n driver = static\n"
		      " args = uid=1000 gid=1000 home=/home/%u\n}\n",
		      access(installed, F_OK) == 0 ? "" : report);
	mem_free(&report);
}

Test(check, everything_in_one_report)
{
	expect_report("lmtp_proxy = yes\n"
		      "hostname = a b\n"
		      "frob = 1\n"
		      "login_greeting = %{nope}\n"
		      "auth_username_format = %Q\n"
		      "syslog_facility = nope\n"
		      "default_internal_user = nobody\n"
		      "service lmtp {\n"
		      " inet_listener a {\n"
		      "  port = 24\n"
		      "  address = bad.one.invalid\n"
		      " }\n"
		      " inet_listener b {\n"
		      "  port = 24\n"
		      "  address = bad.two.invalid\n"
		      " }\n"
		      " unix_listener c {\n"
		      "  mode = 999\n"
		      "  user = no-such-user\n"
		      "  group = no-such-group\n"
		      " }\n"
		      "}\n"
		      "passdb {\n"
		      " driver = nope\n"
		      "}\n"
		      "passdb {\n"
		      " driver = static\n"
		      " args = host=%{nope}\n"
		      "}\n",
		      "f:3: unknown setting \"frob\"\n"
		      "f:18: mode: \"999\" is no mode: write it in octal and "
		      "with a leading 0, such as 0660\n"
		      "f:6: syslog_facility: unknown facility 'nope'\n"
		      "f:5: auth_username_format: unknown variable %Q\n"
		      "f:2: hostname is no host name\n"
		      "f:4: login_greeting: unknown variable %{nope}\n"
		      "f:23: unknown passdb driver nope (there are "
		      "http-sql, ldap, passwd-file, static)\n"
		      "f:26: passdb static: args: host: unknown variable "
		      "%{nope}\n"
		      "f:9: inet_listener a: 'bad.one.invalid' is no address, "
		      "and no name in /etc/hosts\n"
		      "f:13: inet_listener b: 'bad.two.invalid' is no "
		      "address, and no name in /etc/hosts\n"
		      "f:17: unix_listener c: there is no user "
		      "'no-such-user'\n"
		      "f:17: unix_listener c: there is no group "
		      "'no-such-group'\n");
}

Test(check, a_built_in_listener_stands_where_it_is_changed)
{
	expect_report(GOOD PASSDB "service lmtp {\n unix_listener lmtp {\n"
		      "  user = no-such-user\n }\n}\n",
		      "f:9: unix_listener lmtp: there is no user 'no-such-user'\n");
}

Test(check, logs_need_a_directory)
{
	expect_report(GOOD PASSDB
		      "log_path = /nowhere/x.log\ninfo_log_path = /dev\n",
		      "f:8: log_path: there is no directory /nowhere\n"
		      "f:9: info_log_path: /dev is a directory\n");
}

Test(check, mail_that_does_not_fit_in_memory_needs_a_directory)
{
	expect_report(GOOD PASSDB "mail_temp_dir = /nowhere\n",
		      "f:8: warning: mail_temp_dir: there is no directory /nowhere: "
		      "mail that does not fit in memory gets 452\n");
	expect_report(GOOD PASSDB "remote 192.0.2.1 {\n mail_temp_dir = /dev/null\n}\n",
		      "f:9: warning: mail_temp_dir: there is no directory /dev/null: "
		      "mail that does not fit in memory gets 452\n");
}

Test(check, a_long_report_is_cut)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct str config = STR_INIT;
	struct conf_tree *tree;
	unsigned i, lines = 0;
	const char *at;

	str_puts(&config, GOOD);
	for (i = 0; i < 300; i++)
		str_puts(&config, "passdb {\n driver = nope\n}\n");
	tree = conf_tree_parse("f", str_c(&config), config.len, NULL, &errors);
	cr_assert_null(settings_new_checked(tree, check_settings, &errors));
	cr_expect_eq(errors.errors, 300);
	for (at = str_c(&errors.text); *at != '\0'; at++)
		lines += *at == '\n';
	cr_expect_eq(lines, CONF_MAX_MESSAGES + 1);
	cr_expect(strstr(str_c(&errors.text), "more errors are not shown\n"));
	conf_tree_free(&tree);
	str_free(&config);
	conf_errors_free(&errors);
}

/* --- variables --- */

Test(check, variables_of_the_greeting)
{
	static const char *const good[] = {
		"%l %{lip} %r %{rip} %s %{service} %{session} %{hostname}",
		"%Us %2.3l %% 50%", "%{if;%s;eq;lmtp;%l;%r}", "%{env:HOME}",
		"%{sha256;rounds=2:session}",
	};
	static const struct {
		const char *greeting, *problem;
	} bad[] = {
		{ "a %x", "unknown variable %x" },
		{ "%u", "unknown variable %u" },
		{ "%{user}", "unknown variable %{user}" },
		{ "%{if;%s;eq;lmtp;%l;%x}", "unknown variable %x" },
		{ "%{lip", "missing } in %{lip" },
		{ "%{passdb:host}", "unknown variable %{passdb}" },
	};
	char *config, *want;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		config = mem_printf(GOOD PASSDB "login_greeting = %s\n",
				    good[i]);
		expect_report(config, "");
		mem_free(&config);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config = mem_printf(GOOD PASSDB "login_greeting = %s\n",
				    bad[i].greeting);
		want = mem_printf("f:8: login_greeting: %s\n",
				  bad[i].problem);
		expect_report(config, want);
		mem_free(&config);
		mem_free(&want);
	}
}

Test(check, greetings_in_filters)
{
	expect_report(GOOD PASSDB
		      "login_greeting = %x\n"
		      "login_greeting = fine\n"
		      "remote 192.0.2.1 {\n"
		      " login_greeting = %x\n"
		      " protocol lmtp {\n"
		      "  login_greeting = %y\n"
		      " }\n"
		      "}\n"
		      "remote 192.0.2.2 {\n"
		      " login_greeting = %z\n"
		      "}\n"
		      "protocol imap {\n"
		      " login_greeting = %x\n"
		      "}\n",
		      "f:11: login_greeting: unknown variable %x\n"
		      "f:13: login_greeting: unknown variable %y\n"
		      "f:17: login_greeting: unknown variable %z\n");
	expect_report(GOOD PASSDB
		      "local_name mx.example {\n"
		      " login_greeting = %x\n"
		      "}\n",
		      "f:9: login_greeting: unknown variable %x\n");
	expect_report(GOOD PASSDB
		      "protocol !imap {\n"
		      " login_greeting = %!\n"
		      "}\n",
		      "f:9: login_greeting: unknown variable %!\n");
}

/* --- names that are not checked by the language --- */

Test(check, services)
{
	expect_report(GOOD PASSDB
		      "service lmpt {\n}\n"
		      "service managesieve-login {\n}\n"
		      "service auth {\n}\n"
		      "service something-else-altogether {\n}\n"
		      "service lmpt {\n client_limit = 1\n}\n"
		      "service imap-postlogin {\n"
		      " executable = script-login /bin/x\n}\n"
		      "service nothing {\n executable =\n}\n",
		      "f:8: warning: there is no service \"lmpt\" (did you "
		      "mean \"lmtp\"?)\n"
		      "f:14: warning: there is no service "
		      "\"something-else-altogether\"\n"
		      "f:22: warning: there is no service \"nothing\"\n");
}

Test(check, protocols)
{
	expect_report(GOOD PASSDB
		      "protocol lmpt {\n}\n"
		      "protocol !imapp {\n}\n"
		      "protocol sieve {\n}\n"
		      "protocol !indexer-worker {\n}\n"
		      "protocol imap-login {\n}\n"
		      "local 192.0.2.1 {\n"
		      " remote 192.0.2.2 {\n"
		      "  protocol altogether-wrong {\n"
		      "  }\n"
		      " }\n"
		      "}\n"
		      "service own {\n executable = x\n}\n"
		      "protocol own {\n}\n",
		      "f:8: warning: there is no protocol \"lmpt\" (did you "
		      "mean \"lmtp\"?)\n"
		      "f:10: warning: there is no protocol \"imapp\" (did you "
		      "mean \"imap\"?)\n"
		      "f:20: warning: there is no protocol "
		      "\"altogether-wrong\"\n");
}

/* --- who we are to be --- */

Test(check, users_and_groups)
{
	if (geteuid() != 0)
		cr_skip_test("needs root");
	expect_report("lmtp_proxy = yes\nhostname = mx.example\n" PASSDB
		      "default_internal_user = no-such-user\n"
		      "default_internal_group = no-such-group\n"
		      "service lmtp {\n"
		      " extra_groups = nogroup no-such-extra\n"
		      "}\n",
		      "f:7: default_internal_user: user 'no-such-user' does "
		      "not exist: create it, or name another one\n"
		      "f:8: default_internal_group: group 'no-such-group' does "
		      "not exist: create it, or name another one\n"
		      "f:10: service lmtp { extra_groups }: group "
		      "'no-such-extra' does not exist: create it, or name "
		      "another one\n");
	expect_report(GOOD PASSDB
		      "service lmtp {\n"
		      " user = root\n"
		      " group = no-such-group\n"
		      "}\n",
		      "f:9: service lmtp { user }: 'root' is root, and what "
		      "speaks to the network does not run as root\n"
		      "f:10: service lmtp { group }: group 'no-such-group' "
		      "does not exist: create it, or name another one\n");
}

Test(check, another_user_without_root)
{
	const char config[] = GOOD PASSDB "service lmtp {\n user = root\n}\n";

	if (geteuid() == 0)
		cr_assert_eq(setuid(65534), 0);
	expect_report(config, "f:9: warning: service lmtp { user } = root has "
		      "no effect: not started by root\n");
}
