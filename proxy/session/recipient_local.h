/* A recipient whose mail is saved here: looked up in the userdbs, accepted, and,
 * once the message is complete, handed to a process that becomes the user. */
#ifndef PROXY_SESSION_RECIPIENT_LOCAL_H
#define PROXY_SESSION_RECIPIENT_LOCAL_H

#include <stdbool.h>

struct local_message;
struct recipient;
struct recipient_local;
struct transaction;

/* Goes on with a recipient for whom there is no other server. passdb: there was a
 * lookup in the passdbs before. */
void recipient_local_start(struct recipient *rcpt, bool passdb);

/* Whether the transaction has an accepted recipient who needs the message as a
 * file. */
bool recipient_local_any(const struct transaction *trans);

/* The message is complete, or lost: has it saved for each accepted recipient. Two
 * with the same address get one mail. */
void recipient_local_deliver(struct transaction *trans,
			     const struct local_message *message);

/* Stops what is under way. Idempotent; NULL is fine. */
void recipient_local_stop(struct recipient_local *local);

#endif
