/* A server to connect to by TLS, what it has to prove, and the sessions with it
 * that can be resumed. A session saves the proof, so it is bound to exactly
 * these terms. Belongs to one thread, as the pool that keeps it does. */
#ifndef LIB_TLS_PEER_H
#define LIB_TLS_PEER_H

#include "lib/tls/context.h"

struct tls_peer;

enum tls_verify {
	TLS_VERIFY,   /* only a certificate for the host, from a CA we trust */
	TLS_ANY_CERT, /* whatever it shows */
};

/* host: a name (a dot at its end does not matter), which is sent as SNI, or an
 * IP literal (brackets allowed), which is not; the certificate must be for it.
 * NULL: no name, for TLS_ANY_CERT only. Returns NULL and says why when context
 * (a client's, of which a reference is taken) trusts no CA at all, or host
 * cannot be checked. */
struct tls_peer *tls_peer_new(struct tls_context *context, const char *host,
			      enum tls_verify verify, struct err *err);

/* Whether there is a session to be resumed. */
bool tls_peer_has_sessions(const struct tls_peer *peer);

/* Counted: each connection holds one. Not thread-safe. */
struct tls_peer *tls_peer_ref(struct tls_peer *peer);

/* Gives up a reference and clears the pointer; NULL is fine. */
void tls_peer_unref(struct tls_peer **peer);

#endif
