/* JSON as tables for people. Texts are escaped as in the log. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include "lib/json.h"
#include "lib/str.h"

enum table_format {
	TABLE_TEXT,
	TABLE_PLAIN,	/* escaped already */
	TABLE_COUNT,	/* of an array's elements */
	TABLE_SECONDS,	/* as "1h02m", "2m03s", "4.5s" */
	TABLE_YES,	/* "yes", or nothing */
	TABLE_PERCENT,	/* of a fraction */
};

struct table_column {
	const char *title; /* NULL: the end of the list */
	const char *member; /* "a.b": b of the object a */
	enum table_format format;
};

/* Appends a line of titles and one for each object in array. Numbers stand to
 * the right. */
void table_put(struct str *out, const struct json *array,
	       const struct table_column *columns);

/* Appends a line "name  value" for each column, of one object. */
void table_put_fields(struct str *out, const struct json *object,
		      const struct table_column *columns);

#endif
