/* Where a user's mail is: Dovecot's mail_location, or the userdb's field mail. */
#ifndef BACKENDS_LOCAL_MAIL_LOCATION_H
#define BACKENDS_LOCAL_MAIL_LOCATION_H

#include <stdbool.h>

#include "lib/err.h"

enum mail_format {
	MAIL_FORMAT_MAILDIR,
	MAIL_FORMAT_MBOX,
};

/* How the name of a mailbox becomes a directory below root. */
enum mail_layout {
	MAIL_LAYOUT_MAILDIR, /* Maildir++: A, then B, is .A.B */
	MAIL_LAYOUT_FS,	     /* A/B */
};

/* Paths are absolute, without "." or ".." in them and no slash at their end. */
struct mail_location {
	enum mail_format format;
	char *root;
	char *inbox;	     /* where INBOX is: INBOX=, or root; but with a LAYOUT
			      * that has capitals, .INBOX or INBOX in root, and
			      * for mbox, inbox there */
	char *control;	     /* where subscriptions are: CONTROL=, or root */
	char *subscriptions; /* name of their file: "subscriptions", or with a
			      * dot for mbox */
	enum mail_layout layout;
	bool utf8;    /* names of directories are in UTF-8, not modified UTF-7 */
	bool in_home; /* root was given as ~/..., so it is made like the home */
};

/* Parses maildir:PATH[:KEY=VALUE]... or mbox:..., variables in which are expanded already;
 * "::" stands for a colon in PATH or VALUE, and ~/ for home (NULL: there is
 * none). Keys: INBOX, CONTROL, LAYOUT (maildir++ or fs; mbox has fs alone), SUBSCRIPTIONS, UTF-8.
 * Those for indexes and the like (INDEX, ALT, ...) do not matter for saving, and
 * are accepted. Returns 0, or -1 with an error that says what to do; then there
 * is nothing to free. */
int mail_location_parse(struct mail_location *location, const char *value,
			const char *home, struct err *err);

void mail_location_free(struct mail_location *location);

#endif
