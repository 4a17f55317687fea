#include <criterion/criterion.h>

#include <string.h>

#include "lib/conf/dump.h"

struct thing {
	const char *text;
	unsigned timeout;
	unsigned mode;
	int word;
};

static const struct conf_word words[] = {
	{ "one", 1 },
	{ "two", 2 },
	{ NULL, 0 },
};

#define S struct thing
static const struct conf_def defs[] = {
	CONF_DEF_STRING(S, text, "text", "%H ", ""),
	CONF_DEF_TIME(S, timeout, "timeout", "60 secs", ""),
	CONF_DEF_END
};

static const struct conf_def part_defs[] = {
	CONF_DEF_OCTAL(S, mode, "mode", "0600", ""),
	CONF_DEF_ENUM(S, word, words, "word", "one", ""),
	CONF_DEF_END
};
#undef S

static const struct conf_table table = { defs, 0 };
static const struct conf_table *const tables[] = { &table, NULL };
static const struct conf_table part_table = { part_defs, 0 };
static const struct conf_table *const part_tables[] = { &part_table, NULL };
static const char *const others[] = { "other", "password", NULL };
static const struct conf_schema part_schema = {
	.key = "part",
	.flags = CONF_EXISTS,
	.tables = part_tables,
	.others = others,
};
static const struct conf_schema *const service_sections[] = {
	&part_schema, NULL,
};
static const struct conf_schema service_schema = {
	.key = "service",
	.name = "a",
	.tables = part_tables,
	.sections = service_sections,
};
static const struct conf_schema other_service_schema = {
	.key = "service",
	.others = others,
};
static const struct conf_schema block_schema = {
	.key = "block",
	.flags = CONF_REPEATS | CONF_EXISTS | CONF_IN_PROTOCOL,
	.tables = part_tables,
};
static const struct conf_schema *const sections[] = {
	&service_schema, &other_service_schema, &block_schema, NULL,
};
static const struct conf_schema top = {
	.tables = tables,
	.sections = sections,
	.others = others,
	.builtin = "service a {\npart p {\nmode = 0666\n}\n}\n",
};

static struct conf_tree *parse(const char *text)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;

	tree = conf_tree_parse("f", text, strlen(text), NULL, &errors);
	cr_assert(tree != NULL, "[%s]: %s", text, str_c(&errors.text));
	conf_check(&top, tree, &errors);
	cr_assert_eq(errors.errors, 0, "[%s]: %s", text, str_c(&errors.text));
	conf_errors_free(&errors);
	return tree;
}

static void dump(const char *text, enum conf_dump_mode mode, struct str *out)
{
	struct conf_tree *tree = parse(text);

	str_clear(out);
	conf_dump(&top, tree, mode, out);
	conf_tree_free(&tree);
}

static void expect(const char *text, enum conf_dump_mode mode,
		   const char *want)
{
	struct str out = STR_INIT;

	dump(text, mode, &out);
	cr_expect_str_eq(str_c(&out), want);
	str_free(&out);
}

#define ALL "text = \"%H \"\ntimeout = 1 mins\nservice a {\n" \
	    "  mode = 0600\n  word = one\n  part p {\n" \
	    "    mode = 0666\n    word = one\n  }\n}\n"

Test(conf_dump, nothing_set)
{
	expect("", CONF_DUMP_CHANGED, "");
	expect("", CONF_DUMP_SET, "");
	expect("", CONF_DUMP_ALL, ALL);
	expect("", CONF_DUMP_DEFAULTS, ALL);
}

Test(conf_dump, modes)
{
	const char *text = "timeout = 1m\ntext = x\nservice a {\n"
			   "part p {\n mode = 0666\n word = two\n }\n}\n";

	expect(text, CONF_DUMP_CHANGED,
	       "text = x\nservice a {\n  part p {\n    word = two\n  }\n}\n");
	expect(text, CONF_DUMP_SET,
	       "text = x\ntimeout = 1 mins\nservice a {\n  part p {\n"
	       "    mode = 0666\n    word = two\n  }\n}\n");
	expect(text, CONF_DUMP_ALL,
	       "text = x\ntimeout = 1 mins\nservice a {\n  mode = 0600\n"
	       "  word = one\n  part p {\n    mode = 0666\n    word = two\n"
	       "  }\n}\n");
	expect(text, CONF_DUMP_DEFAULTS, ALL);
}

/* The built-in value is what counts as the default. */
Test(conf_dump, a_table_default_may_be_a_change)
{
	expect("service a {\n part p {\n mode = 0600\n }\n}\n",
	       CONF_DUMP_CHANGED,
	       "service a {\n  part p {\n    mode = 0600\n  }\n}\n");
}

Test(conf_dump, sections_that_count_by_being_there)
{
	expect("service a {\n part q {\n }\n part {\n }\n}\nblock {\n}\n"
	       "block {\n word = one\n}\nblock \"x y\" {\n word = two\n}\n",
	       CONF_DUMP_CHANGED,
	       "service a {\n  part q {\n  }\n  part {\n  }\n}\nblock {\n}\n"
	       "block {\n}\nblock \"x y\" {\n  word = two\n}\n");
	expect("service a {\n}\nservice b {\n}\nremote ::1 {\n}\n",
	       CONF_DUMP_CHANGED, "");
}

Test(conf_dump, filters_are_shown_as_they_are)
{
	const char *text = "text = x\nlocal ::1 {\n text = \"%H \"\n"
			   "protocol !b {\n timeout = 0\n block {\n }\n }\n"
			   "}\n";
	const char *want = "text = x\nlocal ::1 {\n  text = \"%H \"\n"
			   "  protocol !b {\n    timeout = 0\n    block {\n"
			   "    }\n  }\n}\n";

	expect(text, CONF_DUMP_CHANGED, want);
	expect(text, CONF_DUMP_SET, want);
	expect(text, CONF_DUMP_DEFAULTS, ALL);
}

Test(conf_dump, others_are_listed_without_their_values)
{
	expect("other = secret\npassword = \"secret\"\n"
	       "service b {\n other = secret\n}\n"
	       "service a {\n part q {\n password = secret\n }\n}\n"
	       "protocol x {\n other = secret\n}\n"
	       "block {\n}\n", CONF_DUMP_CHANGED,
	       "service a {\n  part q {\n  }\n}\nblock {\n}\n"
	       "# accepted, without effect here:\n"
	       "#   service a / part q / password (f:8)\n"
	       "#   other (f:1)\n"
	       "#   password (f:2)\n"
	       "#   service b / other (f:4)\n"
	       "#   protocol x / other (f:12)\n");
}

Test(conf_dump, contents_of_files_are_not_shown)
{
	struct str out = STR_INIT;

	dump("text = </etc/hostname\nother = </etc/hostname\n",
	     CONF_DUMP_CHANGED, &out);
	cr_expect_str_eq(str_c(&out),
			 "text = </etc/hostname\n"
			 "# accepted, without effect here:\n"
			 "#   other (f:2)\n");
	str_free(&out);
}

Test(conf_dump, round_trip)
{
	static const char *const rows[] = {
		"",
		"text = \" a # 'b' \\\\ $c \"\ntimeout = 90s\n",
		"text = </etc/hostname\n",
		"text = \"</etc/hostname\"\n",
		"text = it's\n",
		"text =\n",
		"service a {\n word = two\n part \"q \\\" {\" {\n }\n"
		" part {\n mode = 0\n }\n part {\n mode = 01777\n }\n}\n",
		"block {\n}\nblock x {\n word = two\n}\nblock x {\n}\n",
		"local 10.0.0.0/8 {\n text = a\n remote ::1 {\n"
		" protocol x {\n timeout = 2h\n block {\n }\n }\n }\n}\n",
	};
	struct str first = STR_INIT, second = STR_INIT;
	enum conf_dump_mode mode;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (mode = CONF_DUMP_CHANGED; mode <= CONF_DUMP_ALL; mode++) {
			dump(rows[i], mode, &first);
			dump(str_c(&first), mode, &second);
			cr_expect_str_eq(str_c(&second), str_c(&first));
			/* Nothing of its meaning is lost either. */
			dump(rows[i], CONF_DUMP_ALL, &second);
			dump(str_c(&first), CONF_DUMP_ALL, &first);
			cr_expect_str_eq(str_c(&first), str_c(&second));
		}
	}
	str_free(&first);
	str_free(&second);
}
