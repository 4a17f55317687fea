/* The file that the args of a passdb or userdb http-sql name. */
#ifndef PASSDB_HTTP_SQL_SETTINGS_H
#define PASSDB_HTTP_SQL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf/schema.h"
#include "lib/conf/tree.h"
#include "lib/http/http.h"
#include "lib/http/url.h"
#include "passdb/http_sql/query.h"
#include "passdb/passdb_settings.h"
#include "passdb/var/var.h"

struct http_sql_dialect;

#define HTTP_SQL_MAX_URLS 16
#define HTTP_SQL_MAX_HEADERS 32

enum rqlite_level {
	RQLITE_LEVEL_DEFAULT,
	RQLITE_LEVEL_NONE,
	RQLITE_LEVEL_WEAK,
	RQLITE_LEVEL_LINEARIZABLE,
	RQLITE_LEVEL_STRONG,
	RQLITE_LEVEL_AUTO,
};

/* Strings are never NULL; "" is not set. */
struct http_sql_settings {
	const char *url, *dialect_name, *header; /* see below */
	const char *password_query, *user_query, *iterate_query;
	unsigned timeout_ms, connect_timeout_ms, max_connections;
	uint64_t max_answer_size;
	int auth;
	const char *user, *password, *token;
	const char *tls_ca_cert_file, *tls_ca_cert_dir;
	const char *tls_cert_file, *tls_key_file, *tls_cipher_suite;
	int tls_require_cert;
	/* options of one dialect */
	int level; /* enum rqlite_level */
	unsigned freshness_ms;
	bool freshness_strict;
	int hrana_version;
	const char *database, *store_settings, *connection_string, *schema;

	/* made of the above */
	struct arena *arena;
	const struct http_sql_dialect *dialect;
	struct http_url urls[HTTP_SQL_MAX_URLS];
	unsigned url_count;
	const char *headers[HTTP_SQL_MAX_HEADERS + 1];
	unsigned header_count;
	const char *probe; /* the dialect's, unless options say otherwise */
	const char *query_name; /* password_query or user_query */
	struct http_sql_query query; /* that one */
	struct http_settings http;
};

extern const struct conf_table http_sql_settings_table;

/* Reads the file for a passdb or a userdb, and those that it names, through conf_tree_file(tree).
 * Variables are checked against check. NULL when something is wrong, all of
 * which is reported with its place but for the file itself, which cannot be
 * read: that is in err, which is empty otherwise. */
struct http_sql_settings *http_sql_settings_read(const char *file,
						 enum passdb_kind kind,
						 struct conf_tree *tree,
						 const struct var_source *check,
						 struct conf_errors *errors,
						 struct err *err);

/* Clears the pointer; NULL is fine. Nothing of it stays in memory. */
void http_sql_settings_free(struct http_sql_settings **settings);

/* Adds a header to every request. -1 when the value holds a control character,
 * or there are too many headers. */
int http_sql_settings_add_header(struct http_sql_settings *settings,
				 const char *name, const char *value,
				 struct err *err);

#endif
