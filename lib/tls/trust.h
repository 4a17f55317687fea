/* The CAs that servers' certificates have to come from, for a library that does
 * TLS with OpenSSL by itself. Read once and shared by all connections: those of
 * a system take some 30 ms. Never changed, so threads share it. */
#ifndef LIB_TLS_TRUST_H
#define LIB_TLS_TRUST_H

#include "lib/err.h"

struct tls_trust;

/* The certificates in pem (a text; NULL or "": none), and those in files of the
 * directory dir (NULL or "": none) that have hashed names, which are read when a
 * certificate wants them. A certificate that is no root counts as well. NULL,
 * and why, when pem holds none or dir is no directory; the message says "PEM" or
 * the path. */
struct tls_trust *tls_trust_new(const char *pem, const char *dir,
				struct err *err);

/* Clears the pointer; NULL is fine. Connections may go on. */
void tls_trust_free(struct tls_trust **trust);

/* Has ssl_ctx, an SSL_CTX of OpenSSL, trust these, and nothing else. */
void tls_trust_lend(const struct tls_trust *trust, void *ssl_ctx);

#endif
