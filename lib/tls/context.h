/* What one side of TLS brings with it: certificate and key, whom it trusts, and
 * what it is willing to speak. Never changed once it is made, so threads share
 * it. OpenSSL 3 does the work.
 *
 * Everything secret comes as text, never as a file's name: the process that
 * speaks to the network cannot open the files. */
#ifndef LIB_TLS_CONTEXT_H
#define LIB_TLS_CONTEXT_H

#include "lib/err.h"
#include "lib/tls/settings.h"

struct tls_context;

/* For accepting connections. Returns NULL, and which setting is wrong, when a
 * certificate, key, password or list cannot be used. Settings are copied.
 *
 * Client certificates (ssl_verify_client_cert) are asked for and required; they
 * must come from ssl_ca. With ssl_require_crl every CA of the chain must have
 * a current CRL in ssl_ca; without it, one that is there still counts.
 * Renegotiation is refused, 0-RTT is off, sessions are resumed by tickets
 * only. A version below TLS 1.2 takes more than ssl_min_protocol: OpenSSL wants
 * "@SECLEVEL=0" in ssl_cipher_list for it. */
struct tls_context *tls_context_server(const struct tls_settings *settings,
				       struct err *err);

/* For connecting: the ssl_client_ settings, with the protocol and ciphers of
 * the server's. Reads ssl_client_ca_file now, and ssl_client_ca_dir (which must
 * exist) whenever it meets a CA for the first time. NULL as above. */
struct tls_context *tls_context_client(const struct tls_settings *settings,
				       struct err *err);

/* Whether certificates of servers could come from anybody. */
bool tls_context_has_ca(const struct tls_context *context);

/* Contexts are counted, from any thread: each connection holds one. */
struct tls_context *tls_context_ref(struct tls_context *context);

/* Gives up a reference and clears the pointer; NULL is fine. */
void tls_context_unref(struct tls_context **context);

#endif
