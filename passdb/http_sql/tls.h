/* What TLS with the stores of a passdb http-sql needs. */
#ifndef PASSDB_HTTP_SQL_TLS_H
#define PASSDB_HTTP_SQL_TLS_H

#include "passdb/ext_file.h"
#include "passdb/http_sql/settings.h"

/* Reads the files that settings->tls_... name, or else the system's CAs if a
 * store needs them, into settings->http, through file; reports what is wrong.
 * settings->http.trust is to be freed. */
void http_sql_tls_read(struct http_sql_settings *settings,
		       struct ext_file *file);

#endif
