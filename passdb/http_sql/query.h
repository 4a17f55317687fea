/* A query of the passdb http-sql, taken apart once: what is fixed, and where
 * variables stand. A variable never becomes part of the fixed text, so that no
 * user's name can change what is asked. */
#ifndef PASSDB_HTTP_SQL_QUERY_H
#define PASSDB_HTTP_SQL_QUERY_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "passdb/var/var.h"

struct http_sql_piece {
	const char *text; /* of a parameter: with variables */
	bool param;
};

struct http_sql_query {
	struct http_sql_piece *pieces;
	unsigned count, params;
	const char *post; /* no SQL, but a body for this path; NULL: else */
};

/* How a store's SQL is read. */
struct http_sql_syntax {
	const char *forbidden; /* characters that may stand in quotes only */
	bool backslash;	       /* escapes in quotes */
};

/* Reads SQL as one writes it for Dovecot. A literal in single quotes with
 * variables in it becomes one parameter, as does a variable outside quotes,
 * which is a token by itself, whatever it touches. Refused are variables that
 * check finds wrong; those that stand in a quoted name, in a literal with a
 * prefix (E'%u', X'%u') or next to a backslash that escapes; comments; and
 * quotes that do not end. Strings live in arena. */
int http_sql_query_parse(struct http_sql_query *query, struct arena *arena,
			 const char *text,
			 const struct http_sql_syntax *syntax,
			 const struct var_source *check, struct err *err);

/* Adds a piece: len bytes at text. A parameter's variables are checked, %% of
 * another text becomes %. */
int http_sql_query_add(struct http_sql_query *query, struct arena *arena,
		       const char *text, size_t len, bool param,
		       const struct var_source *check, struct err *err);

/* The parameters' values for one user, in arena. -1: a variable has no value;
 * VAR_REFUSED: one is not UTF-8, which no such store can hold. */
int http_sql_query_values(const struct http_sql_query *query,
			  struct arena *arena, const struct var_source *vars,
			  const char *const **values_r, struct err *err);

#endif
