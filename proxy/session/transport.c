#include "proxy/session/transport.h"

#include <string.h>

#include "lib/tls/tls.h"

#define TRANSPORT_TLS "TLS" /* and perhaps its version */

bool session_transport_has_tls(const struct session *session)
{
	return session->secured ||
	       (session->header != NULL && session->header->tls.active);
}

/* As Dovecot, which takes what does not leave the host for secure. */
static bool session_is_secured(const struct session *session)
{
	const struct smtp_xclient *said = session->xclient;

	if (said->set & SMTP_XCLIENT_CLIENT_TRANSPORT)
		return strncmp(said->client_transport, TRANSPORT_TLS,
			       strlen(TRANSPORT_TLS)) == 0;
	return session_transport_has_tls(session) ||
	       addr_same_host(&session->client.real_local,
			      &session->client.real_remote);
}

void session_transport_update(struct session *session)
{
	struct passdb_client *client = &session->client;
	struct tls_info info = { .server_name = NULL };

	if (session->secured)
		stream_tls_info(session->stream, &info);
	client->secured = session_is_secured(session);
	client->cert_valid = info.verified;
	client->local_name = info.server_name;
	if (session->header != NULL) {
		client->cert_valid |= session->header->tls.verified;
		if (client->local_name == NULL)
			client->local_name = session->header->authority;
	}
	if (session->xclient->set & SMTP_XCLIENT_DESTNAME)
		client->local_name = session->xclient->dest_name;
}

const char *session_transport_name(const struct session *session)
{
	return session_transport_has_tls(session) ? TRANSPORT_TLS : "insecure";
}
