/* The last lines about trouble, kept in memory for who asks: what log/log.c has
 * written of warnings and worse in this process. */
#ifndef LIB_LOG_RECENT_H
#define LIB_LOG_RECENT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/log/log.h"

/* No more lines than this, nor more bytes of text; the oldest make room. */
#define LOG_RECENT_LINES 1000
#define LOG_RECENT_BYTES (512 * 1024)

struct log_recent_line {
	uint64_t time_ms; /* since the Epoch */
	enum log_level level;
	char *text; /* "context: message", escaped as in a text log */
};

/* Calls fn for each line, oldest first. From any thread; fn must not log, and
 * threads that want to report an error wait for it. */
void log_recent_each(void (*fn)(void *arg, const struct log_recent_line *line),
		     void *arg);

/* For log/log.c: adds a line whose message, of len bytes, is not escaped. */
void log_recent_add(enum log_level level, const struct log_ctx *ctx,
		    const char *message, size_t len);

#endif
