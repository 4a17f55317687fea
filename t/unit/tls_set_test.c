/* Which variants share contexts, and what is said of settings that no context
 * can be made of. */
#include "proxy/tls_set.h"

#include <criterion/criterion.h>
#include <string.h>

#include "t/files.h"
#include "t/pki.h"

#define BASE "lmtp_proxy = yes\nhostname = mx.example\n" \
	"passdb {\n driver = static\n args = proxy=y\n}\n"
#define TLS "ssl_cert = <cert\nssl_key = <key\n"

static struct files files;
static struct pki_cert one, two;
static struct addr none;

static void setup(void)
{
	struct str half = STR_INIT;

	files_init(&files);
	pki_make(&one, &(struct pki_params){ .name = "one", .is_ca = true });
	pki_make(&two, &(struct pki_params){ .name = "two" });
	files_write(&files, "cert", str_c(&one.pem));
	files_write(&files, "key", str_c(&one.key));
	files_write(&files, "cert2", str_c(&two.pem));
	files_write(&files, "key2", str_c(&two.key));
	str_append(&half, one.pem.data, one.pem.len / 2);
	files_write(&files, "half", str_c(&half));
	str_free(&half);
	addr_parse_ip(&none, "192.0.2.1", 1);
}

static void teardown(void)
{
	files_done(&files);
	pki_free(&one);
	pki_free(&two);
}

TestSuite(tls_set, .init = setup, .fini = teardown);

static struct settings *load(const char *text, settings_check_fn *check,
			     struct conf_errors *errors)
{
	struct settings *settings;
	struct conf_tree *tree;

	tree = settings_read(files_write(&files, "f", text), errors);
	cr_assert_not_null(tree, "%s", str_c(&errors->text));
	settings = settings_new_checked(tree, check, errors);
	if (settings == NULL)
		conf_tree_free(&tree);
	return settings;
}

static struct tls_set *make(const char *text, struct settings **settings_r)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct tls_set *set;
	struct err err;

	*settings_r = load(text, tls_set_check, &errors);
	cr_assert_not_null(*settings_r, "%s", str_c(&errors.text));
	set = tls_set_new(*settings_r, &err);
	cr_assert_not_null(set, "%s", err.text);
	conf_errors_free(&errors);
	return set;
}

static const struct lmtp_settings *named(const struct settings *settings,
					 const char *name)
{
	return settings_for_name(settings, &none, &none, name);
}

Test(tls_set, without_a_certificate)
{
	struct settings *settings;
	struct tls_set *set = make(BASE, &settings);

	cr_expect_null(tls_set_server(set, &settings->lmtp));
	cr_expect_not_null(tls_set_client(set, &settings->lmtp));
	tls_set_unref(&set);
	settings_unref(&settings);
}

Test(tls_set, the_same_for_the_same_settings)
{
	struct settings *settings;
	struct tls_set *set = make(
		BASE TLS
		"local_name same {\n hostname = x\n}\n"
		"local_name other {\n ssl_cert = <cert2\n ssl_key = <key2\n}\n"
		"local_name client {\n ssl_client_ca_dir = /\n}\n"
		"local_name both {\n ssl_min_protocol = TLSv1.3\n}\n"
		"local_name clear {\n ssl = no\n}\n", &settings);
	const struct lmtp_settings *top = &settings->lmtp;
	static const struct {
		const char *name;
		bool same_server, same_client;
	} rows[] = {
		{ "same", true, true },	   { "other", false, true },
		{ "client", true, false }, { "both", false, false },
		{ "clear", false, true },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct lmtp_settings *lmtp =
			named(settings, rows[i].name);

		cr_expect_eq(tls_set_server(set, lmtp) ==
			     tls_set_server(set, top),
			     rows[i].same_server, "%s", rows[i].name);
		cr_expect_eq(tls_set_client(set, lmtp) ==
			     tls_set_client(set, top),
			     rows[i].same_client, "%s", rows[i].name);
	}
	cr_expect_null(tls_set_server(set, named(settings, "clear")));
	tls_set_unref(&set);
	settings_unref(&settings);
}

/* The report on a configuration, without the name of the file. */
static void expect_report(const char *text, const char *want)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct settings *settings = load(text, tls_set_check, &errors);
	const char *path = files_path(&files, "f");
	const char *line = str_c(&errors.text);
	struct str seen = STR_INIT;

	for (; *line != '\0'; line = strchr(line, '\n') + 1) {
		cr_assert_eq(strncmp(line, path, strlen(path)), 0, "%s", line);
		str_append(&seen, line + strlen(path),
			   strcspn(line + strlen(path), "\n") + 1);
	}
	cr_expect_str_eq(str_c(&seen), want, "[%s]: %s", text, str_c(&seen));
	cr_expect_null(settings);
	str_free(&seen);
	conf_errors_free(&errors);
}

Test(tls_set, problems_where_they_stand)
{
	/* Said once, however many variants have the value. */
	expect_report(BASE "ssl_cert = <cert\nssl_key = <key2\n"
		      "local_name a {\n verbose_ssl = yes\n}\n",
		      ":7: ssl_cert and ssl_key: private key mismatch\n");
	expect_report(BASE TLS
		      "local_name a {\n ssl_cert = <half\n}\n"
		      "local_name b {\n ssl_cert = <half\n"
		      " verbose_ssl = yes\n}\n",
		      ":10: ssl_cert: not a certificate in PEM format: "
		      "bad end line\n"
		      ":13: ssl_cert: not a certificate in PEM format: "
		      "bad end line\n");
	/* Both sides use it. */
	expect_report(BASE TLS "ssl_curve_list = frob\n",
		      ":9: ssl_curve_list: a curve of \"frob\" is unknown\n");
	expect_report(BASE "remote ::1 {\n ssl_client_ca_dir = /no/such\n}\n",
		      ":8: ssl_client_ca_dir: /no/such: no such directory\n");
	/* What follows from other errors is not said. */
	expect_report(BASE "ssl_cert = <half\n",
		      ":7: ssl_cert needs ssl_key beside it\n");
}

/* Of what is not offered nothing can be wrong. */
Test(tls_set, a_broken_certificate_without_ssl)
{
	struct settings *settings;
	struct tls_set *set = make(BASE "ssl = no\nssl_cert = <half\n"
				   "ssl_key = <key\n", &settings);

	tls_set_unref(&set);
	settings_unref(&settings);
}
