/* Neon's /sql, which others speak too: {"query": "... $1", "params": ["value"]}.
 * Values come as PostgreSQL writes them, in arrays. */
#include "passdb/http_sql/dialect.h"

#include <string.h>

static const char *const options[] = { "connection_string", NULL };
static const char *const headers[] = {
	"Content-Type: application/json",
	"Neon-Raw-Text-Output: true",
	"Neon-Array-Mode: true",
	NULL,
};
/* $ is for parameters, and in $tag$ a quote. */
static const struct http_sql_syntax syntax = { .forbidden = "$" };

static int neon_setup(struct http_sql_settings *settings, struct err *err)
{
	const char *text = settings->connection_string;
	size_t len = strcspn(text, "\r\n");
	struct err why;

	if (text[0] == '\0')
		return err_set(err, "connection_string is missing");
	if (http_sql_settings_add_header(
		settings, "Neon-Connection-String",
		arena_strndup(settings->arena, text, len), &why) < 0)
		return err_set(err, "connection_string: %s", why.text);
	return 0;
}

static int neon_parse(struct http_sql_query *query, struct arena *arena,
		      const char *text, const struct var_source *check,
		      struct err *err)
{
	return http_sql_query_parse(query, arena, text, &syntax, check, err);
}

static void neon_ask(const struct http_sql_settings *settings,
		     const struct http_sql_query *query,
		     const char *const *values, struct str *path,
		     struct str *body)
{
	unsigned i, number = 0;

	(void)settings;
	str_puts(path, "/sql");
	str_puts(body, "{\"query\":\"");
	for (i = 0; i < query->count; i++) {
		if (query->pieces[i].param)
			str_printf(body, "$%u", ++number);
		else
			json_put_escaped(body, query->pieces[i].text);
	}
	str_puts(body, "\",\"params\":[");
	for (i = 0; i < query->params; i++) {
		str_puts(body, i > 0 ? "," : "");
		json_put_string(body, values[i]);
	}
	str_puts(body, "]}");
}

static int neon_read(const struct json *answer, struct http_sql_result *result,
		     struct err *err)
{
	const char *error = json_text(json_member(answer, "message"));

	if (error != NULL)
		return err_set(err, "the store says: %s", error);
	return http_sql_result_take(result, json_member(answer, "fields"),
				    "name", json_member(answer, "rows"), err);
}

const struct http_sql_dialect http_sql_neon = {
	.name = "neon",
	.probe = "/",
	.max_idle_s = 30,
	.options = options,
	.headers = headers,
	.setup = neon_setup,
	.parse_query = neon_parse,
	.ask = neon_ask,
	.read = neon_read,
};
