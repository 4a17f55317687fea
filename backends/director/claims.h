/* Which users the worker processes of one supervisor have deliveries for, and at which
 * server: while the program is replaced there are several, each with a table of users
 * (backends/director/users.h) of its own, and servers that may be others. In memory that
 * all of them share. Whoever dies has nobody any more. */
#ifndef BACKENDS_DIRECTOR_CLAIMS_H
#define BACKENDS_DIRECTOR_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

/* So many processes can take part. */
enum { DIRECTOR_CLAIMS_PROCESSES = 32 };

/* Makes the memory: its descriptor (close-on-exec), or -1 and err. */
int director_claims_make(struct err *err);

/* What a process has of it, on a descriptor that a process inherits, stays open as long,
 * and is not closed by anybody else in it. What another process than this one had that is
 * dead by now is forgotten. NULL and err: it is no such memory, or too many processes
 * share it. */
struct director_claims;
struct director_claims *director_claims_open(int fd, struct err *err);

/* Nothing is left of what this process had. Clears the pointer; NULL is fine. */
void director_claims_close(struct director_claims **claims);

/* From any thread: the user with that key has deliveries by this process at the server,
 * which is any number that is the same for all, and the same user's are at no other one.
 * False: another process has the user at the server in *where_r. When there are more than
 * some hundred thousand such users at a time those who are too many are not looked after. */
bool director_claims_take(struct director_claims *claims, uint64_t key,
			  uint64_t server, uint64_t *where_r);

/* The same, though other processes have the user at that server, which is dead: what they
 * have there counts no more. */
void director_claims_seize(struct director_claims *claims, uint64_t key,
			   uint64_t server);

/* Whether another process has the user, and at which server. */
bool director_claims_find(struct director_claims *claims, uint64_t key,
			  uint64_t *where_r);

/* This process has no deliveries of the user any more. Fine when it had none. */
void director_claims_give(struct director_claims *claims, uint64_t key);

/* Another process may have died: what it had is forgotten. By one thread at a time. */
void director_claims_bury(struct director_claims *claims);

#endif
