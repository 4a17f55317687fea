/* How much mail there is in a Maildir, counted. Blocks. */
#ifndef BACKENDS_LOCAL_QUOTA_MAILDIRSIZE_SCAN_H
#define BACKENDS_LOCAL_QUOTA_MAILDIRSIZE_SCAN_H

#include <stdbool.h>

#include "backends/local/maildir/folders.h"
#include "backends/local/quota/amount.h"
#include "lib/err.h"

/* Whether mail in that mailbox does not count. */
typedef bool maildirsize_ignore_fn(const void *context, const char *mailbox);

/* Counts all that is in new and cur of the mailboxes that are not ignored, by names
 * (",S=size"), or with stat(2) where these do not say. Starts again, a few times, when
 * something came or went meanwhile. Returns 0 or -1. */
int maildirsize_scan(const struct maildir_tree *tree,
		     maildirsize_ignore_fn *ignore, const void *context,
		     struct quota_amount *used_r, struct err *err);

#endif
