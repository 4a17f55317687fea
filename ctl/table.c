#include "ctl/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define GAP 2

/* --- cells --- */

static const struct json *find(const struct json *object, const char *member)
{
	const char *dot = strchr(member, '.');
	const struct json *inner;
	char *name;

	if (dot == NULL)
		return json_member(object, member);
	name = mem_strndup(member, (size_t)(dot - member));
	inner = json_member(object, name);
	mem_free(&name);
	return find(inner, dot + 1);
}

static double number(const struct json *value)
{
	struct str text = STR_INIT;
	double result;

	json_put_number(&text, value);
	result = strtod(str_c(&text), NULL);
	str_free(&text);
	return result;
}

static void put_seconds(struct str *out, double seconds)
{
	uint64_t whole = seconds > 0 ? (uint64_t)seconds : 0;

	if (whole >= 86400)
		str_printf(out, "%" PRIu64 "d%02" PRIu64 "h", whole / 86400,
			   whole / 3600 % 24);
	else if (whole >= 3600)
		str_printf(out, "%" PRIu64 "h%02" PRIu64 "m", whole / 3600,
			   whole / 60 % 60);
	else if (whole >= 60)
		str_printf(out, "%" PRIu64 "m%02" PRIu64 "s", whole / 60,
			   whole % 60);
	else
		str_printf(out, "%.1fs", seconds);
}

/* What is escaped already, but for the control characters of Latin 1, which
 * terminals may obey. */
static void put_escaped_text(struct str *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)text[0] == 0xc2 &&
		    (unsigned char)text[1] < 0xa0) {
			str_printf(out, "\\xc2\\x%02x",
				   (unsigned char)text[1]);
			text++;
		} else {
			str_putc(out, *text);
		}
	}
}

static void put_text(struct str *out, const char *text)
{
	struct str escaped = STR_INIT;

	str_put_escaped(&escaped, text, strlen(text));
	put_escaped_text(out, str_c(&escaped));
	str_free(&escaped);
}

static void put_plain(struct str *out, const struct json *value)
{
	switch (json_kind(value)) {
	case JSON_KIND_STRING:
		put_text(out, json_text(value));
		break;
	case JSON_KIND_NUMBER:
		json_put_number(out, value);
		break;
	case JSON_KIND_TRUE:
		str_puts(out, "yes");
		break;
	case JSON_KIND_FALSE:
		str_puts(out, "no");
		break;
	default:
		str_puts(out, "-");
	}
}

static void put_cell(struct str *out, const struct json *object,
		     const struct table_column *column)
{
	const struct json *value = find(object, column->member);
	bool is_number = json_kind(value) == JSON_KIND_NUMBER;

	if (column->format == TABLE_PLAIN && json_text(value) != NULL)
		put_escaped_text(out, json_text(value));
	else if (column->format == TABLE_COUNT)
		str_put_number(out, json_count(value));
	else if (column->format == TABLE_SECONDS && is_number)
		put_seconds(out, number(value));
	else if (column->format == TABLE_PERCENT && is_number)
		str_printf(out, "%.1f%%", number(value) * 100);
	else if (column->format == TABLE_YES)
		str_puts(out, json_kind(value) == JSON_KIND_TRUE ? "yes" : "");
	else
		put_plain(out, value);
}

static bool stands_right(const struct json *array,
			 const struct table_column *column)
{
	const struct json *value =
		find(json_item(array, 0), column->member);

	return column->format == TABLE_COUNT ||
	       json_kind(value) == JSON_KIND_NUMBER;
}

/* --- lines --- */

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void put_blanks(struct str *out, size_t count)
{
	while (count-- > 0)
		str_putc(out, ' ');
}

static size_t column_width(const struct json *array,
			   const struct table_column *column)
{
	size_t i, width = width_of(column->title), cell;
	struct str text = STR_INIT;

	for (i = 0; i < json_count(array); i++) {
		str_clear(&text);
		put_cell(&text, json_item(array, i), column);
		cell = width_of(str_c(&text));
		width = cell > width ? cell : width;
	}
	str_free(&text);
	return width;
}

/* object NULL: the titles. */
static void put_line(struct str *out, const struct json *array,
		     const struct json *object,
		     const struct table_column *columns, const size_t *widths)
{
	struct str text = STR_INIT;
	size_t i, blanks;

	for (i = 0; columns[i].title != NULL; i++) {
		bool right = stands_right(array, &columns[i]);

		str_clear(&text);
		if (object != NULL)
			put_cell(&text, object, &columns[i]);
		else
			str_puts(&text, columns[i].title);
		blanks = widths[i] - width_of(str_c(&text));
		if (right)
			put_blanks(out, blanks);
		str_puts(out, str_c(&text));
		if (columns[i + 1].title == NULL)
			break;
		put_blanks(out, GAP + (right ? 0 : blanks));
	}
	str_putc(out, '\n');
	str_free(&text);
}

void table_put(struct str *out, const struct json *array,
	       const struct table_column *columns)
{
	size_t widths[16], i;

	for (i = 0; columns[i].title != NULL; i++)
		widths[i] = column_width(array, &columns[i]);
	put_line(out, array, NULL, columns, widths);
	for (i = 0; i < json_count(array); i++)
		put_line(out, array, json_item(array, i), columns, widths);
}

void table_put_fields(struct str *out, const struct json *object,
		      const struct table_column *columns)
{
	size_t i, width = 0, len;

	for (i = 0; columns[i].title != NULL; i++) {
		len = width_of(columns[i].title);
		width = len > width ? len : width;
	}
	for (i = 0; columns[i].title != NULL; i++) {
		str_puts(out, columns[i].title);
		put_blanks(out, width + GAP - width_of(columns[i].title));
		put_cell(out, object, &columns[i]);
		str_putc(out, '\n');
	}
}
