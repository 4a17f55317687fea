/* What may be said about TLS in the configuration: Dovecot 2.3's ssl_ settings,
 * for both sides. */
#ifndef LIB_TLS_SETTINGS_H
#define LIB_TLS_SETTINGS_H

#include <stdbool.h>

#include "lib/conf/schema.h"

enum tls_mode {
	TLS_MODE_NO,
	TLS_MODE_YES,
	TLS_MODE_REQUIRED,
};

/* Numbers as on the wire (RFC 8446 4.1.2). */
enum tls_version {
	TLS_VERSION_ANY = 0,
	TLS_VERSION_1_0 = 0x0301,
	TLS_VERSION_1_1 = 0x0302,
	TLS_VERSION_1_2 = 0x0303,
	TLS_VERSION_1_3 = 0x0304,
};

enum tls_option {
	TLS_OPTION_COMPRESSION = 1 << 0,
	TLS_OPTION_NO_TICKET = 1 << 1,
};

/* Each member is the setting of that name. Strings are never NULL; "" is not
 * set. Certificates, keys and CAs are PEM text, not names of files, except for
 * ssl_client_ca_file and ssl_client_ca_dir. */
struct tls_settings {
	int ssl; /* enum tls_mode */
	const char *ssl_cert, *ssl_key;		/* the certificate, then what
						   its chain needs */
	const char *ssl_alt_cert, *ssl_alt_key; /* of another key type */
	const char *ssl_key_password;		/* of both keys */
	const char *ssl_ca; /* CAs of clients, and their CRLs */
	bool ssl_verify_client_cert, ssl_require_crl;
	int ssl_min_protocol; /* enum tls_version */
	const char *ssl_cipher_list;   /* up to TLS 1.2 */
	const char *ssl_cipher_suites; /* TLS 1.3 */
	const char *ssl_curve_list;
	const char *ssl_dh; /* no effect */
	bool ssl_prefer_server_ciphers;
	unsigned ssl_options; /* enum tls_option, or-ed */
	bool verbose_ssl;
	const char *ssl_client_ca_file, *ssl_client_ca_dir; /* paths */
	const char *ssl_client_cert, *ssl_client_key;
	bool ssl_client_require_valid_cert;
};

/* Over struct tls_settings. */
extern const struct conf_table tls_settings_table;

/* Whether the same context would come of both, for accepting connections, and
 * for connecting. */
bool tls_settings_same_server(const struct tls_settings *a,
			      const struct tls_settings *b);
bool tls_settings_same_client(const struct tls_settings *a,
			      const struct tls_settings *b);

#endif
