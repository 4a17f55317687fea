/* One worker thread: its loop and everything that sessions on it share. */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "backends/remote/pool.h"
#include "lib/addr.h"
#include "lib/dns.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "passdb/passdb.h"
#include "proxy/settings.h"

/* What a session works with from its start to its end: one reading of the
 * configuration. Reference-counted within the thread. */
struct worker_view {
	unsigned refs;
	struct settings *settings;
	struct passdb *passdb;
};

struct worker {
	struct loop *loop;
	struct worker_view *view; /* for new sessions */
	struct dns *dns;
	struct remote_pool *pool;
	struct list sessions; /* struct session */
	atomic_uint session_count; /* read by the accepting thread */
	bool stopping; /* no new transactions: sessions end with 421 */
	char read_buf[16 * 1024]; /* input of commands, one session at a time */
};

struct worker_view *worker_view_ref(struct worker_view *view);
void worker_view_unref(struct worker_view **view);

/* A session of this worker has ended (it is off the list). */
void worker_session_ended(struct worker *worker);

#endif
