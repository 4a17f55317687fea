/* Whom a peer was told of with XCLIENT, and whether it can be told of another.
 * Private to backends/remote. */
#ifndef BACKENDS_REMOTE_IDENTITY_H
#define BACKENDS_REMOTE_IDENTITY_H

#include <stdbool.h>

#include "backends/remote/connection.h"
#include "lib/arena.h"
#include "lib/smtp/xclient.h"

/* Zeroed: nobody. */
struct remote_identity {
	unsigned listed; /* what the peer takes: enum smtp_xclient_attr */
	struct smtp_xclient told; /* what it got of that */
	struct arena *arena;	  /* where its texts live */
	bool spent; /* it does not take it again */
};

/* The peer is told now. */
void remote_identity_set(struct remote_identity *identity,
			 const struct smtp_xclient *xclient);

/* Having been told, the peer lists these. Postfix, which decides by the address
 * that it was told, lists none as a rule. */
void remote_identity_offered(struct remote_identity *identity, unsigned listed);

/* As remote_connection_fit(). Only what the peer lists counts. refused: it is
 * known to refuse XCLIENT once it was told. */
enum remote_fit remote_identity_fit(const struct remote_identity *identity,
				    const struct smtp_xclient *xclient,
				    bool refused);

/* Forgets everything. */
void remote_identity_free(struct remote_identity *identity);

#endif
