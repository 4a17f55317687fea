#include "backends/remote/transaction_private.h"

#include "lib/mem.h"
#include "lib/panic.h"

static const char *const trans_state_names[] = {
	"wait", "envelope", "ahead", "go", "data", "body", "final", "done",
};

static const struct remote_connection_events trans_events;

void trans_enter(struct remote_transaction *trans, enum trans_state state)
{
	log_debug(trans->log, "remote %s:%u: %s -> %s",
		  trans->peer->target.host, (unsigned)trans->peer->target.port,
		  trans_state_names[trans->state], trans_state_names[state]);
	trans->state = state;
}

/* --- outcomes --- */

void trans_move(struct remote_transaction *trans, struct remote_rcpt *rcpt,
		enum remote_rcpt_state state)
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

/* RFC 3207 4, RFC 4954 6: it is us who has to do something, whoever the mail is for. */
static void trans_denied(struct remote_rcpt *rcpt, const struct smtp_reply *reply)
{
	struct remote_failure failure = { .error = REMOTE_ERROR_DENIED };
	struct str text = STR_INIT;

	str_puts(&text, "the server wants TLS (passdb fields ssl, starttls), or a "
			"login, which waypost has not: ");
	smtp_reply_describe(&text, reply);
	failure.text = str_c(&text);
	rcpt->final(rcpt, NULL, &failure);
	str_free(&text);
}

void trans_final(struct remote_transaction *trans, struct remote_rcpt *rcpt,
		 const struct smtp_reply *reply, const struct remote_failure *failure)
{
	trans_move(trans, rcpt, REMOTE_RCPT_DONE);
	if (reply != NULL && reply->code == 530)
		trans_denied(rcpt, reply);
	else
		rcpt->final(rcpt, reply, failure);
}

void trans_final_all(struct remote_transaction *trans, struct list *list,
		     const struct smtp_reply *reply, const struct remote_failure *failure)
{
	while (!list_empty(list))
		trans_final(trans, trans_first(list), reply, failure);
}

static void trans_stop_waiting(struct remote_transaction *trans)
{
	if (trans->waiter == NULL)
		return;
	trans->peer->stats->waiting--;
	remote_limit_cancel(&trans->waiter);
}

static void trans_fail(struct remote_transaction *trans,
		       const struct remote_failure *failure)
{
	remote_body_stop(&trans->body);
	trans_stop_waiting(trans);
	remote_peer_close(trans->peer, &trans->conn);
	loop_timer_clear(&trans->wait_timer);
	trans_enter(trans, TRANS_DONE);
	trans_final_all(trans, &trans->accepted, NULL, failure);
	trans_final_all(trans, &trans->sent, NULL, failure);
	trans_final_all(trans, &trans->queued, NULL, failure);
}

void trans_fail_with(struct remote_transaction *trans, enum remote_error error,
		     const char *text)
{
	trans_fail(trans,
		   &(struct remote_failure){ .error = error, .text = text });
}

void trans_bad_reply(struct remote_transaction *trans, const char *step,
		     const struct smtp_reply *reply)
{
	struct str text = STR_INIT;

	str_printf(&text, "unexpected reply to %s: ", step);
	smtp_reply_describe(&text, reply);
	trans_fail_with(trans, REMOTE_ERROR_BAD_REPLY, str_c(&text));
	str_free(&text);
}

void trans_expect_reply(struct remote_transaction *trans, const char *what)
{
	remote_connection_expect(trans->conn, trans->settings->command_timeout,
				 REMOTE_ERROR_TIMEOUT, what);
}

bool trans_may_chunk(const struct remote_transaction *trans)
{
	return trans->settings->chunking &&
	       remote_connection_capabilities(trans->conn)->flags &
		       SMTP_CAP_CHUNKING;
}

void trans_give_back(struct remote_transaction *trans, bool reset)
{
	trans_enter(trans, TRANS_DONE);
	remote_peer_give_back(trans->peer, &trans->conn, trans->resetting,
			      reset, trans->settings);
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
	trans->peer->stats->waiting--;
	trans_connect(trans);
}

void remote_transaction_take(struct remote_transaction *trans,
			     struct remote_connection *conn)
{
	trans->waiter = NULL;
	trans->peer->stats->waiting--;
	trans->peer->stats->reused++;
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
	trans->peer->stats->waiting++;
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
		trans_move(trans, trans_first(&trans->queued), REMOTE_RCPT_SENT);
	while (!list_empty(&trans->sent))
		trans_move(trans, trans_first(&trans->sent), REMOTE_RCPT_QUEUED);
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

/* --- what the connection says --- */

static void trans_writable(void *owner)
{
	trans_pump(owner);
}

/* With what ends the connection. */
static void trans_lost_by(struct remote_transaction *trans,
			  const struct smtp_reply *reply)
{
	struct remote_failure failure = { .error = REMOTE_ERROR_LOST };
	struct str text = STR_INIT;

	smtp_reply_describe(&text, reply);
	failure.text = str_c(&text);
	trans_lost(trans, &failure);
	str_free(&text);
}

/* To what was asked. */
static void trans_answered(struct remote_transaction *trans,
			   const struct smtp_reply *reply)
{
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
		trans_body_replied(trans, reply);
		break;
	case TRANS_FINAL:
		trans_final_replied(trans, reply);
		break;
	case TRANS_WAIT:
	case TRANS_DONE:
		PANIC("reply in state %s", trans_state_names[trans->state]);
	}
}

static void trans_reply(void *owner, const struct smtp_reply *reply)
{
	struct remote_transaction *trans = owner;

	if (trans->resetting && smtp_reply_is_success(reply))
		trans->resetting = false;
	/* In WAIT it came before anything was asked. */
	else if (reply->code == 421 || trans->state == TRANS_WAIT ||
		 trans->resetting)
		trans_lost_by(trans, reply);
	else
		trans_answered(trans, reply);
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
	trans->peer->stats->transactions++;
	trans->peer->stats->reused += trans->reused;
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

bool remote_transaction_tells_ttl(const struct remote_transaction *trans)
{
	if (trans->xclient == NULL || trans->state == TRANS_WAIT)
		return trans->xclient != NULL;
	return remote_connection_was_told(trans->conn, SMTP_XCLIENT_TTL);
}

void remote_transaction_rcpt(struct remote_transaction *trans,
			     struct remote_rcpt *rcpt)
{
	ASSERT(remote_transaction_open(trans));
	trans_move(trans, rcpt, REMOTE_RCPT_QUEUED);
	loop_defer(trans->loop, &trans->task);
}

void remote_transaction_data_ahead(struct remote_transaction *trans)
{
	trans->ahead = true;
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
	trans_stop_waiting(trans);
	trans_release_connection(trans);
	loop_timer_close(&trans->wait_timer);
	loop_task_cancel(&trans->task);
	remote_peer_put(&trans->peer);
	arena_free(&trans->arena);
	mem_free(trans_p);
}

struct remote_stats *
remote_transaction_stats(const struct remote_transaction *trans)
{
	return trans->peer->stats;
}

uint64_t remote_transaction_ready_us(const struct remote_transaction *trans)
{
	return trans->ready_us;
}
