#include "proxy/stats.h"

#include <string.h>

static bool same_kind(const struct stats_outcome *a,
		      const struct stats_outcome *b)
{
	return a->local == b->local && a->class == b->class &&
	       a->enhanced.class == b->enhanced.class &&
	       a->enhanced.subject == b->enhanced.subject &&
	       a->enhanced.detail == b->enhanced.detail;
}

static void add_outcome(struct worker_stats *stats,
			const struct stats_outcome *outcome)
{
	struct stats_outcome rest = *outcome;
	unsigned i;

	for (i = 0; i < stats->outcome_count; i++) {
		if (same_kind(&stats->outcomes[i], outcome)) {
			stats->outcomes[i].count += outcome->count;
			return;
		}
	}
	/* Room is left for those without: three classes of two origins. */
	if (stats->outcome_count < STATS_OUTCOMES - 6 ||
	    outcome->enhanced.class == 0) {
		stats->outcomes[stats->outcome_count++] = *outcome;
		return;
	}
	memset(&rest.enhanced, 0, sizeof(rest.enhanced));
	add_outcome(stats, &rest);
}

void worker_stats_outcome(struct worker_stats *stats,
			  const struct smtp_reply *reply)
{
	const struct stats_outcome outcome = {
		.local = reply->origin == SMTP_ORIGIN_LOCAL,
		.class = (unsigned)reply->code / 100,
		.enhanced = reply->enhanced,
		.count = 1,
	};

	add_outcome(stats, &outcome);
}

void worker_stats_merge(struct worker_stats *stats,
			const struct worker_stats *other)
{
	unsigned i;

	stats->sessions += other->sessions;
	stats->tls_sessions += other->tls_sessions;
	stats->refused += other->refused;
	stats->transactions += other->transactions;
	stats->messages += other->messages;
	stats->bytes += other->bytes;
	stats->process_waits += other->process_waits;
	for (i = 0; i < other->outcome_count; i++)
		add_outcome(stats, &other->outcomes[i]);
}
