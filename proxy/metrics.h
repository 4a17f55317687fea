/* What all workers have counted, as text for Prometheus and its like: in
 * OpenMetrics 1.0, or in the older format 0.0.4. */
#ifndef PROXY_METRICS_H
#define PROXY_METRICS_H

#include <stdbool.h>

#include "backends/director/users.h"
#include "backends/local/stats.h"
#include "backends/remote/stats.h"
#include "deliver/crew_counts.h"
#include "lib/str.h"
#include "passdb/cache.h"
#include "passdb/passdb_settings.h"
#include "passdb/stats.h"
#include "proxy/lookup/answers.h"
#include "proxy/stats.h"

/* Of the director. */
struct metrics_director {
	bool is_there;
	uint64_t generation;
	unsigned backends[3][2]; /* by enum director_admin, and if sick */
	uint64_t users, busy_users, moved_users;
	struct director_shares shares;
};

struct metrics_cluster {
	bool is_there, in_step, agreed, same_config, leads;
	uint64_t serial, lost_ms;
	unsigned nodes, away; /* processes, and nodes without one */
	unsigned doubted, kept_lost; /* servers */
};

/* Of deliveries to users who are here. */
struct metrics_local {
	bool is_there;
	struct local_stats stats;
	struct crew_counts crew;
};

struct metrics {
	struct worker_stats sessions;
	struct passdb_stats passdb[PASSDB_KINDS];
	struct remote_stats_table backends;
	struct metrics_local local;
	bool has_cache;
	struct passdb_cache_stats cache;
	unsigned long sessions_now, sessions_max;
	unsigned workers, workers_missing;
	bool draining;
	uint64_t lag_us; /* of the slowest worker's loop */
	uint64_t started_s; /* the time of day */
	unsigned long fds, fds_max;
	struct metrics_director director;
	struct metrics_cluster cluster;
	uint64_t answers[ANSWER_KINDS]; /* to other daemons */
};

/* Appends all of them. */
void metrics_write(struct str *out, const struct metrics *metrics,
		   bool openmetrics);

#endif
