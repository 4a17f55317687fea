#include "backends/director/probe.h"

#include <string.h>

#include "lib/connect.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/smtp/capability.h"
#include "lib/smtp/reply.h"
#include "lib/str.h"
#include "lib/stream.h"
#include "lib/tls/tls.h"
#include "lib/utf8.h"

#define READ_SIZE 4096
#define STAGGER_MS 250 /* RFC 8305 5; there is one address */
#define QUIT_MS 1000 /* for RSET and QUIT: what they say does not matter */
#define REASON_MAX 200

enum probe_state {
	STATE_CONNECT,
	STATE_GREETING,
	STATE_HELLO,
	STATE_HELO, /* SMTP without extensions */
	STATE_STARTTLS,
	STATE_HANDSHAKE,
	STATE_MAIL,
	STATE_RCPT,
	STATE_RSET,
	STATE_QUIT,
	STATE_OVER,
};

struct director_probe {
	struct loop *loop;
	struct director_probe_params params;
	struct remote_target target;
	void (*fn)(void *arg, const char *error);
	void *arg;

	enum probe_state state;
	uint64_t deadline_us;
	struct loop_timer timer;
	struct connect_request *connect_request;
	struct stream *stream;
	struct tls_peer *tls;
	struct str name; /* of the target */
	struct log_ctx log;
	bool secured;
	struct smtp_reply_parser parser;
	struct smtp_capabilities caps;
	struct str error; /* empty: it is well */
	struct loop_task release;
};

static bool probe_is_smtp(const struct director_probe *probe)
{
	return probe->target.protocol == REMOTE_SMTP;
}

static const char *probe_stage(const struct director_probe *probe)
{
	static const char *const stages[] = {
		[STATE_CONNECT] = "connect",   [STATE_GREETING] = "greeting",
		[STATE_HELLO] = "LHLO",	       [STATE_HELO] = "HELO",
		[STATE_STARTTLS] = "STARTTLS", [STATE_HANDSHAKE] = "TLS",
		[STATE_MAIL] = "MAIL",	       [STATE_RCPT] = "RCPT",
		[STATE_RSET] = "RSET",	       [STATE_QUIT] = "QUIT",
	};

	return probe->state == STATE_HELLO && probe_is_smtp(probe)
		       ? "EHLO" : stages[probe->state];
}

/* --- the end --- */

static void probe_release(struct loop_task *task)
{
	struct director_probe *probe =
		container_of(task, struct director_probe, release);

	smtp_reply_parser_free(&probe->parser);
	str_free(&probe->error);
	str_free(&probe->name);
	mem_free(&probe);
}

static void probe_close(struct director_probe *probe)
{
	probe->state = STATE_OVER;
	connect_cancel(&probe->connect_request);
	stream_close(&probe->stream);
	tls_peer_unref(&probe->tls);
	loop_timer_close(&probe->timer);
	probe->release.fn = probe_release;
	loop_defer(probe->loop, &probe->release);
}

void director_probe_cancel(struct director_probe **probe)
{
	if (*probe == NULL)
		return;
	probe_close(*probe);
	*probe = NULL;
}

/* The outcome is known. */
static void probe_report(struct director_probe *probe)
{
	probe_close(probe);
	probe->fn(probe->arg,
		  probe->error.len > 0 ? str_c(&probe->error) : NULL);
}

/* The peer may have said it. */
static void probe_put_reason(struct director_probe *probe, const char *text)
{
	str_put_escaped(&probe->error, text,
			utf8_cut(text, strlen(text), REASON_MAX));
}

/* What is wrong at this stage. */
static void probe_set_error(struct director_probe *probe, const char *text)
{
	str_printf(&probe->error, "%s: ", probe_stage(probe));
	probe_put_reason(probe, text);
}

/* Fails, with no further word to a peer that would not hear it. Once the
 * outcome is known, it does not matter how the peer takes leave. */
static void probe_break(struct director_probe *probe, const char *text)
{
	if (probe->state < STATE_RSET)
		probe_set_error(probe, text);
	probe_report(probe);
}

static void probe_timeout(struct loop_timer *timer)
{
	probe_break(container_of(timer, struct director_probe, timer),
		    "timed out");
}

/* --- what is said --- */

static void probe_say(struct director_probe *probe, const char *verb,
		      const char *arg)
{
	struct str *out = stream_out(probe->stream);

	str_puts(out, verb);
	str_puts(out, arg);
	str_puts(out, "\r\n");
	stream_flush_later(probe->stream);
}

static void probe_start_tls(struct director_probe *probe)
{
	struct err err;

	probe->tls = tls_peer_new(probe->target.tls_context,
				  probe->target.host,
				  probe->target.any_cert ? TLS_ANY_CERT
							 : TLS_VERIFY,
				  &err);
	if (probe->tls == NULL)
		probe_break(probe, err.text);
	else
		stream_start_tls(probe->stream,
				 tls_connect(probe->tls, &probe->log));
}

static void probe_say_rcpt(struct director_probe *probe)
{
	struct str path = STR_INIT;

	str_printf(&path, "<%s>", probe->params.user);
	probe_say(probe, "RCPT TO:", str_c(&path));
	str_free(&path);
}

/* Every transition; entering a state sends. */
static void probe_enter(struct director_probe *probe, enum probe_state state)
{
	probe->state = state;
	if (state == STATE_HELLO)
		probe_say(probe, probe_is_smtp(probe) ? "EHLO " : "LHLO ",
			  probe->params.hostname);
	else if (state == STATE_HELO)
		probe_say(probe, "HELO ", probe->params.hostname);
	else if (state == STATE_STARTTLS)
		probe_say(probe, "STARTTLS", "");
	else if (state == STATE_HANDSHAKE)
		probe_start_tls(probe);
	else if (state == STATE_MAIL)
		probe_say(probe, "MAIL FROM:<>", "");
	else if (state == STATE_RCPT)
		probe_say_rcpt(probe);
	else if (state == STATE_RSET)
		probe_say(probe, "RSET", "");
	else if (state == STATE_QUIT)
		probe_say(probe, "QUIT", "");
}

/* The outcome is known, and the peer is still there. */
static void probe_leave(struct director_probe *probe, enum probe_state state)
{
	loop_timer_set(&probe->timer, QUIT_MS);
	probe_enter(probe, state);
}

/* --- what is heard --- */

static void probe_refused(struct director_probe *probe,
			  const struct smtp_reply *reply)
{
	struct str text = STR_INIT;

	smtp_reply_describe(&text, reply);
	if (reply->code == 421) {
		/* It closes the connection. */
		probe_break(probe, str_c(&text));
	} else {
		probe_set_error(probe, str_c(&text));
		probe_leave(probe, probe->state == STATE_RCPT ? STATE_RSET
							      : STATE_QUIT);
	}
	str_free(&text);
}

/* Whether a refusal of RCPT speaks of the mailbox, and not of the server. */
static bool is_about_mailbox(const struct smtp_reply *reply)
{
	if (reply->code / 100 != 4 || reply->code == 421)
		return false;
	if (reply->enhanced.class == 0)
		return reply->code == 450;
	return reply->enhanced.subject == 1 || reply->enhanced.subject == 2;
}

/* Every line of the reply but the first names a capability. */
static void probe_read_capabilities(struct director_probe *probe,
				    const char *text)
{
	const char *line = strchr(text, '\n');

	memset(&probe->caps, 0, sizeof(probe->caps));
	while (line != NULL) {
		const char *end = strchrnul(++line, '\n');

		smtp_capability_parse(&probe->caps, line,
				      (size_t)(end - line));
		line = *end != '\0' ? end : NULL;
	}
}

static void probe_hello_done(struct director_probe *probe)
{
	if (probe->target.tls == REMOTE_TLS_STARTTLS && !probe->secured) {
		if (probe->caps.flags & SMTP_CAP_STARTTLS) {
			probe_enter(probe, STATE_STARTTLS);
			return;
		}
		probe_set_error(probe, "the server does not offer STARTTLS");
		probe_leave(probe, STATE_QUIT);
	} else if (probe->params.level == DIRECTOR_PROBE_RCPT) {
		probe_enter(probe, STATE_MAIL);
	} else {
		probe_leave(probe, STATE_QUIT);
	}
}

/* The reply that the state asks for. */
static void probe_accepted(struct director_probe *probe,
			   const struct smtp_reply *reply)
{
	switch (probe->state) {
	case STATE_GREETING:
		if (probe->params.level == DIRECTOR_PROBE_GREETING)
			probe_leave(probe, STATE_QUIT);
		else
			probe_enter(probe, STATE_HELLO);
		break;
	case STATE_HELLO:
		probe_read_capabilities(probe, reply->text);
		probe_hello_done(probe);
		break;
	case STATE_HELO:
		probe_hello_done(probe);
		break;
	case STATE_STARTTLS:
		probe_enter(probe, STATE_HANDSHAKE);
		break;
	case STATE_MAIL:
		probe_enter(probe, STATE_RCPT);
		break;
	case STATE_RCPT:
		probe_leave(probe, STATE_RSET);
		break;
	case STATE_CONNECT:
	case STATE_HANDSHAKE:
	case STATE_RSET:
	case STATE_QUIT:
	case STATE_OVER:
		PANIC("reply in state %d", probe->state);
	}
}

static void probe_reply(struct director_probe *probe,
			const struct smtp_reply *reply)
{
	if (probe->state == STATE_RSET)
		probe_enter(probe, STATE_QUIT);
	else if (probe->state == STATE_QUIT)
		probe_report(probe);
	else if (smtp_reply_is_success(reply) ||
		 (probe->state == STATE_RCPT && is_about_mailbox(reply)))
		probe_accepted(probe, reply);
	else if (probe->state == STATE_HELLO && probe_is_smtp(probe) &&
		 (reply->code == 500 || reply->code == 502))
		probe_enter(probe, STATE_HELO);
	else
		probe_refused(probe, reply);
}

/* A peer that says more than it is asked would have later replies taken for
 * those to other commands. */
static const char *probe_out_of_turn(const struct director_probe *probe,
				     int code, size_t left)
{
	if (probe->state >= STATE_RSET)
		return NULL;
	if (left > 0)
		return "the server speaks out of turn";
	if (code == 220 && probe->state != STATE_GREETING &&
	    probe->state != STATE_STARTTLS)
		return "the server greets out of turn";
	return NULL;
}

static bool probe_listens(const struct director_probe *probe)
{
	return probe->state != STATE_CONNECT &&
	       probe->state != STATE_HANDSHAKE && probe->state != STATE_OVER;
}

/* The parser has escaped what it quotes. */
static void probe_garbled(struct director_probe *probe, const char *text)
{
	if (probe->state < STATE_RSET)
		str_printf(&probe->error, "%s: %s", probe_stage(probe), text);
	probe_report(probe);
}

static void probe_input(struct director_probe *probe, const char *data,
			size_t len)
{
	struct smtp_reply reply;
	const char *problem;
	struct err err;
	size_t used;
	int ret;

	while (probe_listens(probe) && len > 0) {
		ret = smtp_reply_parse(&probe->parser, data, len, &used,
				       &reply, &err);
		if (ret < 0)
			probe_garbled(probe, err.text);
		if (ret <= 0)
			return;
		data += used;
		len -= used;
		problem = probe_out_of_turn(probe, reply.code, len);
		if (problem != NULL)
			probe_break(probe, problem);
		else
			probe_reply(probe, &reply);
	}
}

static void probe_readable(struct stream *stream, void *owner)
{
	struct director_probe *probe = owner;
	char buf[READ_SIZE];
	size_t len;
	int ret = stream_read(stream, buf, sizeof(buf), &len);

	if (ret > 0)
		probe_input(probe, buf, len);
	else if (ret < 0)
		probe_break(probe, stream_error(stream));
}

static void probe_writable(struct stream *stream, void *owner)
{
	(void)stream;
	(void)owner;
}

/* What the peer said before the end can still be read; not in a handshake. */
static void probe_broken(struct stream *stream, void *owner)
{
	struct director_probe *probe = owner;

	if (probe->state != STATE_HANDSHAKE)
		return;
	probe_put_reason(probe, stream_error(stream)); /* names the stage */
	probe_report(probe);
}

static void probe_secured(struct stream *stream, void *owner)
{
	struct director_probe *probe = owner;

	(void)stream;
	probe->secured = true;
	probe_enter(probe, probe->target.tls == REMOTE_TLS_STARTTLS
				   ? STATE_HELLO
				   : STATE_GREETING);
}

static const struct stream_handler probe_handler = {
	.readable = probe_readable,
	.writable = probe_writable,
	.broken = probe_broken,
	.secured = probe_secured,
};

/* --- the start --- */

static void probe_connected(void *arg, int fd, const struct addr *addr,
			    const char *error)
{
	struct director_probe *probe = arg;
	uint64_t now = loop_now_us(probe->loop);

	(void)addr;
	probe->connect_request = NULL;
	if (fd < 0) {
		str_puts(&probe->error, error); /* names the stage */
		probe_report(probe);
		return;
	}
	probe->stream = stream_new(probe->loop, fd, &probe_handler, probe);
	loop_timer_set(&probe->timer, probe->deadline_us > now
			       ? (probe->deadline_us - now) / 1000 : 0);
	if (probe->params.level == DIRECTOR_PROBE_TCP)
		probe_report(probe);
	else
		probe_enter(probe, probe->target.tls == REMOTE_TLS_IMMEDIATE
					   ? STATE_HANDSHAKE
					   : STATE_GREETING);
}

struct director_probe *
director_probe_start(struct loop *loop,
		     const struct director_probe_params *params,
		     void (*fn)(void *arg, const char *error), void *arg)
{
	struct director_probe *probe = mem_new(struct director_probe);
	struct connect_params connect = {
		.count = 1,
		.timeout_ms = params->timeout_ms,
		.stagger_ms = STAGGER_MS,
	};

	ASSERT(params->target->addr.len > 0);
	ASSERT(params->level != DIRECTOR_PROBE_NO);
	probe->loop = loop;
	probe->params = *params;
	probe->target = *params->target;
	probe->fn = fn;
	probe->arg = arg;
	probe->deadline_us = loop_now_us(loop) + params->timeout_ms * 1000ULL;
	remote_target_write(&probe->name, &probe->target);
	probe->log.text = str_c(&probe->name);
	smtp_reply_parser_init(&probe->parser);
	loop_timer_open(&probe->timer, loop, probe_timeout);
	connect.addrs = &probe->target.addr;
	if (probe->target.source.len > 0)
		connect.source = &probe->target.source;
	probe->connect_request =
		connect_start(loop, &connect, probe_connected, probe);
	return probe;
}
