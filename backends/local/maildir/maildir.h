/* Saving into a Maildir, as Dovecot does it. All of this blocks, and runs with the
 * rights of the user: whatever links the user has put there lead no further than
 * the user could go. Where files are limited in size, SIGXFSZ has to be ignored. */
#ifndef BACKENDS_LOCAL_MAILDIR_MAILDIR_H
#define BACKENDS_LOCAL_MAILDIR_MAILDIR_H

#include <stdbool.h>

#include "backends/local/mail/location.h"
#include "backends/local/mail/mail.h"
#include "backends/local/mailbox_name.h"

struct maildir_settings {
	bool fsync;	    /* unless mail_fsync = never */
	bool autocreate;    /* lda_mailbox_autocreate */
	bool autosubscribe; /* lda_mailbox_autosubscribe: to what was created,
			     * but for INBOX */
	const char *hostname; /* the machine's, not NULL: part of file names, and
			       * unlike that of others that write there */
	struct mailbox_naming naming;
};

/* Saves mail in mailbox (UTF-8, see mailbox_name.h), as a file
 * SECONDS.MµSECONDSPpid.HOSTNAME,S=SIZE,W=SIZE-WITH-CRLF in new, whose mtime is
 * mail->received and whose mode and group are those of the mailbox. It is
 * written in tmp first; what is missing of INBOX is made, and of other mailboxes
 * with autocreate. When mail->copy is nobody's but the user's, has the same bytes and is
 * on the same file system, a hard link to it is all that is made, unless others may read
 * what is in the mailbox. Returns 0 with LOCAL_SAVED; or -1 with another status, and then
 * the mail is not there. With LOCAL_SAVED, result->text is a warning or "". */
int maildir_save(const struct mail_location *location, const char *mailbox,
		 const struct maildir_settings *settings,
		 const struct local_mail *mail, struct local_result *result);

#endif
