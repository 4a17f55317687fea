/* libSQL (sqld, Turso): Hrana over HTTP, one pipeline of execute and close, so
 * that no stream stays open on the server. */
#include "passdb/http_sql/dialect.h"

#include <string.h>

static const char *const options[] = { "hrana_version", NULL };
static const char *const headers[] = {
	"Content-Type: application/json", NULL,
};
static const struct http_sql_syntax syntax = { .forbidden = "?@:$[" };

static int libsql_parse(struct http_sql_query *query, struct arena *arena,
			const char *text, const struct var_source *check,
			struct err *err)
{
	return http_sql_query_parse(query, arena, text, &syntax, check, err);
}

static void libsql_ask(const struct http_sql_settings *settings,
		       const struct http_sql_query *query,
		       const char *const *values, struct str *path,
		       struct str *body)
{
	unsigned i;

	str_printf(path, "/v%d/pipeline", settings->hrana_version);
	str_puts(body, "{\"baton\":null,\"requests\":[{\"type\":\"execute\","
		 "\"stmt\":{\"want_rows\":true,\"sql\":\"");
	for (i = 0; i < query->count; i++) {
		if (query->pieces[i].param)
			str_putc(body, '?');
		else
			json_put_escaped(body, query->pieces[i].text);
	}
	str_puts(body, "\",\"args\":[");
	for (i = 0; i < query->params; i++) {
		str_puts(body, i > 0 ? "," : "");
		str_puts(body, "{\"type\":\"text\",\"value\":");
		json_put_string(body, values[i]);
		str_putc(body, '}');
	}
	str_puts(body, "]}},{\"type\":\"close\"}]}");
}

static bool type_is(const struct json *value, const char *type)
{
	const char *text = json_text(json_member(value, "type"));

	return text != NULL && strcmp(text, type) == 0;
}

/* Values come as {"type":"integer","value":"1"}; a null has no value. */
static int put_value(struct http_sql_result *result, const struct json *column,
		     const struct json *value, struct err *err)
{
	const char *name = json_text(json_member(column, "name"));
	const struct json *inner = json_member(value, "value");

	if (name == NULL)
		return err_set(err, "a column has no name");
	if (type_is(value, "null"))
		return 0;
	if (!type_is(value, "text") && !type_is(value, "integer") &&
	    !type_is(value, "float"))
		return err_set(err, "column %s is a blob, or of a type that "
			       "is not known", name);
	if (json_kind(inner) != JSON_KIND_STRING &&
	    json_kind(inner) != JSON_KIND_NUMBER)
		return err_set(err, "column %s holds %s", name,
			       json_kind_name(inner));
	return http_sql_result_put(result, name, inner, err);
}

static int read_rows(const struct json *result_json,
		     struct http_sql_result *result, struct err *err)
{
	const struct json *cols = json_member(result_json, "cols");
	const struct json *rows = json_member(result_json, "rows");
	const struct json *row = json_item(rows, 0);
	size_t i;

	if (json_kind(cols) != JSON_KIND_ARRAY ||
	    json_kind(rows) != JSON_KIND_ARRAY)
		return err_set(err, "the result has no cols or no rows");
	result->rows = json_count(rows);
	if (result->rows == 0)
		return 0;
	if (json_kind(row) != JSON_KIND_ARRAY ||
	    json_count(row) != json_count(cols))
		return err_set(err, "a row is not an array of %zu columns",
			       json_count(cols));
	for (i = 0; i < json_count(cols); i++) {
		if (put_value(result, json_item(cols, i), json_item(row, i),
			      err) < 0)
			return -1;
	}
	return 0;
}

static int libsql_read(const struct json *answer,
		       struct http_sql_result *result, struct err *err)
{
	const struct json *first =
		json_item(json_member(answer, "results"), 0);
	const struct json *error = json_member(first, "error");
	const struct json *response = json_member(first, "response");
	const char *message = json_text(json_member(error, "message"));
	const char *code = json_text(json_member(error, "code"));

	if (type_is(first, "error"))
		return err_set(err, "the store says: %s%s%s",
			       code != NULL ? code : "",
			       code != NULL ? ": " : "",
			       message != NULL ? message : "error");
	if (!type_is(first, "ok") || !type_is(response, "execute"))
		return err_set(err, "the answer does not hold the result of "
			       "execute");
	return read_rows(json_member(response, "result"), result, err);
}

const struct http_sql_dialect http_sql_libsql = {
	.name = "libsql",
	.probe = "/health",
	.max_idle_s = 30,
	.options = options,
	.headers = headers,
	.parse_query = libsql_parse,
	.ask = libsql_ask,
	.read = libsql_read,
};
