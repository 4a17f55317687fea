/* Logging: levels, destinations, and contexts that say who is speaking.
 *
 * A line is "<timestamp> <prefix><context: context: >message". Text from
 * outside goes through the format arguments as it is: everything written is
 * escaped here (control bytes, DEL and backslash as \xHH), so that one event is
 * one line. */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdarg.h>
#include <stdbool.h>

#include "lib/err.h"

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_FATAL,
};

/* A member of the object that speaks. text belongs to that object; NULL: only
 * the parent's. */
struct log_ctx {
	const struct log_ctx *parent;
	const char *text;
};

struct log_settings {
	const char *path;	/* log_path: "syslog", "/dev/stderr", a file */
	const char *info_path;	/* "": as path */
	const char *debug_path; /* "": as info_path */
	const char *timestamp;	/* strftime format with trailing blank */
	const char *syslog_facility;
	const char *prefix;	/* behind the timestamp: "lmtp(4711): " */
	bool debug;		/* whether debug lines are written */
};

/* Opens the destinations; call it again after a reload. On failure (-1) the
 * earlier destinations stay. Not thread-safe against itself. Before the first
 * call everything goes to stderr. */
int log_open(const struct log_settings *settings, struct err *err);

/* Opens the files again under their names (after rotation). Any thread. */
void log_reopen(void);

/* Flushes and closes everything (stderr stays usable). */
void log_close(void);

/* Lines of one thread are collected and written with one system call by
 * log_flush(), at the end of a loop pass; error and fatal lines at once. */
void log_flush(void);

bool log_enabled(enum log_level level);
void log_debug(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_info(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_warning(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_error(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_fatal(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
