/* Rawlogs of what clients say and are told: lmtp_rawlog_dir, and what an
 * administrator has asked for (proxy/rawlog_rules.h). */
#ifndef PROXY_SESSION_RAWLOG_H
#define PROXY_SESSION_RAWLOG_H

struct session;
struct transaction;

/* At the session's beginning. */
void session_rawlog_open(struct session *session);

/* A transaction gets a recipient: user, without detail. If a rule is for that
 * one, all that is said from now on is logged, by connections to backends that
 * are opened for the transaction as well. */
void session_rawlog_rcpt(struct transaction *trans, const char *user);

#endif
