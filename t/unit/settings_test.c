#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/smtp_address.h"
#include "lib/smtp_data.h"
#include "proxy/settings.h"
#include "proxy/settings_tls.h"
#include "t/files.h"

/* What every configuration here needs. */
#define BASE "lmtp_proxy = yes\nhostname = mx.example\n"
#define PASSDB "passdb {\n driver = static\n args = proxy=y\n}\n"

static struct conf_tree *read_text(const char *text)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	struct files files;

	files_init(&files);
	tree = settings_read(files_write(&files, "f", text), &errors);
	files_done(&files);
	cr_assert(tree != NULL, "%s", str_c(&errors.text));
	conf_errors_free(&errors);
	return tree;
}

/* The settings of a text that is fine; its warnings must be want_warnings. */
static struct settings *load_warned(const char *text,
				    const char *want_warning)
{
	struct conf_errors errors = { .errors = 0 };
	struct settings *settings;

	settings = settings_new(read_text(text), &errors);
	cr_assert(settings != NULL, "%s", str_c(&errors.text));
	if (want_warning == NULL)
		cr_expect_str_eq(str_c(&errors.text), "");
	else
		cr_expect(errors.warnings > 0 &&
			  strstr(str_c(&errors.text), want_warning) != NULL,
			  "%s", str_c(&errors.text));
	conf_errors_free(&errors);
	return settings;
}

static struct settings *load(const char *text)
{
	return load_warned(text, NULL);
}

/* Each of the lines must be among the errors, and there must be as many. */
static void expect_errors(const char *text, unsigned count, const char *want)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree = read_text(text);

	cr_expect_null(settings_new(tree, &errors), "[%s]", text);
	cr_expect_eq(errors.errors, count, "[%s]: %s", text,
		     str_c(&errors.text));
	cr_expect(strstr(str_c(&errors.text), want) != NULL, "[%s]: %s", text,
		  str_c(&errors.text));
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

Test(settings, defaults)
{
	struct settings *set = load(BASE PASSDB);
	const struct lmtp_settings *lmtp = &set->lmtp;

	cr_expect_str_eq(set->base_dir, "/run/waypost");
	cr_expect_str_eq(set->instance_name, "waypost");
	cr_expect_str_eq(set->listen, "*, ::");
	cr_expect_str_eq(set->default_internal_user, "dovecot");
	cr_expect_str_eq(set->default_internal_group, "");
	cr_expect_eq(set->default_process_limit, 100);
	cr_expect_eq(set->default_client_limit, 1000);
	cr_expect(set->lmtp_enabled);
	cr_expect_str_eq(set->log_path, "syslog");
	cr_expect_str_eq(set->info_log_path, "");
	cr_expect_str_eq(set->log_timestamp, "%b %d %H:%M:%S ");
	cr_expect_eq(set->shutdown_timeout, 60000);
	cr_expect_eq(set->dns_timeout, 10000);
	cr_expect_str_eq(lmtp->hostname, "mx.example");
	cr_expect_str_eq(lmtp->login_greeting, "Waypost ready.");
	cr_expect(lmtp->lmtp_add_received_header);
	cr_expect_eq(lmtp->lmtp_hdr_delivery_address, DELIVERY_FINAL);
	cr_expect_eq(lmtp->lmtp_client_workarounds, 0);
	cr_expect_str_eq(lmtp->recipient_delimiter, "+");
	cr_expect_eq(lmtp->lmtp_max_message_size, 0);
	cr_expect_eq(lmtp->lmtp_max_recipients, 1000);
	cr_expect_eq(lmtp->lmtp_bare_newlines, SMTP_DATA_NORMALIZE);
	cr_expect_eq(lmtp->lmtp_client_timeout, 300000);
	cr_expect_eq(lmtp->lmtp_max_bad_commands, 10);
	cr_expect_eq(lmtp->lmtp_spool_memory, 131072);
	cr_expect_eq(lmtp->lmtp_proxy_connect_timeout, 30000);
	cr_expect_eq(lmtp->lmtp_proxy_command_timeout, 300000);
	cr_expect_eq(lmtp->lmtp_proxy_data_timeout, 125000);
	cr_expect_eq(lmtp->lmtp_proxy_pool_max_age, 300000);
	cr_expect_eq(lmtp->lmtp_proxy_pool_max_idle, 30000);
	cr_expect_eq(lmtp->lmtp_proxy_pool_wait_timeout, 30000);
	cr_expect_eq(set->variant_count, 1);
	cr_expect_eq(settings_variant(set, 0), lmtp);
	cr_expect_eq(settings_for(set, &(struct addr){ .len = 0 },
				  &(struct addr){ .len = 0 }), lmtp);
	settings_unref(&set);
	cr_expect_null(set);
}

Test(settings, values)
{
	struct settings *set = load(BASE PASSDB
		"lmtp_client_workarounds = mailbox-for-path "
		"WHITESPACE-before-path\n"
		"lmtp_hdr_delivery_address = original\n"
		"lmtp_bare_newlines = reject\n"
		"lmtp_max_message_size = 10 M\n"
		"mail_debug = yes\nauth_debug = yes\n"
		"auth_username_format = %n\n");

	cr_expect_eq(set->lmtp.lmtp_client_workarounds,
		     SMTP_PATH_SPACE_BEFORE | SMTP_PATH_WITHOUT_BRACKETS);
	cr_expect_eq(set->lmtp.lmtp_hdr_delivery_address, DELIVERY_ORIGINAL);
	cr_expect_eq(set->lmtp.lmtp_bare_newlines, SMTP_DATA_REJECT);
	cr_expect_eq(set->lmtp.lmtp_max_message_size, 10485760);
	cr_expect(set->mail_debug && set->lmtp.mail_debug);
	cr_expect(set->auth_debug && set->passdb.debug);
	cr_expect_str_eq(set->passdb.username_format, "%n");
	cr_expect_str_eq(set->passdb.hostname, "mx.example");
	settings_unref(&set);
}

Test(settings, hostname_of_the_system)
{
	struct settings *set = load("lmtp_proxy = yes\n" PASSDB);

	cr_expect(*set->lmtp.hostname != '\0');
	cr_expect_str_eq(set->passdb.hostname, set->lmtp.hostname);
	settings_unref(&set);
}

Test(settings, variables_know_the_defaults)
{
	struct settings *set = load(BASE PASSDB
		"protocols = $protocols imap\n"
		"mail_plugins = $mail_plugins quota\n"
		"service lmtp {\n user = $default_internal_user\n}\n");

	cr_expect_str_eq(set->protocols, "lmtp imap");
	cr_expect_str_eq(set->service.user, "dovecot");
	settings_unref(&set);
}

Test(settings, service)
{
	struct settings *set = load(BASE PASSDB
		"service lmtp {\n"
		"  process_min_avail = 4\n client_limit = 7\n user = a\n"
		"  inet_listener x {\n port = 24\n }\n"
		"  inet_listener {\n port = 25\n address = ::1 127.0.0.1\n }\n"
		"  vsz_limit = 1G\n fifo_listener f {\n mode = 0600\n }\n"
		"}\n"
		"service lmtp {\n"
		"  user = b\n"
		"  inet_listener {\n port = 26\n reuse_port = yes\n }\n"
		"  inet_listener x {\n address = ::1\n }\n"
		"  unix_listener lmtp {\n user = postfix\n }\n"
		"  unix_listener /a/b {\n }\n"
		"  unix_listener c {\n path = d\n mode = 0\n }\n"
		"}\n");
	const struct service_settings *service = &set->service;
	const struct inet_listener_settings *inet = service->inet_listeners;
	const struct unix_listener_settings *un = service->unix_listeners;

	cr_expect_eq(service->process_min_avail, 4);
	cr_expect_eq(service->client_limit, 7);
	cr_expect_str_eq(service->user, "b");
	cr_assert_eq(service->inet_listener_count, 3);
	cr_expect_str_eq(inet[0].name, "x");
	cr_expect_eq(inet[0].port, 24);
	cr_expect_str_eq(inet[0].address, "::1");
	cr_expect_eq(inet[0].line, 11);
	cr_expect_eq(inet[1].port, 25);
	cr_expect_str_eq(inet[1].address, "::1 127.0.0.1");
	cr_expect_eq(inet[2].port, 26);
	cr_expect(inet[2].reuse_port && !inet[1].reuse_port);
	cr_assert_eq(service->unix_listener_count, 3);
	cr_expect_str_eq(un[0].path, "lmtp");
	cr_expect_eq(un[0].mode, 0666);
	cr_expect_str_eq(un[0].user, "postfix");
	cr_expect_str_eq(un[1].path, "/a/b");
	cr_expect_eq(un[1].mode, 0600);
	cr_expect_str_eq(un[2].path, "d");
	cr_expect_eq(un[2].mode, 0);
	settings_unref(&set);
}

Test(settings, default_listener)
{
	struct settings *set = load(BASE PASSDB);

	cr_assert_eq(set->service.unix_listener_count, 1);
	cr_expect_str_eq(set->service.unix_listeners[0].path, "lmtp");
	cr_expect_eq(set->service.unix_listeners[0].mode, 0666);
	cr_expect_eq(set->service.inet_listener_count, 0);
	settings_unref(&set);
}

Test(settings, passdbs)
{
	struct settings *set = load(BASE
		"passdb {\n driver = static\n args = a\n"
		"  result_success = continue-ok\n"
		"  result_internalfail = return-fail\n skip = authenticated\n"
		"  auth_verbose = no\n}\n"
		"passdb x {\n driver = passwd-file\n args = /b\n deny = yes\n"
		"  username_filter = !*@x\n mechanisms = none\n}\n"
		"passdb x {\n driver = static\n args = c\n name = y\n"
		"  pass = yes\n default_fields = d\n override_fields = e\n}\n"
		"protocol lmtp {\n passdb {\n driver = static\n args = d\n }\n"
		"}\n"
		"protocol imap {\n passdb {\n driver = pam\n }\n}\n"
		"protocol !lmtp {\n passdb {\n driver = pam\n }\n}\n"
		"protocol !imap {\n passdb {\n driver = static\n args = e\n"
		" }\n}\n");
	const struct passdb_block *block = set->passdb.blocks;

	/* Those of filters come first, as in Dovecot. */
	cr_assert_eq(set->passdb.count, 5);
	cr_expect_str_eq(block[0].args, "e");
	cr_expect_str_eq(block[1].args, "d");
	block += 2;
	cr_expect_str_eq(block[0].args, "a");
	cr_expect_str_eq(block[0].name, "");
	cr_expect_eq(block[0].result_success, PASSDB_CONTINUE_OK);
	cr_expect_eq(block[0].result_failure, PASSDB_CONTINUE);
	cr_expect_eq(block[0].result_internalfail, PASSDB_RETURN_FAIL);
	cr_expect_eq(block[0].skip, 1);
	cr_expect_eq(block[0].auth_verbose, 2);
	cr_expect_eq(block[0].line, 3);
	cr_expect_str_eq(block[1].name, "x");
	cr_expect_str_eq(block[1].driver, "passwd-file");
	cr_expect(block[1].deny);
	cr_expect_str_eq(block[1].username_filter, "!*@x");
	cr_expect_str_eq(block[1].mechanisms, "none");
	cr_expect_eq(block[1].result_success, PASSDB_RETURN_OK);
	cr_expect_str_eq(block[2].name, "y");
	cr_expect(block[2].pass); /* the chain sees to it */
	cr_expect_str_eq(block[2].default_fields, "d");
	cr_expect_str_eq(block[2].override_fields, "e");
	settings_unref(&set);
}

Test(settings, protocol_lmtp)
{
	struct settings *set = load(BASE PASSDB
		"protocol lmtp {\n info_log_path = /a\n login_greeting = a\n"
		" recipient_delimiter = -\n}\n"
		"protocol !imap {\n login_greeting = b\n"
		" mail_temp_dir = /b\n}\n"
		"protocol imap {\n login_greeting = c\n mail_temp_dir = /c\n}\n"
		"login_greeting = d\n");

	cr_expect_str_eq(set->info_log_path, "/a");
	cr_expect_str_eq(set->lmtp.login_greeting, "a");
	cr_expect_str_eq(set->lmtp.recipient_delimiter, "-");
	cr_expect_str_eq(set->lmtp.mail_temp_dir, "/b");
	settings_unref(&set);
}

static const char *greeting(const struct settings *set, const char *local,
			    const char *remote)
{
	struct addr here, there;

	cr_assert_eq(addr_parse_ip(&here, local, 24), 0);
	cr_assert_eq(addr_parse_ip(&there, remote, 4711), 0);
	return settings_for(set, &here, &there)->login_greeting;
}

Test(settings, filters)
{
	struct settings *set = load(BASE PASSDB
		"local 10.0.0.0/8 {\n login_greeting = l8\n"
		"  remote 192.0.2.0/24 {\n login_greeting = l8r24\n }\n}\n"
		"local 10.1.1.1 {\n login_greeting = l32\n"
		"  protocol lmtp {\n login_greeting = l32lmtp\n }\n"
		"  protocol imap {\n login_greeting = l32imap\n }\n}\n"
		"remote 192.0.2.0/24 {\n login_greeting = r24\n"
		"  lmtp_verbose_replies = yes\n}\n"
		"remote 192.0.2.7 {\n lmtp_max_recipients = 7\n}\n"
		"remote 2001:db8::/32 {\n login_greeting = six\n}\n"
		"protocol lmtp {\n login_greeting = lmtp\n"
		"  lmtp_max_recipients = 1\n}\n"
		);
	struct addr local, remote;
	const struct lmtp_settings *lmtp;

	cr_expect_str_eq(greeting(set, "127.0.0.1", "127.0.0.1"), "lmtp");
	cr_expect_str_eq(greeting(set, "10.2.2.2", "127.0.0.1"), "l8");
	cr_expect_str_eq(greeting(set, "::ffff:10.2.2.2", "127.0.0.1"), "l8");
	cr_expect_str_eq(greeting(set, "10.2.2.2", "192.0.2.7"), "l8r24");
	cr_expect_str_eq(greeting(set, "10.1.1.1", "127.0.0.1"), "l32lmtp");
	cr_expect_str_eq(greeting(set, "10.1.1.1", "192.0.2.7"), "l32lmtp");
	cr_expect_str_eq(greeting(set, "127.0.0.1", "192.0.2.9"), "r24");
	cr_expect_str_eq(greeting(set, "::1", "2001:db8::5"), "six");
	cr_expect_str_eq(greeting(set, "::1", "2001:db9::5"), "lmtp");
	/* All filters that match count, each for what it sets. */
	cr_assert_eq(addr_parse_ip(&local, "10.1.1.1", 24), 0);
	cr_assert_eq(addr_parse_ip(&remote, "192.0.2.7", 1), 0);
	lmtp = settings_for(set, &local, &remote);
	cr_expect(lmtp->lmtp_verbose_replies);
	cr_expect_eq(lmtp->lmtp_max_recipients, 7);
	cr_expect_str_eq(lmtp->hostname, "mx.example");
	cr_assert_eq(addr_parse_ip(&remote, "192.0.3.7", 1), 0);
	lmtp = settings_for(set, &local, &remote);
	cr_expect(!lmtp->lmtp_verbose_replies);
	cr_expect_eq(lmtp->lmtp_max_recipients, 1);
	/* A UNIX socket is in no network. */
	cr_assert_eq(addr_set_unix(&local, "/run/lmtp"), 0);
	cr_assert_eq(addr_set_unix(&remote, "/x"), 0);
	cr_expect_eq(settings_for(set, &local, &remote), &set->lmtp);
	settings_unref(&set);
}

/* The most specific of each kind decides, wherever it stands. */
Test(settings, filters_in_filters)
{
	struct settings *set = load(BASE PASSDB
		"local 10.0.0.0/16 {\n login_greeting = l16\n}\n"
		"local 10.0.0.0/8 {\n login_greeting = l8\n"
		"  remote 192.0.2.0/24 {\n lmtp_max_recipients = 24\n }\n}\n"
		"remote 192.0.2.7 {\n login_greeting = r32\n"
		"  mail_temp_dir = /r32\n}\n");
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

/* The greeting for a client that asks for name. */
static const char *named(const struct settings *set, const char *local,
			 const char *name)
{
	struct addr here, there;

	cr_assert_eq(addr_parse_ip(&here, local, 24), 0);
	cr_assert_eq(addr_parse_ip(&there, "192.0.2.1", 4711), 0);
	return settings_for_name(set, &here, &there, name)->login_greeting;
}

Test(settings, local_name)
{
	struct settings *set = load(BASE PASSDB
		"local_name \"b.example  c.example\" {\n"
		" login_greeting = b\n}\n"
		"local_name *.example {\n login_greeting = any\n"
		" lmtp_max_recipients = 3\n}\n"
		"local_name mx?.example {\n login_greeting = mx\n}\n"
		"local_name a.example {\n login_greeting = a\n}\n"
		"local 10.0.0.1 {\n login_greeting = local\n"
		" lmtp_max_recipients = 2\n"
		" local_name a.example {\n login_greeting = both\n }\n}\n");

	cr_expect_str_eq(greeting(set, "::1", "::1"), "Waypost ready.");
	cr_expect_str_eq(named(set, "::1", NULL), "Waypost ready.");
	cr_expect_str_eq(named(set, "::1", ""), "Waypost ready.");
	cr_expect_str_eq(named(set, "::1", "d.e.example"), "Waypost ready.");
	cr_expect_str_eq(named(set, "::1", "A.Example"), "a");
	cr_expect_str_eq(named(set, "::1", "b.example"), "b");
	cr_expect_str_eq(named(set, "::1", "c.example"), "b");
	cr_expect_str_eq(named(set, "::1", "z.example"), "any");
	cr_expect_str_eq(named(set, "::1", "mx1.example"), "mx");
	cr_expect_str_eq(named(set, "10.0.0.1", NULL), "local");
	cr_expect_str_eq(named(set, "10.0.0.1", "nope"), "local");
	/* local_name comes before local. */
	cr_expect_str_eq(named(set, "10.0.0.1", "z.example"), "any");
	cr_expect_str_eq(named(set, "10.0.0.1", "a.example"), "both");
	settings_unref(&set);
}

/* What says less than the best name counts too. */
Test(settings, local_names_add_up)
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

Test(settings, variants_have_numbers)
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

#define CERT "-----BEGIN CERTIFICATE-----\nAAAA\n"
#define KEY "-----BEGIN PRIVATE KEY-----\nBBBB\n"

/* As load(), beside files c, k, d (another certificate), l (another key) and
 * big (a long chain). */
static struct settings *load_tls(const char *text, struct conf_errors *errors)
{
	struct str big = STR_INIT;
	struct settings *settings;
	struct conf_tree *tree;
	struct files files;

	str_puts(&big, CERT);
	while (big.len < 65536)
		str_puts(&big, "0123456789abcdef\n");
	files_init(&files);
	files_write(&files, "c", CERT);
	files_write(&files, "k", KEY);
	files_write(&files, "d", CERT "d");
	files_write(&files, "l", KEY "l");
	files_write(&files, "big", str_c(&big));
	tree = settings_read(files_write(&files, "f", text), errors);
	cr_assert(tree != NULL, "%s", str_c(&errors->text));
	settings = settings_new(tree, errors);
	if (settings == NULL)
		conf_tree_free(&tree);
	files_done(&files);
	str_free(&big);
	return settings;
}

Test(settings, tls)
{
	struct conf_errors errors = { .errors = 0 };
	struct settings *set = load_tls(BASE PASSDB
		"ssl_cert = <c\nssl_key = <k\nssl_key_password = secret\n"
		"protocol imap {\n ssl_cert = <nope\n ssl_key = <nope\n}\n"
		"local_name d {\n ssl_cert = <d\n ssl_key = <l\n}\n"
		"local ::1 {\n protocol lmtp {\n ssl = no\n }\n}\n",
		&errors);
	struct addr none = { .len = 0 }, local;
	const struct tls_settings *tls;

	cr_assert(set != NULL, "%s", str_c(&errors.text));
	cr_expect_str_eq(str_c(&errors.text), "");
	cr_expect_str_eq(set->lmtp.tls.ssl_cert, CERT);
	cr_expect_str_eq(set->lmtp.tls.ssl_key, KEY);
	cr_expect_eq(set->lmtp.tls.ssl_min_protocol, TLS_VERSION_1_2);
	cr_expect(settings_tls_offered(&set->lmtp));
	tls = &settings_for_name(set, &none, &none, "d")->tls;
	cr_expect_str_eq(tls->ssl_cert, CERT "d");
	cr_expect_str_eq(tls->ssl_key, KEY "l");
	cr_expect_str_eq(tls->ssl_key_password, "secret");
	cr_assert_eq(addr_parse_ip(&local, "::1", 24), 0);
	cr_expect(!settings_tls_offered(settings_for(set, &local, &none)));
	settings_unref(&set);
}

/* It must survive the way to the worker process. */
Test(settings, long_chains_after_packing)
{
	struct conf_errors errors = { .errors = 0 };
	struct settings *set = load_tls(BASE PASSDB "ssl_cert = <big\n"
					"ssl_key = <k\n", &errors), *copy;
	struct str packed = STR_INIT;
	struct conf_tree *tree;

	cr_assert(set != NULL, "%s", str_c(&errors.text));
	conf_tree_pack(set->tree, &packed);
	tree = conf_tree_unpack(packed.data, packed.len);
	cr_assert_not_null(tree);
	/* The files are gone. */
	copy = settings_new(tree, &errors);
	cr_assert(copy != NULL, "%s", str_c(&errors.text));
	cr_expect_gt(strlen(copy->lmtp.tls.ssl_cert), 65535);
	cr_expect_str_eq(copy->lmtp.tls.ssl_cert, set->lmtp.tls.ssl_cert);
	cr_expect_str_eq(copy->lmtp.tls.ssl_key, KEY);
	settings_unref(&copy);
	settings_unref(&set);
	str_free(&packed);
}

Test(settings, tls_that_cannot_work)
{
	static const char *const rows[][2] = {
		{ "ssl_cert = <c\n", "f:7: ssl_cert needs ssl_key beside it\n" },
		{ "ssl_key = <k\n", "f:7: ssl_key needs ssl_cert beside it\n" },
		{ "ssl_alt_cert = <c\n", "f:7: ssl_alt_cert needs" },
		{ "ssl_client_key = <k\n", "f:7: ssl_client_key needs" },
		{ "ssl_cert = /a/b\nssl_key = <k\n",
		  "f:7: ssl_cert: this is no PEM text" },
		{ "ssl_ca = /a/b\n", "f:7: ssl_ca: this is no PEM text" },
		/* Once, although many variants have it. */
		{ "remote ::1 {\n}\nlocal_name x {\n ssl_cert = <c\n}\n",
		  "f:10: ssl_cert needs ssl_key beside it\n" },
		{ "ssl_cert = <nope\n", "f:7: ssl_cert: cannot read /" },
		{ "local_name x {\n ssl_key = <nope\n}\n",
		  "f:8: ssl_key: cannot read /" },
		{ "ssl_verify_client_cert = yes\n",
		  "f:7: ssl_verify_client_cert needs ssl_ca\n" },
		{ "ssl_min_protocol = SSLv3\n",
		  "f:7: ssl_min_protocol: \"SSLv3\" is none of: ANY TLSv1 "
		  "TLSv1.1 TLSv1.2 TLSv1.3 LATEST\n" },
		{ "ssl = maybe\n", "is none of: no yes required\n" },
		{ "ssl_options = frob\n", "is none of: compression "
		  "no_compression no_ticket\n" },
		{ "ssl_client_ca_dir = certs\n",
		  "f:7: ssl_client_ca_dir must be an absolute path\n" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf_errors errors = { .errors = 0 };
		struct str text = STR_INIT;

		str_printf(&text, BASE PASSDB "%s", rows[i][0]);
		cr_expect_null(load_tls(str_c(&text), &errors), "%s",
			       rows[i][0]);
		cr_expect_eq(errors.errors, 1, "%s: %s", rows[i][0],
			     str_c(&errors.text));
		cr_expect(strstr(str_c(&errors.text), rows[i][1]) != NULL,
			  "%s: %s", rows[i][0], str_c(&errors.text));
		cr_expect(strstr(str_c(&errors.text), "BBBB") == NULL);
		conf_errors_free(&errors);
		str_free(&text);
	}
}

Test(settings, whom_to_trust)
{
	struct settings *set = load(BASE PASSDB
		"login_trusted_networks = 10.0.0.0/8, ::1\n"
		"haproxy_trusted_networks = 192.0.2.0/24 local\n"
		"remote 10.1.0.0/16 {\n login_trusted_networks =\n}\n"
		"lmtp_proxy_xclient = no\nlmtp_proxy_ttl = 7\n");
	struct addr addr, local = { .len = 0 };

	cr_assert_eq(addr_parse_ip(&addr, "10.2.0.1", 1), 0);
	cr_expect(networks_contain(&settings_for(set, &local, &addr)->trusted,
				   &addr));
	cr_expect(!networks_contain(&set->haproxy_trusted, &addr));
	cr_assert_eq(addr_parse_ip(&addr, "10.1.0.1", 1), 0);
	cr_expect(!networks_contain(&settings_for(set, &local, &addr)->trusted,
				    &addr));
	cr_assert_eq(addr_parse_ip(&addr, "192.0.2.9", 1), 0);
	cr_expect(networks_contain(&set->haproxy_trusted, &addr));
	cr_expect(set->haproxy_trusted.local && !set->lmtp.trusted.local);
	cr_expect_eq(set->haproxy_timeout, 3000);
	cr_expect(!set->lmtp.lmtp_proxy_xclient);
	cr_expect_eq(set->lmtp.lmtp_proxy_ttl, 7);
	settings_unref(&set);
}

Test(settings, dump_hides_secrets)
{
	struct conf_tree *tree = read_text(BASE PASSDB
		"ssl_key_password = hunter2\nssl_key = </x/key\n"
		"local_name x {\n ssl_client_key = hunter3\n}\n");
	struct str out = STR_INIT;
	int mode;

	for (mode = CONF_DUMP_CHANGED; mode <= CONF_DUMP_ALL; mode++) {
		settings_dump(tree, mode, &out);
		cr_expect(strstr(str_c(&out), "hunter") == NULL, "%s",
			  str_c(&out));
		cr_expect(strstr(str_c(&out), "ssl_key_password = # hidden\n")
			  != NULL);
		cr_expect(strstr(str_c(&out), "ssl_key = </x/key\n") != NULL);
		cr_expect(strstr(str_c(&out), "  ssl_client_key = # hidden\n")
			  != NULL);
		str_clear(&out);
	}
	settings_dump(tree, CONF_DUMP_DEFAULTS, &out);
	cr_expect(strstr(str_c(&out), "\nssl_key_password = \n") != NULL);
	conf_tree_free(&tree);
	str_free(&out);
}

Test(settings, everything_at_once)
{
	struct settings *set = load(BASE PASSDB
		"local 0.0.0.0/0 {\n login_greeting = all\n}\n");

	cr_expect_str_eq(greeting(set, "192.0.2.1", "::1"), "all");
	cr_expect_str_eq(greeting(set, "::1", "192.0.2.1"), "Waypost ready.");
	settings_unref(&set);
}

Test(settings, too_many_combinations)
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

Test(settings, drivers)
{
	static const char *const later[] = {
		"sql", "dict", "lua",
	};
	static const char *const failing[] = {
		"pam", "bsdauth", "checkpassword", "oauth2", "imap", "passwd",
		"shadow",
	};
	struct str text = STR_INIT;
	struct settings *set;
	size_t i;

	for (i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		str_clear(&text);
		str_printf(&text, BASE "passdb {\n driver = %s\n}\n", later[i]);
		expect_errors(text.data, 1,
			      "f:3: passdb driver ");
		expect_errors(text.data, 1,
			      "is not supported in this version");
	}
	for (i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
		str_clear(&text);
		str_printf(&text, BASE "passdb {\n driver = %s\n}\n",
			   failing[i]);
		set = load_warned(text.data, "fails internally");
		cr_expect_str_eq(set->passdb.blocks[0].driver, failing[i]);
		settings_unref(&set);
	}
	expect_errors(BASE "passdb {\n driver = nope\n}\n", 1,
		      "f:3: unknown passdb driver nope");
	expect_errors(BASE "passdb {\n}\n", 1, "f:3: the passdb has no driver");
	expect_errors(BASE, 1, "there is no passdb");
	str_free(&text);
}

Test(settings, what_cannot_work)
{
	static const struct {
		const char *text;
		unsigned count;
		const char *want;
	} rows[] = {
		{ PASSDB, 1, "lmtp_proxy must be yes" },
		{ PASSDB "lmtp_proxy = no\n", 1, "f:5: lmtp_proxy must be" },
		{ BASE PASSDB "remote ::1 {\n lmtp_proxy = no\n}\n", 1,
		  "f:8: lmtp_proxy must be yes" },
		{ BASE PASSDB "service lmtp {\n inet_listener x {\n"
		  " port = 24\n ssl = yes\n }\n}\n", 1,
		  "f:8: inet_listener x: ssl = yes needs ssl_cert" },
		{ BASE PASSDB "service lmtp {\n unix_listener a {\n"
		  " path = lmtp\n }\n}\n", 1,
		  "f:8: the unix_listener lmtp is there twice" },
		{ BASE PASSDB "service lmtp {\n unix_listener {\n }\n}\n", 1,
		  "f:8: the unix_listener has no path" },
		{ BASE PASSDB "service lmtp {\n inet_listener x {\n"
		  " port = 65536\n }\n}\n", 1, "f:9: port: " },
		{ BASE "passdb {\n driver = static\n pass = yes\n"
		  " deny = yes\n}\n", 1, "both deny and pass" },
		{ BASE "passdb {\n driver = static\n pass = yes\n"
		  " result_success = return-fail\n}\n", 1,
		  "pass and result_success contradict" },
		{ BASE PASSDB "lmtp_client_workarounds = foo\n", 1,
		  "f:7: lmtp_client_workarounds: \"foo\" is none of" },
		{ BASE PASSDB "lmtp_hdr_delivery_address = alternative\n", 1,
		  "is none of: none final original" },
		{ BASE PASSDB "base_dir = run\n", 1,
		  "f:7: base_dir must be an absolute path" },
		{ BASE PASSDB "log_path = a.log\n", 1, "f:7: log_path must" },
		{ BASE PASSDB "mail_temp_dir =\n", 1,
		  "f:7: mail_temp_dir must" },
		{ BASE PASSDB "hostname = a b\n", 1,
		  "f:7: hostname is no host name" },
		{ BASE PASSDB "login_greeting = </etc/passwd\n", 1,
		  "f:7: login_greeting must be one line" },
		{ BASE PASSDB "lmtp_client_timeout = 0\n", 1,
		  "f:7: lmtp_client_timeout cannot be 0" },
		{ BASE PASSDB "protocol lmtp {\n"
		  " lmtp_proxy_data_timeout = 0\n}\n", 1,
		  "f:8: lmtp_proxy_data_timeout cannot be 0" },
		{ BASE PASSDB "local ::1 {\n lmtp_spool_memory = 0\n}\n"
		  "local ::2 {\n lmtp_spool_memory = 0\n}\n", 2,
		  "f:8: lmtp_spool_memory cannot be 0" },
		{ BASE PASSDB "lmtp_proxy_ttl = 0\n", 1,
		  "f:7: lmtp_proxy_ttl cannot be 0" },
		{ BASE PASSDB "haproxy_timeout = 0\n", 1,
		  "f:7: haproxy_timeout cannot be 0" },
		{ BASE PASSDB "login_trusted_networks = ::1 10.0.0.0/33\n", 1,
		  "f:7: login_trusted_networks: '10.0.0.0/33' is not a" },
		{ BASE PASSDB "remote ::1 {\n login_trusted_networks = x\n}\n",
		  1, "f:8: login_trusted_networks: 'x' is not a network" },
		{ BASE PASSDB "haproxy_trusted_networks = y\n", 1,
		  "f:7: haproxy_trusted_networks: 'y' is not a network" },
		{ BASE PASSDB "lmtp_rawlog_dir = raw\n", 1,
		  "f:7: lmtp_rawlog_dir must be an absolute path" },
		{ BASE PASSDB "lmtp_rawlog_dir = /x/%{mech}\n", 1,
		  "f:7: lmtp_rawlog_dir: " },
		{ BASE PASSDB "remote ::1 {\n lmtp_proxy_rawlog_dir = /%x\n}\n",
		  1, "f:8: lmtp_proxy_rawlog_dir: " },
		{ BASE PASSDB "service lmtp {\n unix_listener x {\n"
		  " ssl = yes\n }\n}\n", 1,
		  "f:9: unknown setting \"ssl\" in section unix_listener" },
		{ BASE PASSDB "auth_lookup_timeout = 0\n", 1,
		  "f:7: auth_lookup_timeout cannot be 0" },
		/* All together. */
		{ "lmtp_proxi = yes\nauth_debug = maybe\n", 4,
		  "f:1: unknown setting \"lmtp_proxi\" (did you mean "
		  "\"lmtp_proxy\"?)" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_errors(rows[i].text, rows[i].count, rows[i].want);
}

Test(settings, what_only_warns)
{
	struct settings *set;

	set = load_warned(BASE PASSDB "protocols = imap\n",
			  "protocols does not name lmtp");
	cr_expect(!set->lmtp_enabled);
	settings_unref(&set);
	set = load(BASE PASSDB "protocols = imap,lmtp\n");
	cr_expect(set->lmtp_enabled);
	settings_unref(&set);
	set = load_warned(BASE PASSDB "protocols = lmtpx\n", "does not name");
	cr_expect(!set->lmtp_enabled);
	settings_unref(&set);
	set = load_warned(BASE PASSDB "ssl = required\n",
			  "f:7: warning: ssl = required has no effect");
	settings_unref(&set);
	set = load_warned(BASE PASSDB "director_consistent_hashing = yes\n",
			  "f:7: warning: director_consistent_hashing has");
	settings_unref(&set);
	set = load_warned(BASE PASSDB "remote ::1 {\n log_path = /x\n}\n",
			  "log_path has no effect in this filter");
	cr_expect_str_eq(set->log_path, "syslog");
	settings_unref(&set);
}

/* TLS of Dovecot's other services is not our business; nor is its key. */
Test(settings, others_of_dovecot)
{
	struct settings *set = load(BASE PASSDB
		"userdb {\n driver = sql\n args = x\n}\n"
		"namespace inbox {\n inbox = yes\n mailbox \"Sent x\" {\n"
		" auto = subscribe\n }\n}\n"
		"plugin {\n sieve = file:~/sieve\n quota_rule2 = a/b\n}\n"
		"dict {\n quota = mysql:/x\n}\n"
		"service imap-login {\n inet_listener imaps {\n ssl = yes\n"
		" haproxy = yes\n }\n fifo_listener x {\n }\n}\n"
		"service stats {\n unix_listener x/y {\n mode = 0660\n }\n"
		"}\n"
		"metric x {\n filter = event=foo\n}\n"
		"event_exporter log {\n format = json\n}\n"
		"protocol imap {\n mail_plugins = imap_quota\n"
		" ssl = required\n ssl_cert = </nope\n ssl_key = </nope\n}\n");

	settings_unref(&set);
}

Test(settings, references)
{
	struct settings *set = load(BASE PASSDB), *other = settings_ref(set);

	settings_unref(&set);
	cr_expect_str_eq(other->lmtp.hostname, "mx.example");
	settings_unref(&other);
	settings_unref(&other);
}

/* The worker binds what the supervisor packed. */
Test(settings, same_after_packing)
{
	struct settings *set = load(BASE PASSDB
				    "login_greeting = a\nremote ::1 {\n"
				    " login_greeting = b\n}\n"), *copy;
	struct conf_errors errors = { .errors = 0 };
	struct str packed = STR_INIT;
	struct conf_tree *tree;

	conf_tree_pack(set->tree, &packed);
	tree = conf_tree_unpack(packed.data, packed.len);
	cr_assert_not_null(tree);
	copy = settings_new(tree, &errors);
	cr_assert(copy != NULL, "%s", str_c(&errors.text));
	cr_expect_str_eq(greeting(copy, "::1", "::1"), "b");
	cr_expect_str_eq(greeting(copy, "::1", "::2"), "a");
	cr_expect_eq(copy->passdb.count, 1);
	settings_unref(&copy);
	settings_unref(&set);
	str_free(&packed);
	conf_errors_free(&errors);
}

Test(settings, dump)
{
	struct conf_tree *tree = read_text(BASE PASSDB "mail_location = x\n");
	struct str out = STR_INIT;

	settings_dump(tree, CONF_DUMP_CHANGED, &out);
	cr_expect(strncmp(str_c(&out), "hostname = mx.example\n"
			  "lmtp_proxy = yes\npassdb {\n  driver = static\n"
			  "  args = proxy=y\n}\n"
			  "# accepted, without effect here:\n"
			  "#   mail_location (/tmp/", 131) == 0, "%s",
		  str_c(&out));
	str_clear(&out);
	settings_dump(NULL, CONF_DUMP_DEFAULTS, &out);
	cr_expect(strstr(str_c(&out), "lmtp_proxy = no\n") != NULL);
	conf_tree_free(&tree);
	str_free(&out);
}

static void copy_tree(const char *from, const char *to)
{
	char *command[] = { "cp", "-r", (char *)from, (char *)to, NULL };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(command[0], command);
		_exit(127);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "cannot copy %s: the package dovecot-core is "
		     "needed here", from);
}

/* Replaces the line in a file. */
static void edit(struct files *files, const char *name, const char *line,
		 const char *by)
{
	struct str text = STR_INIT, edited = STR_INIT;
	const char *at;

	files_read(files_path(files, name), &text);
	at = strstr(str_c(&text), line);
	cr_assert_not_null(at, "%s", name);
	str_append(&edited, text.data, (size_t)(at - text.data));
	str_puts(&edited, by);
	str_puts(&edited, at + strlen(line));
	files_write(files, name, str_c(&edited));
	str_free(&text);
	str_free(&edited);
}

/* Debian's own example tree of Dovecot 2.3, with one line uncommented and a
 * passdb added. */
Test(settings, debian_tree_of_dovecot)
{
	struct conf_errors errors = { .errors = 0 };
	struct settings *set;
	struct files files;
	struct conf_tree *tree;

	files_init(&files);
	copy_tree("/usr/share/dovecot/dovecot.conf", files.dir);
	copy_tree("/usr/share/dovecot/conf.d", files.dir);
	edit(&files, "conf.d/20-lmtp.conf", "#lmtp_proxy = no",
	     "lmtp_proxy = yes");
	/* These only root may read. */
	edit(&files, "conf.d/10-ssl.conf", "</etc/dovecot/private/dovecot.pem",
	     "<../c");
	edit(&files, "conf.d/10-ssl.conf", "</etc/dovecot/private/dovecot.key",
	     "<../k");
	files_write(&files, "c", CERT);
	files_write(&files, "k", KEY);
	files_write(&files, "local.conf",
		    "passdb {\n driver = static\n"
		    " args = proxy=y host=127.0.0.1 nopassword=y\n}\n");
	tree = settings_read(files_path(&files, "dovecot.conf"), &errors);
	cr_assert(tree != NULL, "%s", str_c(&errors.text));
	set = settings_new(tree, &errors);
	cr_assert(set != NULL, "%s", str_c(&errors.text));
	cr_expect_eq(errors.warnings, 1, "%s", str_c(&errors.text));
	cr_expect(strstr(str_c(&errors.text), "passdb driver pam") != NULL);
	cr_expect(set->lmtp_enabled && set->lmtp.lmtp_proxy);
	cr_assert_eq(set->passdb.count, 2);
	cr_expect_str_eq(set->passdb.blocks[0].driver, "pam");
	cr_expect_str_eq(set->passdb.blocks[1].driver, "static");
	cr_expect_str_eq(set->service.unix_listeners[0].path, "lmtp");
	cr_expect_str_eq(set->lmtp.tls.ssl_key, KEY);
	cr_expect_str_eq(set->lmtp.tls.ssl_client_ca_dir, "/etc/ssl/certs");
	settings_unref(&set);
	files_done(&files);
	conf_errors_free(&errors);
}

/* Whatever the installed Dovecot knows is accepted: its own list of defaults
 * loads. */
Test(settings, every_setting_of_dovecot)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	struct files files;
	struct settings *set;
	struct str text = STR_INIT;
	FILE *pipe = popen("doveconf -d -x 2>/dev/null", "r");
	size_t got;

	cr_assert_not_null(pipe);
	do {
		got = fread(str_reserve(&text, 4096), 1, 4096, pipe);
		str_grown(&text, got);
	} while (got > 0);
	cr_assert_eq(pclose(pipe), 0, "doveconf of dovecot-core is needed");
	str_puts(&text, "\n" BASE PASSDB);
	files_init(&files);
	tree = settings_read(files_write(&files, "f", str_c(&text)), &errors);
	cr_assert(tree != NULL, "%s", str_c(&errors.text));
	set = settings_new(tree, &errors);
	cr_assert(set != NULL, "%s", str_c(&errors.text));
	settings_unref(&set);
	files_done(&files);
	str_free(&text);
	conf_errors_free(&errors);
}
