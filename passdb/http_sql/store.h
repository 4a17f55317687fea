/* The stores of one passdb http-sql, as one worker sees them: which of them
 * answer. A store that fails is down: at once when another one is up, else after
 * three times in a row. It then gets no lookup until it has answered a probe, of
 * which there is one at a time, after 1, 2, 4, ... at most 30 seconds (and goes on
 * with that if it fails again before it has answered a lookup). */
#ifndef PASSDB_HTTP_SQL_STORE_H
#define PASSDB_HTTP_SQL_STORE_H

#include "lib/http/http.h"
#include "passdb/driver.h"
#include "passdb/http_sql/settings.h"

struct http_sql_stores;
struct http_sql_store;

/* settings outlives the stores. */
struct http_sql_stores *
http_sql_stores_new(const struct passdb_env *env,
		    const struct http_sql_settings *settings);

/* Clears the pointer; NULL is fine. No lookup may be under way. */
void http_sql_stores_free(struct http_sql_stores **stores);

/* How many requests wait for a connection, to all stores together. */
unsigned http_sql_stores_waiting(const struct http_sql_stores *stores);

/* The store to ask next: the first that is up and not in tried (a mask of those
 * that were already asked, to which it is added). NULL: there is none. */
struct http_sql_store *http_sql_stores_pick(struct http_sql_stores *stores,
					    unsigned *tried);

struct http_server *http_sql_store_server(const struct http_sql_store *store);
const char *http_sql_store_url(const struct http_sql_store *store);

/* What came of a request. why is for the log, once it is down. */
void http_sql_store_worked(struct http_sql_store *store);
void http_sql_store_failed(struct http_sql_store *store, const char *why);

#endif
