#include <criterion/criterion.h>

#include <string.h>

#include "lib/conf/schema.h"
#include "t/files.h"

struct thing {
	const char *text;
	unsigned timeout;
	bool flag;
};

struct part {
	const char *text;
	unsigned mode;
};

#define S struct thing
static const struct conf_def session_defs[] = {
	CONF_DEF_STRING(S, text, "thing_text", "default", ""),
	CONF_DEF_TIME(S, timeout, "thing_timeout", "30 secs", ""),
	CONF_DEF_END
};

static const struct conf_def global_defs[] = {
	CONF_DEF_BOOL(S, flag, "thing_flag", "no", ""),
	CONF_DEF_END
};
#undef S

static const struct conf_def part_defs[] = {
	CONF_DEF_STRING(struct part, text, "text", "", ""),
	CONF_DEF_OCTAL(struct part, mode, "mode", "0600", ""),
	CONF_DEF_END
};

static const struct conf_table session_table = { session_defs, 0 };
static const struct conf_table global_table = {
	global_defs, CONF_TABLE_GLOBAL,
};
static const struct conf_table part_table = { part_defs, 0 };
static const struct conf_table *const top_tables[] = {
	&session_table, &global_table, NULL,
};
static const struct conf_table *const part_tables[] = { &part_table, NULL };
static const char *const other_names[] = { "other_one", "other_two", NULL };
static const struct conf_old_name old_names[] = {
	{ "thing_old", "has been removed" },
	{ NULL, NULL },
};

static const struct conf_schema part_schema = {
	.key = "part",
	.flags = CONF_EXISTS,
	.tables = part_tables,
};
static const struct conf_schema *const service_sections[] = {
	&part_schema, NULL,
};
static const struct conf_schema service_ours = {
	.key = "service",
	.name = "ours",
	.tables = part_tables,
	.sections = service_sections,
};
static const struct conf_schema service_any = {
	.key = "service",
	.others = other_names,
};
static const struct conf_schema block_schema = {
	.key = "block",
	.flags = CONF_REPEATS | CONF_EXISTS | CONF_IN_PROTOCOL,
	.tables = part_tables,
};
static const struct conf_schema any_schema = {
	.key = "any",
	.flags = CONF_ANY_SETTING,
};
static const struct conf_schema *const top_sections[] = {
	&service_ours, &service_any, &block_schema, &any_schema, NULL,
};
static const struct conf_schema top = {
	.tables = top_tables,
	.sections = top_sections,
	.others = other_names,
	.old = old_names,
	.protocol = "ours",
	.builtin = "service ours {\npart a {\nmode = 0666\n}\n}\n",
};

static struct conf_tree *parse(const char *text)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;

	tree = conf_tree_parse("f", text, strlen(text), NULL, &errors);
	cr_assert(tree != NULL, "[%s]: %s", text, str_c(&errors.text));
	conf_errors_free(&errors);
	return tree;
}

static void expect_check(const char *text, const char *want)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree = parse(text);

	conf_check(&top, tree, &errors);
	cr_expect_str_eq(str_c(&errors.text), want);
	cr_expect_eq(errors.errors > 0,
		     *want != '\0' && strstr(want, "warning: ") == NULL);
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

Test(conf_schema, what_is_fine)
{
	expect_check("thing_text = a\nthing_timeout = 5 mins\n"
		     "thing_flag = yes\nother_one = x\n"
		     "service ours {\n text = a\n part x {\n mode = 0\n }\n}\n"
		     "service another {\n other_two = x\n}\n"
		     "block {\n text = a\n}\nany {\n a/b = c\n d = e\n}\n", "");
}

Test(conf_schema, unknown_names)
{
	expect_check("thing_txet = a\n",
		     "f:1: unknown setting \"thing_txet\" (did you mean "
		     "\"thing_text\"?)\n");
	expect_check("thing_timeouts = a\nother_on = a\n",
		     "f:1: unknown setting \"thing_timeouts\" (did you mean "
		     "\"thing_timeout\"?)\n"
		     "f:2: unknown setting \"other_on\" (did you mean "
		     "\"other_one\"?)\n");
	expect_check("completely = different\n",
		     "f:1: unknown setting \"completely\"\n");
	expect_check("service ours {\n thing_text = a\n}\n",
		     "f:2: unknown setting \"thing_text\" in section "
		     "service\n");
	expect_check("service ours {\n other_one = a\n}\n",
		     "f:2: unknown setting \"other_one\" in section "
		     "service\n");
	expect_check("service x {\n text = a\n}\n",
		     "f:2: unknown setting \"text\" in section service\n");
	expect_check("servise ours {\n}\nremoet 1.2.3.4 {\n}\n",
		     "f:1: unknown section \"servise\" (did you mean "
		     "\"service\"?)\n"
		     "f:3: unknown section \"remoet\" (did you mean "
		     "\"remote\"?)\n");
	expect_check("service ours {\n prat {\n }\n}\n",
		     "f:2: unknown section \"prat\" in section service (did "
		     "you mean \"part\"?)\n");
	/* A setting is no section, and the other way round. */
	expect_check("thing_text {\n}\nservice = a\n",
		     "f:1: unknown section \"thing_text\"\n"
		     "f:3: unknown setting \"service\"\n");
}

Test(conf_schema, a_long_name_is_no_trouble)
{
	struct str text = STR_INIT;
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	unsigned i;

	for (i = 0; i < 5000; i++)
		str_putc(&text, 'x');
	str_puts(&text, " = a\n");
	tree = parse(text.data);
	conf_check(&top, tree, &errors);
	cr_expect_eq(errors.errors, 1);
	conf_tree_free(&tree);
	conf_errors_free(&errors);
	str_free(&text);
}

Test(conf_schema, values)
{
	expect_check("thing_timeout = 5\nthing_flag = 0\n"
		     "service ours {\n mode = 999\n}\n",
		     "f:1: thing_timeout: the time \"5\" has no unit (write "
		     "for example \"5 secs\")\n"
		     "f:2: thing_flag: \"0\" is neither yes nor no\n"
		     "f:4: mode: \"999\" is no mode: write it in octal and "
		     "with a leading 0, such as 0660\n");
	/* What is without effect may be anything. */
	expect_check("other_one = \nservice x {\n other_one = ???\n}\n", "");
}

Test(conf_schema, old_names_warn)
{
	expect_check("thing_old = x\n",
		     "f:1: warning: thing_old has been removed\n");
}

Test(conf_schema, files_are_read_for_settings_with_effect)
{
	expect_check("thing_text = </nope\nother_one = </nope\n",
		     "f:1: thing_text: cannot read /nope: No such file or "
		     "directory\n");
	expect_check("protocol a {\n thing_text = </nope\n}\n"
		     "protocol !ours {\n thing_text = </nope\n}\n"
		     "protocol !a {\n thing_text = </nope\n}\n"
		     "local_name x {\n protocol ours {\n"
		     " thing_text = </nope\n }\n}\n",
		     "f:8: thing_text: cannot read /nope: No such file or "
		     "directory\n"
		     "f:12: thing_text: cannot read /nope: No such file or "
		     "directory\n");
}

Test(conf_schema, order_of_filters)
{
	static const char *const fine[] = {
		"protocol a {\n thing_text = a\n}\n",
		("local 10.0.0.0/8 {\n local_name x {\n remote ::1 {\n"
		 "protocol !a {\n other_one = a\n }\n }\n }\n}\n"),
		"local 10.0.0.0/8 {\n local 10.1.0.0/16 {\n }\n}\n",
		"remote 10.0.0.0/8 {\n remote 10.0.0.0/8 {\n }\n}\n",
		"local 0.0.0.0/0 {\n}\n",
	};
	static const char *const wrong[][2] = {
		{ "protocol a {\n protocol b {\n }\n}\n",
		  "f:2: protocol b: protocol cannot stand inside another" },
		{ "protocol a {\n local 1.2.3.4 {\n }\n}\n",
		  "f:2: local 1.2.3.4: this filter cannot stand inside "
		  "protocol" },
		{ "protocol a {\n remote 1.2.3.4 {\n }\n}\n",
		  "f:2: remote 1.2.3.4: this filter cannot stand inside "
		  "protocol" },
		{ "remote ::1 {\n local ::1 {\n }\n}\n",
		  "f:2: local ::1: this filter cannot stand inside remote" },
		{ "remote ::1 {\n local_name x {\n }\n}\n",
		  "f:2: local_name x: this filter cannot stand inside "
		  "remote" },
		{ "local_name x {\n local ::1 {\n }\n}\n",
		  "f:2: local ::1: local cannot stand inside local_name" },
		{ "local_name x {\n local_name y {\n }\n}\n",
		  "f:2: local_name y: local_name cannot stand inside another" },
		{ "local_name {\n}\n",
		  "f:1: local_name : a filter needs a name" },
		{ "local 10.0.0.0/8 {\n local 11.0.0.1 {\n }\n}\n",
		  "f:2: local 11.0.0.1: this network is not inside" },
		{ "remote 10.0.0.0/8 {\n remote 10.0.0.0/7 {\n }\n}\n",
		  "f:2: remote 10.0.0.0/7: this network is not inside" },
		{ "remote 10.0.0.0/33 {\n}\n",
		  "f:1: remote 10.0.0.0/33: an IP address or network" },
		{ "local host.example {\n}\n",
		  "f:1: local host.example: an IP address or network" },
		{ "remote {\n}\n", "f:1: remote : an IP address or network" },
		{ "protocol {\n}\n", "f:1: protocol : a filter needs a name" },
		{ "service ours {\n protocol a {\n }\n}\n",
		  "f:2: protocol a: a filter cannot stand inside a section" },
	};
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	size_t i;

	for (i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		expect_check(fine[i], "");
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		tree = parse(wrong[i][0]);
		conf_check(&top, tree, &errors);
		cr_expect_eq(errors.errors, 1, "[%s]", wrong[i][0]);
		cr_expect(strncmp(str_c(&errors.text), wrong[i][1],
				  strlen(wrong[i][1])) == 0, "[%s]: %s",
			  wrong[i][0], str_c(&errors.text));
		conf_tree_free(&tree);
		conf_errors_free(&errors);
	}
}

Test(conf_schema, too_many_filters)
{
	struct conf_errors errors = { .errors = 0 };
	struct str text = STR_INIT;
	struct conf_tree *tree;
	unsigned i;

	for (i = 0; i < 1025; i++)
		str_puts(&text, "remote ::1 {\n}\n");
	tree = parse(text.data);
	conf_check(&top, tree, &errors);
	cr_expect_eq(errors.errors, 1);
	conf_tree_free(&tree);
	conf_errors_free(&errors);
	str_free(&text);
}

Test(conf_schema, without_effect_in_a_filter)
{
	expect_check("protocol x {\n thing_flag = yes\n block {\n }\n}\n", "");
	expect_check("remote ::1 {\n thing_flag = yes\n}\n",
		     "f:2: warning: thing_flag has no effect in this filter: "
		     "it cannot differ between connections\n");
	expect_check("local_name x {\n thing_text = yes\n thing_flag = yes\n"
		     "}\n",
		     "f:3: warning: thing_flag has no effect in this filter: "
		     "it cannot differ between connections\n");
	expect_check("remote ::1 {\n block {\n text = a\n }\n}\n",
		     "f:2: warning: the section block has no effect in this "
		     "filter\n");
	expect_check("protocol x {\n service ours {\n }\n}\n",
		     "f:2: warning: the section service has no effect in "
		     "this filter\n");
	/* Its settings have none anyway. */
	expect_check("protocol x {\n service other {\n }\n any {\n }\n}\n", "");
}

static void flatten(const struct conf_node *parent, struct str *out)
{
	const struct conf_node *node;

	for (node = parent->children; node != NULL; node = node->next) {
		if (node->section) {
			str_printf(out, "%s %s{", node->key, node->value);
			flatten(node, out);
			str_puts(out, "}");
		} else {
			str_printf(out, "%s=%s@%u;", node->key, node->value,
				   node->line);
		}
	}
}

static void expect_merge(const char *text, const char *want)
{
	struct conf_tree *tree = parse(text), *merged = conf_merge(&top, tree);
	struct str out = STR_INIT;

	/* It holds nothing of the other. */
	conf_tree_free(&tree);
	flatten(merged->root, &out);
	cr_expect_str_eq(str_c(&out), want);
	conf_tree_free(&merged);
	str_free(&out);
}

Test(conf_schema, merge)
{
	expect_merge("", "service ours{part a{mode=0666@3;}}");
	expect_merge("thing_text = 1\nthing_flag = 2\nthing_text = 3\n",
		     "service ours{part a{mode=0666@3;}}"
		     "thing_text=3@3;thing_flag=2@2;");
	expect_merge("service ours {\n part a {\n text = x\n }\n}\n"
		     "service ours {\n text = y\n part a {\n text = z\n }\n"
		     "part b {\n }\n}\n",
		     "service ours{part a{mode=0666@3;text=z@9;}text=y@7;"
		     "part b{}}");
	/* Unnamed ones that count by being there do not merge, others do. */
	expect_merge("service ours {\n part {\n }\n part {\n }\n}\n",
		     "service ours{part a{mode=0666@3;}part {}part {}}");
	expect_merge("any {\n a = 1\n}\nany {\n a = 2\n}\n",
		     "service ours{part a{mode=0666@3;}}any {a=2@5;}");
	expect_merge("block x {\n}\nblock x {\n}\n",
		     "service ours{part a{mode=0666@3;}}block x{}block x{}");
	expect_merge("protocol x {\n thing_text = 1\n block {\n }\n}\n"
		     "protocol x {\n thing_text = 2\n block {\n }\n}\n"
		     "protocol y {\n thing_text = 3\n}\n",
		     "service ours{part a{mode=0666@3;}}protocol x{"
		     "thing_text=2@7;block {}block {}}protocol y{"
		     "thing_text=3@12;}");
}

Test(conf_schema, defaults_and_apply)
{
	struct arena *arena = arena_new(256);
	struct conf_tree *tree;
	struct thing thing;

	memset(&thing, 0x5a, sizeof(thing));
	conf_defaults(&session_table, arena, &thing);
	cr_expect_str_eq(thing.text, "default");
	cr_expect_eq(thing.timeout, 30000);
	tree = parse("thing_text = a\nthing_text = b\nthing_timeout = bad\n"
		     "protocol x {\n thing_text = c\n}\n");
	conf_apply(&session_table, arena, tree->root, &thing);
	conf_tree_free(&tree);
	cr_expect_str_eq(thing.text, "b");
	cr_expect_eq(thing.timeout, 30000, "what does not parse is left out");
	arena_free(&arena);
}

/* The text in which a tree is merged. */
static struct conf_tree *parse_merged(const char *text)
{
	struct conf_tree *tree = parse(text), *merged = conf_merge(&top, tree);

	conf_tree_free(&tree);
	return merged;
}

Test(conf_schema, filters_by_precedence)
{
	struct arena *arena = arena_new(256);
	const struct conf_filter *filters;
	struct str out = STR_INIT;
	struct conf_tree *tree;
	unsigned i, count;

	tree = parse_merged("local 10.0.0.0/8 {\n thing_text = 1\n"
		     "  remote 10.1.0.0/16 {\n thing_text = 2\n }\n"
		     "  protocol a {\n thing_text = 3\n }\n}\n"
		     "local 10.1.2.3 {\n thing_text = 4\n}\n"
		     "remote ::/0 {\n thing_text = 5\n}\n"
		     "remote ::1 {\n thing_text = 6\n}\n"
		     "protocol a {\n thing_text = 7\n}\n"
		     "protocol !b {\n thing_text = 8\n}\n"
		     "protocol a {\n thing_text = 9\n}\n"
		     "local_name x {\n thing_text = 10\n}\n"
		     "local_name *.y {\n thing_text = 11\n}\n");
	count = conf_filters(tree, arena, &filters);
	for (i = 0; i < count; i++)
		str_printf(&out, "%s ", conf_node_setting(
			filters[i].section, "thing_text")->value);
	cr_expect_str_eq(str_c(&out), "8 9 5 6 1 3 2 4 11 10 ");
	cr_assert_eq(count, 10);
	cr_expect_str_eq(filters[9].name, "x");
	cr_expect(!filters[9].has_local);
	cr_expect(filters[6].has_local && filters[6].has_remote);
	cr_expect_null(filters[6].name);
	cr_expect(filters[5].has_local &&
		  strcmp(filters[5].protocol, "a") == 0);
	conf_tree_free(&tree);
	arena_free(&arena);
	str_free(&out);
}

/* What thing_text is in the filters of a text, in their order. */
static void expect_filters(const char *text, const char *want)
{
	struct arena *arena = arena_new(256);
	struct conf_tree *tree = parse_merged(text);
	const struct conf_filter *filters;
	const struct conf_node *node;
	struct str out = STR_INIT;
	unsigned i, count = conf_filters(tree, arena, &filters);

	for (i = 0; i < count; i++) {
		node = conf_node_setting(filters[i].section, "thing_text");
		str_printf(&out, "%s ", node != NULL ? node->value : "-");
	}
	cr_expect_str_eq(str_c(&out), want, "%s: %s", text, str_c(&out));
	conf_tree_free(&tree);
	arena_free(&arena);
	str_free(&out);
}

/* However they are written, in the order of the text. */
Test(conf_schema, same_filters_are_one)
{
	expect_filters("local 10.0.0.1 {\n thing_text = 1\n}\n"
		       "local 10.0.0.1/32 {\n thing_text = 2\n}\n", "2 ");
	expect_filters("local 10.0.0.0/8 {\n local 10.0.0.1 {\n"
		       "  thing_text = 1\n }\n}\n"
		       "local 10.0.0.1 {\n thing_text = 2\n}\n"
		       "local 10.0.0.0/8 {\n local 10.0.0.1 {\n"
		       "  thing_text = 3\n }\n}\n", "- 3 ");
	expect_filters("remote ::1 {\n remote ::1 {\n thing_text = 1\n }\n"
		       " thing_text = 2\n}\n", "2 ");
	expect_filters("local_name A.b {\n thing_text = 1\n}\n"
		       "local_name a.B {\n thing_text = 2\n}\n", "2 ");
	/* Not for Dovecot. */
	expect_filters("local 10.0.0.1/8 {\n thing_text = 1\n}\n"
		       "local 10.0.0.2/8 {\n thing_text = 2\n}\n"
		       "protocol a {\n thing_text = 3\n}\n"
		       "protocol !b {\n thing_text = 4\n}\n", "4 3 2 1 ");
	expect_filters("protocol a {\n}\nlocal_name x {\n"
		       " protocol a {\n thing_text = 1\n }\n}\n"
		       "local_name y {\n protocol a {\n thing_text = 2\n }\n"
		       "}\n", "- - - 2 1 ");
}

Test(conf_schema, variables_in_filters)
{
	/* Those of the same filter, wherever it stands; of others only for the
	 * same setting. */
	expect_filters("protocol a {\n thing_text = 1\n}\n"
		       "protocol a {\n thing_text = $thing_text 2\n}\n",
		       "1 2 ");
	expect_filters("thing_text = 1\nlocal ::1 {\n protocol a {\n"
		       "thing_text = $thing_text 2\n }\n}\n", "- 1 2 ");
	expect_filters("thing_text = 0\nlocal ::1 {\n thing_text = 1\n"
		       " protocol a {\n  thing_text = $thing_text 2\n }\n}\n",
		       "1 1 2 ");
	expect_filters("other_one = 1\nprotocol a {\n other_one = 2\n"
		       " thing_text = $other_one\n}\n", "2 ");
}

static const char *default_of(const char *name)
{
	return strcmp(name, "thing_text") == 0 ? "default" : NULL;
}

Test(conf_schema, other_variables_in_filters_are_defaults)
{
	const char text[] = "thing_text = 1\nprotocol a {\n"
			    " other_one = x $thing_text\n}\n"
			    "other_two = $thing_text\n";
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree = conf_tree_parse("f", text, strlen(text),
						 default_of, &errors);

	cr_assert_not_null(tree);
	cr_expect_str_eq(conf_node_setting(tree->root->children->next,
					   "other_one")->value, "x default");
	cr_expect_str_eq(conf_node_setting(tree->root, "other_two")->value,
			 "1");
	cr_expect_eq(errors.warnings, 1);
	cr_expect(strstr(str_c(&errors.text), "f:3: warning: $thing_text is "
			 "the default of thing_text here") != NULL, "%s",
		  str_c(&errors.text));
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

Test(conf_schema, filter_protocol)
{
	struct conf_filter any = { .protocol = NULL };
	struct conf_filter this = { .protocol = "a" };
	struct conf_filter other = { .protocol = "!a" };

	cr_expect(conf_filter_protocol(&any, "a"));
	cr_expect(conf_filter_protocol(&this, "a"));
	cr_expect(!conf_filter_protocol(&this, "b"));
	cr_expect(!conf_filter_protocol(&other, "a"));
	cr_expect(conf_filter_protocol(&other, "b"));
}
