#include "backends/remote/connection_private.h"

#include <string.h>

#include "lib/connect.h"
#include "lib/mem.h"
#include "lib/rawlog.h"
#include "lib/tls/tls.h"

#define CONNECT_STAGGER_MS 250 /* RFC 8305 5 */
#define READ_SIZE 4096

static void connection_connect(struct remote_connection *conn,
			       const struct addr *addrs, unsigned count);

static void phase_begins(struct remote_connection *conn)
{
	conn->phase_us = loop_now_us(conn->loop);
}

static void phase_is_over(const struct remote_connection *conn,
			  struct histogram *histogram)
{
	histogram_add(histogram, loop_now_us(conn->loop) - conn->phase_us);
}

/* What this server said of itself no longer counts. */
static void connection_forget(struct remote_connection *conn)
{
	memset(&conn->caps, 0, sizeof(conn->caps));
	smtp_reply_parser_free(&conn->parser);
	smtp_reply_parser_init(&conn->parser);
	conn->unread = 0;
}

void connection_lost(struct remote_connection *conn, enum remote_error error,
		     const char *text)
{
	bool unfit = !conn->established && conn->unfit != NULL;
	/* The owner closes the stream, whose text it may be. */
	char *copy = unfit ? mem_printf("%s; then %s", conn->unfit, text)
			   : mem_strdup(text);
	struct remote_failure failure = {
		.error = unfit ? conn->unfit_error : error,
		.text = copy,
	};

	loop_timer_clear(&conn->timer);
	if (!conn->established)
		conn->stats->failed_connections++;
	conn->events->lost(conn->owner, &failure);
	mem_free(&copy);
}

static void connection_timeout(struct loop_timer *timer)
{
	struct remote_connection *conn =
		container_of(timer, struct remote_connection, timer);

	connection_lost(conn, conn->timer_error, conn->timer_what);
}

/* Without a way to tell whether the server is the right one there is no need to
 * connect. */
static int connection_prepare_tls(struct remote_connection *conn,
				  struct err *err)
{
	const struct remote_target *target = conn->target;

	if (target->tls == REMOTE_TLS_NONE)
		return 0;
	remote_target_write(&conn->name, target);
	conn->log.text = str_c(&conn->name);
	if (*conn->tls == NULL)
		*conn->tls = tls_peer_new(target->tls_context, target->host,
					  target->any_cert ? TLS_ANY_CERT
							   : TLS_VERIFY,
					  err);
	return *conn->tls != NULL ? 0 : -1;
}

static void connection_start(struct loop_task *task)
{
	struct remote_connection *conn =
		container_of(task, struct remote_connection, task);
	struct err err;

	if (connection_prepare_tls(conn, &err) < 0)
		connection_lost(conn, REMOTE_ERROR_UNTRUSTED, err.text);
	else
		connection_enter(conn, STATE_RESOLVE);
}

struct remote_connection *
remote_connection_open(struct loop *loop, struct dns *dns,
		       const struct remote_target *target,
		       const struct remote_settings *settings,
		       struct tls_peer **tls, struct remote_stats *stats,
		       const struct smtp_xclient *xclient,
		       const struct remote_connection_events *events,
		       void *owner)
{
	struct remote_connection *conn = mem_new(struct remote_connection);

	conn->loop = loop;
	conn->dns = dns;
	conn->target = target;
	conn->settings = settings;
	conn->tls = tls;
	conn->stats = stats;
	stats->connections++;
	conn->xclient = xclient;
	conn->opened_us = loop_now_us(loop);
	remote_connection_set_owner(conn, events, owner);
	smtp_reply_parser_init(&conn->parser);
	loop_timer_open(&conn->timer, loop, connection_timeout);
	remote_connection_expect(conn, settings->connect_timeout,
				 REMOTE_ERROR_CONNECT, "connect timed out");
	conn->task.fn = connection_start;
	loop_defer(loop, &conn->task);
	return conn;
}

static void connection_release(struct loop_task *task)
{
	struct remote_connection *conn =
		container_of(task, struct remote_connection, task);

	smtp_reply_parser_free(&conn->parser);
	remote_identity_free(&conn->identity);
	str_free(&conn->xclient_lines);
	mem_free(&conn->addrs);
	str_free(&conn->name);
	mem_free(&conn->mail_reply);
	mem_free(&conn->unfit);
	mem_free(&conn);
}

void remote_connection_close(struct remote_connection **conn_p)
{
	struct remote_connection *conn = *conn_p;

	*conn_p = NULL;
	if (conn == NULL)
		return;
	conn->state = STATE_CLOSED;
	dns_cancel(&conn->dns_request);
	connect_cancel(&conn->connect_request);
	stream_close(&conn->stream);
	loop_timer_close(&conn->timer);
	loop_task_cancel(&conn->task);
	conn->task.fn = connection_release;
	loop_defer(conn->loop, &conn->task);
}

void remote_connection_set_owner(struct remote_connection *conn,
				 const struct remote_connection_events *events, void *owner)
{
	conn->events = events;
	conn->owner = owner;
}

void remote_connection_expect(struct remote_connection *conn, unsigned ms,
			      enum remote_error error, const char *what)
{
	conn->timer_error = error;
	conn->timer_what = what;
	if (ms > 0)
		loop_timer_set(&conn->timer, ms);
	else
		loop_timer_clear(&conn->timer);
}

void connection_ready(struct remote_connection *conn)
{
	remote_connection_expect(conn, 0, REMOTE_ERROR_LOST, "");
	if (conn->renames != NULL)
		conn->renames->taken = true;
	conn->renames = NULL;
	conn->established = true;
	connection_enter(conn, STATE_READY);
	conn->events->ready(conn->owner);
}

/* Whether there is another address to try instead of the present one, which
 * answers but is of no use. */
static bool connection_drop_addr(struct remote_connection *conn)
{
	unsigned i, kept = 0;

	for (i = 0; i < conn->addr_count; i++)
		if (!addr_equal(&conn->addrs[i], &conn->addr))
			conn->addrs[kept++] = conn->addrs[i];
	conn->addr_count = kept;
	return kept > 0;
}

/* What answers and is of no use tells more than an address that does not answer. */
static void connection_note_unfit(struct remote_connection *conn,
				  enum remote_error error, const char *text)
{
	struct str note = STR_INIT;

	if (conn->unfit != NULL)
		return;
	addr_write(&note, &conn->addr);
	str_printf(&note, ": %s", text);
	conn->unfit = mem_strdup(str_c(&note));
	conn->unfit_error = error;
	str_free(&note);
}

void connection_unfit(struct remote_connection *conn, enum remote_error error,
		      const char *text)
{
	if (!connection_drop_addr(conn)) {
		connection_lost(conn, error, text);
		return;
	}
	connection_note_unfit(conn, error, text);
	conn->introduced = false;
	remote_identity_free(&conn->identity);
	stream_close(&conn->stream);
	connection_forget(conn);
	conn->secured = false;
	connection_connect(conn, conn->addrs, conn->addr_count);
}

void connection_failed(struct remote_connection *conn, enum remote_error error,
		       const char *text)
{
	if (conn->established)
		connection_lost(conn, error, text);
	else
		connection_unfit(conn, error, text);
}

/* --- replies --- */

static void connection_reply(struct remote_connection *conn,
			     const struct smtp_reply *reply)
{
	if (conn->state != STATE_READY)
		connection_step(conn, reply);
	else if (conn->renaming > 0)
		connection_rename_reply(conn, reply);
	else
		conn->events->reply(conn->owner, reply);
}

/* 220 that answers nothing else is a reply too many: each later one would be
 * taken for that to the next command. */
static bool connection_may_be_greeted(const struct remote_connection *conn)
{
	return conn->state == STATE_GREETING ||
	       conn->state == STATE_STARTTLS ||
	       conn->state == STATE_XCLIENT || conn->renaming > 0;
}

static bool connection_speaks(const struct remote_connection *conn)
{
	return conn->state >= STATE_GREETING && conn->state <= STATE_READY;
}

static void connection_input(struct remote_connection *conn, const char *data,
			     size_t len)
{
	struct smtp_reply reply;
	struct err err;
	size_t used;
	int ret;

	/* Whoever hears a reply may close the connection, or go on to another
	 * address. */
	while (connection_speaks(conn) && len > 0) {
		ret = smtp_reply_parse(&conn->parser, data, len, &used, &reply,
				       &err);
		if (ret < 0)
			connection_failed(conn, REMOTE_ERROR_BAD_REPLY,
					  err.text);
		if (ret <= 0)
			return;
		data += used;
		len -= used;
		conn->unread = len;
		/* Till it is ready, a peer is asked one thing at a time. */
		if (conn->state != STATE_READY && len > 0)
			connection_failed(conn, REMOTE_ERROR_BAD_REPLY,
					  "the server speaks out of turn");
		else if (reply.code == 220 && !connection_may_be_greeted(conn))
			connection_failed(conn, REMOTE_ERROR_BAD_REPLY,
					  "the server greets out of turn");
		else
			connection_reply(conn, &reply);
	}
}

static void connection_readable(struct stream *stream, void *owner)
{
	struct remote_connection *conn = owner;
	char buf[READ_SIZE];
	size_t len;
	int ret = stream_read(stream, buf, sizeof(buf), &len);

	if (ret > 0)
		connection_input(conn, buf, len);
	else if (ret < 0)
		connection_failed(conn, conn->established ?
				  REMOTE_ERROR_LOST : REMOTE_ERROR_CONNECT,
				  stream_error(stream));
}

static void connection_writable(struct stream *stream, void *owner)
{
	struct remote_connection *conn = owner;

	(void)stream;
	if (conn->state == STATE_READY)
		conn->events->writable(conn->owner);
}

/* A peer that stops reading may have said why: what it wrote is read before
 * the end that follows it. */
static void connection_broken(struct stream *stream, void *owner)
{
	struct remote_connection *conn = owner;

	if (conn->state == STATE_HANDSHAKE)
		connection_unfit(conn,
				 stream_is_untrusted(stream)
					 ? REMOTE_ERROR_UNTRUSTED
					 : REMOTE_ERROR_TLS,
				 stream_error(stream));
}

static void connection_secured(struct stream *stream, void *owner)
{
	struct remote_connection *conn = owner;
	struct str text = STR_INIT;
	struct tls_info info;

	phase_is_over(conn, &conn->stats->tls);
	stream_tls_info(stream, &info);
	tls_info_write(&text, &info);
	log_debug(&conn->log, "%s%s", str_c(&text),
		  info.resumed ? ", resumed" : "");
	str_free(&text);
	conn->secured = true;
	connection_forget(conn);
	connection_enter(conn, conn->target->tls == REMOTE_TLS_STARTTLS
				       ? STATE_HELLO
				       : STATE_GREETING);
}

static const struct stream_handler connection_handler = {
	.readable = connection_readable,
	.writable = connection_writable,
	.broken = connection_broken,
	.secured = connection_secured,
};

static void connection_open_rawlog(struct remote_connection *conn)
{
	const char *dir = conn->settings->rawlog_dir;
	struct rawlog *rawlog;
	struct err err;

	if (dir == NULL)
		return;
	if (rawlog_open(dir, conn->settings->rawlog_counter, &rawlog, &err) < 0)
		log_error(NULL, "%s", err.text);
	stream_set_rawlog(conn->stream, rawlog);
}

static void connection_connected(void *arg, int fd, const struct addr *addr,
				 const char *error)
{
	struct remote_connection *conn = arg;

	conn->connect_request = NULL;
	if (fd < 0) {
		connection_lost(conn, REMOTE_ERROR_CONNECT, error);
		return;
	}
	phase_is_over(conn, &conn->stats->connect);
	conn->addr = *addr;
	conn->stream = stream_new(conn->loop, fd, &connection_handler, conn);
	connection_open_rawlog(conn);
	connection_enter(conn, conn->target->tls == REMOTE_TLS_IMMEDIATE
				       ? STATE_HANDSHAKE
				       : STATE_GREETING);
}

static void connection_connect(struct remote_connection *conn,
			       const struct addr *addrs, unsigned count)
{
	const struct remote_target *target = conn->target;
	struct connect_params params = {
		.addrs = addrs,
		.count = count,
		.source = target->source.len > 0 ? &target->source : NULL,
		.timeout_ms = conn->settings->connect_timeout,
		.stagger_ms = CONNECT_STAGGER_MS,
	};

	conn->state = STATE_CONNECT;
	phase_begins(conn);
	conn->connect_request =
		connect_start(conn->loop, &params, connection_connected, conn);
}

static void connection_resolved(void *arg, const struct dns_answer *answer)
{
	struct remote_connection *conn = arg;
	unsigned i;

	conn->dns_request = NULL;
	if (answer->count == 0) {
		connection_lost(conn, REMOTE_ERROR_DNS, answer->error);
		return;
	}
	phase_is_over(conn, &conn->stats->dns);
	conn->addrs = mem_alloc(answer->count * sizeof(*conn->addrs));
	conn->addr_count = answer->count;
	for (i = 0; i < answer->count; i++) {
		conn->addrs[i] = answer->addrs[i];
		addr_set_port(&conn->addrs[i], conn->target->port);
	}
	connection_connect(conn, conn->addrs, conn->addr_count);
}

static void connection_resolve(struct remote_connection *conn)
{
	const struct remote_target *target = conn->target;

	phase_begins(conn);
	if (target->addr.len > 0)
		connection_connect(conn, &target->addr, 1);
	else
		conn->dns_request = dns_lookup(conn->dns, target->host,
					       connection_resolved, conn);
}

static void connection_start_tls(struct remote_connection *conn)
{
	phase_begins(conn);
	stream_start_tls(conn->stream, tls_connect(*conn->tls, &conn->log));
}

void connection_enter(struct remote_connection *conn,
		      enum connection_state state)
{
	conn->state = state;
	if (state == STATE_RESOLVE)
		connection_resolve(conn);
	else if (state == STATE_HELLO)
		connection_say_hello(conn);
	else if (state == STATE_HELO)
		connection_say(conn, "HELO");
	else if (state == STATE_STARTTLS)
		stream_puts(conn->stream, "STARTTLS\r\n");
	else if (state == STATE_HANDSHAKE)
		connection_start_tls(conn);
	else if (state == STATE_XCLIENT)
		connection_send_xclient(conn);
}

bool remote_connection_drained(const struct remote_connection *conn)
{
	return conn->unread == 0 && conn->parser.size == 0 &&
	       conn->renaming == 0;
}

static bool connection_is_mail_reply(const struct remote_connection *conn,
				     const struct smtp_reply *reply)
{
	struct str text = STR_INIT;
	bool same;

	smtp_reply_describe(&text, reply);
	same = strcmp(str_c(&text), conn->mail_reply) == 0;
	str_free(&text);
	return same;
}

bool remote_connection_in_step(struct remote_connection *conn,
			       const struct smtp_reply *reply)
{
	struct str text = STR_INIT;

	if (conn->mail_reply != NULL)
		return !conn->mail_ambiguous &&
		       connection_is_mail_reply(conn, reply);
	smtp_reply_describe(&text, reply);
	conn->mail_reply = mem_strdup(str_c(&text));
	str_free(&text);
	return true;
}

void remote_connection_note_final(struct remote_connection *conn,
				  const struct smtp_reply *reply)
{
	if (conn->mail_reply != NULL && connection_is_mail_reply(conn, reply))
		conn->mail_ambiguous = true;
}

struct stream *remote_connection_stream(struct remote_connection *conn)
{
	return conn->stream;
}

const struct smtp_capabilities *
remote_connection_capabilities(const struct remote_connection *conn)
{
	return &conn->caps;
}

const struct addr *remote_connection_addr(const struct remote_connection *conn)
{
	return &conn->addr;
}

uint64_t remote_connection_opened_us(const struct remote_connection *conn)
{
	return conn->opened_us;
}
