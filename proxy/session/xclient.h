/* XCLIENT: what a trusted client says of the client before it, and what
 * backends are told of that. */
#ifndef PROXY_SESSION_XCLIENT_H
#define PROXY_SESSION_XCLIENT_H

#include <stdint.h>

#include "backends/remote/target.h"
#include "lib/arena.h"
#include "lib/smtp/command.h"
#include "lib/smtp/xclient.h"

struct session;

/* The command. Once it is taken, the session starts anew, with the addresses
 * and the id that it gives; what earlier ones said still holds. */
void session_xclient_command(struct session *session,
			     const struct smtp_command *command);

/* Forgets what was said so: before TLS anybody may have. */
void session_xclient_forget(struct session *session);

/* Whether the message has passed as many proxies as it may. */
bool session_xclient_looping(const struct session *session);

/* How many more proxies it may pass behind us. */
uint32_t session_xclient_ttl(const struct session *session);

/* What the server at target is told of the session's client: session_id is for
 * SESSION, and ttl for TTL. The result has texts of the session and lives in
 * arena. */
const struct smtp_xclient *
session_xclient_tell(const struct session *session, struct arena *arena,
		     const struct remote_target *target,
		     const char *session_id, uint32_t ttl);

#endif
