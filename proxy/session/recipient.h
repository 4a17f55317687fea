/* One recipient of a message: looked up, routed, passed on, answered. */
#ifndef PROXY_SESSION_RECIPIENT_H
#define PROXY_SESSION_RECIPIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/remote/transaction.h"
#include "lib/dns.h"
#include "lib/list.h"
#include "lib/log/log.h"
#include "lib/smtp/address.h"
#include "lib/smtp/params.h"
#include "lib/smtp/reply.h"
#include "passdb/passdb.h"
#include "proxy/route.h"

struct recipient_local;
struct user_count;
struct redirect;
struct settle;
struct transaction;

enum recipient_state {
	RECIPIENT_LOOKUP,   /* asking the passdb */
	RECIPIENT_SETTLE,   /* the user has deliveries elsewhere */
	RECIPIENT_RESOLVE,  /* proxy_maybe: is that host ourself? */
	RECIPIENT_USERDB,   /* not proxied: who is it here? */
	RECIPIENT_RCPT,	    /* the backend has not answered yet */
	RECIPIENT_ACCEPTED, /* RCPT is answered with 2xx */
	RECIPIENT_DONE,	    /* has its outcome */
};

struct recipient {
	struct list node; /* in the transaction */
	struct list slot; /* in the session's queue of replies to send */
	struct transaction *trans;
	const char *id; /* the transaction's, with ":R2" from the second on */
	struct log_ctx log;
	enum recipient_state state;
	bool was_accepted; /* the client was told so: it gets an outcome */
	bool reply_ready;  /* reply can be sent */

	struct smtp_address address;
	size_t user_len; /* of the local part, without detail */
	struct smtp_rcpt_params params;
	struct passdb_request lookup;
	struct dns_request *resolve;
	struct route route;
	struct director_visit visit; /* of the user, if directed */
	bool inside;		     /* the delivery is under way */
	uint32_t server;	     /* to which one, then */
	struct settle *settle;	     /* NULL: it never had to wait */
	struct list barred; /* in worker->barred: the cluster does not agree */
	struct redirect *redirects; /* where it was already; newest first */
	unsigned hops;		    /* how many these are */
	struct remote_transaction *remote;
	struct remote_rcpt remote_rcpt;
	struct user_count *count; /* for the user's limit; NULL: none */
	struct recipient_local *local; /* NULL: not delivered here */

	struct smtp_reply reply; /* the next one for the client */
	struct smtp_reply said; /* for the log: a backend's 2xx to the message; or 0 */
	const char *failure; /* for the log: why a backend gave none; or NULL */
	uint64_t start_us, lookup_us, rcpt_us; /* when each phase was over */
};

/* Starts the way of a recipient that RCPT named. Its replies go out through
 * the session's queue: one to RCPT, and, if that was 2xx, one to the body.
 * given: what its lookup starts with (forward_*). */
void recipient_start(struct transaction *trans,
		     const struct smtp_address *address,
		     const struct smtp_rcpt_params *params,
		     const struct passdb_fields *given);

/* Sets rcpt->route by the answer to the lookup; stay: see addressee_director. */
void recipient_route(struct recipient *rcpt, const uint32_t *stay);

/* Does what rcpt->route says. */
void recipient_follow(struct recipient *rcpt);

/* Passes the recipient on to rcpt->route's target. */
void recipient_connect(struct recipient *rcpt);

/* Appends the reply that is due to out; the recipient is off the queue. */
void recipient_write_reply(struct recipient *rcpt, struct str *out);

/* Stops what is under way; the memory is the transaction's. */
void recipient_stop(struct recipient *rcpt);

/* The address that the mail was for when it was sent, by ORCPT; NULL: nobody says. */
const char *recipient_original(const struct recipient *rcpt);

/* Delivered here: RCPT is answered with 2xx. */
void recipient_accept(struct recipient *rcpt);

/* Ends it with the reply that is in rcpt->reply: its one outcome. */
void recipient_done(struct recipient *rcpt);

/* The same with our own reply; detail: see reply_map_cause(). */
void recipient_refuse(struct recipient *rcpt, enum reply_cause cause,
		      const char *detail);

/* Ends it with our own reply, unless it has an outcome. */
void recipient_fail(struct recipient *rcpt, enum reply_cause cause);

#endif
