#include "lib/conf/line.h"

#include <string.h>

/* Without strchr(): its '\0' matches. */
static bool is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char *skip_white(char *text)
{
	while (is_white(*text))
		text++;
	return text;
}

static void trim_end(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && is_white(text[len - 1]))
		len--;
	text[len] = '\0';
}

/* The quote that closes the one at text, or the end of the text. */
static char *quote_end(char *text)
{
	char quote = *text++;

	while (*text != '\0' && *text != quote) {
		if (*text == '\\' && text[1] != '\0')
			text++;
		text++;
	}
	return text;
}

char *conf_line_strip(char *text, bool *ambiguous_r)
{
	char *start = skip_white(text), *at = start;

	*ambiguous_r = false;
	while (*at != '\0' && *at != '#') {
		if (*at == '"' || *at == '\'')
			at = quote_end(at);
		if (*at != '\0')
			at++;
	}
	if (*at == '#') {
		*ambiguous_r = at > start && !is_white(at[-1]);
		*at = '\0';
	}
	trim_end(start);
	return start;
}

bool conf_line_continues(char *text)
{
	size_t len = strlen(text);

	if (len == 0 || text[len - 1] != '\\')
		return false;
	text[len - 1] = '\0';
	trim_end(text);
	return true;
}

/* Removes the backslashes of escapes, in place, and one at the end. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text != '\0'; text++) {
		if (*text == '\\' && *++text == '\0')
			break;
		*to++ = *text;
	}
	*to = '\0';
}

/* Quotes count only around the whole value: as in Dovecot, when it begins and
 * ends with the same one, whatever is between them. */
static char *unquote(char *text)
{
	size_t len = strlen(text);

	if (len == 0 || (*text != '"' && *text != '\'') ||
	    text[len - 1] != *text)
		return text;
	text[len - 1] = '\0';
	if (len > 1)
		unescape(++text);
	return text;
}

static int parse_setting(char *text, struct conf_line *line, struct err *err)
{
	line->type = CONF_LINE_SETTING;
	text = skip_white(text);
	if (strcmp(text, "{") == 0)
		return err_set(err, "a section starts with \"%s {\", without "
			       "\"=\"", line->key);
	if (*text == '<') {
		line->value_type = CONF_LINE_FILE;
		line->value = skip_white(text + 1);
		if (*line->value == '\0')
			return err_set(err, "no file name behind \"<\"");
		return 0;
	}
	/* Dovecot expands nothing in a value that begins with a quote, also
	 * when the quotes are not around all of it. */
	if (*text == '"' || *text == '\'')
		line->value_type = CONF_LINE_QUOTED;
	line->value = unquote(text);
	return 0;
}

/* Cuts the section's name out of text and returns what follows it. */
static char *parse_name(char *text, struct conf_line *line)
{
	char *end;

	if (*text == '"') {
		end = quote_end(text++);
	} else {
		for (end = text; *end != '\0' && !is_white(*end); end++)
			;
	}
	line->value = text;
	if (*end == '\0')
		return end;
	*end++ = '\0';
	if (text[-1] == '"')
		unescape(text);
	return skip_white(end);
}

static int parse_open(char *text, struct conf_line *line, struct err *err)
{
	line->type = CONF_LINE_OPEN;
	line->value = "";
	if (*text != '{')
		text = parse_name(text, line);
	if (*text != '{')
		return err_set(err, "neither \"name = value\" nor "
			       "\"section [name] {\"");
	if (text[1] != '\0')
		return err_set(err, "something follows \"{\": the section's "
			       "contents start on the next line");
	return 0;
}

static int parse_include(char *text, struct conf_line *line, struct err *err)
{
	line->value = unquote(text);
	if (*line->value == '\0')
		return err_set(err, "no file name behind %s", line->key);
	return 0;
}

static int parse_rest(char *text, bool equals, struct conf_line *line,
		      struct err *err)
{
	if (equals)
		return parse_setting(text, line, err);
	if (strcmp(line->key, "!include") == 0) {
		line->type = CONF_LINE_INCLUDE;
		return parse_include(text, line, err);
	}
	if (strcmp(line->key, "!include_try") == 0) {
		line->type = CONF_LINE_INCLUDE_TRY;
		return parse_include(text, line, err);
	}
	if (strcmp(line->key, "}") == 0 && *text == '\0') {
		line->type = CONF_LINE_CLOSE;
		return 0;
	}
	return parse_open(text, line, err);
}

int conf_line_parse(char *text, struct conf_line *line_r, struct err *err)
{
	char *end = text + strcspn(text, " \t\r\n=");
	char *rest = skip_white(end);
	bool equals = *rest == '=';

	memset(line_r, 0, sizeof(*line_r));
	line_r->key = text;
	line_r->value = "";
	if (*text == '\0') {
		line_r->type = CONF_LINE_EMPTY;
		return 0;
	}
	if (end == text)
		return err_set(err, "no name in front of \"=\"");
	*end = '\0';
	return parse_rest(equals ? rest + 1 : rest, equals, line_r, err);
}

static void write_quoted(struct str *out, const char *text)
{
	str_putc(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			str_putc(out, '\\');
		str_putc(out, *text);
	}
	str_putc(out, '"');
}

static bool value_needs_quotes(const char *value)
{
	size_t len = strlen(value);

	if (len == 0)
		return false;
	return is_white(value[0]) || is_white(value[len - 1]) ||
	       value[len - 1] == '\\' || strchr("\"'<", value[0]) != NULL ||
	       strpbrk(value, "#$") != NULL || strcmp(value, "{") == 0;
}

void conf_line_write_value(struct str *out, const char *value)
{
	if (value_needs_quotes(value))
		write_quoted(out, value);
	else
		str_puts(out, value);
}

void conf_line_write_name(struct str *out, const char *name)
{
	const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
			    "XYZ0123456789_-./:!*";

	if (name[strspn(name, plain)] != '\0')
		write_quoted(out, name);
	else
		str_puts(out, name);
}
