#include "t/unit/settings_helper.h"

#include <unistd.h>

#include "lib/smtp/address.h"
#include "lib/smtp/data.h"

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
	cr_expect_eq(lmtp->lmtp_client_min_rate, 500);
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
		"passdb z {\n driver = static\n args = c\n name = y\n"
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
	cr_expect_str_eq(block[0].args, "d");
	cr_expect_str_eq(block[1].args, "e");
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

Test(settings, names_of_blocks)
{
	struct settings *set;

	expect_errors(BASE PASSDB
		"passdb x {\n driver = static\n args = a\n}\n"
		"protocol lmtp {\n passdb X {\n driver = static\n args = b\n }\n}\n"
		"passdb X {\n driver = static\n args = c\n}\n", 1,
		"f:17: passdb X: the one in /");
	expect_errors(BASE PASSDB
		"protocol imap {\n passdb x {\n driver = pam\n }\n}\n"
		"protocol imap {\n passdb x {\n driver = pam\n }\n}\n", 1,
		"f:8 has the same name: give this one another, or none\n");
	expect_errors(BASE PASSDB
		"userdb x {\n driver = static\n args = uid=5 gid=5\n}\n"
		"userdb x {\n driver = static\n args = uid=6 gid=6\n}\n", 1,
		"f:11: userdb x: the one in ");
	set = load(BASE PASSDB
		"passdb x {\n driver = static\n args = a\n name = y\n}\n"
		"passdb y {\n driver = static\n args = b\n}\n"
		"userdb x {\n driver = static\n args = uid=1000 gid=1000\n}\n"
		"protocol lmtp {\n passdb x {\n driver = static\n args = c\n }\n}\n"
		"passdb {\n driver = static\n args = d\n name = y\n}\n");
	cr_expect_eq(set->passdb.count, 5);
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
		{ BASE PASSDB "default_process_limit = 0\n", 1,
		  "f:7: default_process_limit cannot be 0" },
		{ BASE PASSDB "lmtp_proxy_dns_servers = 1.2.3.4:0\n", 1,
		  "f:7: lmtp_proxy_dns_servers 1.2.3.4:0: not the address" },
		{ BASE PASSDB "login_trusted_networks = ::1 10.0.0.0/33\n", 1,
		  "f:7: login_trusted_networks: '10.0.0.0/33' is not a" },
		{ BASE PASSDB "remote ::1 {\n login_trusted_networks = x\n}\n",
		  1, "f:8: login_trusted_networks: 'x' is not a network: write an "
		     "address, or address/bits; names are not looked up" },
		{ BASE PASSDB "haproxy_trusted_networks = y\n", 1,
		  "f:7: haproxy_trusted_networks: 'y' is not a network: write an "
		     "address, or address/bits; names are not looked up" },
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
	set = load_warned(BASE PASSDB "service lmtp {\n inet_listener a {\n"
			  "  port = 24\n  haproxy = yes\n }\n}\n",
			  "f:8: warning: inet_listener a: haproxy = yes lets "
			  "nobody in without haproxy_trusted_networks");
	settings_unref(&set);
	set = load_warned(BASE PASSDB "director_consistent_hashing = yes\n",
			  "f:7: warning: director_consistent_hashing has");
	settings_unref(&set);
	set = load_warned(BASE PASSDB "remote ::1 {\n log_path = /x\n}\n",
			  "log_path has no effect in this filter");
	cr_expect_str_eq(set->log_path, "syslog");
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
	struct conf_tree *tree = read_text(BASE PASSDB "imap_capability = x\n");
	struct str out = STR_INIT;

	settings_dump(tree, CONF_DUMP_CHANGED, &out);
	cr_expect(strncmp(str_c(&out), "hostname = mx.example\n"
			  "lmtp_proxy = yes\npassdb {\n  driver = static\n"
			  "  args = proxy=y\n}\n"
			  "# accepted, without effect here:\n"
			  "#   imap_capability (/tmp/", 133) == 0, "%s",
		  str_c(&out));
	str_clear(&out);
	settings_dump(NULL, CONF_DUMP_DEFAULTS, &out);
	cr_expect(strstr(str_c(&out), "lmtp_proxy = no\n") != NULL);
	conf_tree_free(&tree);
	str_free(&out);
}

/* 4096 servers by their addresses are fine, but not with long tags as well. */
Test(settings, servers_of_a_cluster)
{
	static const char cluster[] = BASE PASSDB
		"cluster_etcd_urls = http://127.0.0.1:2379\n"
		"director_mail_servers =";
	struct str text = STR_INIT;
	struct settings *set;
	unsigned i;

	str_puts(&text, cluster);
	for (i = 0; i < 16; i++)
		str_printf(&text, " 10.0.%u.0-10.0.%u.255", i, i);
	str_putc(&text, '\n');
	set = load(str_c(&text));
	cr_expect_not_null(set->director);
	settings_unref(&set);
	str_clear(&text);
	str_puts(&text, cluster);
	for (i = 0; i < 16; i++)
		str_printf(&text, " 10.0.%u.0-10.0.%u.255@%0100u", i, i, i);
	str_putc(&text, '\n');
	expect_errors(str_c(&text), 1, "f:8: director_mail_servers: the servers "
		      "are ");
	str_free(&text);
}

Test(settings, director)
{
	struct settings *set = load(BASE PASSDB);

	cr_expect_null(set->director);
	settings_unref(&set);
	set = load(BASE PASSDB "director_mail_servers = 10.0.0.1-10.0.0.9@x "
		   "10.1.0.1*50\ndirector_username_hash = %Ln\n"
		   "director_hash = rendezvous\n");
	cr_expect_not_null(set->director);
	settings_unref(&set);
	expect_errors(BASE PASSDB "director_mail_servers = 10.0.0.1\n"
		      "director_username_hash = %q\n", 1,
		      "f:8: director_username_hash: ");
	expect_errors(BASE PASSDB "director_mail_servers = 10.0.0.1 10.0.0\n",
		      1, "f:7: director_mail_servers: '10.0.0' is no address");
	expect_errors(BASE PASSDB "director_hash = md5\n", 1,
		      "f:7: director_hash");
}
