/* How many connections each backend has, over all workers, and who waits for
 * one: a fair queue. */
#ifndef BACKENDS_REMOTE_LIMITS_H
#define BACKENDS_REMOTE_LIMITS_H

#include <stdbool.h>

#include "backends/remote/pool.h"
#include "lib/list.h"
#include "lib/loop.h"

/* The count of one backend, which has places taken or is about to. Names come
 * from referrals and from what clients say, so that they are forgotten again. */
struct remote_limit;

/* One who waits. Belongs to this module; its owner forgets it with
 * remote_limit_cancel() or gets it back in granted(). */
struct remote_waiter;

/* A pool, whose idle connections have places too. Its own member; wanted(owner)
 * runs on its loop when somebody starts to wait for some backend. */
struct remote_limit_holder {
	struct list node;
	struct loop *loop;
	void (*wanted)(void *owner);
	void *owner;
};

/* A holder leaves on its own thread, once nobody can start to wait any more:
 * what was posted before is made before. */
void remote_limits_join(struct remote_limits *limits,
			struct remote_limit_holder *holder);
void remote_limits_leave(struct remote_limits *limits,
			 struct remote_limit_holder *holder);

/* The limit of the backend with that name ("host:port"), and a reference to
 * it. */
struct remote_limit *remote_limit_find(struct remote_limits *limits,
				       const char *name);

/* Gives up a reference, with no place taken under it, and clears the pointer;
 * NULL is fine. */
void remote_limit_unref(struct remote_limit **limit);

/* Takes a place if fewer than max are taken (max 0: always) and nobody waits.
 * Whoever got one gives it back with remote_limit_release(). */
bool remote_limit_take(struct remote_limit *limit, unsigned max);

/* Gives a place back: the first waiter gets it. */
void remote_limit_release(struct remote_limit *limit);

/* Queues up, and has the holders asked for what they do not need (after the
 * first in the queue, whatever becomes idle sees that somebody waits).
 * granted(owner) runs on loop once a place was taken for it. kind: with whom a
 * connection can be shared, see remote_limit_pass_on(). */
struct remote_waiter *remote_limit_wait(struct remote_limit *limit,
					struct loop *loop, const void *kind,
					void (*granted)(void *owner),
					void *owner);

/* Stops waiting; a place already granted goes to the next. Clears the pointer;
 * NULL is fine. */
void remote_limit_cancel(struct remote_waiter **waiter);

/* Whether anybody waits. */
bool remote_limit_contended(const struct remote_limit *limit);

/* If the first in the queue is of that kind: takes it off and returns its
 * owner, which can go on with the caller's connection; else NULL. */
void *remote_limit_pass_on(struct remote_limit *limit, const void *kind);

#endif
