/* One inbound LMTP connection. */
#ifndef PROXY_SESSION_SESSION_H
#define PROXY_SESSION_SESSION_H

#include <stdbool.h>

#include "lib/addr.h"
#include "lib/list.h"

struct session;
struct worker;

/* Starts a session on a connected, non-blocking fd, which it takes over: sends
 * the greeting and serves it until it ends, frees itself and says so with
 * worker_session_ended(). It is on worker->sessions meanwhile (its first
 * member is the struct list node). remote is the peer, local our end, flags
 * (enum listener_flag) are those of the listener. */
void session_start(struct worker *worker, int fd, const struct addr *local,
		   const struct addr *remote, unsigned flags);

/* The process is going to stop: the session ends as soon as no transaction is
 * under way, with 421 4.3.2 (at once when it is idle). */
void session_stop(struct session *session);

/* Another process serves new connections: the session ends like that, but not
 * before the client had one transaction, nor once it has begun another. */
void session_retire(struct session *session);

/* Ends the session now; transactions under way are aborted, so that nothing is
 * delivered that was not answered. */
void session_abort(struct session *session);

/* An administrator sends the client away: 421 4.3.2, now, or behind the replies
 * to a message that is complete, so that nothing is delivered twice. False: it
 * is about to end already. */
bool session_kick(struct session *session);

#endif
