/* Names, settings, and contexts: what is accepted, and what is said about the
 * rest. Connections are in stream_tls_test.c. */
#include "lib/tls/tls.h"

#include <criterion/criterion.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/tls/name.h"
#include "t/files.h"
#include "t/pki.h"

static struct arena *arena;
static struct tls_settings settings;
static struct err err;
static struct pki_cert ca, server, other;

static void setup(void)
{
	arena = arena_new(1024);
	conf_defaults(&tls_settings_table, arena, &settings);
	pki_make(&ca, &(struct pki_params){ .name = "CA", .is_ca = true });
	pki_make(&server, &(struct pki_params){
		.issuer = &ca, .name = "mx.example",
		.alt_names = "DNS:mx.example", .password = "secret" });
	pki_make(&other, &(struct pki_params){ .issuer = &ca, .name = "x" });
	settings.ssl_cert = str_c(&server.pem);
	settings.ssl_key = str_c(&server.key);
	settings.ssl_key_password = "secret";
	err.text[0] = '\0';
}

static void teardown(void)
{
	pki_free(&ca);
	pki_free(&server);
	pki_free(&other);
	arena_free(&arena);
}

TestSuite(tls, .init = setup, .fini = teardown, .timeout = 60);

Test(tls, names_match_as_in_local_name)
{
	static const struct {
		const char *names, *host;
		bool match;
	} rows[] = {
		{ "mx.example.org", "mx.example.org", true },
		{ "mx.example.org", "MX.Example.ORG", true },
		{ "mx.example.org", "mx.example.or", false },
		{ "mx.example.org", "mx.example.org.", false },
		{ "mx.example.org", "amx.example.org", false },
		{ "*.example.org", "mx.example.org", true },
		{ "*.example.org", "a.mx.example.org", false },
		{ "*.example.org", "example.org", false },
		{ "*.example.org", ".example.org", true },
		{ "*.EXAMPLE.org", "mx.example.ORG", true },
		{ "mx.*.org", "mx.example.org", true },
		{ "*.*.org", "mx.example.org", true },
		{ "mx*.example.org", "mx12.example.org", true },
		{ "*", "mx", false },
		{ "mx.*", "mx.org", false },
		{ "*x.org", "mx.org", false },
		{ "mx?.example.org", "mx1.example.org", true },
		{ "mx?.example.org", "mx.example.org", false },
		{ "m?.example.org", "m..example.org", false },
		{ "a.org b.org", "b.org", true },
		{ "  a.org   b.org ", "b.org", true },
		{ "a.org b.org", "a.org b.org", false },
		{ "a.org b.org", "c.org", false },
		{ "", "a.org", false },
		{ "", "", false },
		{ " ", "", false },
		{ "a.org", "", false },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(tls_name_match(rows[i].names, rows[i].host),
			     rows[i].match, "\"%s\" and \"%s\"",
			     rows[i].names, rows[i].host);
}

/* All texts of some letters, up to a length, one after the other, with ".x" behind.
 * False: that was the last. */
static bool next_name(char *name, const char *letters, size_t max)
{
	size_t len = strlen(name) - 2, i;
	const char *letter;

	for (i = 0; i < len; i++) {
		letter = strchr(letters, name[i]) + 1;
		name[i] = *letter != '\0' ? *letter : *letters;
		if (*letter != '\0')
			return true;
	}
	memcpy(name + len, "a.x", 4);
	name[len] = *letters;
	return len < max;
}

static void expect_meet(const char *a, const char *b)
{
	struct str both = STR_INIT;
	bool meet = tls_name_meet(a, b, &both);
	char host[8] = "a.x";

	do {
		cr_assert_eq(meet && tls_name_match(str_c(&both), host),
			     tls_name_match(a, host) && tls_name_match(b, host),
			     "%s: \"%s\" and \"%s\": \"%s\"", host, a, b,
			     meet ? str_c(&both) : "");
	} while (next_name(host, "ab.", 4));
	str_free(&both);
}

Test(tls, what_is_in_two_names)
{
	char a[8] = "a.x", b[8];

	do {
		memcpy(b, "a.x", 4);
		do {
			expect_meet(a, b);
		} while (next_name(b, "ab?*.", 3));
	} while (next_name(a, "ab?*.", 3));
	expect_meet("MX.example.x", "m?.*.X");
}

Test(tls, settings_have_dovecots_defaults)
{
	conf_defaults(&tls_settings_table, arena, &settings);
	cr_assert_eq(settings.ssl, TLS_MODE_YES);
	cr_assert_eq(settings.ssl_min_protocol, TLS_VERSION_1_2);
	cr_assert_eq(settings.ssl_options, 0);
	cr_assert(settings.ssl_require_crl);
	cr_assert(settings.ssl_client_require_valid_cert);
	cr_assert_not(settings.ssl_verify_client_cert);
	cr_assert_not(settings.ssl_prefer_server_ciphers);
	cr_assert_not(settings.verbose_ssl);
	cr_assert_str_eq(settings.ssl_cert, "");
}

static int value_of(const char *name, const char *text)
{
	const struct conf_def *def = tls_settings_table.defs;
	int value = -1;

	while (strcmp(def->name, name) != 0)
		def++;
	if (conf_value_parse(def->type, def->words, arena, text, &value,
			     &err) < 0)
		return -1;
	return value;
}

Test(tls, settings_have_dovecots_words)
{
	cr_assert_eq(value_of("ssl", "required"), TLS_MODE_REQUIRED);
	cr_assert_eq(value_of("ssl_min_protocol", "ANY"), 0);
	cr_assert_eq(value_of("ssl_min_protocol", "TLSv1"), 0x301);
	cr_assert_eq(value_of("ssl_min_protocol", "TLSv1.1"), 0x302);
	cr_assert_eq(value_of("ssl_min_protocol", "TLSv1.2"), 0x303);
	cr_assert_eq(value_of("ssl_min_protocol", "TLSv1.3"), 0x304);
	cr_assert_eq(value_of("ssl_min_protocol", "LATEST"), 0x304);
	cr_assert_eq(value_of("ssl_min_protocol", "TLSv2"), -1);
	cr_assert_eq(value_of("ssl_options", "no_compression"), 0);
	cr_assert_eq(value_of("ssl_options", "no_ticket compression"),
		     TLS_OPTION_NO_TICKET | TLS_OPTION_COMPRESSION);
	cr_assert_eq(value_of("ssl_options", "no_such"), -1);
}

static void accepted(const char *what)
{
	struct tls_context *context = tls_context_server(&settings, &err);

	cr_assert_not_null(context, "%s: %s", what, err.text);
	tls_context_unref(&context);
	cr_assert_null(context);
}

static void refused(const char *text)
{
	struct tls_context *context = tls_context_server(&settings, &err);

	cr_assert_null(context, "accepted instead of: %s", text);
	cr_assert_not_null(strstr(err.text, text), "\"%s\" is not \"%s\"",
			   err.text, text);
}

static void client_refused(const char *text)
{
	struct tls_context *context = tls_context_client(&settings, &err);

	cr_assert_null(context, "accepted instead of: %s", text);
	cr_assert_not_null(strstr(err.text, text), "\"%s\" is not \"%s\"",
			   err.text, text);
}

Test(tls, takes_a_certificate_and_its_key)
{
	accepted("key with a password");
	settings.ssl_cert = "";
	refused("ssl_cert is not set");
	settings.ssl_cert = "/etc/ssl/cert.pem";
	refused("ssl_cert: not a certificate in PEM format");
	settings.ssl_cert = str_c(&other.pem);
	refused("ssl_cert and ssl_key: private key mismatch");
}

Test(tls, does_not_ask_for_a_password)
{
	settings.ssl_key_password = "";
	refused("ssl_key: not a private key in PEM format, or of another "
		"password");
	settings.ssl_key_password = "wrong";
	refused("ssl_key: ");
	settings.ssl_key = "nonsense";
	refused("ssl_key: ");
	settings.ssl_key = "";
	refused("ssl_key: ");
}

Test(tls, takes_a_chain)
{
	struct str chain = STR_INIT;

	str_printf(&chain, "text in front\n%s%s", str_c(&server.pem),
		   str_c(&ca.pem));
	settings.ssl_cert = str_c(&chain);
	accepted("chain");
	str_puts(&chain, "-----BEGIN CERTIFICATE-----\nAAAA\n"
			 "-----END CERTIFICATE-----\n");
	settings.ssl_cert = str_c(&chain);
	refused("ssl_cert: ");
	str_free(&chain);
}

Test(tls, takes_a_second_certificate_of_another_type)
{
	struct pki_cert rsa;

	pki_make(&rsa, &(struct pki_params){ .issuer = &ca, .name = "rsa",
					     .rsa = true });
	settings.ssl_alt_cert = str_c(&rsa.pem);
	refused("ssl_alt_key: ");
	settings.ssl_alt_key = str_c(&rsa.key);
	accepted("RSA beside EC");
	settings.ssl_alt_cert = str_c(&other.pem);
	settings.ssl_alt_key = str_c(&other.key);
	refused("ssl_alt_cert and ssl_alt_key: not replacing certificate");
	pki_free(&rsa);
}

Test(tls, says_which_list_is_wrong)
{
	settings.ssl_cipher_list = "";
	accepted("no cipher list");
	settings.ssl_cipher_list = "NONSENSE";
	refused("ssl_cipher_list: no cipher match");
	client_refused("ssl_cipher_list: no cipher match");
	settings.ssl_cipher_list = "HIGH";
	settings.ssl_cipher_suites = "TLS_AES_256_GCM_SHA384";
	accepted("a suite");
	settings.ssl_cipher_suites = "NONSENSE";
	refused("ssl_cipher_suites: ");
	settings.ssl_cipher_suites = "";
	settings.ssl_curve_list = "X25519:P-256";
	accepted("curves");
	settings.ssl_curve_list = "X25519:P-9";
	refused("ssl_curve_list: a curve of \"X25519:P-9\" is unknown");
}

Test(tls, needs_cas_for_client_certificates)
{
	settings.ssl_verify_client_cert = true;
	refused("ssl_verify_client_cert needs ssl_ca");
	settings.ssl_ca = "no PEM at all";
	refused("ssl_ca: no certificate in it");
	settings.ssl_ca = "-----BEGIN CERTIFICATE-----\nAAAA\n"
			  "-----END CERTIFICATE-----\n";
	refused("ssl_ca: ");
	settings.ssl_ca = str_c(&ca.pem);
	accepted("CA");
}

Test(tls, client_reads_cas_from_files)
{
	struct files files;
	struct tls_context *context;

	files_init(&files);
	settings.ssl_client_ca_file = files_path(&files, "none.pem");
	client_refused("No such file or directory");
	client_refused("ssl_client_ca_file: /tmp/");
	settings.ssl_client_ca_file = files_write(&files, "bad.pem", "bad");
	client_refused("ssl_client_ca_file: /tmp/");
	settings.ssl_client_ca_file =
		files_write(&files, "ca.pem", str_c(&ca.pem));
	context = tls_context_client(&settings, &err);
	cr_assert_not_null(context, "%s", err.text);
	tls_context_unref(&context);
	settings.ssl_client_ca_dir = settings.ssl_client_ca_file;
	client_refused("ssl_client_ca_dir: ");
	settings.ssl_client_ca_dir = files.dir;
	settings.ssl_client_ca_file = "";
	context = tls_context_client(&settings, &err);
	cr_assert_not_null(context, "%s", err.text);
	tls_context_unref(&context);
	files_done(&files);
}

Test(tls, client_certificate_is_checked)
{
	settings.ssl_client_cert = str_c(&other.pem);
	client_refused("ssl_client_key: ");
	settings.ssl_client_key = str_c(&server.key);
	client_refused("ssl_client_key: ");
}

static void peer_refused(struct tls_context *context, const char *host,
			 enum tls_verify verify, const char *text)
{
	struct tls_peer *peer = tls_peer_new(context, host, verify, &err);

	cr_assert_null(peer, "accepted instead of: %s", text);
	cr_assert_not_null(strstr(err.text, text), "\"%s\" is not \"%s\"",
			   err.text, text);
}

static void peer_accepted(struct tls_context *context, const char *host,
			  enum tls_verify verify)
{
	struct tls_peer *peer = tls_peer_new(context, host, verify, &err);

	cr_assert_not_null(peer, "%s: %s", host, err.text);
	tls_peer_unref(&peer);
	cr_assert_null(peer);
}

Test(tls, peers_need_something_to_verify)
{
	struct tls_context *context = tls_context_client(&settings, &err);
	char name[300];

	cr_assert_not_null(context, "%s", err.text);
	peer_refused(context, "mx.example", TLS_VERIFY,
		     "neither ssl_client_ca_file nor ssl_client_ca_dir");
	peer_accepted(context, "mx.example", TLS_ANY_CERT);
	peer_accepted(context, NULL, TLS_ANY_CERT);
	peer_refused(context, NULL, TLS_VERIFY, "no host name");
	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	peer_refused(context, name, TLS_ANY_CERT, "is not a host name");
	name[255] = '\0';
	peer_accepted(context, name, TLS_ANY_CERT);
	peer_refused(context, "", TLS_ANY_CERT, "is not a host name");
	peer_refused(context, ".", TLS_ANY_CERT, "is not a host name");
	peer_refused(context, "/run/lmtp", TLS_ANY_CERT,
		     "is not a host name");
	peer_accepted(context, "[2001:db8::1]", TLS_ANY_CERT);
	tls_context_unref(&context);
}
