/* A delivery on its way from the worker process to the process that becomes the
 * user, and what came of it on its way back, as bytes. No I/O here.
 *
 * A request is one packet (lib/channel.h) with two descriptors: the end of a channel
 * that the result is sent to, and the message. Numbers are little-endian;
 * a string is its length in 16 bits, its bytes, and a NUL. */
#ifndef BACKENDS_LOCAL_REQUEST_H
#define BACKENDS_LOCAL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "backends/local/mail/mail.h"
#include "backends/local/quota/config.h"
#include "lib/err.h"
#include "lib/str.h"

/* The longest that a string may be, but for the head. */
#define LOCAL_REQUEST_STRING 1024

/* The most rules of quota that a user may have in the userdb. */
#define LOCAL_REQUEST_RULES 64

enum local_request_kind {
	LOCAL_REQUEST_SAVE,
	LOCAL_REQUEST_CHECK, /* whether there is room: LOCAL_SAVED when there is */
};

enum local_request_fd {
	LOCAL_REQUEST_RESULT,
	LOCAL_REQUEST_MESSAGE, /* not with LOCAL_REQUEST_CHECK */
	LOCAL_REQUEST_FDS,
};

/* What the userdb says of a user, and one mail. Strings are never NULL; those of
 * a request that was read live in its packet. */
struct local_request {
	enum local_request_kind kind;
	uid_t uid;
	gid_t gid;
	const char *user;
	const char *home, *chroot; /* absolute paths; "": none */
	const char *location; /* mail_location; its variables are expanded; "":
				 none */
	const char *mailbox;
	const char *groups_user, *groups; /* system_groups_user,
					     mail_access_groups; "": none */
	/* of the envelope, without < and >: "" for bounces; ORCPT if it is an
	 * address (rfc822), or ""; what stands behind recipient_delimiter */
	const char *mail_from, *rcpt_to, *orcpt, *detail;
	struct quota_setting rules[LOCAL_REQUEST_RULES]; /* quota_rule, ... */
	unsigned rule_count;
	const char *copy; /* as in struct local_mail; "": there is none */
	const char *head; /* the same */
	size_t head_len;
	uint64_t size;
	struct timespec received;
	/* When whoever asks gives up, in ms of CLOCK_MONOTONIC. */
	uint64_t deadline_ms;
	uint32_t session_ms; /* from MAIL to the end of the message */
};

/* Appends a request. -1 when a string is too long, or all of it for a packet:
 * *err says which. */
int local_request_encode(struct str *out, const struct local_request *request,
			 struct err *err);

/* Reads one. -1 unless every byte is as local_request_encode() writes it, and
 * in range. Whether the user may be delivered to is another question. */
int local_request_decode(struct local_request *request, const void *data,
			 size_t len, struct err *err);

/* Whether its mail is in an mbox. */
bool local_request_is_mbox(const struct local_request *request);

/* Appends who the process has to become for a request: equal for those who can have
 * the same one. */
void local_request_who(struct str *out, const struct local_request *request);

/* More than a result has. */
#define LOCAL_RESULT_MAX 4096

/* How many descriptors come with a request of that kind. */
unsigned local_request_fds(enum local_request_kind kind);

/* Appends a result; and reads one: -1 when it is malformed. */
void local_result_encode(struct str *out, const struct local_result *result);
int local_result_decode(struct local_result *result, const void *data,
			size_t len, struct err *err);

#endif
