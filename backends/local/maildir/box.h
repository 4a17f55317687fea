/* A mailbox in a Maildir: its directories, open. */
#ifndef BACKENDS_LOCAL_MAILDIR_BOX_H
#define BACKENDS_LOCAL_MAILDIR_BOX_H

#include <stdbool.h>

#include "backends/local/mail/location.h"
#include "backends/local/mail/mail.h"
#include "backends/local/ownership.h"

struct maildir_box {
	char *path;
	int tmp, new; /* the directories; new can be synced */
	struct ownership ownership; /* of what is put there */
	bool created; /* it was not there before */
	bool refused; /* a directory could not be given its group */
};

/* Opens the mailbox whose directory is folder (mailbox_name.h), and makes what is
 * missing of it. A mailbox that is not there at all is made if it is INBOX, or
 * with create; in the fs layout a directory without cur is none. Returns 0; or -1
 * with the result filled, LOCAL_NO_MAILBOX if it is not to be made, and then the
 * box is closed. */
int maildir_box_open(struct maildir_box *box,
		     const struct mail_location *location, const char *folder,
		     bool create, bool fsync, struct local_result *result);

void maildir_box_close(struct maildir_box *box);

#endif
