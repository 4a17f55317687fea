/* One message on its way to one backend: MAIL, the RCPTs, the body, and one
 * final answer for each recipient.
 *
 * Made for N replies after the body (LMTP); SMTP's single one answers for all
 * recipients. Callbacks come from the loop, never inside a call of this
 * module; they must not free the transaction. */
#ifndef BACKENDS_REMOTE_TRANSACTION_H
#define BACKENDS_REMOTE_TRANSACTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backends/remote/pool.h"
#include "backends/remote/target.h"
#include "lib/list.h"
#include "lib/log/log.h"
#include "lib/smtp/params.h"
#include "lib/smtp/reply.h"
#include "lib/smtp/stuff.h"
#include "lib/smtp/xclient.h"
#include "lib/spool.h"

/* Why a recipient got no reply of the peer. */
enum remote_error {
	REMOTE_ERROR_DNS,
	REMOTE_ERROR_CONNECT, /* refused, unreachable, no or bad greeting */
	REMOTE_ERROR_LOST,    /* connection lost, or 421 */
	REMOTE_ERROR_BAD_REPLY,
	REMOTE_ERROR_TIMEOUT,	   /* to a command */
	REMOTE_ERROR_DATA_TIMEOUT, /* body sent, or stuck: no answer */
	REMOTE_ERROR_BUSY,	   /* connection limit: waited too long */
	REMOTE_ERROR_LOOP,	   /* the backend is ourself */
	REMOTE_ERROR_NO_SMTPUTF8,  /* needed, and the peer lacks it */
	REMOTE_ERROR_ADDRESS,	   /* the passdb's needs it: see rcpt.utf8 */
	REMOTE_ERROR_NO_DSN,	   /* NOTIFY given, and the peer lacks DSN */
	REMOTE_ERROR_NO_BINARYMIME, /* needed, and the peer lacks it */
	REMOTE_ERROR_SPOOL,	   /* the body could not be kept for it */
	REMOTE_ERROR_TLS,	   /* none to be had */
	REMOTE_ERROR_DENIED,	   /* 530: it wants TLS or a login first */
	REMOTE_ERROR_UNTRUSTED,	   /* its certificate does not verify */
	REMOTE_ERROR_XCLIENT,	   /* offered, and then refused */
};

struct remote_failure {
	enum remote_error error;
	const char *text; /* for people: what happened, at which step */
};

/* What holds for the connections of a transaction. Times in ms. */
struct remote_settings {
	const char *hostname;	       /* for LHLO and EHLO */
	unsigned connect_timeout;      /* DNS to LHLO's reply */
	unsigned command_timeout;
	unsigned pool_max_age, pool_max_idle;
	unsigned pool_max_connections; /* 0: no limit */
	unsigned pool_wait_timeout;
	bool chunking; /* BDAT to peers that offer it */
	/* For the connections that are opened (lib/rawlog.h); NULL: none. */
	const char *rawlog_dir;
	atomic_uint *rawlog_counter;
	bool rawlog_ends; /* with the transaction, and not the connection */
};

struct remote_envelope {
	const char *mail_from; /* between < and > */
	const struct smtp_mail_params *params;
	bool utf8; /* the sender's address needs SMTPUTF8 */
};

enum remote_rcpt_state {
	REMOTE_RCPT_QUEUED,   /* to be sent */
	REMOTE_RCPT_SENT,     /* waiting for the reply to RCPT */
	REMOTE_RCPT_ACCEPTED, /* waiting for the body and its reply */
	REMOTE_RCPT_DONE,     /* final() was called */
};

/* One recipient: a member of the caller's object, which outlives the
 * transaction. */
struct remote_rcpt {
	/* set by the caller: */
	const char *address; /* between < and > */
	const struct smtp_rcpt_params *params;
	bool utf8;	     /* the address needs SMTPUTF8, be it said by the
			      * client (envelope) or not */
	bool force_orcpt;    /* send ORCPT also where it is not offered */
	bool refuse_self;    /* fail with REMOTE_ERROR_LOOP at ourself */
	unsigned data_timeout; /* ms from the end of the body to its reply */

	/* The peer took the recipient; final() will follow. */
	void (*accepted)(struct remote_rcpt *rcpt,
			 const struct smtp_reply *reply);
	/* The outcome, at any stage: a reply of the peer, or (reply NULL) our
	 * failure to get one. Called exactly once. */
	void (*final)(struct remote_rcpt *rcpt, const struct smtp_reply *reply,
		      const struct remote_failure *failure);

	/* the module's own: */
	struct list node;
	enum remote_rcpt_state state;
};

struct remote_transaction;

/* Starts one: takes a connection from the pool, or opens one. All arguments
 * outlive the transaction (target is copied). xclient: for whom the message is
 * passed on, which peers that offer XCLIENT are told; NULL: nobody. self: our
 * own address, for recipients with refuse_self. */
struct remote_transaction *
remote_transaction_new(struct remote_pool *pool,
		       const struct remote_settings *settings,
		       const struct remote_target *target,
		       const struct remote_envelope *envelope,
		       const struct smtp_xclient *xclient,
		       const struct addr *self,
		       const struct log_ctx *log);

const struct remote_target *
remote_transaction_target(const struct remote_transaction *trans);

/* Whether the transaction can take further recipients. */
bool remote_transaction_open(const struct remote_transaction *trans);

/* Whether the peer is told a TTL with XCLIENT, or may yet be. */
bool remote_transaction_tells_ttl(const struct remote_transaction *trans);

/* Adds a recipient; its RCPT leaves as soon as the peer can take it. */
void remote_transaction_rcpt(struct remote_transaction *trans,
			     struct remote_rcpt *rcpt);

/* There will be no more recipients, and the message is going to follow: DATA
 * can be sent with the RCPTs where the peer has PIPELINING (RFC 2920 3.1),
 * which saves a round trip. remote_transaction_data() is still to come. */
void remote_transaction_data_ahead(struct remote_transaction *trans);

/* All recipients have been answered: sends DATA and then the body, as it comes
 * in; or, to a peer that offers CHUNKING (RFC 3030), the body in chunks: one
 * when all of it is there. form is what the spool holds. A connection for whose
 * recipients none waits for it is given back. */
void remote_transaction_data(struct remote_transaction *trans,
			     struct spool *spool, enum smtp_form form);

/* Ends it. A connection that is provably drained goes back to the pool; before
 * DATA it is reset first; else it is closed, so that a peer which has not seen
 * the final dot delivers nothing. Recipients without an outcome hear nothing.
 * Clears the pointer; NULL is fine. */
void remote_transaction_free(struct remote_transaction **trans);

/* For the log: when the connection was ready (us, loop time; 0: never). */
uint64_t remote_transaction_ready_us(const struct remote_transaction *trans);

/* Where its backend's phases are counted. */
struct remote_stats;
struct remote_stats *
remote_transaction_stats(const struct remote_transaction *trans);

#endif
