#include "backends/remote/transaction_private.h"

#include "backends/remote/envelope.h"

static void trans_send_mail(struct remote_transaction *trans)
{
	struct list *node, *tmp;

	trans->utf8 = trans->envelope->params->smtputf8;
	list_each(&trans->queued, node, tmp)
		trans->utf8 |= container_of(node, struct remote_rcpt, node)->utf8;
	remote_envelope_write_mail(
		trans->envelope, trans->utf8,
		remote_connection_capabilities(trans->conn),
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
	trans_move(trans, rcpt, REMOTE_RCPT_SENT);
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
	if (trans->mail != MAIL_UNSENT && !trans->utf8)
		flags &= ~(unsigned)SMTP_CAP_SMTPUTF8;
	return !remote_envelope_fits(trans->envelope, rcpt, flags, self,
				     failure);
}

bool trans_awaits_envelope(const struct remote_transaction *trans)
{
	return trans->mail == MAIL_SENT || trans->sent_count > 0;
}

void trans_push(struct remote_transaction *trans)
{
	bool pipelining;
	struct remote_failure failure;
	struct remote_rcpt *rcpt;

	if (trans->state != TRANS_ENVELOPE)
		return;
	pipelining = remote_connection_capabilities(trans->conn)->flags &
		     SMTP_CAP_PIPELINING;
	while ((rcpt = trans_first(&trans->queued)) != NULL) {
		if (rcpt_impossible(trans, rcpt, &failure)) {
			trans_final(trans, rcpt, NULL, &failure);
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
	trans_final_all(trans, &trans->queued, &trans->mail_reply, NULL);
}

/* RFC 5321 4.2.2: 500, 501, 504 and 555 are about what was said, not to whom. */
static bool refuses_syntax(const struct smtp_reply *reply)
{
	return reply->code == 500 || reply->code == 501 ||
	       reply->code == 504 || reply->code == 555;
}

/* After a refused MAIL the replies to RCPT mean nothing: they are read, and
 * MAIL's reply is everybody's. */
static void trans_rcpt_replied(struct remote_transaction *trans,
			       const struct smtp_reply *reply)
{
	struct remote_rcpt *rcpt = trans_first(&trans->sent);

	if (trans->mail == MAIL_REFUSED) {
		trans_final(trans, rcpt, &trans->mail_reply, NULL);
	} else if (smtp_reply_is_success(reply)) {
		trans_move(trans, rcpt, REMOTE_RCPT_ACCEPTED);
		if (rcpt->data_timeout > trans->data_timeout)
			trans->data_timeout = rcpt->data_timeout;
		rcpt->accepted(rcpt, reply);
	} else if (trans->asks_again && rcpt->force_orcpt &&
		   refuses_syntax(reply)) {
		/* Perhaps only for the ORCPT that it never offered. */
		rcpt->force_orcpt = false;
		trans_move(trans, rcpt, REMOTE_RCPT_QUEUED);
	} else if (smtp_reply_is_refusal(reply)) {
		trans_final(trans, rcpt, reply, NULL);
	} else {
		trans_bad_reply(trans, "RCPT", reply);
	}
}

void trans_envelope_replied(struct remote_transaction *trans,
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
