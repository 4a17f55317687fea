#include "proxy/session/log.h"

#include "lib/log/log.h"
#include "proxy/session/private.h"

static void put_addr(const char *name, const char *port_name,
		     const struct addr *addr)
{
	addr_write_ip(log_begin_field(name), addr);
	log_end_field();
	if (addr_port(addr) != 0)
		log_field_number(port_name, addr_port(addr));
}

/* Begins the fields of a line about the connection, if it has any. */
static bool session_log_fields(const struct session *session, const char *event)
{
	if (!log_begin_fields(event))
		return false;
	log_field("session", session->id);
	put_addr("client", "client_port", &session->client.remote);
	put_addr("server", "server_port", &session->client.local);
	return true;
}

/* Begins a line about the connection; log_end() follows. */
static struct str *session_log_begin(const struct session *session,
				     const char *what)
{
	struct str *line = log_begin(LOG_LEVEL_INFO, &session->log);

	str_puts(line, what);
	str_puts(line, " from ");
	addr_write_ip(line, &session->client.remote);
	return line;
}

void session_log_connect(const struct session *session)
{
	const struct haproxy_header *header = session->header;
	struct str *line = session_log_begin(session, "Connect");

	if (header != NULL && header->tls.active)
		str_printf(line, " (proxied: %s with %s)",
			   header->tls.version != NULL ? header->tls.version
						       : "TLS",
			   header->tls.cipher != NULL ? header->tls.cipher
						      : "a cipher");
	else if (header != NULL)
		str_puts(line, " (proxied)");
	if (session_log_fields(session, "connect"))
		log_field_bool("proxied", header != NULL);
	log_end();
}

static void session_log_disconnect_fields(const struct session *session,
					  const char *reason)
{
	if (!session_log_fields(session, "disconnect"))
		return;
	log_field("reason", reason);
	log_field_bool("tls", session->secured);
	log_field_number("transactions", session->trans_count);
}

void session_log_disconnect(const struct session *session, const char *reason)
{
	struct str *line = session_log_begin(session, "Disconnect");

	str_puts(line, ": ");
	str_puts(line, reason);
	if (session->secured)
		str_puts(line, ", TLS");
	session_log_disconnect_fields(session, reason);
	log_end();
}

void session_log_drop(const struct session *session, const char *reason)
{
	struct str *line = session_log_begin(session, "Connection");

	str_puts(line, " closed: ");
	str_puts(line, reason);
	session_log_disconnect_fields(session, reason);
	log_end();
}
