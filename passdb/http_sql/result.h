/* What a store answered: how many rows, and the columns of the first. */
#ifndef PASSDB_HTTP_SQL_RESULT_H
#define PASSDB_HTTP_SQL_RESULT_H

#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/json.h"

#define HTTP_SQL_MAX_COLUMNS 256

struct http_sql_column {
	const char *name, *value;
};

struct http_sql_result {
	struct arena *arena; /* set by the caller: for all that follows */
	size_t rows;
	struct http_sql_column *columns; /* of the first, without NULLs */
	unsigned count;
};

/* Adds a column of the first row. A string counts as it is, a number as one
 * writes it, true as "y"; null and false are a column that is absent. -1 for
 * an array or an object. */
int http_sql_result_put(struct http_sql_result *result, const char *name,
			const struct json *value, struct err *err);

/* Takes names and rows that stand apart: columns is an array of names (or of
 * objects with the name in member), rows an array of arrays. */
int http_sql_result_take(struct http_sql_result *result,
			 const struct json *columns, const char *member,
			 const struct json *rows, struct err *err);

#endif
