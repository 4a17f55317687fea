/* How one kind of store is asked and how it answers. Each stands in a file of
 * its own, and in the table of http_sql/dialect.c. */
#ifndef PASSDB_HTTP_SQL_DIALECT_H
#define PASSDB_HTTP_SQL_DIALECT_H

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/str.h"
#include "passdb/http_sql/query.h"
#include "passdb/http_sql/result.h"
#include "passdb/http_sql/settings.h"
#include "passdb/var/var.h"

struct http_sql_dialect {
	const char *name;
	const char *probe; /* a path; when the answer's status is below 500,
			      the store is up */
	unsigned max_idle_s; /* of connections */
	const char *const *options;  /* settings of this dialect only */
	const char *const *headers;  /* that every request has */
	/* Checks the options, and adds headers that are made of them, or changes
	 * the probe. */
	int (*setup)(struct http_sql_settings *settings, struct err *err);

	/* Reads a query, as http_sql_query_parse() does. */
	int (*parse_query)(struct http_sql_query *query, struct arena *arena,
			   const char *text, const struct var_source *check,
			   struct err *err);

	/* Appends the path and the body (which stays empty for a GET) that ask
	 * query with values, one for each parameter. */
	void (*ask)(const struct http_sql_settings *settings,
		    const struct http_sql_query *query,
		    const char *const *values, struct str *path,
		    struct str *body);

	/* Reads the answer of a request that succeeded as HTTP goes. Returns
	 * -1 when it is an error, or not what the store should say. */
	int (*read)(const struct json *answer, struct http_sql_result *result,
		    struct err *err);
};

/* NULL and err when there is none of that name. */
const struct http_sql_dialect *http_sql_dialect_find(const char *name,
						     struct err *err);

/* The dialect that an option belongs to; NULL: all have it. */
const struct http_sql_dialect *http_sql_dialect_of(const char *option);

extern const struct http_sql_dialect http_sql_clickhouse, http_sql_libsql,
	http_sql_neon, http_sql_postgrest, http_sql_rqlite;

#endif
