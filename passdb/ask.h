/* Asking one passdb of the chain: through the cache where the driver has a key
 * for it, and once for equal lookups that are under way at the same time, be it
 * on other threads (passdb/flight.h). */
#ifndef PASSDB_ASK_H
#define PASSDB_ASK_H

#include "passdb/driver.h"
#include "passdb/passdb.h"

/* Prepares a chain for it, and ends it: no lookup may be under way. */
void passdb_ask_open(struct passdb *passdb);
void passdb_ask_close(struct passdb *passdb);

/* What driver->lookup() does for the request's step. PASSDB_ANSWER_WAIT: it
 * comes through passdb_answer(). */
enum passdb_answer passdb_ask(struct passdb_request *request);

/* To be called with what comes through passdb_answer(). Returns the answer that
 * counts: for a passdb that could not say, one that has expired, if it was
 * that the user exists. */
enum passdb_answer passdb_ask_answered(struct passdb_request *request,
				       enum passdb_answer answer);

/* Forgets a lookup that waits. */
void passdb_ask_cancel(struct passdb_request *request);

/* Ends the waiting with the answer that is kept, though expired; there must be
 * one. */
void passdb_ask_give_up(struct passdb_request *request);

/* Whether an answer is kept that will do, though expired, when the passdb has
 * none. */
bool passdb_ask_has_stale(const struct passdb_request *request);

/* Notes a field that the driver sets. */
void passdb_ask_record(struct passdb_request *request, const char *key,
		       const char *value);

#endif
