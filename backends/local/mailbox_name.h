/* From the name of a mailbox to its directory, as Dovecot has it. */
#ifndef BACKENDS_LOCAL_MAILBOX_NAME_H
#define BACKENDS_LOCAL_MAILBOX_NAME_H

#include <stdbool.h>

#include "backends/local/mail/location.h"
#include "lib/arena.h"
#include "lib/str.h"

enum {
	MAILBOX_NAME_MAX = 1000, /* bytes of a name, and of its path */
	MAILBOX_PART_MAX = 255,	 /* of a directory's name: NAME_MAX */
};

/* What the names of one namespace are like. */
struct mailbox_naming {
	char separator;	    /* between the parts of a name; '\0': the layout's own */
	const char *prefix; /* in front of all names but INBOX; NULL or "": none */
};

/* What stands between the parts of a name. */
char mailbox_name_separator(const struct mail_location *location,
			    const struct mailbox_naming *naming);

/* Whether text, of len bytes, means INBOX at the begin of a name without the prefix: in
 * any letters where there is no prefix; else, as in Dovecot, prefix and inbox are another
 * mailbox's name. */
bool mailbox_name_is_inbox(const struct mailbox_naming *naming, const char *text,
			   size_t len);

/* The name as it is listed, and rules know it, but for the prefix: INBOX, and what is
 * below it, begins with capitals. Lives as long as name, or in arena. */
const char *mailbox_name_listed(const struct mail_location *location,
				const struct mailbox_naming *naming,
				const char *name, struct arena *arena);

/* Appends to folder the path below location->root of the mailbox called name:
 * ".A.B" or "A/B", in modified UTF-7 (RFC 3501 5.1.3) unless location->utf8;
 * nothing for INBOX, which is at location->inbox. name is UTF-8 and without the prefix.
 * Returns 0, or -1 when no mailbox can be called that: what would leave the tree, hit on
 * a file of Dovecot's, or become too long. The error then says why; folder has some text
 * in it. */
int mailbox_name_folder(const struct mail_location *location,
			const struct mailbox_naming *naming, const char *name,
			struct str *folder, struct err *err);

#endif
