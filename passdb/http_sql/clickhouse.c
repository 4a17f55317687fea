/* ClickHouse: the query is the body of a POST. Not every version has
 * parameters, so values are literals. In ClickHouse's literals a backslash
 * escapes: with it and the quote escaped, every other byte stands for itself.
 *
 * wait_end_of_query, because without it an error in the middle of the rows has
 * status 200. No settings of the query are sent unless the configuration says
 * so: a user with readonly = 1, which is the best to have, may not set any. */
#include "passdb/http_sql/dialect.h"

#include <string.h>

#include "lib/percent.h"

static const char *const options[] = { "database", "settings", NULL };
static const char *const headers[] = {
	"Content-Type: text/plain; charset=UTF-8", NULL,
};
/* In newer versions $tag$ quotes, # starts a comment, and U+2018 and U+201C,
 * which start with that byte, are quotes, too. */
static const struct http_sql_syntax syntax = {
	.forbidden = "$#\xe2", .backslash = true,
};

static int clickhouse_setup(struct http_sql_settings *settings,
			    struct err *err)
{
	const char *text = settings->store_settings;

	if (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_=&.-"
			 "ABCDEFGHIJKLMNOPQRSTUVWXYZ%+") != strlen(text))
		return err_set(err, "settings: write name=value, with & "
			       "between and %%XX for special characters");
	return 0;
}

static int clickhouse_parse(struct http_sql_query *query, struct arena *arena,
			    const char *text, const struct var_source *check,
			    struct err *err)
{
	return http_sql_query_parse(query, arena, text, &syntax, check, err);
}

static void put_literal(struct str *out, const char *value)
{
	str_putc(out, '\'');
	for (; *value != '\0'; value++) {
		if (*value == '\\' || *value == '\'')
			str_putc(out, '\\');
		str_putc(out, *value);
	}
	str_putc(out, '\'');
}

static void clickhouse_ask(const struct http_sql_settings *settings,
			   const struct http_sql_query *query,
			   const char *const *values, struct str *path,
			   struct str *body)
{
	unsigned i;

	str_puts(path, "/?default_format=JSONCompact&wait_end_of_query=1");
	if (settings->database[0] != '\0') {
		str_puts(path, "&database=");
		percent_encode(path, settings->database);
	}
	if (settings->store_settings[0] != '\0')
		str_printf(path, "&%s", settings->store_settings);
	for (i = 0; i < query->count; i++) {
		if (query->pieces[i].param)
			put_literal(body, *values++);
		else
			str_puts(body, query->pieces[i].text);
	}
}

static int clickhouse_read(const struct json *answer,
			   struct http_sql_result *result, struct err *err)
{
	const struct json *error = json_member(answer, "exception");

	if (error != NULL)
		return err_set(err, "the store says: %s",
			       json_text(error) != NULL ? json_text(error) :
			       json_kind_name(error));
	if (json_kind(answer) != JSON_KIND_OBJECT)
		return err_set(err, "the answer is %s: FORMAT may not stand in "
			       "the query", json_kind_name(answer));
	return http_sql_result_take(result, json_member(answer, "meta"),
				    "name", json_member(answer, "data"), err);
}

/* ClickHouse closes connections that are idle for 3 seconds. */
const struct http_sql_dialect http_sql_clickhouse = {
	.name = "clickhouse",
	.probe = "/ping",
	.max_idle_s = 2,
	.options = options,
	.headers = headers,
	.setup = clickhouse_setup,
	.parse_query = clickhouse_parse,
	.ask = clickhouse_ask,
	.read = clickhouse_read,
};
