/* Locking an mbox against all who might use it: by FILE.lock and by fcntl(), in this
 * order, as Dovecot's mbox_write_locks = dotlock fcntl has it. */
#ifndef BACKENDS_LOCAL_MBOX_LOCK_H
#define BACKENDS_LOCAL_MBOX_LOCK_H

#include "backends/local/mail.h"

struct mbox_lock {
	char *path; /* of FILE.lock; NULL: not held */
	unsigned patience_ms; /* how long to wait from now on */
};

/* Makes lock->path for the mbox at path, waiting for it as long as there is patience.
 * One that names a process of this machine that is gone is taken away, as is one whose
 * mbox was not touched for two minutes. Returns 0, or -1 with the result filled. */
int mbox_lock(struct mbox_lock *lock, const char *path,
	      struct local_result *result);

/* Locks the open file itself, too, until fd is closed. Returns 1; 0 when somebody else
 * has it, which may be one who waits for FILE.lock: that was taken away, close the
 * file and begin anew; or -1 with the result filled, also when patience is over. */
int mbox_lock_file(struct mbox_lock *lock, const char *path, int fd,
		   struct local_result *result);

/* Takes FILE.lock away. */
void mbox_unlock(struct mbox_lock *lock);

#endif
