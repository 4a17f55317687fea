#include "proxy/reply_map.h"

#include "lib/panic.h"

struct mapping {
	int code;
	struct smtp_enhanced enhanced;
	const char *text;
};

static const struct mapping causes[] = {
	[REPLY_USER_UNKNOWN] = { 550, { 5, 1, 1 }, "User doesn't exist: " },
	[REPLY_LOOKUP_FAILED] = { 451, { 4, 3, 0 },
				  "Temporary user lookup failure" },
	[REPLY_LOOKUP_TIMED_OUT] = { 451, { 4, 4, 3 },
				     "Temporary user lookup failure: no answer "
				     "in time" },
	[REPLY_BAD_ROUTE] = { 451, { 4, 3, 5 }, "Internal user lookup failure" },
	[REPLY_NO_LOCAL_DELIVERY] = { 451, { 4, 3, 5 },
				      "Local delivery is not available" },
	[REPLY_LOGIN_DISABLED] = { 450, { 4, 2, 1 }, "Login disabled" },
	[REPLY_TEMPFAIL] = { 451, { 4, 3, 0 }, "Temporary failure" },
	[REPLY_LOOP] = { 554, { 5, 4, 6 }, "Proxying loops to itself" },
	[REPLY_TTL] = { 554, { 5, 4, 6 },
			"Proxying appears to be looping (TTL=0)" },
	[REPLY_TOO_MANY_RECIPIENTS] = { 452, { 4, 5, 3 },
					"Too many recipients" },
	[REPLY_TOO_BIG] = { 552, { 5, 3, 4 },
			    "Message size exceeds administrative limit" },
	[REPLY_BARE_NEWLINE] = { 550, { 5, 6, 0 },
				 "Message has a bare CR, a bare LF or a NUL" },
	[REPLY_STOPPING] = { 421, { 4, 3, 2 }, "Shutting down" },
	[REPLY_USER_MOVES] = { 451, { 4, 3, 0 },
			       "User is being moved to another server" },
	[REPLY_CUT_OFF] = { 451, { 4, 4, 1 },
			    "User's server cannot be reached" },
	[REPLY_USER_BUSY] = { 451, { 4, 3, 0 },
			      "Too many concurrent deliveries for user" },
	[REPLY_LOCAL_FAILED] = { 451, { 4, 3, 0 },
				 "Temporary internal error" },
	[REPLY_LOCAL_BINARY] = { 554, { 5, 6, 3 },
				 "Message needs BINARYMIME" },
	[REPLY_NO_SPOOL] = { 452, { 4, 3, 1 },
			     "Insufficient system storage" },
};

/* What can become of a mail that is to be saved here. As in Dovecot, one that is
 * over quota_max_mail_size is not refused for good. */
static const struct mapping local_results[] = {
	[LOCAL_SAVED] = { 250, { 2, 0, 0 }, "Saved" },
	[LOCAL_NO_MAILBOX] = { 451, { 4, 2, 0 }, "Mailbox is not there" },
	[LOCAL_OVER_QUOTA] = { 552, { 5, 2, 2 },
			       "Quota exceeded (mailbox for user is full)" },
	[LOCAL_TOO_BIG] = { 451, { 4, 2, 0 },
			    "Message is larger than the user may receive" },
	[LOCAL_NO_SPACE] = { 452, { 4, 3, 1 }, "Insufficient system storage" },
	[LOCAL_NO_ACCESS] = { 451, { 4, 2, 0 }, "Mailbox is not accessible" },
	[LOCAL_GONE] = { 451, { 4, 2, 0 }, "Mailbox is not available" },
	[LOCAL_NO_USER] = { 550, { 5, 1, 1 }, "User doesn't exist" },
	[LOCAL_REFUSED] = { 550, { 5, 7, 1 }, "Message was refused" },
	[LOCAL_NOT_TAKEN] = { 554, { 5, 3, 0 }, "Message cannot be delivered" },
	[LOCAL_BAD_MESSAGE] = { 554, { 5, 6, 0 }, "Message is malformed" },
	[LOCAL_NO_ROOM] = { 452, { 4, 2, 2 }, "Mailbox cannot take the message" },
	[LOCAL_MISCONFIGURED] = { 451, { 4, 3, 5 },
				  "Internal configuration error" },
	[LOCAL_FAILED] = { 451, { 4, 3, 0 }, "Temporary internal error" },
};

/* The text is what stands in "Proxy failed (…, session=…)". */
static const struct mapping failures[] = {
	[REMOTE_ERROR_DNS] = { 451, { 4, 4, 0 }, "DNS lookup" },
	[REMOTE_ERROR_CONNECT] = { 451, { 4, 4, 0 }, "connect" },
	[REMOTE_ERROR_LOST] = { 451, { 4, 4, 0 }, "connection lost" },
	[REMOTE_ERROR_BAD_REPLY] = { 451, { 4, 4, 0 }, "bad reply" },
	[REMOTE_ERROR_TIMEOUT] = { 451, { 4, 4, 0 }, "timed out" },
	[REMOTE_ERROR_DATA_TIMEOUT] = { 451, { 4, 4, 0 }, NULL },
	[REMOTE_ERROR_BUSY] = { 451, { 4, 4, 5 }, "too many connections" },
	[REMOTE_ERROR_LOOP] = { 554, { 5, 4, 6 }, NULL },
	[REMOTE_ERROR_NO_SMTPUTF8] = { 550, { 5, 6, 7 }, NULL },
	[REMOTE_ERROR_ADDRESS] = { 451, { 4, 3, 5 }, NULL },
	[REMOTE_ERROR_NO_BINARYMIME] = { 554, { 5, 6, 3 }, NULL },
	[REMOTE_ERROR_NO_DSN] = { 555, { 5, 5, 4 }, NULL },
	[REMOTE_ERROR_XCLIENT] = { 451, { 4, 4, 0 }, "XCLIENT refused" },
	[REMOTE_ERROR_SPOOL] = { 452, { 4, 3, 1 }, NULL },
	[REMOTE_ERROR_TLS] = { 451, { 4, 7, 4 }, "TLS" },
	[REMOTE_ERROR_DENIED] = { 451, { 4, 7, 0 }, "TLS or login wanted" },
	[REMOTE_ERROR_UNTRUSTED] = { 451, { 4, 7, 5 }, "certificate" },
};

/* Complete texts, for the failures without a word in failures[]. */
static const char *failure_text(const struct remote_failure *failure,
				struct arena *arena)
{
	switch (failure->error) {
	case REMOTE_ERROR_DATA_TIMEOUT:
		return arena_printf(arena,
				    "Remote server not answering "
				    "(transaction timed out: %s)",
				    failure->text);
	case REMOTE_ERROR_LOOP:
		return causes[REPLY_LOOP].text;
	case REMOTE_ERROR_NO_SMTPUTF8:
		return "Address or message needs SMTPUTF8";
	case REMOTE_ERROR_ADDRESS:
		return causes[REPLY_BAD_ROUTE].text;
	case REMOTE_ERROR_NO_BINARYMIME:
		return "Message needs BINARYMIME";
	case REMOTE_ERROR_NO_DSN:
		return "Unsupported parameters: NOTIFY";
	case REMOTE_ERROR_SPOOL:
		return "Insufficient system storage";
	default:
		PANIC("no text for failure %d", (int)failure->error);
	}
}

static void reply_fill(struct smtp_reply *reply, const struct mapping *mapping,
		       const char *text)
{
	reply->code = mapping->code;
	reply->enhanced = mapping->enhanced;
	reply->origin = SMTP_ORIGIN_LOCAL;
	reply->text = text;
}

void reply_map_cause(struct arena *arena, enum reply_cause cause,
		     const char *detail, struct smtp_reply *reply_r)
{
	const char *text = causes[cause].text;

	if (cause == REPLY_USER_UNKNOWN)
		text = arena_printf(arena, "%s%s", text, detail);
	else if (detail != NULL)
		text = arena_strdup(arena, detail);
	reply_fill(reply_r, &causes[cause], text);
}

void reply_map_failure(struct arena *arena,
		       const struct remote_failure *failure,
		       const char *session_id, bool verbose,
		       struct smtp_reply *reply_r)
{
	const struct mapping *mapping = &failures[failure->error];
	const char *text;

	if (mapping->text == NULL)
		text = failure_text(failure, arena);
	else if (verbose)
		text = arena_printf(arena, "Proxy failed: %s (session=%s)",
				    failure->text, session_id);
	else
		text = arena_printf(arena, "Proxy failed (%s, session=%s)",
				    mapping->text, session_id);
	reply_fill(reply_r, mapping, text);
}

void reply_map_local(struct arena *arena, const struct local_result *result,
		     const char *session_id, bool tempfail,
		     struct smtp_reply *reply_r)
{
	struct mapping mapping = local_results[result->status];

	if (result->status == LOCAL_SAVED)
		mapping.text = arena_concat(arena, session_id, " ",
					    mapping.text);
	if (result->status == LOCAL_OVER_QUOTA && tempfail) {
		mapping.code = 452;
		mapping.enhanced.class = 4;
	}
	if (result->status == LOCAL_OVER_QUOTA && result->reply[0] != '\0')
		mapping.text = arena_strdup(arena, result->reply);
	reply_fill(reply_r, &mapping, mapping.text);
}
