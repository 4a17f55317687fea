#include "passdb/http_sql/result.h"

static const char *value_text(struct arena *arena, const struct json *value)
{
	struct str number = STR_INIT;
	const char *text;

	switch (json_kind(value)) {
	case JSON_KIND_STRING:
		return arena_strdup(arena, json_text(value));
	case JSON_KIND_TRUE:
		return "y";
	case JSON_KIND_NUMBER:
		json_put_number(&number, value);
		text = arena_strdup(arena, str_c(&number));
		str_free(&number);
		return text;
	default:
		return NULL;
	}
}

int http_sql_result_put(struct http_sql_result *result, const char *name,
			const struct json *value, struct err *err)
{
	struct http_sql_column *column;
	const char *text = value_text(result->arena, value);

	if (text == NULL) {
		if (json_kind(value) == JSON_KIND_NULL ||
		    json_kind(value) == JSON_KIND_FALSE)
			return 0;
		return err_set(err, "column %s holds %s", name,
			       json_kind_name(value));
	}
	if (result->count == HTTP_SQL_MAX_COLUMNS)
		return err_set(err, "more than %d columns",
			       HTTP_SQL_MAX_COLUMNS);
	if (result->columns == NULL)
		result->columns = arena_alloc(
			result->arena,
			HTTP_SQL_MAX_COLUMNS * sizeof(*result->columns));
	column = &result->columns[result->count++];
	column->name = arena_strdup(result->arena, name);
	column->value = text;
	return 0;
}

static int take_row(struct http_sql_result *result, const struct json *columns,
		    const char *member, const struct json *row,
		    struct err *err)
{
	size_t i, count = json_count(columns);

	if (json_kind(row) != JSON_KIND_ARRAY || json_count(row) != count)
		return err_set(err, "a row is not an array of %zu columns",
			       count);
	for (i = 0; i < count; i++) {
		const struct json *column = json_item(columns, i);
		const char *name = json_text(
			member != NULL ? json_member(column, member) : column);

		if (name == NULL)
			return err_set(err, "a column has no name");
		if (http_sql_result_put(result, name, json_item(row, i),
					err) < 0)
			return -1;
	}
	return 0;
}

int http_sql_result_take(struct http_sql_result *result,
			 const struct json *columns, const char *member,
			 const struct json *rows, struct err *err)
{
	if (json_kind(columns) != JSON_KIND_ARRAY ||
	    json_kind(rows) != JSON_KIND_ARRAY)
		return err_set(err, "columns and rows are %s and %s",
			       json_kind_name(columns), json_kind_name(rows));
	result->rows = json_count(rows);
	if (result->rows == 0)
		return 0;
	return take_row(result, columns, member, json_item(rows, 0), err);
}
