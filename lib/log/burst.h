/* Errors that repeat: how many lines of one kind may be written in ten seconds,
 * and what to say of those that were held back. For log/log.c; see log_error_burst
 * in waypost.conf(5). Thread-safe; only who has trouble to report comes here. */
#ifndef LIB_LOG_BURST_H
#define LIB_LOG_BURST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/log/log.h"

#define LOG_BURST_MS 10000

/* Further kinds, as long as so many have lines, count as one. */
#define LOG_BURST_KINDS 64

/* What is said once about lines that were held back. */
struct log_burst {
	enum log_level level;
	unsigned count;	   /* how many */
	unsigned seconds;  /* in how many */
	char context[128]; /* of one that was written; "": none */
	char message[512]; /* its text, not escaped */
};

/* How many lines of a kind are written; 0: all. */
void log_burst_limit(unsigned lines);

/* Counts one more line of that kind; returns whether it may be written. now_ms
 * is any clock that does not go back. */
bool log_burst_admits(enum log_level level, uint64_t kind, uint64_t now_ms);

/* Keeps a line that was written, as an example of its kind. */
void log_burst_example(uint64_t kind, const struct log_ctx *ctx,
		       const char *message, size_t len);

/* Whether anything is held back. Cheap. */
bool log_burst_pending(void);

/* Takes a summary whose ten seconds are over, or any (all); false when there is
 * none. */
bool log_burst_take(struct log_burst *burst_r, uint64_t now_ms, bool all);

#endif
