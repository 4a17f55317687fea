/* What one worker thread counts of deliveries to users who are here. */
#ifndef BACKENDS_LOCAL_STATS_H
#define BACKENDS_LOCAL_STATS_H

#include <stdint.h>

#include "backends/local/mail/mail.h"
#include "lib/histogram.h"

/* Beside those of enum local_status: there was no answer to a delivery. */
#define LOCAL_STATS_NO_ANSWER (LOCAL_FAILED + 1)
#define LOCAL_STATS_RESULTS (LOCAL_STATS_NO_ANSWER + 1)

struct local_stats {
	uint64_t results[LOCAL_STATS_RESULTS]; /* of mails that were to be saved */
	uint64_t bytes; /* of those that were, with what stands before them */
	uint64_t links; /* those of them that are links to another one */
	uint64_t refused; /* at RCPT, over quota */
	/* From when it was asked for to the answer: is there room (lmtp_rcpt_check_quota),
	 * and saving. */
	struct histogram rcpt, data;
	/* Now: */
	unsigned under_way, waiting; /* asked for; and those that no process could be
					asked for yet */
};

/* The name of a result, for people and Prometheus. */
const char *local_stats_result_name(unsigned result);

/* Adds what other has counted. */
void local_stats_merge(struct local_stats *stats, const struct local_stats *other);

#endif
