/* Saving into an mbox. All of this blocks, and runs with the rights of the user.
 *
 * Unlike a Maildir, an mbox cannot promise that a process which is killed while it
 * writes leaves no part of a mail; the next one cuts it off (mbox/part.h), unless others
 * have taken the lock away. */
#ifndef BACKENDS_LOCAL_MBOX_MBOX_H
#define BACKENDS_LOCAL_MBOX_MBOX_H

#include <stdbool.h>

#include "backends/local/mail/location.h"
#include "backends/local/mail/mail.h"
#include "backends/local/mailbox_name.h"

struct mbox_settings {
	bool fsync;	    /* unless mail_fsync = never */
	bool autocreate;    /* lda_mailbox_autocreate */
	bool autosubscribe; /* lda_mailbox_autosubscribe, but for INBOX */
	const char *sender; /* of the envelope; "" for bounces */
	unsigned patience_ms; /* mbox_lock_timeout: LOCAL_FAILED when it is over */
	struct mailbox_naming naming;
};

/* Appends mail to the file of mailbox (UTF-8, see mailbox_name.h), whose location has
 * MAIL_FORMAT_MBOX; mbox/text.h says how it looks there. The file has to be a
 * regular one without other names. INBOX is made when it is missing, others with
 * autocreate. Returns 0 with LOCAL_SAVED; or -1 with another status, and then the
 * file is as long as before. With LOCAL_SAVED, result->text is a warning or "". */
int mbox_save(const struct mail_location *location, const char *mailbox,
	      const struct mbox_settings *settings,
	      const struct local_mail *mail, struct local_result *result);

#endif
