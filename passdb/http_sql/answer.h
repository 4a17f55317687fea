/* The answer of a store, from HTTP to rows. */
#ifndef PASSDB_HTTP_SQL_ANSWER_H
#define PASSDB_HTTP_SQL_ANSWER_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/http/http.h"
#include "passdb/http_sql/dialect.h"
#include "passdb/http_sql/result.h"

/* Whether the answer says that the store itself is in trouble, and not that it
 * does not like the query: it got lost, or has status 429, 502, 503 or 504. */
bool http_sql_answer_is_down(const struct http_answer *answer);

/* Reads the answer; result->arena is set. -1 when it is anything but rows:
 * no answer, another status, a redirect, no JSON, an error in it, another form
 * than the dialect's. The message says which. */
int http_sql_answer_read(const struct http_answer *answer,
			 const struct http_sql_dialect *dialect,
			 struct http_sql_result *result, struct err *err);

#endif
