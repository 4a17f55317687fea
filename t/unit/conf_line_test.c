#include <criterion/criterion.h>

#include <string.h>

#include "lib/conf/line.h"

Test(conf_line, strip)
{
	static const struct {
		const char *text, *want;
		bool ambiguous;
	} rows[] = {
		{ "", "", false },
		{ " \t\r", "", false },
		{ "# all of it", "", false },
		{ "\ta = b  # c \r", "a = b", false },
		{ "a = b#c", "a = b", true },
		{ "a = b #c # d", "a = b", false },
		{ "a = \"b # c\" # d", "a = \"b # c\"", false },
		{ "a = 'b # c' # d", "a = 'b # c'", false },
		{ "a = \"b \\\" # c\" # d", "a = \"b \\\" # c\"", false },
		{ "a = it's # it", "a = it's # it", false },
		{ "a = \"b\" 'c # d' # e", "a = \"b\" 'c # d'", false },
		{ "a = \"b\\", "a = \"b\\", false },
	};
	char text[128];
	bool ambiguous;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		strcpy(text, rows[i].text);
		cr_expect_str_eq(conf_line_strip(text, &ambiguous),
				 rows[i].want, "[%s]", rows[i].text);
		cr_expect_eq(ambiguous, rows[i].ambiguous, "[%s]",
			     rows[i].text);
	}
}

Test(conf_line, continues)
{
	char more[] = "a = b \t \\", plain[] = "a = b", only[] = "\\";

	cr_assert(conf_line_continues(more));
	cr_assert_str_eq(more, "a = b");
	cr_assert(!conf_line_continues(plain));
	cr_assert(conf_line_continues(only));
	cr_assert_str_eq(only, "");
}

Test(conf_line, parse)
{
	static const struct {
		const char *text;
		enum conf_line_type type;
		const char *key, *value;
		enum conf_line_value value_type;
	} rows[] = {
		{ "", CONF_LINE_EMPTY, "", "", CONF_LINE_PLAIN },
		{ "a = b", CONF_LINE_SETTING, "a", "b", CONF_LINE_PLAIN },
		{ "a=b c", CONF_LINE_SETTING, "a", "b c", CONF_LINE_PLAIN },
		{ "a =", CONF_LINE_SETTING, "a", "", CONF_LINE_PLAIN },
		{ "a == b", CONF_LINE_SETTING, "a", "= b",
		  CONF_LINE_PLAIN },
		{ "a = { b", CONF_LINE_SETTING, "a", "{ b",
		  CONF_LINE_PLAIN },
		{ "a = \"{\"", CONF_LINE_SETTING, "a", "{",
		  CONF_LINE_QUOTED },
		{ "a = \"b  \"", CONF_LINE_SETTING, "a", "b  ",
		  CONF_LINE_QUOTED },
		{ "a = ' $b'", CONF_LINE_SETTING, "a", " $b",
		  CONF_LINE_QUOTED },
		{ "a = \"b\\\"\\\\c\\d\"", CONF_LINE_SETTING, "a", "b\"\\cd",
		  CONF_LINE_QUOTED },
		{ "a = \"b\"c\"", CONF_LINE_SETTING, "a", "b\"c",
		  CONF_LINE_QUOTED },
		/* Not around the whole value: taken as they are. */
		{ "a = \"b\" c", CONF_LINE_SETTING, "a", "\"b\" c",
		  CONF_LINE_QUOTED },
		{ "a = \"b", CONF_LINE_SETTING, "a", "\"b",
		  CONF_LINE_QUOTED },
		/* As Dovecot reads what is no good. */
		{ "a = \"b\\\"", CONF_LINE_SETTING, "a", "b",
		  CONF_LINE_QUOTED },
		{ "a = \"b\" c\"", CONF_LINE_SETTING, "a", "b\" c",
		  CONF_LINE_QUOTED },
		{ "a = \"", CONF_LINE_SETTING, "a", "", CONF_LINE_QUOTED },
		{ "a = b\"c\"", CONF_LINE_SETTING, "a", "b\"c\"",
		  CONF_LINE_PLAIN },
		{ "a = </b", CONF_LINE_SETTING, "a", "/b", CONF_LINE_FILE },
		{ "a = < b c", CONF_LINE_SETTING, "a", "b c",
		  CONF_LINE_FILE },
		{ "a = \"<b\"", CONF_LINE_SETTING, "a", "<b",
		  CONF_LINE_QUOTED },
		{ "a {", CONF_LINE_OPEN, "a", "", CONF_LINE_PLAIN },
		{ "a b/c {", CONF_LINE_OPEN, "a", "b/c", CONF_LINE_PLAIN },
		{ "a \"b \\\" c\" {", CONF_LINE_OPEN, "a", "b \" c",
		  CONF_LINE_PLAIN },
		{ "}", CONF_LINE_CLOSE, "}", "", CONF_LINE_PLAIN },
		{ "!include a*", CONF_LINE_INCLUDE, "!include", "a*",
		  CONF_LINE_PLAIN },
		{ "!include_try \"a b\"", CONF_LINE_INCLUDE_TRY,
		  "!include_try", "a b", CONF_LINE_PLAIN },
	};
	struct conf_line line;
	struct err err = { "" };
	char text[128];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		strcpy(text, rows[i].text);
		cr_expect_eq(conf_line_parse(text, &line, &err), 0, "[%s]: %s",
			     rows[i].text, err.text);
		cr_expect_eq(line.type, rows[i].type, "[%s]", rows[i].text);
		cr_expect_str_eq(line.key, rows[i].key, "[%s]", rows[i].text);
		cr_expect_str_eq(line.value, rows[i].value, "[%s]",
				 rows[i].text);
		cr_expect_eq(line.value_type, rows[i].value_type, "[%s]",
			     rows[i].text);
	}
}

Test(conf_line, parse_errors)
{
	static const char *const rows[][2] = {
		{ "= b", "no name" },
		{ "a = {", "without \"=\"" },
		{ "a = <", "no file name" },
		{ "a", "neither" },
		{ "a b", "neither" },
		{ "a b c {", "neither" },
		{ "a{", "neither" },
		{ "} a", "neither" },
		{ "a \"b {", "neither" },
		{ "!foo", "neither" },
		{ "a { b = c", "follows \"{\"" },
		{ "a {}", "follows \"{\"" },
		{ "a b { }", "follows \"{\"" },
		{ "!include", "no file name" },
		{ "!include_try \"\"", "no file name" },
	};
	struct conf_line line;
	struct err err;
	char text[128];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		strcpy(text, rows[i][0]);
		cr_expect_eq(conf_line_parse(text, &line, &err), -1, "[%s]",
			     rows[i][0]);
		cr_expect(strstr(err.text, rows[i][1]) != NULL, "[%s]: %s",
			  rows[i][0], err.text);
	}
}

Test(conf_line, what_is_written_reads_the_same)
{
	static const char *const values[] = {
		"", "a", "a b", " a", "a ", "\ta", "a#b", "a # b", "$a",
		"a $b", "</a", "{", "\"", "\"a\"", "'a'", "'", "a\\", "\\",
		"a\\b", "it's", "it's # \"", "a\"b", "\" # '", "{ a", "= a",
		"\\\" # ", "#", "a\\\"",
	};
	struct str out = STR_INIT;
	struct conf_line line;
	struct err err = { "" };
	bool ambiguous;
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char *text;

		str_clear(&out);
		str_puts(&out, "a = ");
		conf_line_write_value(&out, values[i]);
		text = conf_line_strip(out.data, &ambiguous);
		cr_expect(!conf_line_continues(text), "[%s]", values[i]);
		cr_expect_eq(conf_line_parse(text, &line, &err), 0, "[%s]: %s",
			     values[i], err.text);
		cr_expect_str_eq(line.value, values[i]);
		cr_expect_neq(line.value_type, CONF_LINE_FILE, "[%s]",
			      values[i]);
	}
	str_free(&out);
}

Test(conf_line, names_read_the_same)
{
	static const char *const names[] = {
		"lmtp", "!imap", "10.0.0.0/8", "2001:db8::/32", "a b", "\"",
		"#", "{", "a\\", "*.x",
	};
	struct str out = STR_INIT;
	struct conf_line line;
	struct err err = { "" };
	bool ambiguous;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		str_clear(&out);
		str_puts(&out, "a ");
		conf_line_write_name(&out, names[i]);
		str_puts(&out, " {");
		cr_expect_eq(conf_line_parse(conf_line_strip(out.data,
							     &ambiguous),
					     &line, &err), 0, "[%s]: %s",
			     names[i], err.text);
		cr_expect_str_eq(line.value, names[i]);
	}
	str_free(&out);
}
