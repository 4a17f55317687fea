/* The replies that waypost itself gives about a recipient or a message: the
 * only place where codes are invented. What a peer says passes verbatim. */
#ifndef PROXY_REPLY_MAP_H
#define PROXY_REPLY_MAP_H

#include "backends/local/mail/mail.h"
#include "backends/remote/transaction.h"
#include "lib/arena.h"
#include "lib/smtp/reply.h"

enum reply_cause {
	REPLY_USER_UNKNOWN,
	REPLY_LOOKUP_FAILED,
	REPLY_LOOKUP_TIMED_OUT,
	REPLY_BAD_ROUTE,
	REPLY_NO_LOCAL_DELIVERY,
	REPLY_LOGIN_DISABLED,
	REPLY_TEMPFAIL,
	REPLY_LOOP,
	REPLY_TTL,
	REPLY_TOO_MANY_RECIPIENTS,
	REPLY_TOO_BIG,
	REPLY_BARE_NEWLINE,
	REPLY_STOPPING,
	REPLY_USER_MOVES,
	REPLY_CUT_OFF, /* the server of the director, by the node's own probes */
	REPLY_USER_BUSY,
	REPLY_LOCAL_FAILED,
	REPLY_LOCAL_BINARY,
	REPLY_NO_SPOOL,
};

/* Makes the reply for cause, its text in arena. detail, if not NULL, replaces
 * the text of the table (or completes it: REPLY_USER_UNKNOWN's user). */
void reply_map_cause(struct arena *arena, enum reply_cause cause,
		     const char *detail, struct smtp_reply *reply_r);

/* Makes the reply for a failure to get one from a backend. verbose: with the
 * details (Dovecot's lmtp_verbose_replies). */
void reply_map_failure(struct arena *arena,
		       const struct remote_failure *failure,
		       const char *session_id, bool verbose,
		       struct smtp_reply *reply_r);

/* Makes the reply for what became of a mail that was to be saved here. tempfail:
 * quota_full_tempfail. */
void reply_map_local(struct arena *arena, const struct local_result *result,
		     const char *session_id, bool tempfail,
		     struct smtp_reply *reply_r);

#endif
