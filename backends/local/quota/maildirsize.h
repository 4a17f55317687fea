/* The file maildirsize of a Maildir, from which follows how much mail there is
 * without reading all directories (Maildir++). Dovecot, Courier and others write to
 * it, too; it is right as far as they all do, and is made anew when it may not be:
 * when it is broken or has 5120 bytes, when the limits are others, or when the user
 * is over quota by a file that has several lines or is 15 minutes old.
 *
 * Those who do that here, and those who save a mail between maildirsize_begin() and
 * maildirsize_add(), keep out of each other's way with locks on the file, so that no
 * mail counts twice or never. Other programs do not know of these; who waits for one
 * goes on without it after some seconds. All of this blocks. */
#ifndef BACKENDS_LOCAL_QUOTA_MAILDIRSIZE_H
#define BACKENDS_LOCAL_QUOTA_MAILDIRSIZE_H

#include <stdbool.h>

#include "backends/local/maildir/folders.h"
#include "backends/local/quota/amount.h"
#include "backends/local/quota/maildirsize_scan.h"
#include "lib/err.h"

#define MAILDIRSIZE_MAX 5120  /* bytes; then it is time for a new one */
#define MAILDIRSIZE_STALE 900 /* seconds for which a full mailbox is believed */

struct maildirsize;

/* Opens nothing yet. tree and context have to stay. limit is what the settings say;
 * unless it is forced, that of the file, if there is one, takes its place. */
struct maildirsize *maildirsize_new(const struct maildir_tree *tree,
				    const struct quota_amount *limit,
				    bool forced, maildirsize_ignore_fn *ignore,
				    const void *context);

/* Clears the pointer; NULL is fine. What began has ended. */
void maildirsize_free(struct maildirsize **size);

/* How much there is. Makes the file anew when it has to: that it cannot be written
 * then is no failure yet. Where there is neither file nor limit, nothing is counted.
 * Returns -1 when it cannot be known. */
int maildirsize_get(struct maildirsize *size, struct quota_amount *used_r,
		    struct err *err);

/* The limit that holds: once the file was looked at, perhaps the one in there. */
struct quota_amount maildirsize_limit(const struct maildirsize *size);

/* To be called before a mail appears in new or cur: until it is added, the file is
 * not made anew by us. */
void maildirsize_begin(struct maildirsize *size);

/* Adds what has appeared there, after maildirsize_begin() or without. Makes the file
 * anew instead when it has to. used_r is how much there is then. Returns -1 when that
 * is not known, or the file not written. */
int maildirsize_add(struct maildirsize *size, const struct quota_amount *more,
		    struct quota_amount *used_r, struct err *err);

/* Makes the file anew. used_r is set also when it then cannot be written, which
 * returns -1 as well. */
int maildirsize_recalculate(struct maildirsize *size,
			    struct quota_amount *used_r, struct err *err);

#endif
