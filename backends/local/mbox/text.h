/* A message as it stands in an mbox. */
#ifndef BACKENDS_LOCAL_MBOX_TEXT_H
#define BACKENDS_LOCAL_MBOX_TEXT_H

#include <stdbool.h>
#include <time.h>

#include "lib/str.h"

enum { MBOX_TEXT_HELD_MAX = 16 };

/* What is known of the text so far. MBOX_TEXT_INIT at its start. */
struct mbox_text {
	bool in_body;  /* the header has ended */
	bool in_line;  /* what this line is has been decided */
	bool dropping; /* it, and what continues it, is left out */
	char last;     /* byte that was written */
	char held[MBOX_TEXT_HELD_MAX]; /* start of the line, not decided yet */
	size_t held_len;
};

#define MBOX_TEXT_INIT { .last = '\n' }

/* Appends the line that separates messages: "From SENDER  DATE", in local time. The
 * sender is the one of the envelope; "" becomes MAILER-DAEMON, and blanks and
 * control characters in it '_'. */
void mbox_text_from(struct str *out, const char *sender, time_t received);

/* Appends the next len bytes of the message, in which a line that begins with "From "
 * gets a '>' in front. Fields of the header that mean something to readers of an
 * mbox (Status, X-UID, Content-Length, ...), which no sender is to set, are left
 * out, as Dovecot does it. */
void mbox_text_add(struct mbox_text *text, const char *data, size_t len,
		   struct str *out);

/* Appends what still is to come, so that the text ends with an empty line. */
void mbox_text_end(struct mbox_text *text, struct str *out);

#endif
