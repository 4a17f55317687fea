#include "passdb/http_sql/dialect.h"

#include <string.h>

static const struct http_sql_dialect *const dialects[] = {
	&http_sql_clickhouse,
	&http_sql_libsql,
	&http_sql_neon,
	&http_sql_postgrest,
	&http_sql_rqlite,
};
#define DIALECTS (sizeof(dialects) / sizeof(*dialects))

const struct http_sql_dialect *http_sql_dialect_find(const char *name,
						     struct err *err)
{
	size_t i;

	for (i = 0; i < DIALECTS; i++) {
		if (strcmp(dialects[i]->name, name) == 0)
			return dialects[i];
	}
	err_put(err, "'%s' is none of clickhouse, libsql, neon, postgrest and "
		"rqlite", name);
	return NULL;
}

const struct http_sql_dialect *http_sql_dialect_of(const char *option)
{
	const char *const *name;
	size_t i;

	for (i = 0; i < DIALECTS; i++) {
		for (name = dialects[i]->options; *name != NULL; name++) {
			if (strcmp(*name, option) == 0)
				return dialects[i];
		}
	}
	return NULL;
}
