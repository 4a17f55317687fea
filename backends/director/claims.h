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

/* There is room for about so many users: how many is chance. */
enum { DIRECTOR_CLAIMS_ROOM = 128 * 1024 };

enum director_claim {
	DIRECTOR_CLAIM_ELSEWHERE = 0, /* not taken */
	DIRECTOR_CLAIM_TAKEN,
	DIRECTOR_CLAIM_UNSEEN, /* nobody else has the user, nor is told: there is no room */
};

/* From any thread: the user with that key has deliveries by this process at the server,
 * which is any number that is the same for all, and the same user's are at no other one.
 * Unless another process has the user, at the server in *where_r. */
enum director_claim director_claims_take(struct director_claims *claims,
					 uint64_t key, uint64_t server,
					 uint64_t *where_r);

/* The same, though other processes have the user at that server, which is dead: what they
 * have there counts no more. */
enum director_claim director_claims_seize(struct director_claims *claims,
					  uint64_t key, uint64_t server);

/* How many users all processes have. */
uint64_t director_claims_count(struct director_claims *claims);

/* Whether another process has the user, and at which server. */
bool director_claims_find(struct director_claims *claims, uint64_t key,
			  uint64_t *where_r);

/* This process has no deliveries of the user any more. Fine when it had none. */
void director_claims_give(struct director_claims *claims, uint64_t key);

/* Another process may have died: what it had is forgotten. By one thread at a time. */
void director_claims_bury(struct director_claims *claims);

#endif
