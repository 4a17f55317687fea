/* From the name of a mailbox to its directory, as Dovecot has it. */
#ifndef BACKENDS_LOCAL_MAILBOX_NAME_H
#define BACKENDS_LOCAL_MAILBOX_NAME_H

#include "backends/local/mail/location.h"
#include "lib/arena.h"
#include "lib/str.h"

enum {
	MAILBOX_NAME_MAX = 1000, /* bytes of a name, and of its path */
	MAILBOX_PART_MAX = 255,	 /* of a directory's name: NAME_MAX */
};

/* What stands between the parts of a name: separator, or if that is '\0' the
 * layout's own. */
char mailbox_name_separator(const struct mail_location *location,
			    char separator);

/* The name as it is listed, and rules know it: INBOX, and what is below it, begins
 * with capitals. Lives as long as name, or in arena. */
const char *mailbox_name_listed(const struct mail_location *location,
				char separator, const char *name,
				struct arena *arena);

/* Appends to folder the path below location->root of the mailbox called name:
 * ".A.B" or "A/B", in modified UTF-7 (RFC 3501 5.1.3) unless location->utf8;
 * nothing for INBOX (in any letters), which is at location->inbox. name is UTF-8 and without the
 * namespace's prefix; separator is what stands between its parts, '\0' for
 * the layout's own. Returns 0, or -1 when no mailbox can be called that: what
 * would leave the tree, hit on a file of Dovecot's, or become too long. The
 * error then says why; folder has some text in it. */
int mailbox_name_folder(const struct mail_location *location, char separator,
			const char *name, struct str *folder, struct err *err);

#endif
