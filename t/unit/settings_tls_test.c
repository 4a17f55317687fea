#include "t/unit/settings_helper.h"

#include "proxy/settings/tls.h"

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

Test(settings_tls, tls)
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
Test(settings_tls, long_chains_after_packing)
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

Test(settings_tls, tls_that_cannot_work)
{
	static const char *const rows[][2] = {
		{ "ssl_cert = <c\n", "f:7: ssl_cert needs ssl_key beside it\n" },
		{ "ssl_key = <k\n", "f:7: ssl_key needs ssl_cert beside it\n" },
		{ "ssl_cert = <c\nssl_key = # hidden, use -P to show it\n",
		  "f:7: ssl_cert needs ssl_key beside it, and it is empty: "
		  "doveconf shows it with -P only\n" },
		{ "ssl_alt_cert = <c\n", "f:7: ssl_alt_cert needs" },
		{ "ssl_client_key = <k\n", "f:7: ssl_client_key needs" },
		{ "ssl_cert = /a/b\nssl_key = <k\n",
		  "f:7: ssl_cert: this is no PEM text" },
		{ "ssl_ca = /a/b\n", "f:7: ssl_ca: this is no PEM text: the path of "
		  "a file needs a \"<\" in front" },
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
		/* Not for an LMTP listener, which may serve such names. */
		{ "http_token = x\nlocal_name x {\n ssl_cert = <c\n"
		  " ssl_key = <k\n}\nservice http {\n inet_listener h {\n"
		  "  port = 1\n  ssl = yes\n }\n}\n",
		  "f:13: inet_listener h: ssl = yes needs ssl_cert" },
		{ "ssl = maybe\n", "is none of: no yes required\n" },
		{ "ssl_options = frob\n", "is none of: compression "
		  "no_compression no_ticket\n" },
		{ "ssl_client_ca_file = <c\n",
		  "f:7: ssl_client_ca_file is the path, and not what is in the "
		  "file: write it without \"<\"\n" },
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

Test(settings_tls, dump_hides_secrets)
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
