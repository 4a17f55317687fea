/* A backend as one worker sees it: its idle connections, and its share in the
 * connection limit. Private to backends/remote. */
#ifndef BACKENDS_REMOTE_PEER_H
#define BACKENDS_REMOTE_PEER_H

#include "backends/remote/connection.h"
#include "backends/remote/limits.h"
#include "backends/remote/stats.h"
#include "backends/remote/target.h"

struct remote_peer {
	struct list node; /* in the pool's table */
	struct remote_pool *pool;
	struct remote_target target;
	struct remote_limit *limit;
	struct remote_stats *stats; /* the pool's, of all that share host:port */
	struct list idle;  /* struct idle, most recently used first */
	unsigned refs;	   /* transactions and connections */
	struct tls_peer *tls; /* its TLS sessions; NULL: none yet */
	struct loop_timer linger; /* how long these are kept without refs */
	struct remote_renames renames;
};

/* The peer for target (which is copied), made when new. */
struct remote_peer *remote_peer_get(struct remote_pool *pool,
				    const struct remote_target *target);
void remote_peer_put(struct remote_peer **peer);

struct loop *remote_peer_loop(const struct remote_peer *peer);


/* The idle connection used last among those that are not too old and fit
 * xclient, best as they are (see remote_connection_fit()); else NULL. Its place
 * in the limit comes with it. *resetting_r: the reply to RSET is still to come,
 * and the peer has PIPELINING. */
struct remote_connection *
remote_peer_take_idle(struct remote_peer *peer,
		      const struct smtp_xclient *xclient,
		      const struct remote_connection_events *events,
		      void *owner, bool *resetting_r);

/* Makes a connection that was idle one for xclient. 1: commands can follow; 0:
 * ready() is still to come; -1: it cannot be, and was told QUIT. */
int remote_peer_adopt(struct remote_peer *peer, struct remote_connection *conn,
		      const struct remote_settings *settings,
		      const struct smtp_xclient *xclient);

/* Opens a connection; the place in the limit is already taken. */
struct remote_connection *
remote_peer_connect(struct remote_peer *peer,
		    const struct remote_settings *settings,
		    const struct smtp_xclient *xclient,
		    const struct remote_connection_events *events, void *owner);

/* Closes a connection and opens another in its place. */
void remote_peer_replace(struct remote_peer *peer,
			 struct remote_connection **conn,
			 const struct remote_settings *settings,
			 const struct smtp_xclient *xclient,
			 const struct remote_connection_events *events,
			 void *owner);

/* Closes a connection of the peer and gives its place to the next. */
void remote_peer_close(struct remote_peer *peer,
		       struct remote_connection **conn);

/* Gives a waiting transaction a connection that is ready; implemented by the
 * transaction. */
void remote_transaction_take(struct remote_transaction *trans,
			     struct remote_connection *conn);

/* Takes a connection back. replies: how many are still to come for commands
 * already sent; reset: a transaction is open, send RSET. It is reused once all
 * these replies were read, and closed if its input is not drained. */
void remote_peer_give_back(struct remote_peer *peer,
			   struct remote_connection **conn, unsigned replies,
			   bool reset, const struct remote_settings *settings);

#endif
