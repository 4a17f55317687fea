#include <criterion/criterion.h>

#include "proxy/reply_map.h"

static void assert_reply(const struct smtp_reply *reply, const char *path,
			 const char *expected)
{
	struct str out = STR_INIT;

	smtp_reply_write(&out, reply, path);
	cr_assert_str_eq(str_c(&out), expected);
	cr_assert_eq(reply->origin, SMTP_ORIGIN_LOCAL);
	str_free(&out);
}

static void assert_cause(enum reply_cause cause, const char *detail,
			 const char *expected)
{
	struct arena *arena = arena_new(256);
	struct smtp_reply reply;

	reply_map_cause(arena, cause, detail, &reply);
	assert_reply(&reply, "u@d", expected);
	arena_free(&arena);
}

static void assert_failure(enum remote_error error, bool verbose,
			   const char *expected)
{
	struct arena *arena = arena_new(256);
	struct remote_failure failure = { error, "the details" };
	struct smtp_reply reply;

	reply_map_failure(arena, &failure, "ID", verbose, &reply);
	assert_reply(&reply, "u@d", expected);
	arena_free(&arena);
}

Test(reply_map, causes)
{
	assert_cause(REPLY_USER_UNKNOWN, "u",
		     "550 5.1.1 <u@d> User doesn't exist: u\r\n");
	assert_cause(REPLY_LOOKUP_FAILED, NULL,
		     "451 4.3.0 <u@d> Temporary user lookup failure\r\n");
	assert_cause(REPLY_LOOKUP_TIMED_OUT, NULL,
		     "451 4.4.3 <u@d> Temporary user lookup failure: no answer "
		     "in time\r\n");
	assert_cause(REPLY_LOOKUP_FAILED, "try later",
		     "451 4.3.0 <u@d> try later\r\n");
	assert_cause(REPLY_BAD_ROUTE, NULL,
		     "451 4.3.5 <u@d> Internal user lookup failure\r\n");
	assert_cause(REPLY_LOOP, NULL,
		     "554 5.4.6 <u@d> Proxying loops to itself\r\n");
	assert_cause(REPLY_TTL, NULL,
		     "554 5.4.6 <u@d> Proxying appears to be looping (TTL=0)\r\n");
	assert_cause(REPLY_NO_LOCAL_DELIVERY, NULL,
		     "451 4.3.5 <u@d> Local delivery is not available\r\n");
	assert_cause(REPLY_LOGIN_DISABLED, NULL,
		     "450 4.2.1 <u@d> Login disabled\r\n");
	assert_cause(REPLY_TEMPFAIL, NULL,
		     "451 4.3.0 <u@d> Temporary failure\r\n");
	assert_cause(REPLY_STOPPING, NULL,
		     "421 4.3.2 <u@d> Shutting down\r\n");
	assert_cause(REPLY_NO_SPOOL, NULL,
		     "452 4.3.1 <u@d> Insufficient system storage\r\n");
	assert_cause(REPLY_LOCAL_FAILED, NULL,
		     "451 4.3.0 <u@d> Temporary internal error\r\n");
}

Test(reply_map, causes_of_messages)
{
	assert_cause(REPLY_TOO_MANY_RECIPIENTS, NULL,
		     "452 4.5.3 <u@d> Too many recipients\r\n");
	assert_cause(REPLY_TOO_BIG, NULL,
		     "552 5.3.4 <u@d> Message size exceeds administrative "
		     "limit\r\n");
	assert_cause(REPLY_BARE_NEWLINE, NULL,
		     "550 5.6.0 <u@d> Message has a bare CR, a bare LF or a "
		     "NUL\r\n");
	assert_cause(REPLY_LOCAL_BINARY, NULL,
		     "554 5.6.3 <u@d> Message needs BINARYMIME\r\n");
}

Test(reply_map, causes_of_users)
{
	assert_cause(REPLY_USER_MOVES, NULL,
		     "451 4.3.0 <u@d> User is being moved to another "
		     "server\r\n");
	assert_cause(REPLY_CUT_OFF, NULL,
		     "451 4.4.1 <u@d> User's server cannot be reached\r\n");
	assert_cause(REPLY_USER_BUSY, NULL,
		     "451 4.3.0 <u@d> Too many concurrent deliveries for "
		     "user\r\n");
}

Test(reply_map, failures)
{
	assert_failure(
		REMOTE_ERROR_DNS, false,
		"451 4.4.0 <u@d> Proxy failed (DNS lookup, session=ID)\r\n");
	assert_failure(
		REMOTE_ERROR_CONNECT, false,
		"451 4.4.0 <u@d> Proxy failed (connect, session=ID)\r\n");
	assert_failure(REMOTE_ERROR_CONNECT, true,
		       "451 4.4.0 <u@d> Proxy failed: the details "
		       "(session=ID)\r\n");
	assert_failure(REMOTE_ERROR_DATA_TIMEOUT, false,
		       "451 4.4.0 <u@d> Remote server not answering "
		       "(transaction timed out: the details)\r\n");
	assert_failure(REMOTE_ERROR_TLS, false,
		       "451 4.7.4 <u@d> Proxy failed (TLS, session=ID)\r\n");
	assert_failure(REMOTE_ERROR_DENIED, false,
		       "451 4.7.0 <u@d> Proxy failed (TLS or login wanted, "
		       "session=ID)\r\n");
	assert_failure(REMOTE_ERROR_UNTRUSTED, false,
		       "451 4.7.5 <u@d> Proxy failed (certificate, "
		       "session=ID)\r\n");
	assert_failure(REMOTE_ERROR_SPOOL, false,
		       "452 4.3.1 <u@d> Insufficient system storage\r\n");
	assert_failure(REMOTE_ERROR_LOST, false,
		       "451 4.4.0 <u@d> Proxy failed (connection lost, "
		       "session=ID)\r\n");
	assert_failure(REMOTE_ERROR_BAD_REPLY, false,
		       "451 4.4.0 <u@d> Proxy failed (bad reply, "
		       "session=ID)\r\n");
	assert_failure(REMOTE_ERROR_TIMEOUT, false,
		       "451 4.4.0 <u@d> Proxy failed (timed out, "
		       "session=ID)\r\n");
	assert_failure(REMOTE_ERROR_BUSY, false,
		       "451 4.4.5 <u@d> Proxy failed (too many connections, "
		       "session=ID)\r\n");
	assert_failure(REMOTE_ERROR_ADDRESS, false,
		       "451 4.3.5 <u@d> Internal user lookup failure\r\n");
	assert_failure(REMOTE_ERROR_XCLIENT, false,
		       "451 4.4.0 <u@d> Proxy failed (XCLIENT refused, "
		       "session=ID)\r\n");
}

Test(reply_map, failures_for_good)
{
	assert_failure(REMOTE_ERROR_LOOP, false,
		       "554 5.4.6 <u@d> Proxying loops to itself\r\n");
	assert_failure(REMOTE_ERROR_NO_SMTPUTF8, false,
		       "550 5.6.7 <u@d> Address or message needs SMTPUTF8\r\n");
	assert_failure(REMOTE_ERROR_NO_BINARYMIME, false,
		       "554 5.6.3 <u@d> Message needs BINARYMIME\r\n");
	assert_failure(REMOTE_ERROR_NO_DSN, false,
		       "555 5.5.4 <u@d> Unsupported parameters: NOTIFY\r\n");
}

/* An address is only refused for good when somebody said so, or when it can
 * never work: no failure of ours is among these. */
Test(reply_map, our_own_trouble_is_never_permanent)
{
	struct arena *arena = arena_new(256);
	struct smtp_reply reply;
	int error;

	for (error = REMOTE_ERROR_DNS; error <= REMOTE_ERROR_XCLIENT; error++) {
		struct remote_failure failure = { (enum remote_error)error,
						  "x" };

		if (error == REMOTE_ERROR_LOOP ||
		    error == REMOTE_ERROR_NO_SMTPUTF8 ||
		    error == REMOTE_ERROR_NO_BINARYMIME ||
		    error == REMOTE_ERROR_NO_DSN)
			continue;
		reply_map_failure(arena, &failure, "ID", false, &reply);
		cr_assert_eq(reply.code / 100, 4, "failure %d", error);
		cr_assert_eq(reply.enhanced.class, 4, "failure %d", error);
	}
	arena_free(&arena);
}

static void expect_local(enum local_status status, bool tempfail,
			 const char *want)
{
	const struct local_result result = { .status = status };
	struct arena *arena = arena_new(256);
	struct smtp_reply reply;
	struct str out = STR_INIT;

	reply_map_local(arena, &result, "ID", tempfail, &reply);
	smtp_reply_write(&out, &reply, "u@d");
	cr_expect_str_eq(str_c(&out), want);
	str_free(&out);
	arena_free(&arena);
}

Test(reply_map, mail_that_was_to_be_saved)
{
	expect_local(LOCAL_SAVED, false, "250 2.0.0 <u@d> ID Saved\r\n");
	expect_local(LOCAL_OVER_QUOTA, false,
		     "552 5.2.2 <u@d> Quota exceeded (mailbox for user is "
		     "full)\r\n");
	expect_local(LOCAL_OVER_QUOTA, true,
		     "452 4.2.2 <u@d> Quota exceeded (mailbox for user is "
		     "full)\r\n");
	expect_local(LOCAL_NO_SPACE, false,
		     "452 4.3.1 <u@d> Insufficient system storage\r\n");
	expect_local(LOCAL_NO_ACCESS, false,
		     "451 4.2.0 <u@d> Mailbox is not accessible\r\n");
	expect_local(LOCAL_GONE, false,
		     "451 4.2.0 <u@d> Mailbox is not available\r\n");
	expect_local(LOCAL_NO_USER, false,
		     "550 5.1.1 <u@d> User doesn't exist\r\n");
	expect_local(LOCAL_REFUSED, false,
		     "550 5.7.1 <u@d> Message was refused\r\n");
	expect_local(LOCAL_NOT_TAKEN, false,
		     "554 5.3.0 <u@d> Message cannot be delivered\r\n");
	expect_local(LOCAL_BAD_MESSAGE, false,
		     "554 5.6.0 <u@d> Message is malformed\r\n");
	expect_local(LOCAL_NO_ROOM, false,
		     "452 4.2.2 <u@d> Mailbox cannot take the message\r\n");
	expect_local(LOCAL_MISCONFIGURED, false,
		     "451 4.3.5 <u@d> Internal configuration error\r\n");
	expect_local(LOCAL_FAILED, false,
		     "451 4.3.0 <u@d> Temporary internal error\r\n");
}

Test(reply_map, only_quota_and_a_command_refuse_for_good)
{
	struct arena *arena = arena_new(256);
	struct local_result result = { .status = LOCAL_NO_MAILBOX };
	struct smtp_reply reply;

	for (; result.status <= LOCAL_FAILED; result.status++) {
		if (result.status == LOCAL_OVER_QUOTA ||
		    (result.status >= LOCAL_NO_USER &&
		     result.status <= LOCAL_BAD_MESSAGE))
			continue;
		reply_map_local(arena, &result, "ID", false, &reply);
		cr_expect_eq(reply.code / 100, 4, "%d", (int)result.status);
		cr_expect_eq(reply.enhanced.class, 4, "%d",
			     (int)result.status);
	}
	arena_free(&arena);
}
