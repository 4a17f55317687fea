/* Sessions as the control interface shows and picks them. Own thread of their
 * worker. */
#ifndef PROXY_SESSION_SHOW_H
#define PROXY_SESSION_SHOW_H

#include <stdbool.h>

#include "lib/json_write.h"

struct session;

/* Whether the pattern ("*" and "?" stand for any text, and any byte; case does
 * not count) fits its id, the client's address or name (LHLO), the sender, or
 * one of the recipients of its transaction. */
bool session_fits(const struct session *session, const char *pattern);

/* Writes an object with what waypost-control(7) says of a session. */
void session_show(const struct session *session, struct json_writer *json);

#endif
