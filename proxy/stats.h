/* What one worker thread counts of its sessions. */
#ifndef PROXY_STATS_H
#define PROXY_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/smtp/reply.h"

/* Enhanced codes come from backends: outcomes beyond so many different ones are
 * counted without theirs. */
#define STATS_OUTCOMES 64

/* How many recipients ended with one kind of reply. */
struct stats_outcome {
	bool local;	/* the reply was our own */
	unsigned class; /* 2, 4, 5 */
	struct smtp_enhanced enhanced; /* class 0: none, or any other */
	uint64_t count;
};

struct worker_stats {
	uint64_t sessions;     /* clients that came */
	uint64_t tls_sessions; /* of these, with TLS */
	uint64_t refused;      /* with 421 before they were a session */
	uint64_t transactions; /* MAIL commands that were taken */
	uint64_t messages;     /* that came in whole */
	uint64_t bytes;	       /* of these */
	uint64_t process_waits; /* recipients, for another process: session/settle.c */
	struct stats_outcome outcomes[STATS_OUTCOMES];
	unsigned outcome_count;
};

/* One recipient more has its outcome. */
void worker_stats_outcome(struct worker_stats *stats,
			  const struct smtp_reply *reply);

/* Adds what other has counted. */
void worker_stats_merge(struct worker_stats *stats,
			const struct worker_stats *other);

#endif
