/* A message's body on its way to one peer: read from the spool as it comes in,
 * put into the form that the peer takes (behind DATA, or in the chunks of
 * BDAT), and sent. Private to backends/remote. */
#ifndef BACKENDS_REMOTE_BODY_H
#define BACKENDS_REMOTE_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/smtp/stuff.h"
#include "lib/spool.h"
#include "lib/str.h"
#include "lib/stream.h"

struct remote_body {
	struct spool_reader reader;
	struct smtp_stuff stuff;
	bool chunked;	   /* BDAT */
	size_t end_sent;   /* bytes of smtp_stuff_end() */
	size_t chunk_left; /* bytes of the chunk that was announced */
	bool chunk_last;   /* that chunk is the last */
	bool chunk_owed;   /* the reply to one that was not the last */
};

enum remote_body_result {
	REMOTE_BODY_WAITS, /* for the client, or for the reply to a chunk */
	REMOTE_BODY_STUCK, /* the socket takes no more: stream_want_write() */
	REMOTE_BODY_SENT,  /* all of it, its end included */
	REMOTE_BODY_LOST,  /* the spool could not keep it: reader.error */
};

/* Puts the body on spool, which holds it in form; ready() is called when there
 * is more to send. chunked: the peer gets it with BDAT (RFC 3030); else behind
 * DATA. */
void remote_body_start(struct remote_body *body, struct spool *spool,
		       enum smtp_form form, bool chunked,
		       void (*ready)(struct spool_reader *reader));

/* Appends, for people, what REMOTE_BODY_LOST is due to. */
void remote_body_describe_loss(const struct remote_body *body,
			       struct str *out);

/* Takes it off the spool; idempotent. */
void remote_body_stop(struct remote_body *body);

/* Sends what there is, as far as the socket takes it. */
enum remote_body_result remote_body_send(struct remote_body *body,
					 struct stream *stream);

#endif
