/* What one worker counts of each backend. Its own thread only. */
#ifndef BACKENDS_REMOTE_STATS_H
#define BACKENDS_REMOTE_STATS_H

#include <stdint.h>

#include "lib/histogram.h"
#include "lib/list.h"

/* Names come from referrals and databases: those beyond so many are counted
 * together, as "other". */
#define REMOTE_STATS_MAX 256

struct remote_stats {
	struct list node;
	const char *name; /* "host:port" */
	uint64_t connections, failed_connections;
	uint64_t reused; /* transactions on a connection that was idle */
	uint64_t transactions;
	/* Phases: */
	struct histogram dns, connect, tls, rcpt, data;
	/* Now: */
	unsigned open, idle; /* connections; idle ones are among the open */
	unsigned waiting;    /* transactions, for a connection */
};

struct remote_stats_table {
	struct list list;
	unsigned count;
};

void remote_stats_init(struct remote_stats_table *table);
void remote_stats_free(struct remote_stats_table *table);

/* The counts of the backend with that name, made when new; they stay. */
struct remote_stats *remote_stats_find(struct remote_stats_table *table,
				       const char *name);

/* Adds what other has counted. */
void remote_stats_merge(struct remote_stats *stats,
			const struct remote_stats *other);

#endif
