/* What the files of lib/tls/ share, and nobody else: OpenSSL's side of it. */
#ifndef LIB_TLS_PRIVATE_H
#define LIB_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "lib/tls/tls.h"
#include "lib/tls/wire.h"

struct tls_context {
	SSL_CTX *ssl;
	BIO_METHOD *wire; /* how connections read and write */
	atomic_uint refs;
	char *curves;  /* NULL: OpenSSL's */
	bool has_ca;
};

/* The text of what OpenSSL complained about first; empties its queue. Good
 * until the next call in this thread. */
const char *tls_openssl_error(void);

/* --- lib/tls/tls.c for the context --- */

/* Callbacks of OpenSSL. */
int tls_on_client_hello(SSL *ssl, int *alert, void *arg);
int tls_on_new_session(SSL *ssl, SSL_SESSION *session);
void tls_on_info(const SSL *ssl, int where, int ret);

/* --- lib/tls/context.c for connections --- */

/* Has a connection whose client hello has just come go on with another
 * context. */
void tls_context_switch(SSL *ssl, const struct tls_context *context);

/* --- lib/tls/peer.c for connections --- */

/* Sets what the peer must prove, and offers a session. */
void tls_peer_prepare(struct tls_peer *peer, SSL *ssl);

/* Takes over a session for later. */
void tls_peer_keep(struct tls_peer *peer, SSL_SESSION *session);

struct tls_context *tls_peer_context(const struct tls_peer *peer);

/* The name sent as SNI, or NULL. */
const char *tls_peer_server_name(const struct tls_peer *peer);

#endif
