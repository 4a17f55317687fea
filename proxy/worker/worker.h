/* One worker thread: its loop and everything that sessions on it share. The
 * functions marked "control" belong to the thread that made the workers; they
 * only post to the worker's loop. */
#ifndef PROXY_WORKER_WORKER_H
#define PROXY_WORKER_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backends/local/queue.h"
#include "backends/remote/pool.h"
#include "lib/addr.h"
#include "lib/dns.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "passdb/passdb.h"
#include "passdb/stats.h"
#include "proxy/rawlog_rules.h"
#include "proxy/settings/settings.h"
#include "proxy/stats.h"
#include "proxy/tls_set.h"

struct director_keeper;
struct user_limit;

/* What a session works with from its start to its end: one reading of the
 * configuration. Reference-counted within the thread. */
struct worker_view {
	struct list node; /* of worker->views */
	unsigned refs;
	struct settings *settings;
	struct tls_set *tls;
	struct passdb *passdb;

	struct passdb_shared *shared;
	struct worker_set *set;
};

/* All workers of the process. Immutable while they run, but for the atomics. */
struct worker_set {
	struct worker **workers;
	unsigned count;
	struct remote_limits *limits;
	struct director_users *users;
	struct director_notes *notes;
	struct user_limit *user_limit;
	struct director_keeper *keeper;
	atomic_ulong max_sessions; /* of the process */
	int min_client_fd, max_client_fd; /* others are refused: see
					     worker_set_reserve() */
	atomic_uint rawlogs;	   /* numbered over all workers */
	int requests; /* to those who deliver locally */
	int counts;   /* of these: deliver/crew_counts.h */
	int claims;   /* backends/director/claims.h; 0: none */
	bool as_root; /* waypost was started by root */
	struct loop *control;
	/* Called on the control loop, with arg: a worker has closed its
	 * listeners, after worker_close_listeners(); one that stops has no
	 * session any more. */
	void (*closed)(void *arg);
	void (*drained)(void *arg);
	void *arg;
};

struct worker {
	struct loop *loop;
	struct worker_view *view; /* for new sessions */
	struct director *director; /* as its servers are now; NULL: none */
	struct list barred; /* struct recipient: see proxy/session/settle.h */
	struct list views; /* struct worker_view: those in use */
	struct dns *dns;
	struct remote_pool *pool;
	struct local_queue *deliveries;
	struct list sessions; /* struct session */
	struct worker_stats stats;
	struct passdb_stats passdb_stats[PASSDB_KINDS];
	struct rawlog_rules rawlog_rules;
	atomic_uint session_count; /* read by the accepting thread */
	bool stopping; /* no new transactions: sessions end with 421 */
	bool draining; /* new connections are refused */
	bool drained;  /* that is over */
	char read_buf[16 * 1024]; /* input of commands, one session at a time */

	struct worker_set *set;
	struct list acceptors; /* struct acceptor */
	unsigned next_place;   /* whose turn it is among equals */
	unsigned index;
	pthread_t thread;
	bool started; /* there is a thread */
};

struct worker_view *worker_view_ref(struct worker_view *view);
void worker_view_unref(struct worker_view **view);

/* A session of this worker has ended (it is off the list). */
void worker_session_ended(struct worker *worker);

/* flags, here and below: enum listener_flag, of the listener. */

/* Of the descriptors that the process may still open, keeps half for what
 * sessions need: connections to backends and user databases, spool files. As
 * descriptors are given out from the lowest number on, the number of a client's
 * tells how many are in use. To be called once everything else is open. */
void worker_set_reserve(struct worker_set *set);

/* How many sessions there may be: by the settings, or by that, if these are fewer. */
unsigned long worker_set_room(const struct worker_set *set);

/* Takes over a connection that the acceptor counted for this worker: starts its
 * session. Own thread. */
void worker_take(struct worker *worker, int fd, const struct addr *local,
		 const struct addr *remote, unsigned flags);

/* Answers a connection with 421 4.3.2 (a client that expects TLS with nothing)
 * and closes it. Own thread. */
void worker_refuse(struct worker *worker, int fd, unsigned flags,
		   const char *why);

/* --- control --- */

/* What a view is made of; each gets references of its own. */
struct worker_source {
	struct settings *settings;
	struct tls_set *tls;
	struct passdb_shared *shared;
};

/* Makes a worker of set, whose first view is made of source. NULL when its
 * resolver cannot be set up. */
struct worker *worker_new(struct worker_set *set, unsigned index,
			  const struct worker_source *source, struct err *err);

/* Starts the thread. */
int worker_start(struct worker *worker, struct err *err);

/* New sessions work with these from now on. */
void worker_set_view(struct worker *worker, const struct worker_source *source);

/* Recipients are routed by that director (NULL: none) from now on. The worker gets
 * a reference of its own. */
void worker_set_director(struct worker *worker, struct director *director);

/* Accepts connections from a listening socket, which it takes over; name is for
 * worker_unlisten(). */
void worker_listen(struct worker *worker, uint32_t name, int fd,
		   unsigned flags);

/* Stops accepting from the socket and closes it. */
void worker_unlisten(struct worker *worker, uint32_t name);

/* Stops accepting; set->closed says when that is done. */
void worker_close_listeners(struct worker *worker);

/* Lets the sessions end, as session_stop() does, or session_retire(), after
 * which session_stop() may follow; set->drained says when they have. No worker
 * of the set accepts any more: a connection may be on its way from any of them
 * to this one. */
void worker_stop(struct worker *worker, bool retire);

/* Ends the sessions at once, after worker_stop(). */
void worker_abort(struct worker *worker);

/* Ends the thread (no session may be left), joins it and frees the worker.
 * Clears the pointer; NULL and a worker that was never started are fine. */
void worker_free(struct worker **worker);

#endif
