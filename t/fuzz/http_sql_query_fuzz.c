/* A byte that picks the dialect, a query, a NUL, and a user's name. Whatever the
 * name, what is asked has the same form as for another name. */
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/utf8.h"
#include "passdb/http_sql/dialect.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 1024

static const struct http_sql_dialect *const dialects[] = {
	&http_sql_rqlite, &http_sql_libsql, &http_sql_clickhouse,
	&http_sql_neon, &http_sql_postgrest,
};

/* What was asked. */
struct asked {
	struct str path, body;
};

static bool ask(const struct http_sql_dialect *dialect,
		const struct http_sql_query *query, const char *user,
		struct arena *arena, struct asked *asked)
{
	const struct var_entry table[] = {
		{ 'u', "user", user, 0 }, { 0, NULL, NULL, 0 },
	};
	const struct var_source vars = { .table = table };
	const struct http_sql_settings settings = {
		.hrana_version = 2, .database = "", .store_settings = "",
	};
	const char *const *values;
	struct err err;

	if (http_sql_query_values(query, arena, &vars, &values, &err) < 0)
		return false;
	dialect->ask(&settings, query, values, &asked->path, &asked->body);
	return true;
}

/* The query with each literal's contents left out, read as ClickHouse does. */
static void put_form(struct str *out, const char *text)
{
	while (*text != '\0') {
		char c = *text++;

		str_putc(out, c);
		if (c != '\'' && c != '"' && c != '`')
			continue;
		for (; *text != c; text++) {
			text += *text == '\\';
			ASSERT(*text != '\0');
		}
		str_putc(out, *text++);
	}
}

/* The characters of a path that mean something. */
static void put_path_form(struct str *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (strchr("&=?#/+ \"'\\;", *text) != NULL)
			str_putc(out, *text);
	}
}

/* The SQL text of a JSON body; "" for a body without. */
static void put_json_form(struct str *out, const struct str *body)
{
	struct err err;
	struct json *root = json_parse(str_c(body), body->len, &err);
	const char *sql;

	ASSERT(root != NULL);
	sql = json_text(json_item(json_item(root, 0), 0));
	if (sql == NULL)
		sql = json_text(json_member(root, "query"));
	if (sql == NULL)
		sql = json_text(json_member(json_member(json_item(
			json_member(root, "requests"), 0), "stmt"), "sql"));
	str_puts(out, sql != NULL ? sql : "");
	json_close(&root);
}

static void put_asked(struct str *out, const struct http_sql_dialect *dialect,
		      const struct asked *asked)
{
	if (dialect == &http_sql_clickhouse) {
		put_form(out, str_c(&asked->body));
		return;
	}
	put_path_form(out, str_c(&asked->path));
	if (asked->body.len > 0)
		put_json_form(out, &asked->body);
}

/* Conditions and hashes choose between texts of the query's own. */
static bool is_simple(const char *text)
{
	return strstr(text, "%{") == NULL;
}

static void compare(const struct http_sql_dialect *dialect,
		    const struct http_sql_query *query, const char *user,
		    struct arena *arena)
{
	struct asked one = { STR_INIT, STR_INIT }, two = one;
	struct str form = STR_INIT, other = STR_INIT;

	if (ask(dialect, query, user, arena, &one) &&
	    ask(dialect, query, "x", arena, &two)) {
		put_asked(&form, dialect, &one);
		put_asked(&other, dialect, &two);
		ASSERT(strcmp(str_c(&form), str_c(&other)) == 0);
	}
	str_free(&one.path);
	str_free(&one.body);
	str_free(&two.path);
	str_free(&two.body);
	str_free(&form);
	str_free(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct var_entry table[] = {
		{ 'u', "user", NULL, 0 }, { 0, NULL, NULL, 0 },
	};
	const struct var_source check = { .table = table };
	const struct http_sql_dialect *dialect;
	struct http_sql_query query;
	struct arena *arena;
	struct err err = { "" };
	char *text;

	if (size == 0 || size > MAX_SIZE)
		return 0;
	dialect = dialects[data[0] % 5];
	text = mem_alloc(size + 1); /* ends with two NULs */
	memcpy(text, data + 1, size - 1);
	arena = arena_new(256);
	/* Configurations are UTF-8 where JSON is made of them. */
	if (is_simple(text) && utf8_is_valid(text, strlen(text))) {
		if (dialect->parse_query(&query, arena, text, &check,
					 &err) == 0)
			compare(dialect, &query, text + strlen(text) + 1,
				arena);
		else
			ASSERT(err.text[0] != '\0');
	}
	arena_free(&arena);
	mem_free(&text);
	return 0;
}
