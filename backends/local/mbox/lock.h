/* Locking an mbox against all who might use it: by FILE.lock and by fcntl(), in this
 * order, as Dovecot's mbox_write_locks = dotlock fcntl has it. */
#ifndef BACKENDS_LOCAL_MBOX_LOCK_H
#define BACKENDS_LOCAL_MBOX_LOCK_H

#include <time.h>

#include "backends/local/mail/mail.h"
#include "backends/local/mbox/part.h"

enum { MBOX_LOCK_OWNER_MAX = 300 };

struct mbox_lock {
	char *path; /* of FILE.lock; NULL: not held */
	int fd;	    /* of it, for as long */
	unsigned patience_ms; /* how long to wait from now on */
	struct mbox_part left; /* by the process whose lock was taken away, if anything
				* is known of that: whoever has seen to it forgets it */
	char left_by[MBOX_LOCK_OWNER_MAX]; /* what that lock said of whose it is */
	struct timespec left_at;	   /* when it was last written to */
};

/* Makes lock->path for the mbox at path, waiting for it as long as there is patience.
 * One that names a process of this machine that is gone is taken away, as is one whose
 * mbox was not touched for two minutes; lock->left says what that had begun, if it was
 * this user's. Returns 0, or -1 with the result filled. */
int mbox_lock(struct mbox_lock *lock, const char *path,
	      struct local_result *result);

/* Locks the open file itself, too, until fd is closed. Returns 1; 0 when somebody else
 * has it, which may be one who waits for FILE.lock: that was taken away, close the
 * file and begin anew; or -1 with the result filled, also when patience is over. */
int mbox_lock_file(struct mbox_lock *lock, const char *path, int fd,
		   struct local_result *result);

/* Has FILE.lock say what is going to be written at the end of the mbox, which is at: start
 * comes first. */
void mbox_lock_note(struct mbox_lock *lock, off_t at, const char *start, size_t len);

/* Takes FILE.lock away: before the file is closed, so that nobody takes what it says for
 * left behind. But while nobody has seen to what another process has left, it becomes that
 * one's again, for whoever comes next. */
void mbox_unlock(struct mbox_lock *lock);

#endif
