#include "backends/remote/transaction_private.h"

#include "lib/panic.h"

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

void trans_data_replied(struct remote_transaction *trans,
			const struct smtp_reply *reply)
{
	if (reply->code == 354) {
		trans_go(trans);
	} else if (smtp_reply_is_refusal(reply)) {
		remote_body_stop(&trans->body);
		trans_final_all(trans, &trans->accepted, reply, NULL);
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
void trans_pump(struct remote_transaction *trans)
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
		trans_final_all(trans, &trans->accepted, reply, NULL);
	else
		trans_final(trans, trans_first(&trans->accepted), reply, NULL);
	trans_refused_early(trans);
}

/* A chunk but the last: refused, or taken too early, it goes to nobody. */
static void trans_chunk_replied(struct remote_transaction *trans,
				const struct smtp_reply *reply)
{
	trans->body.chunk_owed = false;
	if (smtp_reply_is_refusal(reply)) {
		trans_final_all(trans, &trans->accepted, reply, NULL);
		trans_refused_early(trans);
	} else if (!smtp_reply_is_success(reply) || trans->body.chunk_left) {
		trans_bad_reply(trans, "BDAT", reply);
	} else {
		trans_pump(trans);
	}
}

void trans_body_replied(struct remote_transaction *trans,
			const struct smtp_reply *reply)
{
	if (trans->body.chunk_owed)
		trans_chunk_replied(trans, reply);
	else
		trans_early_reply(trans, reply);
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

void trans_final_replied(struct remote_transaction *trans,
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
		trans_final_all(trans, &trans->accepted, reply, NULL);
	else
		trans_final(trans, trans_first(&trans->accepted), reply, NULL);
	if (list_empty(&trans->accepted))
		trans_finished(trans);
	else
		trans_expect_data(trans, "no reply for all recipients");
}
