#include "passdb/http_sql/query.h"

#include <ctype.h>
#include <string.h>

#include "lib/utf8.h"

#define MAX_PIECES 128

struct parser {
	struct http_sql_query *query;
	struct arena *arena;
	const struct http_sql_syntax *syntax;
	const struct var_source *check;
	struct err *err;
	struct str fixed; /* not added yet */
};

int http_sql_query_add(struct http_sql_query *query, struct arena *arena,
		       const char *text, size_t len, bool param,
		       const struct var_source *check, struct err *err)
{
	struct http_sql_piece *piece;

	if (query->count == MAX_PIECES)
		return err_set(err, "there are too many variables");
	if (query->pieces == NULL)
		query->pieces = arena_alloc(arena, MAX_PIECES *
						   sizeof(*query->pieces));
	piece = &query->pieces[query->count++];
	piece->text = arena_strndup(arena, text, len);
	piece->param = param;
	query->params += param;
	return param ? var_check(piece->text, check, err) : 0;
}

/* Whether a byte would be read together with a parameter that it touches: part
 * of a name or a number, or a quote. */
static bool joins(char byte)
{
	return isalnum((unsigned char)byte) || (unsigned char)byte >= 0x80 ||
	       (byte != '\0' && strchr("_$'\"`", byte) != NULL);
}

/* Whether what comes next stands directly behind a parameter. */
static bool is_behind_param(const struct parser *parser)
{
	return parser->fixed.len == 0 && parser->query->params > 0;
}

static int add_param(struct parser *parser, const char *text, size_t len)
{
	struct str *fixed = &parser->fixed;

	if (is_behind_param(parser) ||
	    (fixed->len > 0 && joins(fixed->data[fixed->len - 1])))
		str_putc(fixed, ' ');
	if (http_sql_query_add(parser->query, parser->arena, str_c(fixed),
			       fixed->len, false, parser->check,
			       parser->err) < 0)
		return -1;
	str_clear(&parser->fixed);
	return http_sql_query_add(parser->query, parser->arena, text, len,
				  true, parser->check, parser->err);
}

/* --- what stands in quotes --- */

struct quoted {
	struct str raw;	  /* as it stands there */
	struct str plain; /* without quotes, doubled ones as one */
	bool has_vars, escapes;
};

static int take_variable(struct parser *parser, const char **text,
			 struct quoted *quoted)
{
	const char *from = *text, *end = var_skip(from, parser->err);

	if (end == NULL)
		return -1;
	if (end - from != 2 || from[1] != '%')
		quoted->has_vars = true;
	str_append(&quoted->plain, from, (size_t)(end - from));
	*text = end;
	return 0;
}

/* Takes a byte, with what is behind it when it escapes or is a doubled quote.
 * Returns whether it was the quote at the end. */
static bool take_byte(const struct parser *parser, const char **text,
		      char quote, struct quoted *quoted)
{
	char byte = *(*text)++;

	if (byte == '\\' && parser->syntax->backslash) {
		quoted->escapes = true;
		*text += **text != '\0' && **text != '%';
	} else if (byte == quote) {
		if (**text != quote)
			return true;
		*text += 1;
	}
	str_putc(&quoted->plain, byte);
	return false;
}

/* Takes what starts at *text with a quote. */
static int take_quoted(struct parser *parser, const char **text,
		       struct quoted *quoted)
{
	const char *start = *text;
	bool over = false;

	*text += 1;
	while (!over) {
		if (**text == '\0')
			return err_set(parser->err, "a quote (%c) is missing",
				       *start);
		if (**text != '%')
			over = take_byte(parser, text, *start, quoted);
		else if (take_variable(parser, text, quoted) < 0)
			return -1;
	}
	str_append(&quoted->raw, start, (size_t)(*text - start));
	return 0;
}

/* Appends text, in which a % can only be one of %%. */
static void put_fixed(struct str *out, const char *text)
{
	for (; *text != '\0'; text++) {
		str_putc(out, *text);
		text += *text == '%' && text[1] == '%';
	}
}

static bool has_prefix(const struct parser *parser)
{
	const struct str *fixed = &parser->fixed;
	char before = fixed->len > 0 ? fixed->data[fixed->len - 1] : ' ';

	return isalnum((unsigned char)before) || strchr("_&", before) != NULL;
}

static int put_quoted(struct parser *parser, const struct quoted *quoted)
{
	const char *raw = str_c(&quoted->raw);

	if (!quoted->has_vars) {
		put_fixed(&parser->fixed, raw);
		return 0;
	}
	if (raw[0] != '\'')
		return err_set(parser->err, "a variable stands in a quoted "
			       "name: %s", raw);
	if (has_prefix(parser))
		return err_set(parser->err, "a variable stands in a literal "
			       "with a prefix: %s", raw);
	if (quoted->escapes)
		return err_set(parser->err, "a variable and a backslash stand "
			       "in one literal: %s", raw);
	return add_param(parser, str_c(&quoted->plain), quoted->plain.len);
}

static int parse_quoted(struct parser *parser, const char **text)
{
	struct quoted quoted = { .has_vars = false };
	int ret = take_quoted(parser, text, &quoted);

	if (ret == 0)
		ret = put_quoted(parser, &quoted);
	str_free(&quoted.raw);
	str_free(&quoted.plain);
	return ret;
}

/* --- and outside --- */

static int parse_variable(struct parser *parser, const char **text)
{
	const char *from = *text;
	const char *end = var_skip(from, parser->err);

	if (end == NULL)
		return -1;
	*text = end;
	if (end - from == 2 && from[1] == '%') {
		str_putc(&parser->fixed, '%');
		return 0;
	}
	if (end[-1] == '%')
		return err_set(parser->err, "a single %% ends the query");
	return add_param(parser, from, (size_t)(end - from));
}

static int parse_char(struct parser *parser, const char **text)
{
	const char *at = *text;

	if (strchr(parser->syntax->forbidden, *at) != NULL)
		return err_set(parser->err, "the character %c may stand in "
			       "quotes only", *at);
	if ((at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*'))
		return err_set(parser->err, "comments are not supported");
	str_putc(&parser->fixed, *at);
	*text += 1;
	return 0;
}

static int parse_next(struct parser *parser, const char **text)
{
	/* "%n5" is not the fifth parameter. */
	if (is_behind_param(parser) && joins(**text))
		str_putc(&parser->fixed, ' ');
	if (strchr("'\"`", **text) != NULL)
		return parse_quoted(parser, text);
	if (**text == '%')
		return parse_variable(parser, text);
	return parse_char(parser, text);
}

int http_sql_query_parse(struct http_sql_query *query, struct arena *arena,
			 const char *text,
			 const struct http_sql_syntax *syntax,
			 const struct var_source *check, struct err *err)
{
	struct parser parser = {
		.query = query, .arena = arena, .syntax = syntax,
		.check = check, .err = err,
	};
	int ret = 0;

	*query = (struct http_sql_query){ .count = 0 };
	while (*text != '\0' && ret == 0)
		ret = parse_next(&parser, &text);
	if (ret == 0)
		ret = http_sql_query_add(query, arena, str_c(&parser.fixed),
					 parser.fixed.len, false, check, err);
	str_free(&parser.fixed);
	return ret;
}

/* --- for one user --- */

int http_sql_query_values(const struct http_sql_query *query,
			  struct arena *arena, const struct var_source *vars,
			  const char *const **values_r, struct err *err)
{
	const char **values = arena_alloc(arena, query->params *
						 sizeof(*values));
	struct str value = STR_INIT;
	unsigned i, n = 0;
	int ret = 0;

	for (i = 0; i < query->count && ret == 0; i++) {
		if (!query->pieces[i].param)
			continue;
		str_clear(&value);
		ret = var_expand(&value, query->pieces[i].text, vars, err);
		if (ret == 0 && !utf8_is_valid(str_c(&value), value.len)) {
			err_put(err, "the name is not UTF-8");
			ret = VAR_REFUSED;
		}
		values[n++] = arena_strndup(arena, str_c(&value), value.len);
	}
	str_free(&value);
	*values_r = values;
	return ret;
}
