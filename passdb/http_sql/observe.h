/* The query of a lookup as people read it, for an observer. */
#ifndef PASSDB_HTTP_SQL_OBSERVE_H
#define PASSDB_HTTP_SQL_OBSERVE_H

#include "passdb/http_sql/query.h"
#include "passdb/observer.h"

/* Tells the request's observer, if there is one, of query, with ?1, ?2, ... for
 * its parameters, and of their values. */
void http_sql_observe(const struct passdb_request *request,
		      const struct http_sql_query *query,
		      const char *const *values);

#endif
