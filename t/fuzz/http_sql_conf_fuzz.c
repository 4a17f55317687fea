/* http-sql.conf.ext: whatever it says, what was read can be asked with. */
#include <string.h>

#include "lib/panic.h"
#include "passdb/http_sql/dialect.h"
#include "passdb/request.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 4096

static void check_headers(const struct http_sql_settings *settings)
{
	const char *const *header = settings->headers;

	ASSERT(settings->header_count <= HTTP_SQL_MAX_HEADERS);
	for (; *header != NULL; header++) {
		ASSERT(strchr(*header, ':') != NULL);
		ASSERT(strpbrk(*header, "\r\n") == NULL);
	}
}

static void check_call(const struct http_sql_settings *settings,
		       struct arena *arena)
{
	const char **values = arena_alloc(arena, settings->query.params *
						 sizeof(*values));
	struct str path = STR_INIT, body = STR_INIT;
	unsigned i;

	for (i = 0; i < settings->query.params; i++)
		values[i] = "a'\"\\";
	settings->dialect->ask(settings, &settings->query, values, &path,
			       &body);
	ASSERT(str_c(&path)[0] == '/');
	ASSERT(strpbrk(str_c(&path), " \r\n") == NULL);
	str_free(&path);
	str_free(&body);
}

static void use(const struct http_sql_settings *settings, struct arena *arena)
{
	ASSERT(settings->dialect != NULL && settings->url_count > 0);
	ASSERT(settings->url_count <= HTTP_SQL_MAX_URLS);
	ASSERT(settings->http.timeout_ms > 0);
	ASSERT(settings->http.max_connections > 0);
	check_headers(settings);
	check_call(settings, arena);
}

static void read_as(enum passdb_kind kind, struct conf_tree *tree,
		    struct arena *arena)
{
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	struct conf_errors errors = { .text = STR_INIT };
	struct http_sql_settings *settings;
	struct err err = { "" };

	settings = http_sql_settings_read("/x", kind, tree, &vars, &errors,
					  &err);
	ASSERT((settings == NULL) == (errors.errors > 0));
	ASSERT(err.text[0] == '\0');
	if (settings != NULL)
		use(settings, arena);
	http_sql_settings_free(&settings);
	conf_errors_free(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_tree *tree;
	struct arena *arena;

	if (size > MAX_SIZE || memchr(data, '\0', size) != NULL)
		return 0;
	arena = arena_new(1024);
	tree = conf_tree_new();
	conf_file_add(tree, "/x", arena_strndup(arena, (const char *)data,
						size));
	conf_file_add(tree, "/secret", "hush\n");
	tree->unpacked = true; /* no other file is read */
	read_as(PASSDB_KIND_PASS, tree, arena);
	read_as(PASSDB_KIND_USER, tree, arena);
	conf_tree_free(&tree);
	arena_free(&arena);
	return 0;
}
