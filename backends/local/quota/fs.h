/* The quota that a file system keeps for a user or a group: quotactl(2). */
#ifndef BACKENDS_LOCAL_QUOTA_FS_H
#define BACKENDS_LOCAL_QUOTA_FS_H

#include <stdbool.h>

#include "backends/local/quota/amount.h"
#include "lib/err.h"

/* Finds out what this process's user, or else its group, has on the file system that
 * path is on, and may have: the soft limit, or else the hard one; messages are files.
 * user, group: whose to ask for. Returns 1, 0 when there is no quota there, or -1. */
int quota_fs_get(const char *path, bool user, bool group,
		 struct quota_amount *used_r, struct quota_amount *limit_r,
		 struct err *err);

#endif
