#include "proxy/session/tls.h"

#include "lib/tls/tls.h"
#include "proxy/session/transaction.h"
#include "proxy/session/transport.h"
#include "proxy/session/xclient.h"

#define HANDSHAKE_TIMEOUT_MS 30000

bool session_tls_offered(const struct session *session)
{
	return !session_transport_has_tls(session) &&
	       tls_set_server(session->view->tls, session->set) != NULL;
}

static struct tls_context *session_tls_pick(void *arg, const char *name)
{
	const struct session *session = arg;

	return tls_set_server(session->view->tls,
			      settings_for_name(session->view->settings,
						&session->client.real_local,
						&session->client.real_remote,
						name));
}

void session_tls_start(struct session *session)
{
	struct tls_context *context =
		tls_set_server(session->view->tls, session->set);
	unsigned timeout = session->set->lmtp_client_timeout;

	session->state = SESSION_HANDSHAKE;
	transaction_free(&session->trans);
	session_xclient_forget(session);
	session->bad_commands = 0;
	if (context == NULL) {
		session_end(session, "no ssl_cert for this connection");
		return;
	}
	loop_timer_set(&session->timer, timeout < HANDSHAKE_TIMEOUT_MS
						? timeout
						: HANDSHAKE_TIMEOUT_MS);
	stream_start_tls(session->stream,
			 tls_accept(context, session_tls_pick, session,
				    &session->log));
}

static void session_tls_find_settings(struct session *session)
{
	struct tls_info info = { .server_name = NULL };

	stream_tls_info(session->stream, &info);
	if (info.server_name == NULL && session->header != NULL)
		info.server_name = session->header->authority;
	session_bind_settings(session, info.server_name);
}

static void session_tls_log(const struct session *session)
{
	struct str *line = log_begin(LOG_LEVEL_INFO, &session->log);
	struct tls_info info;

	stream_tls_info(session->stream, &info);
	str_puts(line, "TLS with ");
	addr_write_ip(line, &session->client.remote);
	str_puts(line, ": ");
	tls_info_write(line, &info);
	if (info.server_name != NULL)
		str_printf(line, ", for %s", info.server_name);
	if (info.peer_subject != NULL)
		str_printf(line, ", certificate of %s", info.peer_subject);
	if (info.resumed)
		str_puts(line, ", resumed");
	log_end();
}

void session_tls_secured(struct session *session)
{
	session->secured = true;
	session->worker->stats.tls_sessions++;
	session->state = SESSION_COMMANDS;
	session_tls_find_settings(session);
	session_transport_update(session);
	session_tls_log(session);
}

void session_tls_set_target(const struct session *session,
			    struct remote_target *target)
{
	tls_set_target(session->view->tls, session->set, target);
}
