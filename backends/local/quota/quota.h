/* The quota of one user, whose process this is by now: whether a mail may be saved,
 * and what follows once it is. All of it blocks. */
#ifndef BACKENDS_LOCAL_QUOTA_QUOTA_H
#define BACKENDS_LOCAL_QUOTA_QUOTA_H

#include <stddef.h>
#include <stdint.h>

#include "backends/local/mail/mail.h"
#include "backends/local/maildir/folders.h"
#include "backends/local/quota/config.h"
#include "lib/err.h"

struct quota_settings {
	const struct quota_setting *list; /* of plugin { }, then the userdb's */
	size_t count;
	/* location NULL: nobody knows where the mail is, as with a command. What
	 * this points to has to stay until quota_close(). */
	struct maildir_tree tree;
};

struct quota;

/* Warnings that are due: the value of quota_warning behind its limits, one for each
 * root at most. In Dovecot's words it is a socket of a service (below base_dir, unless
 * it starts with a slash), or unix:PATH, tcp:HOST:PORT or exec:PATH, then arguments,
 * separated by spaces. */
struct quota_warnings {
	unsigned count;
	const char *commands[QUOTA_MAX_ROOTS];
};

/* Reads the settings, and copies what it needs of the list. Without any that set a limit,
 * quota_r still is a quota, which allows everything. Returns -1 when they are wrong:
 * nothing can be saved then. */
int quota_open(const struct quota_settings *settings, struct quota **quota_r,
	       struct err *err);

/* Clears the pointer; NULL is fine. */
void quota_close(struct quota **quota);

/* Whether a mail of so many bytes (head and body, as they are saved) may go into the
 * mailbox, whose name is as users see it: UTF-8, with the prefix of the namespace, or
 * INBOX (in any letters). By size 0 it is asked whether there is room at all: RCPT, with
 * lmtp_rcpt_check_quota. Returns 1; 0 with LOCAL_OVER_QUOTA or LOCAL_TOO_BIG in result;
 * or -1 with LOCAL_FAILED, when it cannot be known: Dovecot logs that and saves the
 * mail. */
int quota_allows(struct quota *quota, const char *mailbox, uint64_t size,
		 struct local_result *result);

/* What of it has no effect, and why; or "". Lives as long as quota. */
const char *quota_doubt(const struct quota *quota);

/* What to answer with LOCAL_OVER_QUOTA: quota_exceeded_message. */
const char *quota_exceeded_message(const struct quota *quota);

/* To be called as late as can be before a mail appears in the mailbox, and counts
 * until quota_saved() or quota_close(): see maildirsize_begin(). */
void quota_saving(struct quota *quota, const char *mailbox);

/* To be called once mails are in the mailbox, with what they have of bytes and their
 * number. warnings_r has what is to be run then, as the user. Returns -1 with the first
 * failure of several: the mails are saved nevertheless, the count may be wrong until
 * the next time that it is made anew. */
int quota_saved(struct quota *quota, const char *mailbox, uint64_t bytes,
		uint64_t messages, struct quota_warnings *warnings_r,
		struct err *err);

#endif
