#include <criterion/criterion.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/table.h"

static const struct table_column columns[] = {
	{ "NAME", "name", TABLE_TEXT },
	{ "N", "n", TABLE_TEXT },
	{ "AGE", "age", TABLE_SECONDS },
	{ "INNER", "in.list", TABLE_COUNT },
	{ "YES", "yes", TABLE_YES },
	{ "SHARE", "share", TABLE_PERCENT },
	{ NULL, NULL, TABLE_TEXT },
};

static void expect(const char *json, bool fields, const char *want)
{
	struct str out = STR_INIT;
	struct err err = { "" };
	struct json *value = json_parse(json, strlen(json), &err);

	cr_assert_not_null(value, "%s", err.text);
	if (fields)
		table_put_fields(&out, value, columns);
	else
		table_put(&out, value, columns);
	cr_expect_str_eq(str_c(&out), want);
	json_close(&value);
	str_free(&out);
}

Test(table, lines_and_columns)
{
	expect("[]", false, "NAME  N  AGE  INNER  YES  SHARE\n");
	expect("[{\"name\":\"\u00e4bcde\",\"n\":7,\"age\":0.26,"
	       "\"in\":{\"list\":[1,2]},\"yes\":true,\"share\":0.123},"
	       "{\"name\":\"x\\n\",\"n\":1234,\"age\":3723,\"in\":null,"
	       "\"yes\":false,\"share\":1}]", false,
	       "NAME      N    AGE  INNER  YES   SHARE\n"
	       "\u00e4bcde     7   0.3s      2  yes   12.3%\n"
	       "x\\x0a  1234  1h02m      0       100.0%\n");
}

/* As one byte a terminal may take it for ESC [. */
Test(table, control_characters_of_latin_1)
{
	expect("[{\"name\":\"\\u009b31m\\u0080\u00a0\"}]", false,
	       "NAME                  N  AGE  INNER  YES  SHARE\n"
	       "\\xc2\\x9b31m\\xc2\\x80\u00a0  -  -        0       -\n");
}

Test(table, ages)
{
	expect("{\"name\":null,\"age\":59.96}", true,
	       "NAME   -\nN      -\nAGE    60.0s\nINNER  0\nYES    \n"
	       "SHARE  -\n");
	expect("{\"n\":false,\"age\":61}", true,
	       "NAME   -\nN      no\nAGE    1m01s\nINNER  0\nYES    \n"
	       "SHARE  -\n");
	expect("{\"n\":true,\"age\":90000,\"name\":[1]}", true,
	       "NAME   -\nN      yes\nAGE    1d01h\nINNER  0\nYES    \n"
	       "SHARE  -\n");
}

static const char *found(const char *a, const char *b, int *used)
{
	char *argv[] = { (char *)a, (char *)b };
	const struct command *command =
		command_find(b != NULL ? 2 : 1, argv, used);

	return command != NULL ? command->words : "";
}

Test(table, commands_are_found_by_all_their_words)
{
	int used;

	cr_expect_str_eq(found("stop", NULL, &used), "stop");
	cr_expect_eq(used, 1);
	cr_expect_str_eq(found("stop", "now", &used), "stop now");
	cr_expect_eq(used, 2);
	cr_expect_str_eq(found("who", "x", &used), "who");
	cr_expect_eq(used, 1);
	cr_expect_str_eq(found("log", NULL, &used), "");
	cr_expect_str_eq(found("log", "re", &used), "");
	cr_expect_str_eq(found("sto", NULL, &used), "");
	cr_expect_str_eq(found("", NULL, &used), "");
}
