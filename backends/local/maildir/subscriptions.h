/* The file of the mailboxes to which a user is subscribed, as Dovecot keeps it. */
#ifndef BACKENDS_LOCAL_MAILDIR_SUBSCRIPTIONS_H
#define BACKENDS_LOCAL_MAILDIR_SUBSCRIPTIONS_H

#include <stdbool.h>

#include "backends/local/mail/location.h"
#include "backends/local/mail/mail.h"

/* Adds the mailbox of folder (mailbox_name.h), unless it is there. The new file
 * is written as FILE.lock, which keeps out Dovecot meanwhile; where Dovecot holds
 * that, it is waited for, a few seconds at most. Returns 0, or -1 with the result
 * filled. */
int subscriptions_add(const struct mail_location *location, const char *folder,
		      bool fsync, struct local_result *result);

/* The same for a mail that is saved already: a failure is only a warning, which
 * becomes result->text. */
void subscriptions_try(const struct mail_location *location, const char *folder,
		       bool fsync, struct local_result *result);

#endif
