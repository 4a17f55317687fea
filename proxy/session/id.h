/* Session ids: 22 random digits of base64, which looks as Dovecot's 16 bytes do. */
#ifndef PROXY_SESSION_ID_H
#define PROXY_SESSION_ID_H

#include "lib/arena.h"

#define SESSION_ID_SIZE 23

/* Fills id, terminated. */
void session_id_make(char id[SESSION_ID_SIZE]);

/* The id of the number-th part of what has id: itself for the first, then id
 * with suffix and number behind it ("…:T2", "…:T2:R3"). */
const char *session_id_part(struct arena *arena, const char *id,
			    const char *suffix, unsigned number);

#endif
