/* How the client came: by TLS of ours, of the load balancer before us (PROXY
 * header), or of the proxy before us (XCLIENT's CLIENT-TRANSPORT). */
#ifndef PROXY_SESSION_TRANSPORT_H
#define PROXY_SESSION_TRANSPORT_H

#include <stdbool.h>

#include "proxy/session/private.h"

/* Brings session->client up to date, for lookups: secured, cert_valid,
 * local_name. To be called whenever something of the above was said. */
void session_transport_update(struct session *session);

/* Whether the connection has TLS, by us or by the load balancer. */
bool session_transport_has_tls(const struct session *session);

/* For XCLIENT to a backend, as Dovecot 2.4 has it: "TLS" or "insecure". What a
 * proxy before us said of it goes before that. */
const char *session_transport_name(const struct session *session);

#endif
