/* TLS in sessions: with the client, and what backends are asked for. */
#ifndef PROXY_SESSION_TLS_H
#define PROXY_SESSION_TLS_H

#include <stdbool.h>

#include "backends/remote/target.h"
#include "proxy/session/private.h"

/* Whether the client can say STARTTLS. */
bool session_tls_offered(const struct session *session);

/* Starts TLS: what is queued still leaves in clear, then the client has 30
 * seconds (or lmtp_client_timeout, if that is less) for the handshake. What it
 * said before is forgotten (RFC 3207 4.2). */
void session_tls_start(struct session *session);

/* The handshake is over: the session goes on with the settings for the name
 * that the client asked for. */
void session_tls_secured(struct session *session);

/* Completes a target that is to be reached by TLS with what the settings say of
 * that. */
void session_tls_set_target(const struct session *session,
			    struct remote_target *target);

#endif
