/* The inside of a transaction, for the files that implement it: transaction.c
 * (life, its connection, outcomes), transaction_envelope.c (MAIL and RCPT),
 * transaction_data.c (the message). */
#ifndef BACKENDS_REMOTE_TRANSACTION_PRIVATE_H
#define BACKENDS_REMOTE_TRANSACTION_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/remote/body.h"
#include "backends/remote/connection.h"
#include "backends/remote/peer.h"
#include "backends/remote/transaction.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/loop.h"

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
	bool utf8;	/* MAIL has SMTPUTF8, if the peer offers it */
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

static inline struct remote_rcpt *trans_first(struct list *list)
{
	return list_first(list, struct remote_rcpt, node);
}

void trans_enter(struct remote_transaction *trans, enum trans_state state);

/* Puts a recipient on the list of its state. */
void trans_move(struct remote_transaction *trans, struct remote_rcpt *rcpt,
		enum remote_rcpt_state state);

/* The outcome of one recipient, or of all on a list. */
void trans_final(struct remote_transaction *trans, struct remote_rcpt *rcpt,
		 const struct smtp_reply *reply,
		 const struct remote_failure *failure);
void trans_final_all(struct remote_transaction *trans, struct list *list,
		     const struct smtp_reply *reply,
		     const struct remote_failure *failure);

/* Everybody without an outcome fails; the connection is not used again. */
void trans_fail_with(struct remote_transaction *trans, enum remote_error error,
		     const char *text);
void trans_bad_reply(struct remote_transaction *trans, const char *step,
		     const struct smtp_reply *reply);

/* Everybody has an outcome, and no reply is owed but to another's RSET. */
void trans_give_back(struct remote_transaction *trans, bool reset);

/* The peer has command_timeout for its next reply. */
void trans_expect_reply(struct remote_transaction *trans, const char *what);

/* Whether the peer can be sent the message with BDAT. */
bool trans_may_chunk(const struct remote_transaction *trans);

/* --- transaction_envelope.c --- */

/* Sends what the peer can take now: everything when it has PIPELINING, else
 * one command at a time. */
void trans_push(struct remote_transaction *trans);

/* Whether a reply to MAIL or RCPT is owed. */
bool trans_awaits_envelope(const struct remote_transaction *trans);

void trans_envelope_replied(struct remote_transaction *trans,
			    const struct smtp_reply *reply);

/* --- transaction_data.c --- */

/* Goes on with the body, if it is its turn. */
void trans_pump(struct remote_transaction *trans);

/* Replies to DATA; to what is not complete yet; to the message. */
void trans_data_replied(struct remote_transaction *trans,
			const struct smtp_reply *reply);
void trans_body_replied(struct remote_transaction *trans,
			const struct smtp_reply *reply);
void trans_final_replied(struct remote_transaction *trans,
			 const struct smtp_reply *reply);

#endif
