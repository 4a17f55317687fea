/* PostgREST: no SQL, but "GET /table?column=eq.%u&select=..." or
 * "POST /rpc/function {"name": "%u"}".
 *
 * In a GET a variable may stand only in a value behind "eq.": everything that
 * follows is then the value to compare with, whatever it holds, and escaped for
 * URLs it is one value. Other operators give some characters a meaning. In a
 * POST it may stand only in a string. */
#include "passdb/http_sql/dialect.h"

#include <string.h>

#include "lib/percent.h"

static const char *const options[] = { "schema", NULL };
static const char *const headers[] = {
	"Content-Type: application/json",
	"Accept: application/json",
	NULL,
};
static const char path_bytes[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	"/!$'()*+,;=:@&?";

struct parser {
	struct http_sql_query *query;
	struct arena *arena;
	const struct var_source *check;
	struct err *err;
};

static int postgrest_setup(struct http_sql_settings *settings,
			   struct err *err)
{
	if (settings->schema[0] == '\0')
		return 0;
	if (http_sql_settings_add_header(settings, "Accept-Profile",
					 settings->schema, err) < 0)
		return -1;
	return http_sql_settings_add_header(settings, "Content-Profile",
					    settings->schema, err);
}

static int add(struct parser *parser, const char *text, size_t len, bool param)
{
	return http_sql_query_add(parser->query, parser->arena, text, len,
				  param, parser->check, parser->err);
}

/* Adds the variable at *text, and the fixed text since *from before it. */
static int add_variable(struct parser *parser, const char **text,
			const char **from)
{
	const char *end = var_skip(*text, parser->err);

	if (end == NULL || add(parser, *from, (size_t)(*text - *from),
			       false) < 0 ||
	    add(parser, *text, (size_t)(end - *text), true) < 0)
		return -1;
	*text = *from = end;
	return 0;
}

/* --- GET --- */

/* Whether a variable may stand at text, in the value that starts at value of
 * the name that starts at name. */
static bool may_stand(const char *name, const char *value)
{
	static const char *const others[] = {
		"and", "columns", "limit", "not.and", "not.or", "offset",
		"on_conflict", "or", "order", "select",
	};
	size_t i, len = value != NULL ? (size_t)(value - name) - 1 : 0;

	if (name == NULL || value == NULL || strncmp(value, "eq.", 3) != 0)
		return false;
	for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
		if (strlen(others[i]) == len &&
		    memcmp(name, others[i], len) == 0)
			return false;
	}
	return true;
}

/* Takes a byte of the fixed text: where names and values start. */
static int get_byte(struct parser *parser, const char *text, const char **name,
		    const char **value)
{
	if (strchr(path_bytes, *text) == NULL)
		return err_set(parser->err, "the character %c may not stand "
			       "in a path: write %%%%%02X", *text,
			       (unsigned char)*text);
	if ((*text == '?' && *name == NULL) || *text == '&') {
		*name = text + 1;
		*value = NULL;
	} else if (*text == '=' && *name != NULL && *value == NULL) {
		*value = text + 1;
	}
	return 0;
}

static int parse_get(struct parser *parser, const char *text)
{
	const char *from = text, *name = NULL, *value = NULL;
	/* There a function's arguments stand as they are: "eq." would be a part
	 * of the value. */
	bool function = strncmp(text, "/rpc/", 5) == 0;
	int ret = 0;

	while (*text != '\0' && ret == 0) {
		if (text[0] == '%' && text[1] == '%') {
			/* becomes the % of an escape */
			ret = add(parser, from, (size_t)(text + 1 - from),
				  false);
			text += 2;
			from = text;
		} else if (*text != '%') {
			ret = get_byte(parser, text++, &name, &value);
		} else if (function) {
			ret = err_set(parser->err, "a variable for a function "
				      "needs POST");
		} else if (may_stand(name, value)) {
			ret = add_variable(parser, &text, &from);
		} else {
			ret = err_set(parser->err, "a variable may stand only "
				      "behind a column's \"eq.\"");
		}
	}
	return ret == 0 ? add(parser, from, (size_t)(text - from), false) : -1;
}

/* --- POST --- */

static int check_json(const char *text, struct err *err)
{
	struct json *root = json_parse(text, strlen(text), err);
	bool object = json_kind(root) == JSON_KIND_OBJECT;
	struct err why = *err;

	if (root != NULL && !object)
		err_put(err, "the body is no JSON object");
	else if (root == NULL)
		err_put(err, "the body: %s", why.text);
	json_close(&root);
	return object ? 0 : -1;
}

/* Whether the string that ends in front of text is a member's name. */
static bool is_name(const char *text)
{
	return text[strspn(text, " \t\r\n")] == ':';
}

/* The rest of the string that starts at *text, behind its quote. */
static int parse_string(struct parser *parser, const char **text,
			const char **from)
{
	bool has_vars = false;

	while (**text != '"' && **text != '\0') {
		if (**text == '%') {
			if (add_variable(parser, text, from) < 0)
				return -1;
			has_vars = true;
			continue;
		}
		*text += **text == '\\' && (*text)[1] != '\0' ? 2 : 1;
	}
	*text += **text == '"';
	if (has_vars && is_name(*text))
		return err_set(parser->err, "a variable may not stand in a "
			       "member's name");
	return 0;
}

static int parse_body(struct parser *parser, const char *text)
{
	const char *from = text;

	while (*text != '\0') {
		if (*text == '%')
			return err_set(parser->err, "a variable may stand in "
				       "strings only");
		if (*text++ == '"' && parse_string(parser, &text, &from) < 0)
			return -1;
	}
	return add(parser, from, (size_t)(text - from), false);
}

static int parse_post(struct parser *parser, const char *text)
{
	size_t len = strspn(text, path_bytes);
	const char *body = text + len + strspn(text + len, " ");

	if (len == 0 || body[0] != '{')
		return err_set(parser->err, "a POST is written as POST /path "
			       "{...}");
	parser->query->post = arena_strndup(parser->arena, text, len);
	/* What variables hold cannot make it anything else: they are in strings
	 * and escaped. */
	if (check_json(body, parser->err) < 0)
		return -1;
	return parse_body(parser, body);
}

static int postgrest_parse(struct http_sql_query *query, struct arena *arena,
			   const char *text, const struct var_source *check,
			   struct err *err)
{
	struct parser parser = {
		.query = query, .arena = arena, .check = check, .err = err,
	};

	*query = (struct http_sql_query){ .count = 0 };
	if (strncmp(text, "GET /", 5) == 0)
		return parse_get(&parser, text + 4);
	if (strncmp(text, "POST /", 6) == 0)
		return parse_post(&parser, text + 5);
	return err_set(err, "the query has to start with \"GET /\" or "
		       "\"POST /\"");
}

static void postgrest_ask(const struct http_sql_settings *settings,
			  const struct http_sql_query *query,
			  const char *const *values, struct str *path,
			  struct str *body)
{
	bool post = query->post != NULL;
	struct str *out = post ? body : path;
	unsigned i;

	(void)settings;
	if (post)
		str_puts(path, query->post);
	for (i = 0; i < query->count; i++) {
		if (!query->pieces[i].param)
			str_puts(out, query->pieces[i].text);
		else if (post)
			json_put_escaped(out, *values++);
		else
			percent_encode(out, *values++);
	}
}

struct members {
	struct http_sql_result *result;
	struct err *err;
};

static int put_member(void *arg, const char *name, const struct json *value)
{
	struct members *members = arg;

	return http_sql_result_put(members->result, name, value,
				   members->err);
}

/* An array of objects; a function may also return one object, or null. Errors
 * have another status, unless somebody in between changes that. */
static int postgrest_read(const struct json *answer,
			  struct http_sql_result *result, struct err *err)
{
	struct members members = { result, err };
	const struct json *row = answer;
	const char *message = json_text(json_member(answer, "message"));

	if (message != NULL && json_member(answer, "code") != NULL)
		return err_set(err, "the store says: %s", message);
	if (json_kind(answer) == JSON_KIND_NULL)
		return 0;
	result->rows = 1;
	if (json_kind(answer) == JSON_KIND_ARRAY) {
		result->rows = json_count(answer);
		row = json_item(answer, 0);
	}
	if (result->rows == 0)
		return 0;
	if (json_kind(row) != JSON_KIND_OBJECT)
		return err_set(err, "the answer is %s, no rows",
			       json_kind_name(row));
	return json_each(row, put_member, &members);
}

const struct http_sql_dialect http_sql_postgrest = {
	.name = "postgrest",
	.probe = "/",
	.max_idle_s = 30,
	.options = options,
	.headers = headers,
	.setup = postgrest_setup,
	.parse_query = postgrest_parse,
	.ask = postgrest_ask,
	.read = postgrest_read,
};
