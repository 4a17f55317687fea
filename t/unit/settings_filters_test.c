#include "t/unit/settings_helper.h"

/* The greeting for a client that asks for name. */
static const char *named(const struct settings *set, const char *local,
			 const char *name)
{
	struct addr here, there;

	cr_assert_eq(addr_parse_ip(&here, local, 24), 0);
	cr_assert_eq(addr_parse_ip(&there, "192.0.2.1", 4711), 0);
	return settings_for_name(set, &here, &there, name)->login_greeting;
}

Test(settings_filters, filters)
{
	struct settings *set = load(BASE PASSDB
		"login_greeting = top\n"
		"local 10.0.0.0/8 {\n login_greeting = l8\n"
		"  remote 192.0.2.0/24 {\n login_greeting = l8r24\n }\n}\n"
		"local 10.1.1.1 {\n"
		"  protocol lmtp {\n lmtp_dsn = yes\n }\n"
		"  protocol imap {\n login_greeting = l32imap\n }\n}\n"
		"remote 192.0.2.0/24 {\n lmtp_verbose_replies = yes\n}\n"
		"remote 192.0.2.7 {\n lmtp_max_recipients = 7\n}\n"
		"remote 2001:db8::/32 {\n login_greeting = six\n}\n"
		"protocol lmtp {\n mail_temp_dir = /lmtp\n}\n"
		);
	struct addr local, remote;
	const struct lmtp_settings *lmtp;

	cr_expect_str_eq(greeting(set, "127.0.0.1", "127.0.0.1"), "top");
	cr_expect_str_eq(greeting(set, "10.2.2.2", "127.0.0.1"), "l8");
	cr_expect_str_eq(greeting(set, "::ffff:10.2.2.2", "127.0.0.1"), "l8");
	cr_expect_str_eq(greeting(set, "10.2.2.2", "192.0.2.7"), "l8r24");
	cr_expect_str_eq(greeting(set, "10.1.1.1", "127.0.0.1"), "l8");
	cr_expect_str_eq(greeting(set, "10.1.1.1", "192.0.2.7"), "l8r24");
	cr_expect_str_eq(greeting(set, "127.0.0.1", "192.0.2.9"), "top");
	cr_expect_str_eq(greeting(set, "::1", "2001:db8::5"), "six");
	cr_expect_str_eq(greeting(set, "::1", "2001:db9::5"), "top");
	/* All filters that match count, each for what it sets. */
	cr_assert_eq(addr_parse_ip(&local, "10.1.1.1", 24), 0);
	cr_assert_eq(addr_parse_ip(&remote, "192.0.2.7", 1), 0);
	lmtp = settings_for(set, &local, &remote);
	cr_expect(lmtp->lmtp_verbose_replies);
	cr_expect(lmtp->lmtp_dsn);
	cr_expect_eq(lmtp->lmtp_max_recipients, 7);
	cr_expect_str_eq(lmtp->mail_temp_dir, "/lmtp");
	cr_expect_str_eq(lmtp->hostname, "mx.example");
	cr_assert_eq(addr_parse_ip(&remote, "192.0.3.7", 1), 0);
	lmtp = settings_for(set, &local, &remote);
	cr_expect(!lmtp->lmtp_verbose_replies);
	cr_expect_eq(lmtp->lmtp_max_recipients, 1000);
	/* A UNIX socket is in no network. */
	cr_assert_eq(addr_set_unix(&local, "/run/lmtp"), 0);
	cr_assert_eq(addr_set_unix(&remote, "/x"), 0);
	cr_expect_eq(settings_for(set, &local, &remote), &set->lmtp);
	settings_unref(&set);
}

/* The most specific of each kind decides, wherever it stands. */
Test(settings_filters, filters_in_filters)
{
	struct settings *set = load(BASE PASSDB
		"local 10.0.0.0/16 {\n login_greeting = l16\n}\n"
		"local 10.0.0.0/8 {\n login_greeting = l8\n"
		"  remote 192.0.2.0/24 {\n lmtp_max_recipients = 24\n }\n}\n"
		"remote 192.0.2.7 {\n mail_temp_dir = /r32\n}\n");
	struct addr local, remote;
	const struct lmtp_settings *lmtp;

	cr_expect_str_eq(greeting(set, "10.1.0.1", "127.0.0.1"), "l8");
	cr_expect_str_eq(greeting(set, "10.0.0.1", "127.0.0.1"), "l16");
	cr_assert_eq(addr_parse_ip(&local, "10.1.0.1", 24), 0);
	cr_assert_eq(addr_parse_ip(&remote, "192.0.2.7", 1), 0);
	lmtp = settings_for(set, &local, &remote);
	cr_expect_str_eq(lmtp->login_greeting, "l8");
	cr_expect_str_eq(lmtp->mail_temp_dir, "/r32");
	cr_expect_eq(lmtp->lmtp_max_recipients, 24);
	settings_unref(&set);
}

/* Of two that are as specific, the first: also protocols and names. */
Test(settings_filters, the_first_of_equals)
{
	struct settings *set = load(BASE PASSDB
		"protocol !imap {\n login_greeting = first\n"
		" lmtp_max_recipients = 1\n}\n"
		"protocol lmtp {\n login_greeting = second\n lmtp_dsn = yes\n"
		"}\n"
		"protocol !pop3 {\n lmtp_dsn = no\n}\n"
		"protocol !imap {\n lmtp_max_recipients = 2\n}\n");

	cr_expect_str_eq(set->lmtp.login_greeting, "first");
	cr_expect_eq(set->lmtp.lmtp_max_recipients, 2);
	cr_expect(set->lmtp.lmtp_dsn);
	settings_unref(&set);
}

/* What Dovecot refuses to choose from. */
Test(settings_filters, conflicts)
{
	expect_errors(BASE PASSDB
		"local 10.0.0.0/8 {\n login_greeting = a\n}\n"
		"remote 192.0.2.0/24 {\n login_greeting = b\n}\n", 1,
		"/f:11: login_greeting: ");
	expect_errors(BASE PASSDB
		"protocol lmtp {\n mail_temp_dir = /a\n hostname = a\n}\n"
		"local_name x {\n mail_temp_dir = /b\n}\n"
		"local ::1 {\n hostname = b\n}\n", 2,
		"/f:8: mail_temp_dir: ");
	expect_errors(BASE PASSDB
		"local_name x {\n mail_temp_dir = /a\n}\n"
		"local ::1 {\n mail_temp_dir = /a\n}\n", 1,
		"f:8 sets it too, some connections match both filters, and "
		"it is not defined which of them counts: set it in one of "
		"them only; what holds in general may stand outside of "
		"filters\n");
	/* Dovecot's rule asks the filter between them. */
	expect_errors(BASE PASSDB
		"local ::1 {\n protocol lmtp {\n mail_temp_dir = /a\n }\n}\n"
		"protocol lmtp {\n mail_temp_dir = /b\n}\n", 1,
		"f:13: mail_temp_dir: ");
}

/* Dovecot does not have them there. */
Test(settings_filters, auth_settings)
{
	static const char *const refused[] = {
		"auth_cache_ttl = 1 hours\n", "auth_debug = yes\n",
		"auth_lookup_timeout = 1 secs\n", "auth_mechanisms = plain\n",
		"base_dir = /x\n", "first_valid_uid = 1000\n",
		"verbose_proctitle = yes\n", PASSDB,
		"userdb {\n driver = static\n}\n",
	};
	static const char *const filters[][2] = {
		{ "local ::1 {\n", "}\n" }, { "remote ::1 {\n", "}\n" },
		{ "local_name x {\n protocol lmtp {\n", "}\n}\n" },
		{ "remote ::1 {\n protocol imap {\n", "}\n}\n" },
	};
	struct str text = STR_INIT;
	struct settings *set;
	size_t i, j;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		for (j = 0; j < sizeof(filters) / sizeof(filters[0]); j++) {
			str_clear(&text);
			str_printf(&text, BASE PASSDB "%s%s%s", filters[j][0],
				   refused[i], filters[j][1]);
			expect_errors(str_c(&text), 1, " cannot differ between "
				      "connections: write it outside of local, "
				      "local_name and remote\n");
		}
	}
	str_free(&text);
	set = load(BASE PASSDB "local ::1 {\n auth_socket_path = x\n"
		   " ssl_client_ca_dir = /x\n}\n");
	settings_unref(&set);
}

Test(settings_filters, what_is_no_conflict)
{
	struct settings *set = load(BASE PASSDB
		/* One inside the other. */
		"local 10.0.0.0/8 {\n login_greeting = l\n"
		" remote 192.0.2.0/24 {\n login_greeting = lr\n }\n}\n"
		"mail_temp_dir = /p\n"
		"local 172.16.0.1 {\n protocol lmtp {\n"
		"  mail_temp_dir = /lp\n }\n}\n"
		/* No connection has both, or not of ours. */
		"remote 2001:db8::/32 {\n login_greeting = r\n}\n"
		"local 10.2.0.2 {\n protocol imap {\n mail_temp_dir = /imap\n"
		"  login_greeting = i\n }\n}\n"
		"remote 10.2.0.2 {\n protocol imap {\n mail_temp_dir = /imap\n"
		"  login_greeting = i\n }\n}\n"
		/* Not the same setting. */
		"local_name x {\n lmtp_dsn = yes\n}\n");

	cr_expect_str_eq(greeting(set, "10.2.2.2", "127.0.0.1"), "l");
	cr_expect_str_eq(greeting(set, "10.2.2.2", "192.0.2.7"), "lr");
	cr_expect_str_eq(greeting(set, "::1", "2001:db8::5"), "r");
	cr_expect_str_eq(set->lmtp.mail_temp_dir, "/p");
	settings_unref(&set);
}

Test(settings_filters, local_name)
{
	struct settings *set = load(BASE PASSDB
		"local_name \"b.example  c.example\" {\n"
		" login_greeting = b\n}\n"
		"local_name a.example {\n login_greeting = a\n}\n"
		"local_name *.example {\n login_greeting = any\n"
		" lmtp_max_recipients = 3\n}\n"
		"local_name mx?.example {\n login_greeting = mx\n"
		" lmtp_dsn = yes\n}\n"
		"local 10.0.0.1 {\n mail_temp_dir = /local\n"
		" local_name a.example {\n login_greeting = both\n }\n}\n");

	cr_expect_str_eq(greeting(set, "::1", "::1"), "Waypost ready.");
	cr_expect_str_eq(named(set, "::1", NULL), "Waypost ready.");
	cr_expect_str_eq(named(set, "::1", ""), "Waypost ready.");
	cr_expect_str_eq(named(set, "::1", "d.e.example"), "Waypost ready.");
	cr_expect_str_eq(named(set, "::1", "A.Example"), "a");
	cr_expect_str_eq(named(set, "::1", "b.example"), "b");
	cr_expect_str_eq(named(set, "::1", "c.example"), "b");
	cr_expect_str_eq(named(set, "::1", "z.example"), "any");
	/* The first in the text, as in Dovecot. */
	cr_expect_str_eq(named(set, "::1", "mx1.example"), "any");
	cr_expect_str_eq(named(set, "10.0.0.1", NULL), "Waypost ready.");
	cr_expect_str_eq(named(set, "10.0.0.1", "z.example"), "any");
	cr_expect_str_eq(named(set, "10.0.0.1", "a.example"), "both");
	settings_unref(&set);
}

/* What says less than the best name counts too. */
Test(settings_filters, local_names_add_up)
{
	struct settings *set = load(BASE PASSDB
		"local_name mx.example {\n login_greeting = mx\n}\n"
		"local_name *.example {\n login_greeting = any\n"
		" lmtp_max_recipients = 3\n}\n"
		"local_name m?.example {\n lmtp_dsn = yes\n}\n");
	struct addr none = { .len = 0 };
	const struct lmtp_settings *lmtp;

	lmtp = settings_for_name(set, &none, &none, "mx.example");
	cr_expect_str_eq(lmtp->login_greeting, "mx");
	cr_expect_eq(lmtp->lmtp_max_recipients, 3);
	cr_expect(lmtp->lmtp_dsn);
	lmtp = settings_for_name(set, &none, &none, "my.example");
	cr_expect_str_eq(lmtp->login_greeting, "any");
	cr_expect(lmtp->lmtp_dsn);
	lmtp = settings_for_name(set, &none, &none, "long.example");
	cr_expect_eq(lmtp->lmtp_max_recipients, 3);
	cr_expect(!lmtp->lmtp_dsn);
	settings_unref(&set);
}

/* Of several patterns that match, none need be in another one. */
Test(settings_filters, patterns_add_up)
{
	struct settings *set = load(BASE PASSDB
		"local_name m*.example {\n lmtp_dsn = yes\n"
		" login_greeting = m\n}\n"
		"local_name ?x*.example {\n lmtp_max_recipients = 3\n"
		" login_greeting = x\n}\n"
		"local_name \"nowhere ??1.example 0?1.example\" {\n"
		" lmtp_verbose_replies = yes\n}\n"
		"local_name ?.example {\n lmtp_max_bad_commands = 4\n}\n"
		"local_name ?*.example {\n lmtp_proxy_ttl = 9\n}\n");
	struct addr none = { .len = 0 };
	const struct lmtp_settings *lmtp;

	lmtp = settings_for_name(set, &none, &none, "mxy.example");
	cr_expect(lmtp->lmtp_dsn);
	cr_expect_eq(lmtp->lmtp_max_recipients, 3);
	cr_expect_eq(lmtp->lmtp_proxy_ttl, 9);
	cr_expect(!lmtp->lmtp_verbose_replies);
	cr_expect_str_eq(lmtp->login_greeting, "m");
	lmtp = settings_for_name(set, &none, &none, "mx1.example");
	cr_expect(lmtp->lmtp_dsn && lmtp->lmtp_verbose_replies);
	cr_expect_eq(lmtp->lmtp_max_recipients, 3);
	lmtp = settings_for_name(set, &none, &none, "m.example");
	cr_expect(lmtp->lmtp_dsn);
	cr_expect_eq(lmtp->lmtp_max_bad_commands, 4);
	cr_expect_eq(lmtp->lmtp_proxy_ttl, 9);
	cr_expect_eq(lmtp->lmtp_max_recipients, 1000);
	lmtp = settings_for_name(set, &none, &none, "0x1.example");
	cr_expect(!lmtp->lmtp_dsn && lmtp->lmtp_verbose_replies);
	cr_expect_eq(lmtp->lmtp_max_recipients, 3);
	settings_unref(&set);
}

Test(settings_filters, variants_have_numbers)
{
	struct settings *set = load(BASE PASSDB
		"local ::1 {\n remote ::2 {\n }\n}\nremote ::/0 {\n}\n"
		"local_name \"a b\" {\n}\n");
	struct addr local, remote;
	unsigned i;

	cr_assert_eq(set->variant_count, 2 * 3 * 3);
	for (i = 0; i < set->variant_count; i++)
		cr_expect_eq(settings_variant(set, i)->variant, i);
	cr_assert_eq(addr_parse_ip(&local, "::1", 24), 0);
	cr_assert_eq(addr_parse_ip(&remote, "::2", 1), 0);
	cr_expect_eq(settings_for_name(set, &local, &remote, "b"),
		     settings_variant(set, 17));
	cr_expect_eq(settings_for(set, &local, &remote),
		     settings_variant(set, 15));
	settings_unref(&set);
}

Test(settings_filters, everything_at_once)
{
	struct settings *set = load(BASE PASSDB
		"local 0.0.0.0/0 {\n login_greeting = all\n}\n");

	cr_expect_str_eq(greeting(set, "192.0.2.1", "::1"), "all");
	cr_expect_str_eq(greeting(set, "::1", "192.0.2.1"), "Waypost ready.");
	settings_unref(&set);
}

/* Patterns that meet in more and more others. */
Test(settings_filters, too_many_patterns)
{
	struct str text = STR_INIT;
	unsigned i;

	str_puts(&text, BASE PASSDB);
	for (i = 0; i < 14; i++)
		str_printf(&text, "local_name %.*sa%.*s {\n}\n", (int)i,
			   "?????????????", 13 - (int)i, "?????????????");
	expect_errors(text.data, 1, "more than 4096 combinations");
	str_free(&text);
}

Test(settings_filters, too_many_combinations)
{
	struct str text = STR_INIT;
	unsigned i;

	str_puts(&text, BASE PASSDB);
	for (i = 0; i < 70; i++)
		str_printf(&text, "local 10.0.0.%u {\n}\nremote 10.0.1.%u {\n"
			   "}\n", i, i);
	expect_errors(text.data, 1, "more than 4096 combinations");
	str_free(&text);
}
