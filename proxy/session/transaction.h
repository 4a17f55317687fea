/* One message of a client: from MAIL to the last reply. RSET frees it and
 * nothing else. */
#ifndef PROXY_SESSION_TRANSACTION_H
#define PROXY_SESSION_TRANSACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/remote/transaction.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/log/log.h"
#include "lib/smtp/address.h"
#include "lib/smtp/data.h"
#include "lib/smtp/params.h"
#include "lib/spool.h"
#include "lib/stream.h"
#include "proxy/reply_map.h"
#include "proxy/route.h"

struct local_message;
struct recipient;
struct session;

enum transaction_state {
	TRANSACTION_ENVELOPE, /* RCPTs come in */
	TRANSACTION_BODY,     /* the client sends the message */
	TRANSACTION_FINAL,    /* outcomes of the recipients come in */
};

struct transaction {
	struct session *session;
	struct arena *arena; /* everything that lives as long */
	const char *id;
	struct log_ctx log;
	enum transaction_state state;
	uint64_t start_us;

	struct smtp_address from;
	struct smtp_mail_params params;
	struct remote_envelope envelope;
	struct remote_settings remote_settings;

	struct list recipients; /* in RCPT order */
	struct routes_before routes; /* some of theirs */
	unsigned rcpt_count;	 /* RCPT commands, refused ones too */
	unsigned accepted;
	unsigned routing;	 /* recipients that may yet need a remote */
	bool data_ahead;	 /* DATA waits for the replies to RCPT */
	struct list remotes;	 /* struct remote_link */
	unsigned remote_count;	 /* so far */

	struct spool *spool;
	struct local_message *local; /* for those who are here; NULL: none */
	bool chunked;	     /* it comes with BDAT */
	uint64_t chunk_size, chunk_left; /* of this chunk; still to come */
	bool chunk_last;
	bool chunk_refused;  /* one that is missing: nothing can follow it */
	struct smtp_data data;
	struct str changed; /* what smtp_data_scan() had to rewrite */
	bool discarding; /* refused: read on to the end, keep nothing */
	enum reply_cause refusal; /* then: why */
	uint64_t body_us; /* when the final dot came */
};

/* Opens one. from and params live in arena, which the transaction takes
 * over. */
struct transaction *transaction_new(struct session *session,
				    struct arena *arena,
				    const struct smtp_address *from,
				    const struct smtp_mail_params *params);

/* Drops it with everything under way. Upstream connections that have not seen
 * the final dot deliver nothing. Clears the pointer; NULL is fine. */
void transaction_free(struct transaction **trans);

/* The upstream transaction for target, one for all recipients who share it,
 * routed there or referred. hops: how many backends sent the recipient on. */
struct remote_transaction *
transaction_remote(struct transaction *trans,
		   const struct remote_target *target, unsigned hops);

/* The client has sent DATA behind RCPTs that are not answered yet: so do the
 * upstream transactions, once it is known where each recipient goes. */
void transaction_data_ahead(struct transaction *trans);

/* One more recipient has its upstream transaction, or will have none. */
void transaction_recipient_routed(struct transaction *trans);

/* The address for Delivered-To (lmtp_hdr_delivery_address): of the one recipient who was
 * accepted and is here; NULL: there is none, or there are others who would learn of it,
 * or it is not to be shown. */
const char *transaction_local_address(const struct transaction *trans);

/* DATA: at least one recipient was accepted. */
void transaction_start_body(struct transaction *trans);

/* BDAT (RFC 3030): the same for the first chunk; a message that began with DATA
 * has none. Returns whether the chunk is complete already, being empty. */
bool transaction_start_chunk(struct transaction *trans, uint64_t size,
			     bool last);

/* Appends the reply to a chunk that is complete and not the last. */
void transaction_write_chunk_reply(const struct transaction *trans,
				   struct str *out);

/* Reads the message from the client's stream: 1: it, or the chunk, is complete
 * (what follows is in *rest); 0: more to come; -1: the client is gone.
 * *len_r: how many bytes came in. */
int transaction_read_body(struct transaction *trans, struct stream *stream,
			  struct str *rest, size_t *len_r);

/* Takes message bytes that came in with commands. Returns how many were used;
 * *done_r: the message, or the chunk, is complete with them. */
size_t transaction_take_body(struct transaction *trans, const char *data,
			     size_t len, bool *done_r);

/* The message is complete: has each accepted recipient's outcome sent, in
 * order, as they come in. */
void transaction_queue_outcomes(struct transaction *trans);

#endif
