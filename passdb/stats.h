/* What a chain of one worker counts of each driver. */
#ifndef PASSDB_STATS_H
#define PASSDB_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/histogram.h"

#define PASSDB_STATS_DRIVERS 16 /* at least as many as there are */

struct passdb_driver_stats {
	const char *name; /* NULL: no such driver was asked */
	uint64_t found, not_found, failed;
	uint64_t answered_us, failed_us; /* loop time of the last; 0: none */
	struct histogram seconds; /* from question to answer */
	unsigned waiting; /* for a connection, when they were counted: see
			     passdb_count_waiting() */
};

struct passdb_stats {
	struct passdb_driver_stats drivers[PASSDB_STATS_DRIVERS];
};

/* The counts of the driver with that name, which is a constant. */
struct passdb_driver_stats *passdb_stats_find(struct passdb_stats *stats,
					      const char *name);

/* Whether nothing but failures came from all passdbs that were asked after
 * since_us (loop time). */
bool passdb_stats_are_dead(const struct passdb_stats *stats, uint64_t since_us);

/* Adds what other has counted. */
void passdb_stats_merge(struct passdb_stats *stats,
			const struct passdb_stats *other);

#endif
