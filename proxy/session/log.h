/* The log lines of a connection, at its beginning and at its end. */
#ifndef PROXY_SESSION_LOG_H
#define PROXY_SESSION_LOG_H

struct session;

/* The client is there, with its addresses. */
void session_log_connect(const struct session *session);

/* The session is over; reason: why. */
void session_log_disconnect(const struct session *session, const char *reason);

/* The connection is closed without a word. */
void session_log_drop(const struct session *session, const char *reason);

#endif
