#include "backends/remote/transaction.h"

#include "backends/remote/body.h"
#include "backends/remote/connection.h"
#include "backends/remote/envelope.h"
#include "backends/remote/peer.h"
#include "lib/arena.h"
#include "lib/mem.h"
#include "lib/panic.h"

enum trans_state {
	TRANS_WAIT,	/* for a connection */
	TRANS_ENVELOPE, /* MAIL and RCPT */
	TRANS_AHEAD,	/* DATA sent behind RCPTs, whose replies come first */
	TRANS_GO,	/* 354 is there before the message */
	TRANS_DATA,	/* DATA sent */
	TRANS_BODY,	/* sending the body */
	TRANS_FINAL,	/* the final dot is sent */
	TRANS_DONE,	/* every recipient has its outcome */
};

static const char *const trans_state_names[] = {
	"wait", "envelope", "ahead", "go", "data", "body", "final", "done",
};

enum mail_state { MAIL_UNSENT, MAIL_SENT, MAIL_ACCEPTED, MAIL_REFUSED };

struct remote_transaction {
	struct loop *loop;
	const struct remote_settings *settings;
	const struct remote_envelope *envelope;
	const struct smtp_xclient *xclient;
	const struct addr *self;
	const struct log_ctx *log;
	struct remote_peer *peer;
	struct remote_connection *conn;
	struct remote_waiter *waiter;
	struct loop_timer wait_timer;
	struct loop_task task; /* trans_continue() */

	enum trans_state state;
	enum mail_state mail;
	bool reused, replied; /* the connection; since we have it */
	bool resetting; /* the reply to another's RSET comes first */
	bool renaming;	/* the peer is told who this is for: not ready yet */
	bool ahead;	/* no more recipients: DATA may follow the RCPTs */
	bool asks_again; /* some RCPT may have to be repeated */
	bool out_of_step; /* perhaps: see remote_connection_in_step() */
	bool refused;	 /* a recipient, after the message */
	struct arena *arena;  /* of mail_reply; NULL till then */
	struct smtp_reply mail_reply;
	/* By state, each in the order of their RCPTs. */
	struct list queued, sent, accepted;
	unsigned sent_count;
	unsigned data_timeout; /* the longest of the accepted */

	struct remote_body body;
	uint64_t ready_us;
};

static const struct remote_connection_events trans_events;

static void trans_push(struct remote_transaction *trans);
static void trans_pump(struct remote_transaction *trans);

static struct remote_rcpt *rcpt_first(struct list *list)
{
	return list_first(list, struct remote_rcpt, node);
}

static void trans_enter(struct remote_transaction *trans,
			enum trans_state state)
{
	log_debug(trans->log, "remote %s:%u: %s -> %s",
		  trans->peer->target.host, (unsigned)trans->peer->target.port,
		  trans_state_names[trans->state], trans_state_names[state]);
	trans->state = state;
}

/* --- outcomes --- */

static void rcpt_move(struct remote_transaction *trans,
		      struct remote_rcpt *rcpt, enum remote_rcpt_state state)
{
	list_remove(&rcpt->node);
	if (rcpt->state == REMOTE_RCPT_SENT)
		trans->sent_count--;
	rcpt->state = state;
	if (state == REMOTE_RCPT_QUEUED) {
		list_append(&trans->queued, &rcpt->node);
	} else if (state == REMOTE_RCPT_SENT) {
		list_append(&trans->sent, &rcpt->node);
		trans->sent_count++;
	} else if (state == REMOTE_RCPT_ACCEPTED) {
		list_append(&trans->accepted, &rcpt->node);
	}
}

static void rcpt_final(struct remote_transaction *trans,
		       struct remote_rcpt *rcpt,
		       const struct smtp_reply *reply,
		       const struct remote_failure *failure)
{
	rcpt_move(trans, rcpt, REMOTE_RCPT_DONE);
	rcpt->final(rcpt, reply, failure);
}

static void final_all(struct remote_transaction *trans, struct list *list,
		      const struct smtp_reply *reply,
		      const struct remote_failure *failure)
{
	while (!list_empty(list))
		rcpt_final(trans, rcpt_first(list), reply, failure);
}

/* Everybody without an outcome fails; the connection is not used again. */
static void trans_fail(struct remote_transaction *trans,
		       const struct remote_failure *failure)
{
	remote_body_stop(&trans->body);
	remote_limit_cancel(&trans->waiter);
	remote_peer_close(trans->peer, &trans->conn);
	loop_timer_clear(&trans->wait_timer);
	trans_enter(trans, TRANS_DONE);
	final_all(trans, &trans->accepted, NULL, failure);
	final_all(trans, &trans->sent, NULL, failure);
	final_all(trans, &trans->queued, NULL, failure);
}

static void trans_fail_with(struct remote_transaction *trans,
			    enum remote_error error, const char *text)
{
	trans_fail(trans,
		   &(struct remote_failure){ .error = error, .text = text });
}

static void trans_bad_reply(struct remote_transaction *trans,
			    const char *step, const struct smtp_reply *reply)
{
	struct str text = STR_INIT;

	str_printf(&text, "unexpected reply to %s: ", step);
	smtp_reply_describe(&text, reply);
	trans_fail_with(trans, REMOTE_ERROR_BAD_REPLY, str_c(&text));
	str_free(&text);
}

/* --- getting a connection --- */

static void trans_ready(void *owner)
{
	struct remote_transaction *trans = owner;

	trans->renaming = false;
	trans->ready_us = loop_now_us(trans->loop);
	trans_enter(trans, TRANS_ENVELOPE);
	trans_push(trans);
}

static void trans_connect(struct remote_transaction *trans)
{
	loop_timer_clear(&trans->wait_timer);
	trans->conn = remote_peer_connect(trans->peer, trans->settings,
					  trans->xclient, &trans_events,
					  trans);
}

/* As trans_connect(), with the place of the connection that it has. */
static void trans_connect_anew(struct remote_transaction *trans)
{
	trans->reused = trans->resetting = trans->renaming = false;
	remote_peer_replace(trans->peer, &trans->conn, trans->settings,
			    trans->xclient, &trans_events, trans);
}

/* The connection was idle. */
static void trans_reuse(struct remote_transaction *trans)
{
	int ret = remote_peer_adopt(trans->peer, trans->conn, trans->settings,
				    trans->xclient);

	if (ret > 0)
		trans_ready(trans);
	else if (ret < 0)
		trans_connect_anew(trans);
	trans->renaming = ret == 0;
}

static void trans_granted(void *owner)
{
	struct remote_transaction *trans = owner;

	trans->waiter = NULL;
	trans_connect(trans);
}

void remote_transaction_take(struct remote_transaction *trans,
			     struct remote_connection *conn)
{
	trans->waiter = NULL;
	loop_timer_clear(&trans->wait_timer);
	trans->conn = conn;
	remote_connection_expect(conn, 0, REMOTE_ERROR_LOST, "");
	trans->reused = true;
	trans->replied = false;
	remote_connection_set_owner(conn, &trans_events, trans);
	loop_defer(trans->loop, &trans->task);
}

static void trans_waited(struct loop_timer *timer)
{
	struct remote_transaction *trans =
		container_of(timer, struct remote_transaction, wait_timer);

	trans_fail_with(trans, REMOTE_ERROR_BUSY,
			"no connection became free (see "
			"lmtp_proxy_pool_max_connections)");
}

static void trans_acquire(struct remote_transaction *trans)
{
	struct remote_limit *limit = trans->peer->limit;

	if (remote_limit_take(limit, trans->settings->pool_max_connections)) {
		trans_connect(trans);
		return;
	}
	trans->waiter = remote_limit_wait(limit, trans->loop, trans->peer,
					  trans_granted, trans);
	loop_timer_set(&trans->wait_timer, trans->settings->pool_wait_timeout);
}

/* A connection that was idle may have been closed by the peer meanwhile, or
 * XCLIENT refused on it: if nothing was heard on it yet, nothing is lost by
 * asking again. */
static void trans_retry(struct remote_transaction *trans)
{
	trans_enter(trans, TRANS_WAIT);
	/* In their order. */
	while (!list_empty(&trans->queued))
		rcpt_move(trans, rcpt_first(&trans->queued), REMOTE_RCPT_SENT);
	while (!list_empty(&trans->sent))
		rcpt_move(trans, rcpt_first(&trans->sent), REMOTE_RCPT_QUEUED);
	trans->mail = MAIL_UNSENT;
	trans_connect_anew(trans);
}

static void trans_lost(void *owner, const struct remote_failure *failure)
{
	struct remote_transaction *trans = owner;

	if (trans->reused && !trans->replied && trans->state <= TRANS_AHEAD &&
	    (failure->error == REMOTE_ERROR_LOST ||
	     failure->error == REMOTE_ERROR_XCLIENT))
		trans_retry(trans);
	else
		trans_fail(trans, failure);
}

/* --- envelope --- */

static void trans_send_mail(struct remote_transaction *trans)
{
	remote_envelope_write_mail(
		trans->envelope, remote_connection_capabilities(trans->conn),
		stream_out(remote_connection_stream(trans->conn)));
	trans->mail = MAIL_SENT;
}

static void trans_send_rcpt(struct remote_transaction *trans,
			    struct remote_rcpt *rcpt)
{
	const struct smtp_capabilities *caps =
		remote_connection_capabilities(trans->conn);

	remote_envelope_write_rcpt(
		rcpt, caps, stream_out(remote_connection_stream(trans->conn)));
	if (rcpt->force_orcpt && !(caps->flags & SMTP_CAP_DSN))
		trans->asks_again = true;
	rcpt_move(trans, rcpt, REMOTE_RCPT_SENT);
}

static bool trans_may_chunk(const struct remote_transaction *trans)
{
	return trans->settings->chunking &&
	       remote_connection_capabilities(trans->conn)->flags &
		       SMTP_CAP_CHUNKING;
}

/* Whether this peer is none for the recipient: ourself, or without something
 * that the recipient needs. */
static bool rcpt_impossible(struct remote_transaction *trans,
			    const struct remote_rcpt *rcpt,
			    struct remote_failure *failure)
{
	unsigned flags = remote_connection_capabilities(trans->conn)->flags;
	bool self = addr_equal(remote_connection_addr(trans->conn),
			       trans->self);

	if (!trans_may_chunk(trans))
		flags &= ~(unsigned)SMTP_CAP_BINARYMIME;
	return !remote_envelope_fits(trans->envelope, rcpt, flags, self,
				     failure);
}

static void trans_expect_reply(struct remote_transaction *trans,
			       const char *what)
{
	remote_connection_expect(trans->conn, trans->settings->command_timeout,
				 REMOTE_ERROR_TIMEOUT, what);
}

static bool trans_awaits_envelope(const struct remote_transaction *trans)
{
	return trans->mail == MAIL_SENT || trans->sent_count > 0;
}

/* Sends what the peer can take now: everything when it has PIPELINING, else
 * one command at a time. */
static void trans_push(struct remote_transaction *trans)
{
	bool pipelining;
	struct remote_failure failure;
	struct remote_rcpt *rcpt;

	if (trans->state != TRANS_ENVELOPE)
		return;
	pipelining = remote_connection_capabilities(trans->conn)->flags &
		     SMTP_CAP_PIPELINING;
	while ((rcpt = rcpt_first(&trans->queued)) != NULL) {
		if (rcpt_impossible(trans, rcpt, &failure)) {
			rcpt_final(trans, rcpt, NULL, &failure);
			continue;
		}
		if (trans->mail == MAIL_UNSENT)
			trans_send_mail(trans);
		if (!pipelining && trans_awaits_envelope(trans))
			break;
		trans_send_rcpt(trans, rcpt);
	}
	if (trans->ahead && pipelining && !trans->asks_again &&
	    trans_awaits_envelope(trans) && !trans_may_chunk(trans)) {
		stream_puts(remote_connection_stream(trans->conn), "DATA\r\n");
		trans_enter(trans, TRANS_AHEAD);
	}
	if (trans_awaits_envelope(trans)) {
		stream_flush_later(remote_connection_stream(trans->conn));
		trans_expect_reply(trans, "no reply to MAIL or RCPT");
	}
}

static void trans_mail_replied(struct remote_transaction *trans,
			       const struct smtp_reply *reply)
{
	if (smtp_reply_is_success(reply)) {
		trans->mail = MAIL_ACCEPTED;
		trans->out_of_step =
			trans_may_chunk(trans) &&
			!remote_connection_in_step(trans->conn, reply);
		if (trans->out_of_step &&
		    trans->envelope->params->body == SMTP_BODY_BINARYMIME)
			trans_bad_reply(trans, "MAIL", reply);
		return;
	}
	if (!smtp_reply_is_refusal(reply)) {
		trans_bad_reply(trans, "MAIL", reply);
		return;
	}
	trans->mail = MAIL_REFUSED;
	trans->arena = arena_new(256);
	smtp_reply_copy(trans->arena, &trans->mail_reply, reply);
	final_all(trans, &trans->queued, &trans->mail_reply, NULL);
}

/* After a refused MAIL the replies to RCPT mean nothing: they are read, and
 * MAIL's reply is everybody's. */
static void trans_rcpt_replied(struct remote_transaction *trans,
			       const struct smtp_reply *reply)
{
	struct remote_rcpt *rcpt = rcpt_first(&trans->sent);

	if (trans->mail == MAIL_REFUSED) {
		rcpt_final(trans, rcpt, &trans->mail_reply, NULL);
	} else if (smtp_reply_is_success(reply)) {
		rcpt_move(trans, rcpt, REMOTE_RCPT_ACCEPTED);
		if (rcpt->data_timeout > trans->data_timeout)
			trans->data_timeout = rcpt->data_timeout;
		rcpt->accepted(rcpt, reply);
	} else if (trans->asks_again && rcpt->force_orcpt &&
		   (reply->code == 501 || reply->code == 555)) {
		/* Perhaps only for the ORCPT that it never offered. */
		rcpt->force_orcpt = false;
		rcpt_move(trans, rcpt, REMOTE_RCPT_QUEUED);
	} else if (smtp_reply_is_refusal(reply)) {
		rcpt_final(trans, rcpt, reply, NULL);
	} else {
		trans_bad_reply(trans, "RCPT", reply);
	}
}

/* Everybody has an outcome, and no reply is owed but to another's RSET. */
static void trans_give_back(struct remote_transaction *trans, bool reset)
{
	trans_enter(trans, TRANS_DONE);
	remote_peer_give_back(trans->peer, &trans->conn, trans->resetting,
			      reset, trans->settings);
}

static void trans_envelope_replied(struct remote_transaction *trans,
				   const struct smtp_reply *reply)
{
	if (trans->mail == MAIL_SENT) {
		trans_mail_replied(trans, reply);
	} else if (trans->sent_count > 0) {
		trans_rcpt_replied(trans, reply);
	} else {
		trans_bad_reply(trans, "nothing", reply);
		return;
	}
	if (trans->state == TRANS_AHEAD)
		trans_expect_reply(trans, "no reply to RCPT or DATA");
	if (trans->state != TRANS_ENVELOPE)
		return;
	if (trans->mail == MAIL_REFUSED && trans->sent_count == 0) {
		trans_give_back(trans, true);
		return;
	}
	remote_connection_expect(trans->conn, 0, REMOTE_ERROR_LOST, "");
	trans_push(trans);
}

/* --- data --- */

static void trans_expect_data(struct remote_transaction *trans,
			      const char *what)
{
	remote_connection_expect(trans->conn, trans->data_timeout,
				 REMOTE_ERROR_DATA_TIMEOUT, what);
}

static void trans_reader_ready(struct spool_reader *reader)
{
	trans_pump(container_of(reader, struct remote_transaction,
				body.reader));
}

void remote_transaction_data_ahead(struct remote_transaction *trans)
{
	trans->ahead = true;
	loop_defer(trans->loop, &trans->task);
}

static void trans_send_data(struct remote_transaction *trans)
{
	trans_enter(trans, TRANS_DATA);
	stream_puts(remote_connection_stream(trans->conn), "DATA\r\n");
	trans_expect_reply(trans, "no reply to DATA");
}

void remote_transaction_data(struct remote_transaction *trans,
			     struct spool *spool, enum smtp_form form)
{
	bool chunked;

	if (list_empty(&trans->accepted)) {
		if (trans->conn != NULL && trans->state == TRANS_ENVELOPE)
			trans_give_back(trans, trans->mail != MAIL_UNSENT);
		return;
	}
	ASSERT(list_empty(&trans->queued) && trans->sent_count == 0);
	chunked = trans->state == TRANS_ENVELOPE && trans_may_chunk(trans) &&
		  !trans->out_of_step;
	remote_body_start(&trans->body, spool, form, chunked,
			  trans_reader_ready);
	if (chunked || trans->state == TRANS_GO)
		trans_enter(trans, TRANS_BODY);
	else if (trans->state == TRANS_ENVELOPE)
		trans_send_data(trans);
	else
		trans_enter(trans, TRANS_DATA);
}

/* 354. Where DATA went ahead, perhaps for nobody: then only a closed
 * connection is sure to deliver nothing. */
static void trans_go(struct remote_transaction *trans)
{
	remote_connection_expect(trans->conn, 0, REMOTE_ERROR_LOST, "");
	if (trans->state == TRANS_DATA) {
		trans_enter(trans, TRANS_BODY);
		trans_pump(trans);
	} else if (!list_empty(&trans->accepted)) {
		trans_enter(trans, TRANS_GO);
	} else {
		remote_peer_close(trans->peer, &trans->conn);
		trans_enter(trans, TRANS_DONE);
	}
}

static void trans_data_replied(struct remote_transaction *trans,
			       const struct smtp_reply *reply)
{
	if (reply->code == 354) {
		trans_go(trans);
	} else if (smtp_reply_is_refusal(reply)) {
		remote_body_stop(&trans->body);
		final_all(trans, &trans->accepted, reply, NULL);
		trans_give_back(trans, true);
	} else {
		trans_bad_reply(trans, "DATA", reply);
	}
}

static void trans_spool_lost(struct remote_transaction *trans)
{
	struct str text = STR_INIT;

	remote_body_describe_loss(&trans->body, &text);
	trans_fail_with(trans, REMOTE_ERROR_SPOOL, str_c(&text));
	str_free(&text);
}

/* While it is the client's turn there is no time limit for the backend. */
static void trans_body_waits(struct remote_transaction *trans)
{
	if (trans->body.chunk_owed)
		trans_expect_data(trans, "no reply to BDAT");
	else
		remote_connection_expect(trans->conn, 0, REMOTE_ERROR_LOST, "");
}

/* Sends the body as far as it is there and the socket takes it. To a peer that
 * speaks already nothing more is sent: it refuses the message, or is out of
 * step, and what it says must not be taken for its answer to the final dot. */
static void trans_pump(struct remote_transaction *trans)
{
	if (trans->state != TRANS_BODY)
		return;
	if (!remote_connection_drained(trans->conn)) {
		remote_connection_expect(
			trans->conn, trans->settings->command_timeout,
			REMOTE_ERROR_BAD_REPLY, "half a reply to the message");
		return;
	}
	switch (remote_body_send(&trans->body,
				 remote_connection_stream(trans->conn))) {
	case REMOTE_BODY_SENT:
		remote_body_stop(&trans->body);
		trans_enter(trans, TRANS_FINAL);
		trans_expect_data(trans, "no reply to the message");
		break;
	case REMOTE_BODY_STUCK:
		trans_expect_data(trans, "the server stopped reading");
		break;
	case REMOTE_BODY_WAITS:
		trans_body_waits(trans);
		break;
	case REMOTE_BODY_LOST:
		trans_spool_lost(trans);
		break;
	}
}

static void trans_writable(void *owner)
{
	trans_pump(owner);
}

static void trans_refused_early(struct remote_transaction *trans)
{
	trans_fail_with(trans, REMOTE_ERROR_LOST,
			"the server refused the message before its end");
}

/* A refusal before the final dot. Whether the peer means one recipient or all
 * cannot be told, and what it would make of the rest is unknown: a refusal
 * that is for now goes for all, one for good only for the recipient whose turn
 * it is. The final dot is never sent. */
static void trans_early_reply(struct remote_transaction *trans,
			      const struct smtp_reply *reply)
{
	bool all = reply->code / 100 == 4 ||
		   trans->peer->target.protocol == REMOTE_SMTP;

	if (!smtp_reply_is_refusal(reply)) {
		trans_bad_reply(trans, "an unfinished message", reply);
		return;
	}
	if (all)
		final_all(trans, &trans->accepted, reply, NULL);
	else
		rcpt_final(trans, rcpt_first(&trans->accepted), reply, NULL);
	trans_refused_early(trans);
}

/* A chunk but the last: refused, or taken too early, it goes to nobody. */
static void trans_chunk_replied(struct remote_transaction *trans,
				const struct smtp_reply *reply)
{
	trans->body.chunk_owed = false;
	if (smtp_reply_is_refusal(reply)) {
		final_all(trans, &trans->accepted, reply, NULL);
		trans_refused_early(trans);
	} else if (!smtp_reply_is_success(reply) || trans->body.chunk_left) {
		trans_bad_reply(trans, "BDAT", reply);
	} else {
		trans_pump(trans);
	}
}

/* Every recipient has the peer's word. What was refused may have been so before
 * the dot had arrived, and another answer may be on its way. */
static void trans_finished(struct remote_transaction *trans)
{
	if (!trans->refused) {
		trans_give_back(trans, false);
		return;
	}
	remote_peer_close(trans->peer, &trans->conn);
	trans_enter(trans, TRANS_DONE);
}

static void trans_final_replied(struct remote_transaction *trans,
				const struct smtp_reply *reply)
{
	if (!smtp_reply_is_success(reply) && !smtp_reply_is_refusal(reply)) {
		trans_bad_reply(trans, "the message", reply);
		return;
	}
	trans->refused |= smtp_reply_is_refusal(reply);
	if (trans->body.chunked)
		remote_connection_note_final(trans->conn, reply);
	if (trans->peer->target.protocol == REMOTE_SMTP)
		final_all(trans, &trans->accepted, reply, NULL);
	else
		rcpt_final(trans, rcpt_first(&trans->accepted), reply, NULL);
	if (list_empty(&trans->accepted))
		trans_finished(trans);
	else
		trans_expect_data(trans, "no reply for all recipients");
}

static void trans_reply(void *owner, const struct smtp_reply *reply)
{
	struct remote_transaction *trans = owner;
	struct remote_failure failure = { .error = REMOTE_ERROR_LOST };
	struct str text = STR_INIT;

	if (trans->resetting && smtp_reply_is_success(reply)) {
		trans->resetting = false;
		return;
	}
	/* In WAIT it came before anything was asked. */
	if (reply->code == 421 || trans->state == TRANS_WAIT ||
	    trans->resetting) {
		smtp_reply_describe(&text, reply);
		failure.text = str_c(&text);
		trans_lost(trans, &failure);
		str_free(&text);
		return;
	}
	trans->replied = true;
	switch (trans->state) {
	case TRANS_ENVELOPE:
		trans_envelope_replied(trans, reply);
		break;
	case TRANS_AHEAD:
		if (trans_awaits_envelope(trans))
			trans_envelope_replied(trans, reply);
		else
			trans_data_replied(trans, reply);
		break;
	case TRANS_DATA:
		trans_data_replied(trans, reply);
		break;
	case TRANS_GO:
	case TRANS_BODY:
		if (trans->body.chunk_owed)
			trans_chunk_replied(trans, reply);
		else
			trans_early_reply(trans, reply);
		break;
	case TRANS_FINAL:
		trans_final_replied(trans, reply);
		break;
	case TRANS_WAIT:
	case TRANS_DONE:
		PANIC("reply in state %s", trans_state_names[trans->state]);
	}
}

static const struct remote_connection_events trans_events = {
	.ready = trans_ready,
	.reply = trans_reply,
	.writable = trans_writable,
	.lost = trans_lost,
};

/* --- life --- */

/* The end of a pass in which a recipient or an idle connection came. */
static void trans_continue(struct loop_task *task)
{
	struct remote_transaction *trans =
		container_of(task, struct remote_transaction, task);

	if (trans->state == TRANS_WAIT && trans->reused && !trans->renaming)
		trans_reuse(trans);
	else
		trans_push(trans);
}

struct remote_transaction *
remote_transaction_new(struct remote_pool *pool,
		       const struct remote_settings *settings,
		       const struct remote_target *target,
		       const struct remote_envelope *envelope,
		       const struct smtp_xclient *xclient,
		       const struct addr *self,
		       const struct log_ctx *log)
{
	struct remote_transaction *trans = mem_new(struct remote_transaction);

	trans->peer = remote_peer_get(pool, target);
	trans->loop = remote_peer_loop(trans->peer);
	trans->settings = settings;
	trans->envelope = envelope;
	trans->xclient = xclient;
	trans->self = self;
	trans->log = log;
	list_init(&trans->queued);
	list_init(&trans->sent);
	list_init(&trans->accepted);
	loop_timer_open(&trans->wait_timer, trans->loop, trans_waited);
	trans->task.fn = trans_continue;
	trans->conn = remote_peer_take_idle(trans->peer, xclient, &trans_events,
					    trans, &trans->resetting);
	trans->reused = trans->conn != NULL;
	if (!trans->reused)
		trans_acquire(trans);
	return trans;
}

const struct remote_target *
remote_transaction_target(const struct remote_transaction *trans)
{
	return &trans->peer->target;
}

bool remote_transaction_open(const struct remote_transaction *trans)
{
	return trans->state <= TRANS_ENVELOPE && trans->mail != MAIL_REFUSED &&
	       !trans->ahead;
}

void remote_transaction_rcpt(struct remote_transaction *trans,
			     struct remote_rcpt *rcpt)
{
	ASSERT(remote_transaction_open(trans));
	rcpt_move(trans, rcpt, REMOTE_RCPT_QUEUED);
	loop_defer(trans->loop, &trans->task);
}

static void trans_release_connection(struct remote_transaction *trans)
{
	unsigned replies = trans->sent_count + (trans->resetting ? 1 : 0);

	if (trans->conn == NULL)
		return;
	if (trans->state != TRANS_ENVELOPE) {
		remote_peer_close(trans->peer, &trans->conn);
		return;
	}
	if (trans->mail == MAIL_SENT)
		replies++;
	remote_peer_give_back(trans->peer, &trans->conn, replies,
			      trans->mail != MAIL_UNSENT, trans->settings);
}

void remote_transaction_free(struct remote_transaction **trans_p)
{
	struct remote_transaction *trans = *trans_p;

	if (trans == NULL)
		return;
	remote_body_stop(&trans->body);
	remote_limit_cancel(&trans->waiter);
	trans_release_connection(trans);
	loop_timer_close(&trans->wait_timer);
	loop_task_cancel(&trans->task);
	remote_peer_put(&trans->peer);
	arena_free(&trans->arena);
	mem_free(trans_p);
}

uint64_t remote_transaction_ready_us(const struct remote_transaction *trans)
{
	return trans->ready_us;
}
