#include "backends/local/stats.h"

const char *local_stats_result_name(unsigned result)
{
	static const char *const names[LOCAL_STATS_RESULTS] = {
		[LOCAL_SAVED] = "saved",
		[LOCAL_NO_MAILBOX] = "no_mailbox",
		[LOCAL_OVER_QUOTA] = "over_quota",
		[LOCAL_TOO_BIG] = "too_big",
		[LOCAL_NO_SPACE] = "no_space",
		[LOCAL_NO_ACCESS] = "no_access",
		[LOCAL_GONE] = "gone",
		[LOCAL_NO_USER] = "no_user",
		[LOCAL_REFUSED] = "refused",
		[LOCAL_NOT_TAKEN] = "not_taken",
		[LOCAL_BAD_MESSAGE] = "bad_message",
		[LOCAL_NO_ROOM] = "no_room",
		[LOCAL_MISCONFIGURED] = "misconfigured",
		[LOCAL_FAILED] = "failed",
		[LOCAL_STATS_NO_ANSWER] = "no_answer",
	};

	return names[result];
}

void local_stats_merge(struct local_stats *stats, const struct local_stats *other)
{
	unsigned i;

	for (i = 0; i < LOCAL_STATS_RESULTS; i++)
		stats->results[i] += other->results[i];
	stats->bytes += other->bytes;
	stats->links += other->links;
	stats->refused += other->refused;
	histogram_merge(&stats->rcpt, &other->rcpt);
	histogram_merge(&stats->data, &other->data);
	stats->under_way += other->under_way;
	stats->waiting += other->waiting;
}
