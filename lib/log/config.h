/* The log's settings with its open destinations, for log/log.c. */
#ifndef LIB_LOG_CONFIG_H
#define LIB_LOG_CONFIG_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/log/log.h"
#include "lib/str.h"

#define LOG_FD_SYSLOG (-1)
#define LOG_FIELD_MAX 1024 /* of a string in JSON, but for the message */

/* "Info: " and the like. */
extern const char *const log_level_names[];

/* One reading of the settings with its open destinations. Two levels that go
 * to the same file share its descriptor, which keeps their order. */
struct log_config {
	char *paths[LOG_FILES];
	int fds[LOG_FILES]; /* LOG_FD_SYSLOG, STDERR_FILENO, or our own */
	char *stamp_left, *stamp_right; /* around the microseconds */
	bool stamp_usecs;
	char *prefix, *ident;
	struct str heads[2][LOG_LEVEL_FATAL + 1]; /* prefix and level; of [1]
						     "Info: " is left out */
	bool json, priorities;
	struct str json_process; /* the members that all lines have alike */
	int facility;
	unsigned generation;
};

/* Opens what settings name, or takes over the files that another process has
 * opened (taken, if not NULL). NULL on failure: these stay the caller's. */
struct log_config *log_config_open(const struct log_settings *settings,
				   const int *taken, struct err *err);

/* Closes the files. */
void log_config_close(struct log_config *config);

/* Frees the memory and clears the pointer; NULL is fine. */
void log_config_free(struct log_config **config);

/* Opens a log file to append to it. */
int log_config_open_file(const char *path, int *fd_r, struct err *err);

/* Whether a level has a file of its own, opened by its path. */
bool log_config_has_file(const struct log_config *config, int file);

/* Whether the journal reads what is written to stderr: see systemd.exec(5). */
bool log_config_stderr_is_journal(void);

#endif
