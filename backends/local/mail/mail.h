/* What local delivery is about: one mail for one user, and what became of it. */
#ifndef BACKENDS_LOCAL_MAIL_MAIL_H
#define BACKENDS_LOCAL_MAIL_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* One mail as it is to be saved: head, then the first size bytes of fd. Lines of
 * both end with LF alone, as Dovecot's mail_save_crlf = no has it; nothing is
 * dot-stuffed. Everything is the caller's. */
struct local_mail {
	const char *head; /* Return-Path, Delivered-To, Received, ... */
	size_t head_len;
	int fd; /* read with pread(2): one file may serve several users */
	uint64_t size;
	struct timespec received;
	/* Called, if not NULL, right before the mail appears in its mailbox;
	 * twice, perhaps. */
	void (*appears)(void *context);
	void *context;
	const char *copy; /* path of a mail with the same bytes, perhaps, that may
			   * become this one, too; "" or NULL: there is none */
};

/* The user whose process this is by now: uid, gid and groups are not for those
 * who save. Strings are the caller's; variables in them are expanded. */
struct local_user {
	const char *name;
	const char *home; /* NULL: none */
};

enum local_status {
	LOCAL_SAVED, /* durable, as far as mail_fsync wants that */
	LOCAL_NO_MAILBOX,  /* not there, and not to be made: INBOX instead */
	LOCAL_OVER_QUOTA,  /* the user's, by rules or by EDQUOT */
	LOCAL_TOO_BIG,     /* quota_max_mail_size */
	LOCAL_NO_SPACE,    /* ENOSPC: bytes or inodes */
	LOCAL_NO_ACCESS,   /* EACCES, EPERM, EROFS */
	LOCAL_GONE,        /* a home or a file system that is not there, ESTALE */
	/* what only a command says (lda/status.h): */
	LOCAL_NO_USER,	    /* EX_NOUSER */
	LOCAL_REFUSED,	    /* EX_NOPERM: the mail is not wanted */
	LOCAL_NOT_TAKEN,    /* EX_UNAVAILABLE: nor can it be delivered */
	LOCAL_BAD_MESSAGE,  /* EX_DATAERR */
	LOCAL_NO_ROOM,	    /* EX_CANTCREAT */
	LOCAL_MISCONFIGURED, /* EX_CONFIG and the like */
	LOCAL_FAILED,      /* all else: EIO, a bug, a time limit */
};

struct local_result {
	enum local_status status;
	int error;	/* errno behind it; 0: none */
	char text[512]; /* what failed, with path, for the log; when saved, "" or a
			 * warning: the mail is there, but something beside it is not */
	char path[512]; /* LOCAL_SAVED in a Maildir: of the mail; "" when it is longer */
	bool linked;	/* it was there before */
	char reply[256]; /* LOCAL_OVER_QUOTA: what the sender is told, printable;
			  * "": what usually is */
	char log[1024];	 /* what deliver_log_format says of it; "": nothing */
	char id[256];	 /* LOCAL_SAVED: the name of a Maildir's file; "": none.
			  * It is not passed on */
};

#endif
