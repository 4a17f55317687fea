/* The process that delivers: it waits for a request (request.h), becomes its
 * user, saves the mail and answers, and for a while does so for more mail of that
 * user, with requests that come where the answer went. It has one thread and no loop, and may die
 * at any moment: whoever asked learns of that from the end of the pipe.
 *
 * Nothing that comes in is trusted. Until it is the user, a process with
 * privileges touches neither of the descriptors and answers nobody: it would do
 * so as root. */
#ifndef BACKENDS_LOCAL_DELIVER_H
#define BACKENDS_LOCAL_DELIVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "backends/local/mail/facts.h"
#include "backends/local/mail/save.h"
#include "backends/local/request.h"
#include "lib/arena.h"

/* Expands the variables in a setting of that name, or in a part of it, for who is in the
 * request, and with what is known of the mail (NULL: nothing). Returns the value, in
 * arena; NULL and err when that cannot be done. */
typedef const char *local_expand_fn(struct arena *arena,
				    const struct local_request *request,
				    const struct mail_facts *facts,
				    const char *name, const char *text,
				    struct err *err);

/* What the administrator says, whatever requests say. */
struct local_policy {
	/* first_valid_uid, ...; last: 0 is for no limit. Root never is valid. */
	uid_t first_uid, last_uid;
	gid_t first_gid, last_gid;
	const char *chroot_dirs; /* valid_chroot_dirs: separated by colons */
	const char *privileged_group; /* mail_privileged_group: one more for mail in an
					 mbox; NULL or "": none */
	struct maildir_settings maildir;
	const struct quota_setting *quota; /* of plugin { }, with variables */
	size_t quota_count;
	const char *lda_command; /* with variables; NULL: we save mail */
	unsigned lda_processes;	 /* RLIMIT_NPROC for it; 0: as for us */
	const char *log_format;	 /* deliver_log_format, with variables; NULL or
				    "": no line */
	const char *original_header; /* lda_original_recipient_header; NULL or
					"": none */
	local_expand_fn *expand; /* for these; NULL: as they are */
	unsigned timeout; /* seconds that one delivery may take */
	unsigned grace;	  /* and those for the rest, once its mail appears */
	bool sockets;	  /* it may run commands, which may open some */
	/* All mail is this user's, whom the process has become before. */
	bool fixed;
	uid_t uid;
	gid_t gid;
};

struct local_deliverer {
	const struct local_policy *policy;
	int requests; /* our end of a channel, blocking; many may wait there */
	int status;   /* an eventfd: 1 is added when its work begins, and when it
			 ends but more may come. Who becomes a user closes it. */
	pid_t parent; /* whose end is that of who has nothing to do; 0: nobody's */
};

/* How long it may stay with a user, in seconds. Whoever asks goes by that, and lets go
 * then; a delivery that has begun may take its time. */
#define LOCAL_DELIVERER_STAY_S 10

enum local_deliverer_exit {
	LOCAL_DELIVERER_DONE = 0,
	LOCAL_DELIVERER_FAILED = 71,	/* EX_OSERR: could not become the user */
	LOCAL_DELIVERER_MALFORMED = 76, /* EX_PROTOCOL: that was no request */
	LOCAL_DELIVERER_REFUSED = 77,	/* EX_NOPERM: the policy forbids it */
	LOCAL_DELIVERER_CLOSED = 69, /* EX_UNAVAILABLE: no more can come */
};

/* Becomes the user of a policy that is fixed. -1: the process must end. */
int local_deliverer_settle(const struct local_policy *policy, struct err *err);

/* Serves one request and others for the same user, or, when the policy is fixed, all
 * that come. SIGTERM ends
 * it, but not in the middle of a delivery; SIGALRM has to be at its default.
 * Returns how the process has to exit; it may not do anything else. */
enum local_deliverer_exit
local_deliverer_run(const struct local_deliverer *deliverer);

#endif
