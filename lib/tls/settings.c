#include "lib/tls/settings.h"

#include <string.h>

static const struct conf_word mode_words[] = {
	{ "no", TLS_MODE_NO },
	{ "yes", TLS_MODE_YES },
	{ "required", TLS_MODE_REQUIRED },
	{ NULL, 0 },
};

static const struct conf_word version_words[] = {
	{ "ANY", TLS_VERSION_ANY },
	{ "TLSv1", TLS_VERSION_1_0 },
	{ "TLSv1.1", TLS_VERSION_1_1 },
	{ "TLSv1.2", TLS_VERSION_1_2 },
	{ "TLSv1.3", TLS_VERSION_1_3 },
	{ "LATEST", TLS_VERSION_1_3 },
	{ NULL, 0 },
};

static const struct conf_word option_words[] = {
	{ "compression", TLS_OPTION_COMPRESSION },
	{ "no_compression", 0 },
	{ "no_ticket", TLS_OPTION_NO_TICKET },
	{ NULL, 0 },
};

#define S struct tls_settings
static const struct conf_def tls_defs[] = {
	CONF_DEF_ENUM(S, ssl, mode_words, "ssl", "yes",
		"offer STARTTLS: no, yes, or required"),
	CONF_DEF_STRING(S, ssl_cert, "ssl_cert", "",
		"certificate and its chain, as PEM text (<file)"),
	CONF_DEF_SECRET(S, ssl_key, "ssl_key", "",
		"private key of ssl_cert, as PEM text (<file)"),
	CONF_DEF_STRING(S, ssl_alt_cert, "ssl_alt_cert", "",
		"a second certificate, with a key of another type"),
	CONF_DEF_SECRET(S, ssl_alt_key, "ssl_alt_key", "",
		"private key of ssl_alt_cert"),
	CONF_DEF_SECRET(S, ssl_key_password, "ssl_key_password", "",
		"password of ssl_key and ssl_alt_key"),
	CONF_DEF_STRING(S, ssl_ca, "ssl_ca", "",
		"CAs that client certificates come from, and their CRLs"),
	CONF_DEF_BOOL(S, ssl_verify_client_cert, "ssl_verify_client_cert",
		"no", "require a certificate from clients"),
	CONF_DEF_BOOL(S, ssl_require_crl, "ssl_require_crl", "yes",
		"refuse certificates of CAs without a valid CRL"),
	CONF_DEF_ENUM(S, ssl_min_protocol, version_words, "ssl_min_protocol",
		"TLSv1.2", "oldest version of TLS that is spoken"),
	CONF_DEF_STRING(S, ssl_cipher_list, "ssl_cipher_list",
		"ALL:!kRSA:!SRP:!kDHd:!DSS:!aNULL:!eNULL:!EXPORT:!DES:!3DES:"
		"!MD5:!PSK:!RC4:!ADH:!LOW@STRENGTH",
		"ciphers up to TLS 1.2; empty: those of OpenSSL"),
	CONF_DEF_STRING(S, ssl_cipher_suites, "ssl_cipher_suites", "",
		"ciphers of TLS 1.3; empty: those of OpenSSL"),
	CONF_DEF_STRING(S, ssl_curve_list, "ssl_curve_list", "",
		"groups for the key exchange; empty: those of OpenSSL"),
	CONF_DEF_STRING(S, ssl_dh, "ssl_dh", "",
		"no effect: OpenSSL chooses the parameters to fit the key"),
	CONF_DEF_BOOL(S, ssl_prefer_server_ciphers,
		"ssl_prefer_server_ciphers", "no",
		"choose ciphers in our order, not the client's"),
	CONF_DEF_WORDS(S, ssl_options, option_words, "ssl_options", "",
		"compression, no_compression, no_ticket"),
	CONF_DEF_BOOL(S, verbose_ssl, "verbose_ssl", "no",
		"log each step of TLS handshakes, and alerts"),
	CONF_DEF_STRING(S, ssl_client_ca_file, "ssl_client_ca_file", "",
		"file of the CAs that certificates of backends come from"),
	CONF_DEF_STRING(S, ssl_client_ca_dir, "ssl_client_ca_dir", "",
		"directory of these CAs, with hashed names"),
	CONF_DEF_STRING(S, ssl_client_cert, "ssl_client_cert", "",
		"certificate to show backends, as PEM text (<file)"),
	CONF_DEF_SECRET(S, ssl_client_key, "ssl_client_key", "",
		"private key of ssl_client_cert"),
	CONF_DEF_BOOL(S, ssl_client_require_valid_cert,
		"ssl_client_require_valid_cert", "yes",
		"refuse backends whose certificate does not verify"),
	CONF_DEF_END
};
#undef S

const struct conf_table tls_settings_table = { tls_defs, 0 };

static bool same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool same_language(const struct tls_settings *a,
			  const struct tls_settings *b)
{
	return a->ssl_min_protocol == b->ssl_min_protocol &&
	       a->ssl_options == b->ssl_options &&
	       a->verbose_ssl == b->verbose_ssl &&
	       same(a->ssl_cipher_list, b->ssl_cipher_list) &&
	       same(a->ssl_cipher_suites, b->ssl_cipher_suites) &&
	       same(a->ssl_curve_list, b->ssl_curve_list);
}

bool tls_settings_same_server(const struct tls_settings *a,
			      const struct tls_settings *b)
{
	return same_language(a, b) &&
	       a->ssl_prefer_server_ciphers == b->ssl_prefer_server_ciphers &&
	       a->ssl_verify_client_cert == b->ssl_verify_client_cert &&
	       a->ssl_require_crl == b->ssl_require_crl &&
	       same(a->ssl_cert, b->ssl_cert) &&
	       same(a->ssl_key, b->ssl_key) &&
	       same(a->ssl_alt_cert, b->ssl_alt_cert) &&
	       same(a->ssl_alt_key, b->ssl_alt_key) &&
	       same(a->ssl_key_password, b->ssl_key_password) &&
	       same(a->ssl_ca, b->ssl_ca);
}

bool tls_settings_same_client(const struct tls_settings *a,
			      const struct tls_settings *b)
{
	return same_language(a, b) &&
	       same(a->ssl_client_ca_file, b->ssl_client_ca_file) &&
	       same(a->ssl_client_ca_dir, b->ssl_client_ca_dir) &&
	       same(a->ssl_client_cert, b->ssl_client_cert) &&
	       same(a->ssl_client_key, b->ssl_client_key);
}
