/* A backend's word that a recipient lives elsewhere (Dovecot 2.4's referral, see
 * lib/smtp/referral.h). */
#ifndef PROXY_SESSION_REDIRECT_H
#define PROXY_SESSION_REDIRECT_H

#include <stdbool.h>

#include "lib/smtp/reply.h"

struct recipient;

/* Where a recipient was sent on from. */
struct redirect;

/* Takes the final reply about a recipient whose RCPT is not answered yet, if it
 * is a referral: sends the recipient there, or ends it when it was at that
 * server already, or has come through as many as TTL lets it (554 5.4.6), or
 * there is no telling where to (451). After the message it is a refusal like
 * any other. Returns false for another reply. */
bool redirect_take(struct recipient *rcpt, const struct smtp_reply *reply);

#endif
