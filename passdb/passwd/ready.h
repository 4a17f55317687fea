/* What extra fields of passwd-files come to, read once: most users of a site share
 * theirs with others. Those of one thread that came up last. */
#ifndef PASSDB_PASSWD_READY_H
#define PASSDB_PASSWD_READY_H

#include <stdbool.h>
#include <stddef.h>

#include "passdb/passdb.h"

struct passwd_ready;

struct passwd_ready *passwd_ready_new(void);

/* Clears the pointer; NULL is fine. */
void passwd_ready_free(struct passwd_ready **ready);

/* If it is known what extra (len bytes) says to a request without fields: sets
 * them, in the request's arena. */
bool passwd_ready_use(struct passwd_ready *ready, const char *extra, size_t len,
		      struct passdb_request *request);

/* Extra says no more and no less than fields, whose keys and values stand in text:
 * that is extra, with a NUL behind each of them. Kept when it comes up twice. */
void passwd_ready_note(struct passwd_ready *ready, const char *extra, size_t len,
		       const char *text, const struct passdb_fields *fields);

#endif
