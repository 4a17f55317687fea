#include "proxy/session/session.h"

#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "proxy/listener.h"
#include "proxy/session/greeting.h"
#include "proxy/session/log.h"
#include "proxy/session/pace.h"
#include "proxy/session/private.h"
#include "proxy/session/rawlog.h"
#include "proxy/session/recipient.h"
#include "proxy/session/tls.h"
#include "proxy/session/transaction.h"
#include "proxy/session/transport.h"

/* Command name, blank, 4 KiB of parameters: Dovecot's limits. */
#define LINE_MAX_LEN (32 + 1 + 4096)
/* Pipelined commands that may wait for the replies before them. */
#define PENDING_INPUT_MAX (64 * 1024)
/* Replies that the client has not read: no further command till it does. */
#define PENDING_OUTPUT_MAX (64 * 1024)
/* Enough for the replies to LHLO, so that the buffer grows only once. */
#define OUT_RESERVE 256
/* How long the last replies of a session may take to leave. */
#define LEAVE_TIMEOUT_MS 10000
/* How long a client is read out that has heard 421, and one that is known to go
 * on talking. */
#define READ_OUT_MS 1000
#define READ_OUT_LONG_MS 10000

static const struct stream_handler session_handler;

static void session_continue(struct loop_task *task);
static void session_timeout(struct loop_timer *timer);

/* --- life --- */

static void session_put_greeting(struct session *session, struct str *out)
{
	const struct greeting_values values = {
		&session->client.local, &session->client.remote, session->id,
		session->set->hostname,
	};
	struct err err;

	if (greeting_expand(out, session->set->login_greeting, &values,
			    &err) < 0)
		log_error(&session->log, "login_greeting: %s", err.text);
}

void session_greet(struct session *session)
{
	struct str *out = stream_out(session->stream);

	str_reserve(out, OUT_RESERVE);
	str_puts(out, "220 ");
	str_puts(out, session->set->hostname);
	str_putc(out, ' ');
	session_put_greeting(session, out);
	str_puts(out, "\r\n");
	stream_flush_later(session->stream);
}

void session_set_addrs(struct session *session, const struct addr *local,
		       const struct addr *remote)
{
	struct passdb_client *client = &session->client;

	client->local = client->real_local = *local;
	client->remote = client->real_remote = *remote;
}

void session_bind_settings(struct session *session, const char *name)
{
	struct passdb_client *client = &session->client;

	client->self = &session->view->settings->proxy_self;
	session->set = settings_for_name(session->view->settings,
					 &client->real_local,
					 &client->real_remote, name);
	session->trusted = networks_contain(&session->set->trusted,
					    &client->real_remote);
}

void session_welcome(struct session *session)
{
	session->state = SESSION_COMMANDS;
	session_client_turn(session);
	session_transport_update(session);
	session_log_connect(session);
	session_rawlog_open(session);
	if (session->flags & LISTENER_TLS)
		session_tls_start(session);
	else
		session_greet(session);
	if (session->stopping)
		session_reply_ready(session);
}

void session_start(struct worker *worker, int fd, const struct addr *local,
		   const struct addr *remote, unsigned flags)
{
	struct session *session = mem_new(struct session);

	session->worker = worker;
	session->view = worker_view_ref(worker->view);
	session->loop = worker->loop;
	session->start_us = loop_now_us(worker->loop);
	session->flags = flags;
	session_id_make(session->own_id);
	session->id = session->own_id;
	session->log.text = session->id;
	session->client.session = session->id;
	session->xclient = &smtp_xclient_nothing;
	session_set_addrs(session, local, remote);
	session_bind_settings(session, NULL);
	session->task.fn = session_continue;
	list_init(&session->slots);
	loop_timer_open(&session->timer, session->loop, session_timeout);
	session->stream =
		stream_new(session->loop, fd, &session_handler, session);
	list_append(&worker->sessions, &session->node);
	worker->stats.sessions++;
	if (flags & LISTENER_HAPROXY)
		session_header_expect(session);
	else
		session_welcome(session);
}

static void session_release(struct loop_task *task)
{
	struct session *session = container_of(task, struct session, task);

	worker_view_unref(&session->view);
	mem_free(&session->helo);
	arena_free(&session->xclient_arena);
	arena_free(&session->header_arena);
	str_free(&session->in);
	mem_free(&session);
}

static bool session_over(const struct session *session)
{
	return session->state >= SESSION_LEAVING;
}

static void session_close(struct session *session)
{
	session->state = SESSION_CLOSED;
	stream_close(&session->stream);
	loop_timer_close(&session->timer);
	list_remove(&session->node);
	worker_session_ended(session->worker);
	loop_task_cancel(&session->task);
	session->task.fn = session_release;
	loop_defer(session->loop, &session->task);
}

/* The last replies are with the kernel. If it was not the client that ended the
 * session, it is read out first: a socket that is closed with input unread, be it
 * a byte that has come in just now, resets the connection, and the client may
 * never see them. */
static void session_left(struct session *session)
{
	if (session->read_out_ms == 0 || session->eof) {
		session_close(session);
		return;
	}
	loop_timer_set(&session->timer, session->read_out_ms);
	stream_shutdown(session->stream);
	stream_want_read(session->stream, true);
}

static void session_read_out(struct session *session)
{
	size_t len;

	if (stream_read(session->stream, session->worker->read_buf,
			sizeof(session->worker->read_buf), &len) < 0)
		session_close(session);
}

void session_end(struct session *session, const char *reason)
{
	if (session_over(session))
		return;
	session_log_disconnect(session, reason);
	transaction_free(&session->trans);
	if (session->state == SESSION_HANDSHAKE) {
		session_close(session);
		return;
	}
	session->state = SESSION_LEAVING;
	stream_finish(session->stream);
	if (stream_pending(session->stream) == 0) {
		session_left(session);
		return;
	}
	loop_timer_set(&session->timer, LEAVE_TIMEOUT_MS);
	stream_want_read(session->stream, false);
	stream_want_write(session->stream);
}

void session_drop(struct session *session, const char *reason)
{
	session_log_drop(session, reason);
	session_close(session);
}

void session_break_off(struct session *session, const char *reason)
{
	session->read_out_ms = READ_OUT_LONG_MS;
	session_end(session, reason);
}

/* "421 <enhanced><hostname> <text>", then the end. */
static void session_end_421(struct session *session, const char *enhanced,
			    const char *text)
{
	str_printf(stream_out(session->stream), "421 %s%s %s\r\n", enhanced,
		   session->set->hostname, text);
	if (session->read_out_ms == 0)
		session->read_out_ms = READ_OUT_MS;
	session_end(session, text);
}

void session_stop(struct session *session)
{
	session->stopping = true;
	session->retiring = false;
	loop_defer(session->loop, &session->task);
}

void session_retire(struct session *session)
{
	session->stopping = session->retiring = true;
	loop_defer(session->loop, &session->task);
}

void session_abort(struct session *session)
{
	if (session->state == SESSION_HEADER)
		session_drop(session, "Shutting down");
	else if (!session_over(session))
		session_end_421(session, "4.3.2 ", "Shutting down");
	if (session->state == SESSION_LEAVING)
		session_close(session);
}

bool session_kick(struct session *session)
{
	if (session_over(session) || session->stopping)
		return false;
	if (session->state == SESSION_HEADER)
		session_drop(session, "Kicked by the administrator");
	else if (session->state == SESSION_FINAL)
		session_stop(session);
	else
		session_end_421(session, "4.3.2 ",
				"Kicked by the administrator");
	return true;
}

/* Whether no more of the message may come in for now. */
static bool session_spool_full(const struct session *session)
{
	return (session->state == SESSION_BODY ||
		session->state == SESSION_COMMANDS) &&
	       session->trans != NULL && session->trans->spool != NULL &&
	       spool_full(session->trans->spool);
}

/* While replies are owed, or the backends have not taken what was sent, it is
 * not the client who is silent. */
static bool session_client_waits(const struct session *session)
{
	if (session_spool_full(session))
		return true;
	return session->state != SESSION_BODY &&
	       !list_empty(&session->slots) &&
	       stream_pending(session->stream) == 0;
}

void session_client_turn(struct session *session)
{
	loop_timer_set(&session->timer, session->set->lmtp_client_timeout);
}

/* The next bytes of a message came in. */
static void session_keep_pace(struct session *session, size_t bytes)
{
	uint64_t now = loop_now_us(session->loop), due = session->timer.due_us;
	uint64_t left = session_pace(due > now ? due - now : 0, bytes,
				     session->set->lmtp_client_min_rate,
				     session->set->lmtp_client_timeout *
					     (uint64_t)1000);

	loop_timer_set(&session->timer, (left + 999) / 1000);
}

static void session_timeout(struct loop_timer *timer)
{
	struct session *session = container_of(timer, struct session, timer);

	if (session_over(session)) {
		session_close(session);
		return;
	}
	if (session->state == SESSION_HEADER) {
		session_drop(session, "no PROXY header within haproxy_timeout");
		return;
	}
	/* Replies kept back for those of pipelined RCPTs are none that the
	 * client leaves unread. */
	stream_sendv(session->stream, NULL, 0);
	if (session_client_waits(session))
		session_client_turn(session);
	else if (session->state == SESSION_HANDSHAKE)
		session_end(session, "TLS handshake timed out");
	else
		session_end_421(session, "4.4.2 ",
				"Disconnected for inactivity");
}

/* --- replies --- */

void session_reply(struct session *session, int code, const char *enhanced,
		   const char *text)
{
	struct str *out = stream_out(session->stream);
	const char digits[] = { (char)('0' + code / 100),
				(char)('0' + code / 10 % 10),
				(char)('0' + code % 10), ' ' };

	str_append(out, digits, sizeof(digits));
	str_puts(out, enhanced);
	str_puts(out, text);
	str_puts(out, "\r\n");
	session->bad_commands = 0;
}

void session_reply_bad(struct session *session, int code, const char *enhanced,
		       const char *text)
{
	unsigned bad = session->bad_commands + 1;

	if (bad > session->set->lmtp_max_bad_commands) {
		session->read_out_ms = READ_OUT_LONG_MS;
		session_end_421(session, "4.7.0 ",
				"Too many invalid commands.");
		return;
	}
	session_reply(session, code, enhanced, text);
	session->bad_commands = bad;
}

void session_reply_ready(struct session *session)
{
	loop_defer(session->loop, &session->task);
}

/* In order: a reply that is ready waits for the ones before it. */
static void session_flush_replies(struct session *session)
{
	struct recipient *rcpt;

	while ((rcpt = list_first(&session->slots, struct recipient, slot)) !=
		       NULL &&
	       rcpt->reply_ready) {
		list_remove(&rcpt->slot);
		recipient_write_reply(rcpt, stream_out(session->stream));
		stream_flush_later(session->stream);
		session_client_turn(session);
	}
}

static void session_check_final(struct session *session)
{
	if (session->state != SESSION_FINAL || !list_empty(&session->slots))
		return;
	/* The client need not wait for the clearing up. */
	stream_sendv(session->stream, NULL, 0);
	transaction_free(&session->trans);
	session->state = SESSION_COMMANDS;
}

/* --- input --- */

static bool line_is_bdat(const char *line, size_t len)
{
	return len >= 4 && strncasecmp(line, "BDAT", 4) == 0;
}

/* What follows a BDAT is no command, and how much that is was not read. */
static void session_line_too_long(struct session *session, bool bdat)
{
	session->skip_line = session->skip_bdat = false;
	session_reply_bad(session, 500, "5.5.2 ", "Line too long");
	if (bdat)
		session_break_off(session, "BDAT in a line that is too long");
}

/* Handles a line without its LF. */
static enum command_result session_line(struct session *session,
					const char *line, size_t len)
{
	if (session->skip_line || len > LINE_MAX_LEN) {
		if (!list_empty(&session->slots))
			return COMMAND_WAIT;
		session_line_too_long(session,
				      session->skip_line
					      ? session->skip_bdat
					      : line_is_bdat(line, len));
		return COMMAND_DONE;
	}
	if (len > 0 && line[len - 1] == '\r')
		len--;
	return command_run(session, line, len);
}

/* Whether the client leaves too many replies unread, or sends chunks faster
 * than the backends take them. Once that is over, session_writable() or
 * session_resume() goes on. */
static bool session_choked(struct session *session)
{
	bool unread = stream_pending(session->stream) >= PENDING_OUTPUT_MAX;

	if (unread)
		stream_want_write(session->stream);
	return unread || session_spool_full(session);
}

/* Whether the next command can be looked at. */
static bool session_takes_command(struct session *session)
{
	return session->state == SESSION_COMMANDS &&
	       !(session->waiting && !list_empty(&session->slots)) &&
	       !session_choked(session);
}

/* Carries out the complete lines of data, as far as that can be done now.
 * Returns how many bytes were used. */
static size_t session_take_lines(struct session *session, const char *data,
				 size_t len)
{
	size_t used = 0;

	while (session_takes_command(session)) {
		const char *line = data + used;
		const char *end = memchr(line, '\n', len - used);

		if (end == NULL)
			break;
		session->waiting = session_line(session, line,
						(size_t)(end - line)) ==
				   COMMAND_WAIT;
		if (session->waiting)
			break;
		used = (size_t)(end - data) + 1;
	}
	/* Replies to commands before a pipelined RCPT go out with its own. */
	if (!session_over(session) && list_empty(&session->slots) &&
	    stream_pending(session->stream) > 0)
		stream_flush_later(session->stream);
	return used;
}

/* Reads on only if there is a place for it. */
static void session_watch_input(struct session *session)
{
	bool room = session->state == SESSION_BODY
			    ? !session_spool_full(session)
			    : session->in.len < PENDING_INPUT_MAX;

	stream_want_read(session->stream, room && !session->eof);
}

void session_skip(struct session *session, uint64_t size)
{
	session->state = size > 0 ? SESSION_SKIP : SESSION_COMMANDS;
	session->skip = size;
}

static size_t session_skip_some(struct session *session, size_t len)
{
	if (len > session->skip)
		len = (size_t)session->skip;
	session_skip(session, session->skip - len);
	return len;
}

static void session_chunk_done(struct session *session)
{
	session->state = SESSION_COMMANDS;
	transaction_write_chunk_reply(session->trans,
				      stream_out(session->stream));
	stream_flush_later(session->stream);
	session_watch_input(session);
	loop_defer(session->loop, &session->task);
}

void session_body_done(struct session *session)
{
	if (session->trans->state == TRANSACTION_BODY) {
		session_chunk_done(session);
		return;
	}
	session->state = SESSION_FINAL;
	transaction_queue_outcomes(session->trans);
	session_watch_input(session);
	loop_defer(session->loop, &session->task);
}

/* What comes in clear behind STARTTLS is not the client's word: somebody put it
 * there (RFC 3207 4.2, CVE-2011-0411). */
static size_t session_drop_clear(struct session *session, size_t used,
				 size_t len)
{
	if (len > used)
		log_warning(&session->log, "dropped %zu bytes in clear behind "
			    "STARTTLS", len - used);
	return len;
}

static size_t session_take_some(struct session *session, const char *data,
				size_t len)
{
	size_t used = session_take_lines(session, data, len);
	bool done;

	if (session->state == SESSION_HANDSHAKE)
		return session_drop_clear(session, used, len);
	if (session->state == SESSION_SKIP)
		return used + session_skip_some(session, len - used);
	if (session->state != SESSION_BODY || used == len)
		return used;
	used += transaction_take_body(session->trans, data + used, len - used,
				      &done);
	if (done)
		session_body_done(session);
	return used;
}

/* Whether what comes in is a message, or would be one if it were wanted; also
 * between its chunks. */
static bool session_in_message(const struct session *session)
{
	return session->state == SESSION_BODY ||
	       session->state == SESSION_SKIP ||
	       (session->trans != NULL && session->trans->spool != NULL);
}

/* Uses as much of data as can be used now. A command buys the client all of its
 * time again; a part of one does not, or one could be said for ever. */
static size_t session_take(struct session *session, const char *data,
			   size_t len)
{
	bool message = session_in_message(session);
	size_t used = session_take_some(session, data, len);

	if (session_over(session) || session->state == SESSION_HANDSHAKE)
		return used;
	if (message)
		session_keep_pace(session, used);
	else if (used > 0)
		session_client_turn(session);
	return used;
}

/* A line without an end must not grow for ever. */
static void session_limit_input(struct session *session)
{
	struct str *in = &session->in;

	if (session->state != SESSION_COMMANDS || in->len <= LINE_MAX_LEN ||
	    memchr(in->data, '\n', in->len) != NULL)
		return;
	if (!session->skip_line)
		session->skip_bdat = line_is_bdat(in->data, in->len);
	session->skip_line = true;
	str_clear(in);
}

static void session_take_pending(struct session *session)
{
	size_t used;

	do {
		used = session_take(session, session->in.data,
				    session->in.len);
		if (session_over(session))
			return;
		str_consume(&session->in, used);
	} while (used > 0 && session->in.len > 0);
	session_limit_input(session);
	if (session->in.len == 0)
		str_free(&session->in);
	session_watch_input(session);
}

/* A client that has only closed its side may still read replies; one whose
 * connection is reset does not. */
static void session_eof(struct session *session)
{
	session->eof = true;
	stream_want_read(session->stream, false);
	if (session->state == SESSION_COMMANDS && stream_failed(session->stream))
		session_end(session, stream_error(session->stream));
	else
		loop_defer(session->loop, &session->task);
}

static void session_read_body(struct session *session)
{
	size_t len;
	int ret = transaction_read_body(session->trans, session->stream,
					&session->in, &len);

	if (ret > 0)
		session_body_done(session);
	else if (ret < 0)
		session_eof(session);
	if (ret >= 0)
		session_keep_pace(session, len);
}

static void session_read_commands(struct session *session)
{
	char *buf = session->worker->read_buf;
	size_t len, used = 0;
	int ret = stream_read(session->stream, buf,
			      sizeof(session->worker->read_buf), &len);

	if (ret < 0)
		session_eof(session);
	if (ret <= 0)
		return;
	if (session->in.len == 0)
		used = session_take(session, buf, len);
	if (session_over(session) || used == len)
		return;
	str_append(&session->in, buf + used, len - used);
	session_take_pending(session);
}

static void session_readable(struct stream *stream, void *owner)
{
	struct session *session = owner;

	(void)stream;
	if (session_over(session))
		session_read_out(session);
	else if (session->state == SESSION_HEADER)
		session_header_read(session);
	else if (session->state == SESSION_BODY)
		session_read_body(session);
	else
		session_read_commands(session);
}

static bool session_owes_nothing(const struct session *session)
{
	return session->state == SESSION_COMMANDS && list_empty(&session->slots);
}

/* A transaction in which nobody was accepted is none that could finish. */
static bool session_may_stop(const struct session *session)
{
	if (session->retiring &&
	    (session->trans != NULL || session->trans_count == 0))
		return false;
	return session->state == SESSION_HANDSHAKE ||
	       (session_owes_nothing(session) &&
		(session->trans == NULL || session->trans->accepted == 0));
}

/* Nothing more can come of what was read: what is left is no whole line, or a
 * message whose end the client did not send. */
static bool session_used_up(struct session *session)
{
	return session->state == SESSION_BODY ||
	       session->state == SESSION_SKIP ||
	       (session_owes_nothing(session) && !session_choked(session));
}

/* Runs at the end of a pass in which something became ready. */
static void session_continue(struct loop_task *task)
{
	struct session *session = container_of(task, struct session, task);

	if (session_over(session))
		return;
	session_flush_replies(session);
	session_check_final(session);
	if (session->stopping && session_may_stop(session)) {
		session_end_421(session, "4.3.2 ", "Shutting down");
		return;
	}
	if (session->in.len > 0)
		session_take_pending(session);
	if (session->eof && session_used_up(session))
		session_end(session, stream_error(session->stream));
}

void session_resume(struct session *session)
{
	session_watch_input(session);
	session_client_turn(session);
	loop_defer(session->loop, &session->task);
}

/* The client reads again: commands that waited for it can go on. */
static void session_writable(struct stream *stream, void *owner)
{
	struct session *session = owner;

	(void)stream;
	if (session_over(session))
		session_left(session);
	else
		loop_defer(session->loop, &session->task);
}

/* A client that is gone cannot be answered. A message that is with the
 * backends already takes its course, so that the log says what came of it. */
static void session_broken(struct stream *stream, void *owner)
{
	struct session *session = owner;

	if (session_over(session))
		session_close(session);
	else if (session->state == SESSION_FINAL)
		session_eof(session);
	else
		session_end(session, stream_error(stream));
}

static void session_secured(struct stream *stream, void *owner)
{
	struct session *session = owner;

	(void)stream;
	session_tls_secured(session);
	session_client_turn(session);
	if (session->flags & LISTENER_TLS)
		session_greet(session);
}

static const struct stream_handler session_handler = {
	.readable = session_readable,
	.writable = session_writable,
	.broken = session_broken,
	.secured = session_secured,
};
