#include "backends/remote/connection_private.h"

#include <string.h>

#include "lib/panic.h"

/* XCLIENT, or what goes with it. for_good: do not try it again with this
 * peer. */
static void connection_refused(struct remote_connection *conn, bool for_good,
			       const char *text)
{
	if (conn->renames != NULL && for_good)
		conn->renames->refused = true;
	connection_failed(conn, REMOTE_ERROR_XCLIENT, text);
}

static void connection_bad_step(struct remote_connection *conn,
				const char *step,
				const struct smtp_reply *reply)
{
	struct str text = STR_INIT;

	str_printf(&text, "%s: ", step);
	smtp_reply_describe(&text, reply);
	if (conn->established && reply->code == 421)
		connection_lost(conn, REMOTE_ERROR_LOST, str_c(&text));
	else if (conn->introduced)
		connection_refused(conn, reply->code / 100 == 5, str_c(&text));
	else
		connection_unfit(conn, REMOTE_ERROR_CONNECT, str_c(&text));
	str_free(&text);
}

/* Every line of the reply but the first names a capability. */
static void connection_read_capabilities(struct remote_connection *conn,
					 const char *text)
{
	const char *line = strchr(text, '\n');

	memset(&conn->caps, 0, sizeof(conn->caps));
	while (line != NULL) {
		const char *end = strchr(++line, '\n');

		smtp_capability_parse(&conn->caps, line,
				      end != NULL ? (size_t)(end - line)
						  : strlen(line));
		line = end;
	}
}

void connection_say(struct remote_connection *conn, const char *verb)
{
	str_printf(stream_out(conn->stream), "%s %s\r\n", verb,
		   conn->settings->hostname);
	stream_flush_later(conn->stream);
}

void connection_say_hello(struct remote_connection *conn)
{
	connection_say(conn, conn->target->protocol == REMOTE_SMTP ? "EHLO"
								   : "LHLO");
}

/* --- XCLIENT --- */

/* Writes what the peer is to be told. Returns the number of commands. */
static unsigned connection_write_xclient(struct remote_connection *conn,
					 struct str *out)
{
	conn->introduced = true;
	conn->greeted = false;
	if (conn->xclient == NULL || conn->identity.listed == 0)
		return 0;
	remote_identity_set(&conn->identity, conn->xclient);
	return smtp_xclient_write(out, conn->xclient, conn->identity.listed,
				  conn->target->protocol == REMOTE_LMTP);
}

void connection_send_xclient(struct remote_connection *conn)
{
	struct str *lines = &conn->xclient_lines;
	size_t len = (size_t)((char *)memchr(lines->data, '\n', lines->len) -
			      lines->data) + 1;

	stream_write(conn->stream, lines->data, len);
	str_consume(lines, len);
}

static void connection_introduce(struct remote_connection *conn)
{
	str_clear(&conn->xclient_lines);
	if (connection_write_xclient(conn, &conn->xclient_lines) > 0)
		connection_enter(conn, STATE_XCLIENT);
	else
		connection_ready(conn);
}

/* A peer that greets again wants to be greeted again. */
static void connection_xclient_reply(struct remote_connection *conn,
				     const struct smtp_reply *reply)
{
	if (!smtp_reply_is_success(reply)) {
		connection_bad_step(conn, "XCLIENT", reply);
		return;
	}
	conn->greeted = conn->greeted || reply->code == 220;
	if (conn->xclient_lines.len > 0)
		connection_send_xclient(conn);
	else if (conn->greeted)
		connection_enter(conn, STATE_HELLO);
	else
		connection_ready(conn);
}

void connection_rename_reply(struct remote_connection *conn,
			     const struct smtp_reply *reply)
{
	struct smtp_capabilities before = conn->caps;

	if (!smtp_reply_is_success(reply)) {
		connection_bad_step(conn, "XCLIENT", reply);
		return;
	}
	if (--conn->renaming > 0)
		return;
	connection_read_capabilities(conn, reply->text);
	if ((before.flags & ~conn->caps.flags) != 0 ||
	    before.xclient != conn->caps.xclient)
		connection_refused(conn, true, "the server offers less after "
				   "XCLIENT");
}

enum remote_fit remote_connection_fit(const struct remote_connection *conn,
				      const struct smtp_xclient *xclient,
				      const struct remote_renames *renames)
{
	return remote_identity_fit(&conn->identity, xclient, renames->refused);
}

bool remote_connection_was_told(const struct remote_connection *conn,
				unsigned attrs)
{
	return (conn->identity.told.set & attrs) != 0;
}

void remote_connection_rename(struct remote_connection *conn,
			      const struct remote_settings *settings,
			      const struct smtp_xclient *xclient, struct remote_renames *renames,
			      bool ahead)
{
	conn->settings = settings;
	conn->xclient = xclient;
	conn->renames = renames;
	if (ahead) {
		conn->renaming = 1 + connection_write_xclient(
					     conn, stream_out(conn->stream));
		connection_say_hello(conn);
		return;
	}
	remote_connection_expect(conn, settings->command_timeout,
				 REMOTE_ERROR_TIMEOUT, "no reply to XCLIENT");
	connection_introduce(conn);
}

/* --- replies --- */

static void connection_hello_done(struct remote_connection *conn)
{
	if (conn->introduced) {
		remote_identity_offered(&conn->identity, conn->caps.xclient);
		connection_ready(conn);
		return;
	}
	conn->identity.listed = conn->caps.xclient;
	connection_introduce(conn);
}

/* Whether STARTTLS is still to come: till then nothing else is said. */
static bool connection_wants_starttls(const struct remote_connection *conn)
{
	return conn->target->tls == REMOTE_TLS_STARTTLS && !conn->secured;
}

static void connection_greeted(struct remote_connection *conn)
{
	if (!connection_wants_starttls(conn))
		connection_hello_done(conn);
	else if (conn->caps.flags & SMTP_CAP_STARTTLS)
		connection_enter(conn, STATE_STARTTLS);
	else
		connection_unfit(conn, REMOTE_ERROR_TLS,
				 "the server does not offer STARTTLS");
}

static void connection_hello_reply(struct remote_connection *conn,
				   const struct smtp_reply *reply)
{
	bool smtp = conn->target->protocol == REMOTE_SMTP;

	if (smtp_reply_is_success(reply)) {
		connection_read_capabilities(conn, reply->text);
		connection_greeted(conn);
	} else if (smtp && (reply->code == 500 || reply->code == 502)) {
		connection_enter(conn, STATE_HELO);
	} else {
		connection_bad_step(conn, smtp ? "EHLO" : "LHLO", reply);
	}
}

static void connection_helo_reply(struct remote_connection *conn,
				  const struct smtp_reply *reply)
{
	if (!smtp_reply_is_success(reply)) {
		connection_bad_step(conn, "HELO", reply);
		return;
	}
	memset(&conn->caps, 0, sizeof(conn->caps));
	connection_greeted(conn);
}

void connection_step(struct remote_connection *conn,
		     const struct smtp_reply *reply)
{
	switch (conn->state) {
	case STATE_GREETING:
		if (smtp_reply_is_success(reply))
			connection_enter(conn, STATE_HELLO);
		else
			connection_bad_step(conn, "greeting", reply);
		break;
	case STATE_HELLO:
		connection_hello_reply(conn, reply);
		break;
	case STATE_HELO:
		connection_helo_reply(conn, reply);
		break;
	case STATE_XCLIENT:
		connection_xclient_reply(conn, reply);
		break;
	case STATE_STARTTLS:
		if (smtp_reply_is_success(reply))
			connection_enter(conn, STATE_HANDSHAKE);
		else
			connection_bad_step(conn, "STARTTLS", reply);
		break;
	case STATE_READY:
	case STATE_RESOLVE:
	case STATE_CONNECT:
	case STATE_HANDSHAKE:
	case STATE_CLOSED:
		PANIC("reply in state %d", conn->state);
	}
}
