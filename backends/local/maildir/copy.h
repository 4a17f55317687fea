/* A mail that was saved before, and that another user with the same rights is to get,
 * too: as a hard link, where that is as good as a file of his own. */
#ifndef BACKENDS_LOCAL_MAILDIR_COPY_H
#define BACKENDS_LOCAL_MAILDIR_COPY_H

#include "backends/local/mail/mail.h"
#include "backends/local/maildir/name.h"

struct maildir_copy {
	int fd; /* for reading */
	struct maildir_sizes sizes;
};

/* Opens mail->copy and reads it. Returns -1 unless it is a regular file of this user's,
 * mode 0600, with the group that a new file in dir gets, and holds every byte of mail and
 * no more: whoever has named it need not be trusted, nor whoever may move it meanwhile,
 * since what is linked is what was read. */
int maildir_copy_open(struct maildir_copy *copy, const struct local_mail *mail,
		      int dir);

/* Makes name in dir a link to it. -1: it has gone, dir is on another file system, it has
 * too many links, there is no /proc, ... */
int maildir_copy_link(const struct maildir_copy *copy, int dir, const char *name);

void maildir_copy_close(struct maildir_copy *copy);

#endif
