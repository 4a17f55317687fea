#include "passdb/stats.h"

#include <string.h>

#include "lib/panic.h"

struct passdb_driver_stats *passdb_stats_find(struct passdb_stats *stats,
					      const char *name)
{
	unsigned i;

	for (i = 0; i < PASSDB_STATS_DRIVERS; i++) {
		if (stats->drivers[i].name == NULL)
			stats->drivers[i].name = name;
		if (stats->drivers[i].name == name ||
		    strcmp(stats->drivers[i].name, name) == 0)
			return &stats->drivers[i];
	}
	PANIC("more than %d passdb drivers", PASSDB_STATS_DRIVERS);
}

bool passdb_stats_are_dead(const struct passdb_stats *stats, uint64_t since_us)
{
	bool failed = false;
	unsigned i;

	for (i = 0; i < PASSDB_STATS_DRIVERS; i++) {
		const struct passdb_driver_stats *driver = &stats->drivers[i];

		if (driver->answered_us > since_us)
			return false;
		failed = failed || driver->failed_us > since_us;
	}
	return failed;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void passdb_stats_merge(struct passdb_stats *stats,
			const struct passdb_stats *other)
{
	unsigned i;

	for (i = 0; i < PASSDB_STATS_DRIVERS; i++) {
		const struct passdb_driver_stats *from = &other->drivers[i];
		struct passdb_driver_stats *to;

		if (from->name == NULL)
			break;
		to = passdb_stats_find(stats, from->name);
		to->found += from->found;
		to->not_found += from->not_found;
		to->failed += from->failed;
		to->waiting += from->waiting;
		to->answered_us = later(to->answered_us, from->answered_us);
		to->failed_us = later(to->failed_us, from->failed_us);
		histogram_merge(&to->seconds, &from->seconds);
	}
}
