/* rqlite: POST /db/query with [["SELECT ... ?", "value"]]; an error stands in
 * an answer with status 200 too. */
#include "passdb/http_sql/dialect.h"

#include <string.h>

static const char *const options[] = {
	"freshness", "freshness_strict", "level", NULL,
};
static const char *const headers[] = {
	"Content-Type: application/json", NULL,
};
/* What SQLite takes for parameters of the query's own, and [quoted names]. */
static const struct http_sql_syntax syntax = { .forbidden = "?@:$[" };

static int rqlite_setup(struct http_sql_settings *settings, struct err *err)
{
	if (settings->freshness_strict && settings->freshness_ms == 0)
		return err_set(err, "freshness_strict needs freshness");
	/* It answers without a leader, and then so must the probe. */
	if (settings->level == RQLITE_LEVEL_NONE)
		settings->probe = "/readyz?noleader";
	return 0;
}

static int rqlite_parse(struct http_sql_query *query, struct arena *arena,
			const char *text, const struct var_source *check,
			struct err *err)
{
	return http_sql_query_parse(query, arena, text, &syntax, check, err);
}

static void put_path(const struct http_sql_settings *settings,
		     struct str *path)
{
	static const char *const levels[] = {
		[RQLITE_LEVEL_DEFAULT] = "",
		[RQLITE_LEVEL_NONE] = "level=none&",
		[RQLITE_LEVEL_WEAK] = "level=weak&",
		[RQLITE_LEVEL_LINEARIZABLE] = "level=linearizable&",
		[RQLITE_LEVEL_STRONG] = "level=strong&",
		[RQLITE_LEVEL_AUTO] = "level=auto&",
	};

	str_printf(path, "/db/query?%s", levels[settings->level]);
	if (settings->freshness_ms > 0)
		str_printf(path, "freshness=%ums&", settings->freshness_ms);
	if (settings->freshness_strict)
		str_puts(path, "freshness_strict&");
	str_truncate(path, path->len - 1);
}

static void rqlite_ask(const struct http_sql_settings *settings,
		       const struct http_sql_query *query,
		       const char *const *values, struct str *path,
		       struct str *body)
{
	unsigned i;

	put_path(settings, path);
	str_puts(body, "[[\"");
	for (i = 0; i < query->count; i++) {
		if (query->pieces[i].param)
			str_putc(body, '?');
		else
			json_put_escaped(body, query->pieces[i].text);
	}
	str_putc(body, '"');
	for (i = 0; i < query->params; i++) {
		str_putc(body, ',');
		json_put_string(body, values[i]);
	}
	str_puts(body, "]]");
}

/* Reports the error in value, of whatever kind. -1: there is one. */
static int check_error(const struct json *value, struct err *err)
{
	const struct json *error = json_member(value, "error");
	const char *text = json_text(error);

	if (json_kind(error) == JSON_KIND_NONE ||
	    json_kind(error) == JSON_KIND_NULL)
		return 0;
	return err_set(err, "the store says: %s",
		       text != NULL ? text : json_kind_name(error));
}

/* A blob would come as its base64. */
static int check_blobs(const struct json *result, const struct json *row,
		       struct err *err)
{
	const struct json *types = json_member(result, "types");
	size_t i;

	for (i = 0; i < json_count(types); i++) {
		const char *type = json_text(json_item(types, i));
		const char *name = json_text(
			json_item(json_member(result, "columns"), i));

		if (type != NULL && strcmp(type, "blob") == 0 &&
		    json_kind(json_item(row, i)) == JSON_KIND_STRING)
			return err_set(err, "column %s is a blob",
				       name != NULL ? name : "?");
	}
	return 0;
}

static int rqlite_read(const struct json *answer,
		       struct http_sql_result *result, struct err *err)
{
	const struct json *results = json_member(answer, "results");
	const struct json *first = json_item(results, 0);
	const struct json *values = json_member(first, "values");

	if (check_error(answer, err) < 0 || check_error(first, err) < 0)
		return -1;
	if (json_count(results) != 1 || json_kind(first) != JSON_KIND_OBJECT)
		return err_set(err, "the answer does not hold one result");
	if (json_kind(json_member(first, "columns")) != JSON_KIND_ARRAY)
		return err_set(err, "the result has no columns: the query is "
			       "no SELECT");
	if (values == NULL || json_kind(values) == JSON_KIND_NULL)
		return 0; /* no row */
	if (check_blobs(first, json_item(values, 0), err) < 0)
		return -1;
	return http_sql_result_take(result, json_member(first, "columns"),
				    NULL, values, err);
}

const struct http_sql_dialect http_sql_rqlite = {
	.name = "rqlite",
	.probe = "/readyz",
	.max_idle_s = 30,
	.options = options,
	.headers = headers,
	.setup = rqlite_setup,
	.parse_query = rqlite_parse,
	.ask = rqlite_ask,
	.read = rqlite_read,
};
