/* The mailboxes of a Maildir: where they are and how they are called, for those
 * who have to go through all of them. */
#ifndef BACKENDS_LOCAL_MAILDIR_FOLDERS_H
#define BACKENDS_LOCAL_MAILDIR_FOLDERS_H

#include "backends/local/mail/location.h"
#include "backends/local/mailbox_name.h"
#include "lib/err.h"
#include "lib/str.h"

/* All of it is the caller's. */
struct maildir_tree {
	const struct mail_location *location;
	struct mailbox_naming naming;
};

/* Called with the directory that holds new and cur, should it have any, and the
 * mailbox's name in UTF-8. Both are gone afterwards. Returns 0, or -1 and err to
 * have this end. */
typedef int maildir_folder_fn(void *context, const char *path,
			      const char *name, struct err *err);

/* Calls visit for INBOX and for each folder that Dovecot would list, in no particular
 * order: not for one whose name is no UTF-8, nor for another INBOX. A tree that is not
 * there has an INBOX alone. Returns -1 as soon as visit does, or when a directory
 * cannot be read. */
int maildir_folders(const struct maildir_tree *tree, maildir_folder_fn *visit,
		    void *context, struct err *err);

/* Appends a directory's name as a mailbox's: from modified UTF-7 (RFC 3501 5.1.3) to
 * UTF-8. Returns -1 when it is none; out has some text in it then. */
int maildir_folder_name(const char *name, struct str *out);

#endif
