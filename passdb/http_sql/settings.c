#include "passdb/http_sql/settings.h"

#include <string.h>

#include "passdb/ext_file.h"
#include "passdb/http_sql/dialect.h"
#include "passdb/http_sql/tls.h"

#define MAX_CONNECTIONS 1024
#define MAX_ANSWER_SIZE (16 * 1024 * 1024)

enum { AUTH_NONE, AUTH_BASIC, AUTH_BEARER };

static const struct conf_word auth_words[] = {
	{ "none", AUTH_NONE }, { "basic", AUTH_BASIC },
	{ "bearer", AUTH_BEARER }, { NULL, 0 },
};
static const struct conf_word cert_words[] = {
	{ "demand", 1 }, { "hard", 1 }, { "try", 1 }, { "allow", 0 },
	{ "never", 0 }, { NULL, 0 },
};
static const struct conf_word hrana_words[] = {
	{ "2", 2 }, { "3", 3 }, { NULL, 0 },
};
static const struct conf_word level_words[] = {
	{ "default", RQLITE_LEVEL_DEFAULT }, { "none", RQLITE_LEVEL_NONE },
	{ "weak", RQLITE_LEVEL_WEAK },
	{ "linearizable", RQLITE_LEVEL_LINEARIZABLE },
	{ "strong", RQLITE_LEVEL_STRONG }, { "auto", RQLITE_LEVEL_AUTO },
	{ NULL, 0 },
};

#define S struct http_sql_settings
static const struct conf_def defs[] = {
	CONF_DEF_ENUM(S, auth, auth_words, "auth", "none",
		      "how to log in: none, basic, bearer"),
	CONF_DEF_TIME(S, connect_timeout_ms, "connect_timeout", "2 secs",
		      "how long connecting to one address may take"),
	CONF_DEF_SECRET(S, connection_string, "connection_string", "",
			"neon: the database, as a URL"),
	CONF_DEF_STRING(S, database, "database", "", "clickhouse: database"),
	CONF_DEF_STRING(S, dialect_name, "dialect", "", "kind of store"),
	CONF_DEF_TIME(S, freshness_ms, "freshness", "0",
		      "rqlite: how old an answer may be with level = none"),
	CONF_DEF_BOOL(S, freshness_strict, "freshness_strict", "no",
		      "rqlite: go by the leader's clock"),
	CONF_DEF_ENUM(S, hrana_version, hrana_words, "hrana_version", "3",
		      "libsql: version of the protocol"),
	CONF_DEF_SECRET(S, header, "header", "",
			"one more header, \"Name: value\"; may be repeated"),
	CONF_DEF_STRING(S, iterate_query, "iterate_query", "",
			"not used for lookups"),
	CONF_DEF_ENUM(S, level, level_words, "level", "default",
		      "rqlite: read consistency"),
	CONF_DEF_SIZE(S, max_answer_size, "max_answer_size", "64 k",
		      "largest answer"),
	CONF_DEF_UINT(S, max_connections, "max_connections", "8",
		      "connections to each store, for each worker thread"),
	CONF_DEF_SECRET(S, password, "password", "", "for auth = basic"),
	CONF_DEF_STRING(S, password_query, "password_query", "",
			"what a passdb asks for a user"),
	CONF_DEF_STRING(S, schema, "schema", "", "postgrest: schema"),
	CONF_DEF_STRING(S, store_settings, "settings", "",
			"clickhouse: settings of the query, name=value&..."),
	CONF_DEF_TIME(S, timeout_ms, "timeout", "5 secs",
		      "how long one store may take to answer"),
	CONF_DEF_STRING(S, tls_ca_cert_dir, "tls_ca_cert_dir", "",
			"directory of trusted CAs"),
	CONF_DEF_STRING(S, tls_ca_cert_file, "tls_ca_cert_file", "",
			"file of trusted CAs"),
	CONF_DEF_STRING(S, tls_cert_file, "tls_cert_file", "",
			"our certificate"),
	CONF_DEF_STRING(S, tls_cipher_suite, "tls_cipher_suite", "",
			"ciphers up to TLS 1.2"),
	CONF_DEF_STRING(S, tls_key_file, "tls_key_file", "", "its key"),
	CONF_DEF_ENUM(S, tls_require_cert, cert_words, "tls_require_cert",
		      "demand", "whether the store's certificate is checked"),
	CONF_DEF_SECRET(S, token, "token", "", "for auth = bearer"),
	CONF_DEF_STRING(S, url, "url", "", "stores, in order; may be repeated"),
	CONF_DEF_STRING(S, user, "user", "", "for auth = basic"),
	CONF_DEF_STRING(S, user_query, "user_query", "",
			"what a userdb asks for a user"),
	CONF_DEF_END
};
#undef S

const struct conf_table http_sql_settings_table = { defs, 0 };

/* Of Dovecot's SQL configuration: passwords are not looked at. */
static const char *const ignored[] = {
	"default_pass_scheme", "update_query", NULL,
};
static const struct ext_file_kind file_kind = {
	.table = &http_sql_settings_table, .ignored = ignored,
};

/* A file being read. */
struct reader {
	struct http_sql_settings *settings;
	enum passdb_kind kind;
	struct ext_file file;
	const struct var_source *check;
};

static void report(struct reader *reader, const char *setting,
		   const char *text)
{
	ext_file_report(&reader->file, setting, "%s", text);
}

/* --- headers --- */

static bool has_control(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

int http_sql_settings_add_header(struct http_sql_settings *settings,
				 const char *name, const char *value,
				 struct err *err)
{
	if (has_control(value))
		return err_set(err, "a line break, or another control "
			       "character, is in it");
	if (settings->header_count == HTTP_SQL_MAX_HEADERS)
		return err_set(err, "there are too many headers");
	settings->headers[settings->header_count++] =
		arena_concat(settings->arena, name, ": ", value);
	return 0;
}

/* What a file has at its end is no part of a secret. */
static const char *chomp(struct arena *arena, const char *text)
{
	size_t len = strlen(text);

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	return arena_strndup(arena, text, len);
}

static void read_header(struct reader *reader, const struct conf_node *node)
{
	struct arena *arena = reader->settings->arena;
	const char *text = chomp(arena, node->value), *value;
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	struct err err = { "it is not of the form Name: value" };

	value = text + len + 1;
	if (len > 0 && text[len] == ':') {
		value += strspn(value, " ");
		if (*value != '\0' && http_sql_settings_add_header(
			reader->settings, arena_strndup(arena, text, len),
			value, &err) == 0)
			return;
	}
	conf_error(reader->file.errors, node->file, node->line, "header: %s",
		   err.text);
}

/* --- stores --- */

static void read_url(struct reader *reader, const struct conf_node *node)
{
	struct http_sql_settings *settings = reader->settings;
	const char *text = node->value;
	struct err err;
	size_t len;

	for (text += strspn(text, " "); *text != '\0';
	     text += strspn(text, " ")) {
		len = strcspn(text, " ");
		if (settings->url_count == HTTP_SQL_MAX_URLS) {
			report(reader, "url", "there are too many");
			return;
		}
		if (http_url_parse(&settings->urls[settings->url_count++],
				   settings->arena,
				   arena_strndup(settings->arena, text, len),
				   &err) < 0)
			conf_error(reader->file.errors, node->file, node->line,
				   "url: %s", err.text);
		text += len;
	}
}

static void read_dialect(struct reader *reader)
{
	struct http_sql_settings *settings = reader->settings;
	const char *const *header;
	struct err err;

	settings->dialect = http_sql_dialect_find(settings->dialect_name,
						  &err);
	if (settings->dialect == NULL) {
		report(reader, "dialect", err.text);
		return;
	}
	settings->probe = settings->dialect->probe;
	for (header = settings->dialect->headers; *header != NULL; header++)
		settings->headers[settings->header_count++] = *header;
	if (settings->dialect->setup != NULL &&
	    settings->dialect->setup(settings, &err) < 0)
		report(reader, "dialect", err.text);
}

/* Settings that may stand there more than once, and those that must not. */
static void read_nodes(struct reader *reader)
{
	const struct conf_node *node = reader->file.tree->root->children;
	const struct http_sql_dialect *owner;

	for (; node != NULL; node = node->next) {
		if (strcmp(node->key, "url") == 0)
			read_url(reader, node);
		else if (strcmp(node->key, "header") == 0)
			read_header(reader, node);
		owner = http_sql_dialect_of(node->key);
		if (owner != NULL && reader->settings->dialect != NULL &&
		    owner != reader->settings->dialect)
			conf_error(reader->file.errors, node->file, node->line,
				   "%s: only for dialect = %s", node->key,
				   owner->name);
	}
	if (reader->settings->url_count == 0)
		report(reader, "url", "it is missing");
}

/* --- queries --- */

static void read_query(struct reader *reader, const char *setting,
		       const char *text, struct http_sql_query *query)
{
	struct http_sql_settings *settings = reader->settings;
	struct err err;

	if (text[0] != '\0' && settings->dialect != NULL &&
	    settings->dialect->parse_query(query, settings->arena, text,
					   reader->check, &err) < 0)
		report(reader, setting, err.text);
}

/* One is needed; what is wrong with the others is said, too. */
static void read_queries(struct reader *reader)
{
	struct http_sql_settings *settings = reader->settings;
	bool user = reader->kind == PASSDB_KIND_USER;
	struct http_sql_query other;

	settings->query_name = user ? "user_query" : "password_query";
	if ((user ? settings->user_query : settings->password_query)[0] == '\0')
		report(reader, settings->query_name, "it is missing");
	read_query(reader, "password_query", settings->password_query,
		   user ? &other : &settings->query);
	read_query(reader, "user_query", settings->user_query,
		   user ? &settings->query : &other);
	read_query(reader, "iterate_query", settings->iterate_query, &other);
}

/* --- the rest --- */

static void read_auth(struct reader *reader)
{
	struct http_sql_settings *settings = reader->settings;
	bool basic = settings->auth == AUTH_BASIC;
	bool bearer = settings->auth == AUTH_BEARER;
	struct err err;

	settings->password = chomp(settings->arena, settings->password);
	settings->token = chomp(settings->arena, settings->token);
	if (basic && settings->user[0] == '\0')
		report(reader, "auth", "basic needs user");
	if (strchr(settings->user, ':') != NULL)
		report(reader, "user", "it may not hold a colon");
	if (!basic && settings->user[0] != '\0')
		report(reader, "user", "it needs auth = basic");
	if (!basic && settings->password[0] != '\0')
		report(reader, "password", "it needs auth = basic");
	if (bearer && settings->token[0] == '\0')
		report(reader, "auth", "bearer needs token");
	if (!bearer && settings->token[0] != '\0')
		report(reader, "token", "it needs auth = bearer");
	if (bearer && http_sql_settings_add_header(
		settings, "Authorization",
		arena_concat(settings->arena, "Bearer ", settings->token, ""),
		&err) < 0)
		report(reader, "token", err.text);
}

static void check_limits(struct reader *reader)
{
	const struct http_sql_settings *settings = reader->settings;

	if (settings->timeout_ms == 0)
		report(reader, "timeout", "it cannot be 0");
	if (settings->connect_timeout_ms == 0)
		report(reader, "connect_timeout", "it cannot be 0");
	if (settings->max_connections == 0 ||
	    settings->max_connections > MAX_CONNECTIONS)
		report(reader, "max_connections", "it has to be from 1 to "
		       "1024");
	if (settings->max_answer_size == 0 ||
	    settings->max_answer_size > MAX_ANSWER_SIZE)
		report(reader, "max_answer_size", "it has to be from 1 to "
		       "16M");
}

static void set_http(struct reader *reader)
{
	struct http_sql_settings *settings = reader->settings;

	settings->http = (struct http_settings){
		.max_connections = settings->max_connections,
		.timeout_ms = settings->timeout_ms,
		.connect_timeout_ms = settings->connect_timeout_ms,
		.max_idle_s = settings->dialect != NULL ?
			settings->dialect->max_idle_s : 0,
		.max_body = settings->max_answer_size,
		.headers = settings->headers,
		.verify = settings->tls_require_cert != 0,
		.user = settings->user,
		.password = settings->password,
	};
}

static struct http_sql_settings *settings_new(void)
{
	struct arena *arena = arena_new(4096);
	struct http_sql_settings *settings =
		arena_new_struct(arena, struct http_sql_settings);

	settings->arena = arena;
	return settings;
}

static void read_all(struct reader *reader)
{
	struct http_sql_settings *settings = reader->settings;

	ext_file_apply(&reader->file, settings->arena, settings);
	read_dialect(reader);
	read_nodes(reader);
	read_queries(reader);
	read_auth(reader);
	check_limits(reader);
	set_http(reader);
	http_sql_tls_read(settings, &reader->file);
}

struct http_sql_settings *http_sql_settings_read(const char *file,
						 enum passdb_kind kind,
						 struct conf_tree *tree,
						 const struct var_source *check,
						 struct conf_errors *errors,
						 struct err *err)
{
	struct reader reader = { .kind = kind, .check = check };
	const char *text = conf_tree_file(tree, file, err);

	if (text == NULL)
		return NULL;
	err->text[0] = '\0';
	if (ext_file_open(&reader.file, &file_kind, file, text, tree, errors) < 0)
		return NULL;
	reader.settings = settings_new();
	read_all(&reader);
	if (ext_file_is_broken(&reader.file))
		http_sql_settings_free(&reader.settings);
	ext_file_close(&reader.file);
	return reader.settings;
}

void http_sql_settings_free(struct http_sql_settings **settings_p)
{
	struct http_sql_settings *settings = *settings_p;
	struct arena *arena;

	*settings_p = NULL;
	if (settings == NULL)
		return;
	tls_trust_free(&settings->http.trust);
	arena = settings->arena;
	arena_wipe(&arena);
}
