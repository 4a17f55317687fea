#include "proxy/session/transaction_log.h"

#include "lib/log/log.h"
#include "proxy/session/private.h"
#include "proxy/session/recipient.h"
#include "proxy/session/transaction.h"

/* What became of its recipients. */
struct outcomes {
	unsigned all, sent, deferred, refused, unfinished;
	uint64_t start_us; /* of the first one; 0: there is none */
};

static void count_recipient(struct outcomes *outcomes,
			    const struct recipient *rcpt)
{
	if (outcomes->all++ == 0)
		outcomes->start_us = rcpt->start_us;
	if (rcpt->state != RECIPIENT_DONE)
		outcomes->unfinished++;
	else if (smtp_reply_is_success(&rcpt->reply))
		outcomes->sent++;
	else if (rcpt->reply.code / 100 == 4)
		outcomes->deferred++;
	else
		outcomes->refused++;
}

static const char *outcomes_result(const struct outcomes *outcomes)
{
	if (outcomes->unfinished > 0)
		return "aborted";
	if (outcomes->sent == 0)
		return "none";
	return outcomes->sent == outcomes->all ? "sent" : "partial";
}

static uint64_t since_ms(const struct transaction *trans, uint64_t from_us)
{
	uint64_t now_us = loop_now_us(trans->session->loop);

	return from_us != 0 && now_us > from_us ? (now_us - from_us) / 1000 : 0;
}

static void put_session(const struct session *session)
{
	log_field("session", session->id);
	addr_write_ip(log_begin_field("client"), &session->client.remote);
	log_end_field();
	log_field("helo", session->helo);
	log_field_bool("tls", session->secured);
}

static void put_outcomes(const struct outcomes *outcomes)
{
	log_field_number("recipients", outcomes->all);
	log_field_number("sent", outcomes->sent);
	log_field_number("deferred", outcomes->deferred);
	log_field_number("refused", outcomes->refused);
	log_field_number("unfinished", outcomes->unfinished);
}

void transaction_log(const struct transaction *trans)
{
	struct outcomes outcomes = { .all = 0 };
	struct list *node, *tmp;
	struct str *line;

	if (!log_has_fields())
		return;
	list_each(&trans->recipients, node, tmp)
		count_recipient(&outcomes, container_of(node, struct recipient,
							node));
	line = log_begin(LOG_LEVEL_INFO, &trans->log);
	str_puts(line, "transaction over: ");
	str_puts(line, outcomes_result(&outcomes));
	if (log_begin_fields("transaction")) {
		put_session(trans->session);
		log_field("transaction", trans->id);
		log_field("result", outcomes_result(&outcomes));
		log_field("from", trans->from.raw);
		put_outcomes(&outcomes);
		log_field_number("size", trans->spool != NULL
						 ? spool_size(trans->spool)
						 : 0);
		log_field_number("data_ms", since_ms(trans, trans->body_us));
		log_field_number("duration_ms",
				 since_ms(trans, outcomes.start_us));
	}
	log_end();
}
