#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf/tree.h"
#include "t/files.h"

static const char *defaults(const char *name)
{
	if (strcmp(name, "base") == 0)
		return "/run";
	return strcmp(name, "empty") == 0 ? "" : NULL;
}

/* The tree as text: "key=value;" and "key name{...}". */
static void flatten(const struct conf_node *parent, struct str *out)
{
	const struct conf_node *node;

	for (node = parent->children; node != NULL; node = node->next) {
		cr_expect_eq(node->parent, parent);
		if (node->section) {
			str_printf(out, "%s %s{", node->key, node->value);
			flatten(node, out);
			str_puts(out, "}");
		} else if (node->path != NULL) {
			str_printf(out, "%s<%s;", node->key, node->path);
		} else {
			str_printf(out, "%s=%s;", node->key, node->value);
		}
	}
}

static void expect_text(const char *text, const char *want)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	struct str out = STR_INIT;

	tree = conf_tree_parse("f", text, strlen(text), defaults, &errors);
	cr_assert(tree != NULL, "[%s]: %s", text, str_c(&errors.text));
	flatten(tree->root, &out);
	cr_expect_str_eq(str_c(&out), want);
	cr_expect_eq(errors.warnings, 0);
	str_free(&out);
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

static void expect_errors(const char *text, const char *want)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;

	tree = conf_tree_parse("f", text, strlen(text), defaults, &errors);
	cr_expect(tree == NULL, "[%s]", text);
	cr_expect_str_eq(str_c(&errors.text), want);
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

Test(conf_tree, settings_and_sections)
{
	expect_text("", "");
	expect_text("\n\n# nothing\n \t\r\n", "");
	expect_text("a = b", "a=b;");
	expect_text("a=1\r\n\tb = 2 3 \n", "a=1;b=2 3;");
	expect_text("a x {\n b = 1\n c {\n d=2\n }\n} # end\ne=3\n",
		    "a x{b=1;c {d=2;}}e=3;");
	expect_text("a {\n}\na {\n}\n", "a {}a {}");
}

Test(conf_tree, continuation)
{
	expect_text("a = b \\\n   c\\\n d\n", "a=b c d;");
	expect_text("a = \\\n", "a=;");
	expect_text("a = b \\", "a=b;");
	expect_text("a = \"b \\\n c\"\n", "a=b c;");
	expect_text("# x \\\na = b\n", "a=b;");
	expect_text("a = b # x \\\nc = d\n", "a=b;c=d;");
	/* An empty or a comment line ends it. */
	expect_text("a = b \\\n\nc = d\n", "a=b;c=d;");
	expect_text("a = b \\\n# x\nc = d\n", "a=b;c=d;");
	expect_text("\\\n\\\na = b\n", "a=b;");
	expect_text("a \\\n {\n}\n", "a {}");
}

Test(conf_tree, variables)
{
	setenv("CONF_TREE_TEST", "e  f", 1);
	unsetenv("CONF_TREE_NONE");
	expect_text("a = 1\na = $a 2\nb = x  $a\n", "a=1;a=1 2;b=x 1 2;");
	/* White space becomes one space where a word has a $ in it. */
	expect_text("a = x  y \t z\nb = x  y \t z$\n",
		    "a=x  y \t z;b=x y z$;");
	expect_text("base = 1\na = x\t$base \t$base\n",
		    "base=1;a=x\t$base 1;");
	expect_text("a = $base\n", "a=/run;");
	expect_text("a = $empty b\n", "a= b;");
	expect_text("base = /x\na = $base\n", "base=/x;a=/x;");
	/* Only whole words. */
	expect_text("a = x$base\n", "a=x$base;");
	expect_text("a = \"$base\"\n", "a=$base;");
	expect_text("a = \"$base\" $base\n", "a=\"$base\" $base;");
	expect_text("a = $ENV:CONF_TREE_TEST x $ENV:CONF_TREE_NONE\n",
		    "a=e  f x ;");
	/* From the sections around, and what is set last there. */
	expect_text("a = 1\ns {\n b = $a\n a = 2\n t {\n c = $a\n}\n}\n"
		    "d = $a\n", "a=1;s {b=1;a=2;t {c=2;}}d=1;");
	/* What was a section's own is not seen outside. */
	expect_errors("s {\n a = 2\n}\nb = $a\n",
		      "f:4: unknown variable $a\n");
}

Test(conf_tree, errors_are_collected)
{
	expect_errors("a = $nope\nb\n}\nc = {\nd {\n e = $base/x\n",
		      "f:1: unknown variable $nope\n"
		      "f:2: neither \"name = value\" nor \"section [name] {\"\n"
		      "f:3: \"}\" without a section that it could end\n"
		      "f:4: a section starts with \"c {\", without \"=\"\n"
		      "f:6: unknown variable $base/x\n"
		      "f:5: the section d is not closed\n");
	/* The line where a joined one starts. */
	expect_errors("\na \\\n b \\\n c\n",
		      "f:2: neither \"name = value\" nor \"section [name] {\""
		      "\n");
	expect_errors("!include x\n", "f:1: nothing can be included here\n");
	expect_errors("a = $\n", "f:1: unknown variable $\n");
}

Test(conf_tree, messages_are_one_line_and_limited)
{
	struct conf_errors errors = { .errors = 0 };
	const char text[] = "a\x1b[31m = $x\x01\n";
	struct str many = STR_INIT;
	struct conf_tree *tree;
	const char *at;
	unsigned i, lines = 0;

	cr_assert_null(conf_tree_parse("f\n", text, strlen(text), NULL,
				       &errors));
	cr_expect_str_eq(str_c(&errors.text),
			 "f\\x0a:1: unknown variable $x\\x01\n");
	conf_errors_free(&errors);
	for (i = 0; i < 3 * CONF_MAX_MESSAGES; i++)
		str_puts(&many, "x\n");
	tree = conf_tree_parse("f", many.data, many.len, NULL, &errors);
	cr_assert_null(tree);
	cr_expect_eq(errors.errors, 3 * CONF_MAX_MESSAGES);
	for (at = str_c(&errors.text); *at != '\0'; at++)
		lines += *at == '\n';
	cr_expect_eq(lines, CONF_MAX_MESSAGES + 1);
	cr_expect(strstr(str_c(&errors.text), "\nmore errors are not shown\n"));
	str_clear(&errors.text);
	for (i = 0; i <= CONF_MAX_MESSAGES + 1; i++)
		conf_warning(&errors, NULL, 0, "%u", i);
	cr_expect_eq(errors.warnings, CONF_MAX_MESSAGES + 2,
		     "errors take no room from warnings");
	cr_expect(strstr(str_c(&errors.text), "\nwarning: 99\n"
			 "warning: more are not shown\n"));
	cr_expect_null(strstr(str_c(&errors.text), "100"));
	str_free(&many);
	conf_errors_free(&errors);
}

/* As from a file that two sections use. */
Test(conf_tree, nothing_is_said_twice)
{
	struct conf_errors errors = { .errors = 0 };

	conf_warning(&errors, "a/f", 2, "base is empty");
	conf_warning(&errors, "f", 2, "base is empty");
	conf_warning(&errors, "a/f", 2, "base is empty");
	conf_error(&errors, "f", 3, "no");
	conf_error(&errors, "f", 3, "no");
	cr_expect_str_eq(str_c(&errors.text),
			 "a/f:2: warning: base is empty\n"
			 "f:2: warning: base is empty\n"
			 "f:3: no\n");
	cr_expect_eq(errors.errors, 2, "who looks for more of them finds more");
	conf_errors_free(&errors);
}

Test(conf_tree, ambiguous_comment_warns)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;

	tree = conf_tree_parse("f", "\na = b#c\n", 9, NULL, &errors);
	cr_assert_not_null(tree);
	cr_expect_str_eq(conf_node_setting(tree->root, "a")->value, "b");
	cr_expect_eq(errors.warnings, 1);
	cr_expect(strncmp(str_c(&errors.text), "f:2: warning: ", 14) == 0,
		  "%s", str_c(&errors.text));
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

Test(conf_tree, nul_is_refused)
{
	struct conf_errors errors = { .errors = 0 };

	cr_expect_null(conf_tree_parse("f", "a = b\0c", 7, NULL, &errors));
	cr_expect_eq(errors.errors, 1);
	conf_errors_free(&errors);
}

Test(conf_tree, limits)
{
	struct str text = STR_INIT;
	unsigned i;

	for (i = 0; i <= CONF_MAX_DEPTH; i++)
		str_puts(&text, "a {\n");
	for (i = 0; i <= CONF_MAX_DEPTH; i++)
		str_puts(&text, "}\n");
	expect_errors(text.data, "f:17: sections are nested too deep\n"
				 "f:17: the section a is not closed\n"
				 "f:16: the section a is not closed\n"
				 "f:15: the section a is not closed\n"
				 "f:14: the section a is not closed\n"
				 "f:13: the section a is not closed\n"
				 "f:12: the section a is not closed\n"
				 "f:11: the section a is not closed\n"
				 "f:10: the section a is not closed\n"
				 "f:9: the section a is not closed\n"
				 "f:8: the section a is not closed\n"
				 "f:7: the section a is not closed\n"
				 "f:6: the section a is not closed\n"
				 "f:5: the section a is not closed\n"
				 "f:4: the section a is not closed\n"
				 "f:3: the section a is not closed\n"
				 "f:2: the section a is not closed\n"
				 "f:1: the section a is not closed\n");
	str_clear(&text);
	for (i = 0; i <= CONF_MAX_NODES; i++)
		str_puts(&text, "a=\n");
	expect_errors(text.data,
		      "f:16385: the configuration has too many settings\n");
	/* Each line doubles the value. */
	str_clear(&text);
	str_puts(&text, "a = xxxxxxxxxxxxxxxx\n");
	for (i = 0; i < 40; i++)
		str_puts(&text, "a = $a $a\n");
	expect_errors(text.data, "f:20: the configuration is too large\n");
	str_free(&text);
}

static void expect_file(const char *path, const char *want)
{
	struct conf_errors errors = { .errors = 0 };
	struct str out = STR_INIT;
	struct conf_tree *tree = conf_tree_read(path, defaults, &errors);

	cr_assert(tree != NULL, "%s", str_c(&errors.text));
	flatten(tree->root, &out);
	cr_expect_str_eq(str_c(&out), want);
	str_free(&out);
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

static void expect_file_error(const char *path, const char *want)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree = conf_tree_read(path, defaults, &errors);

	cr_expect_null(tree);
	cr_expect(strstr(str_c(&errors.text), want) != NULL, "%s",
		  str_c(&errors.text));
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

Test(conf_tree, includes)
{
	struct files files;

	files_init(&files);
	files_write(&files, "d/2.conf", "two = 2\n!include ../e.conf\n");
	files_write(&files, "d/1.conf", "one = 1\n");
	files_write(&files, "d/3.ext", "three = 3\n");
	files_write(&files, "e.conf", "e = $one\n");
	expect_file(files_write(&files, "a", "!include d/*.conf\n"
					     "!include_try nope\n"
					     "!include_try nope/*\n"
					     "s {\n!include e.conf\n}\n"),
		    "one=1;two=2;e=1;s {e=1;}");
	expect_file(files_write(&files, "a", "!include d/{3,1}.*\n"),
		    "three=3;one=1;");
	expect_file_error(files_write(&files, "f", "!include nope\n"),
			  "f:1: !include ");
	expect_file_error(files_write(&files, "f", "\n!include nope*\n"),
			  "f:2: !include ");
	expect_file_error(files_write(&files, "f", "!include d\n"),
			  "not a file");
	expect_file_error(files_write(&files, "f", "!include f\n"),
			  "f:1: the file includes itself");
	files_write(&files, "g", "!include h\n");
	expect_file_error(files_write(&files, "h", "!include g\n"),
			  "the file includes itself");
	/* Sections end in the file that they start in. */
	files_write(&files, "open", "s {\n");
	expect_file_error(files_write(&files, "f", "!include open\n}\n"),
			  "open:1: the section s is not closed");
	files_write(&files, "close", "}\n");
	expect_file_error(files_write(&files, "f", "s {\n!include close\n}\n"),
			  "close:1: \"}\" without a section");
	expect_file_error(files_path(&files, "none"), "No such file");
	files_done(&files);
}

Test(conf_tree, include_depth)
{
	struct files files;
	char name[16], text[32];
	unsigned i;

	files_init(&files);
	for (i = 0; i < CONF_MAX_INCLUDES; i++) {
		snprintf(name, sizeof(name), "%u", i);
		snprintf(text, sizeof(text), "!include %u\n", i + 1);
		files_write(&files, name, text);
	}
	files_write(&files, "16", "a = b\n");
	expect_file(files_path(&files, "1"), "a=b;");
	expect_file_error(files_path(&files, "0"), "nested too deep");
	files_done(&files);
}

Test(conf_tree, file_values)
{
	struct conf_errors errors = { .errors = 0 };
	struct files files;
	struct conf_tree *tree;
	struct conf_node *node;
	struct err err = { "" };
	char want[128];

	files_init(&files);
	files_write(&files, "d/secret", "one\ntwo\n");
	files_write(&files, "d/a.conf", "a = <secret\nb = $a\n");
	tree = conf_tree_read(files_write(&files, "top",
					  "!include d/a.conf\nc = </nope\n"),
			      NULL, &errors);
	cr_assert(tree != NULL, "%s", str_c(&errors.text));
	node = conf_node_setting(tree->root, "a");
	snprintf(want, sizeof(want), "%s/d/secret", files.dir);
	cr_expect_str_eq(node->path, want);
	cr_expect_str_eq(node->value, "");
	cr_expect_str_eq(conf_node_setting(tree->root, "b")->path, want);
	cr_assert_eq(conf_node_load(tree, node, &err), 0, "%s", err.text);
	cr_expect_str_eq(node->value, "one\ntwo\n");
	/* Once: what is in the tree stays. */
	files_write(&files, "d/secret", "three");
	cr_assert_eq(conf_node_load(tree, node, &err), 0);
	cr_expect_str_eq(node->value, "one\ntwo\n");
	/* A file that nobody asks for need not exist. */
	node = conf_node_setting(tree->root, "c");
	cr_assert_eq(conf_node_load(tree, node, &err), -1);
	cr_expect_str_eq(err.text,
			 "cannot read /nope: No such file or directory");
	conf_tree_free(&tree);
	expect_file_error(files_write(&files, "f", "a = <x\nb = y $a\n"),
			  "f:2: $a is a file");
	files_done(&files);
	conf_errors_free(&errors);
}

Test(conf_tree, file_values_that_cannot_be)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	struct conf_node *node;
	struct err err = { "" };

	tree = conf_tree_parse("f", "a = </tmp\n", 10, NULL, &errors);
	cr_assert_not_null(tree);
	node = conf_node_setting(tree->root, "a");
	cr_expect_eq(conf_node_load(tree, node, &err), -1);
	cr_expect(strstr(err.text, "not a regular file") != NULL, "%s",
		  err.text);
	node->path = "/dev/zero";
	cr_expect_eq(conf_node_load(tree, node, &err), -1);
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

Test(conf_tree, places)
{
	struct conf_errors errors = { .errors = 0 };
	struct files files;
	struct conf_tree *tree;
	const struct conf_node *node;

	files_init(&files);
	files_write(&files, "x", "\nb = 1\n");
	tree = conf_tree_read(files_write(&files, "top",
					  "a = 1 \\\n 2\n!include x\nc {\n}\n"),
			      NULL, &errors);
	cr_assert_not_null(tree);
	node = conf_node_setting(tree->root, "a");
	cr_expect_eq(node->line, 1);
	cr_expect_str_eq(node->file, files_path(&files, "top"));
	node = conf_node_setting(tree->root, "b");
	cr_expect_eq(node->line, 2);
	cr_expect_str_eq(node->file, files_path(&files, "x"));
	node = conf_node_section(tree->root, "c", NULL);
	cr_expect_eq(node->line, 4);
	conf_tree_free(&tree);
	files_done(&files);
	conf_errors_free(&errors);
}

Test(conf_tree, find_takes_the_last)
{
	const char text[] = "a = 1\na = 2\na x {\n}\na x {\n b = 1\n}\n"
			    "a y {\n}\n";
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;

	tree = conf_tree_parse("f", text, strlen(text), NULL, &errors);
	cr_assert_not_null(tree);
	cr_expect_str_eq(conf_node_setting(tree->root, "a")->value, "2");
	cr_expect_null(conf_node_setting(tree->root, "b"));
	cr_expect_eq(conf_node_section(tree->root, "a", "x")->line, 5);
	cr_expect_eq(conf_node_section(tree->root, "a", NULL)->line, 8);
	cr_expect_null(conf_node_section(tree->root, "a", "z"));
	conf_tree_free(&tree);
	conf_errors_free(&errors);
}

Test(conf_tree, packed_tree_is_the_same)
{
	const char text[] = "a = 1\nb = </etc/hostname\ns x {\n c = 2\n t {\n"
			    "d = \xc3\xa4\n }\n}\ne =\n";
	struct conf_errors errors = { .errors = 0 };
	struct str packed = STR_INIT, again = STR_INIT;
	struct str before = STR_INIT, after = STR_INIT;
	struct conf_tree *tree, *copy;
	struct err err = { "" };

	tree = conf_tree_parse("f", text, strlen(text), NULL, &errors);
	cr_assert_not_null(tree);
	cr_assert_eq(conf_node_load(tree, conf_node_setting(tree->root, "b"),
				    &err), 0, "%s", err.text);
	conf_tree_pack(tree, &packed);
	copy = conf_tree_unpack(packed.data, packed.len);
	cr_assert_not_null(copy);
	flatten(tree->root, &before);
	flatten(copy->root, &after);
	cr_expect_str_eq(after.data, before.data);
	cr_expect_str_eq(conf_node_setting(copy->root, "b")->value,
			 conf_node_setting(tree->root, "b")->value);
	cr_expect(conf_node_setting(copy->root, "b")->loaded);
	cr_expect_str_eq(conf_node_setting(copy->root, "e")->file, "f");
	cr_expect_eq(conf_node_setting(copy->root, "e")->line, 9);
	conf_tree_pack(copy, &again);
	cr_expect(packed.len == again.len &&
		  memcmp(packed.data, again.data, again.len) == 0);
	conf_tree_free(&tree);
	conf_tree_free(&copy);
	str_free(&packed);
	str_free(&again);
	str_free(&before);
	str_free(&after);
	conf_errors_free(&errors);
}

/* A file is read once, and comes out of a pack without being read. */
Test(conf_tree, files_come_along)
{
	struct str packed = STR_INIT, again = STR_INIT;
	struct conf_tree *tree = conf_tree_new(), *copy;
	struct err err = { "" };
	const char *path, *text;
	struct files files;

	files_init(&files);
	files_write(&files, "a", "one\n");
	path = files_path(&files, "a");
	cr_expect_null(conf_tree_file(tree, "/nowhere/at/all", &err));
	cr_expect(strstr(err.text, "/nowhere/at/all: No such file") != NULL);
	text = conf_tree_file(tree, path, &err);
	cr_assert(text != NULL, "%s", err.text);
	cr_expect_str_eq(text, "one\n");
	files_write(&files, "a", "two\n");
	cr_expect_eq(conf_tree_file(tree, path, &err), text);
	conf_file_add(tree, "b", "");
	conf_tree_pack(tree, &packed);
	copy = conf_tree_unpack(packed.data, packed.len);
	cr_assert_not_null(copy);
	cr_expect_str_eq(conf_tree_file(copy, path, &err), "one\n");
	cr_expect_str_eq(conf_tree_file(copy, "b", &err), "");
	cr_expect_null(conf_tree_file(copy, "/etc/hostname", &err));
	cr_expect(strstr(err.text, "did not come with") != NULL, "%s",
		  err.text);
	conf_tree_pack(copy, &again);
	cr_expect(packed.len == again.len &&
		  memcmp(packed.data, again.data, again.len) == 0);
	conf_tree_free(&tree);
	conf_tree_free(&copy);
	str_free(&packed);
	str_free(&again);
	files_done(&files);
}

/* Cut anywhere, or with any one byte changed, it is refused or another tree,
 * and nothing worse. */
Test(conf_tree, malformed_packs)
{
	const char text[] = "a = 1\ns x {\n b = <c\n}\n";
	struct conf_errors errors = { .errors = 0 };
	struct str packed = STR_INIT;
	struct conf_tree *tree, *copy;
	size_t i;

	tree = conf_tree_parse("f", text, strlen(text), NULL, &errors);
	cr_assert_not_null(tree);
	conf_tree_pack(tree, &packed);
	for (i = 0; i < packed.len; i++) {
		char *exact = malloc(i + 1);

		memcpy(exact, packed.data, i);
		cr_expect_null(conf_tree_unpack(exact, i), "cut at %zu", i);
		free(exact);
	}
	for (i = 0; i < packed.len; i++) {
		packed.data[i] ^= 0x41;
		copy = conf_tree_unpack(packed.data, packed.len);
		conf_tree_free(&copy);
		packed.data[i] ^= 0x41;
	}
	str_putc(&packed, 'x');
	cr_expect_null(conf_tree_unpack(packed.data, packed.len));
	conf_tree_free(&tree);
	str_free(&packed);
	conf_errors_free(&errors);
}

Test(conf_tree, unpack_limits_depth)
{
	static const unsigned depths[] = {
		CONF_MAX_DEPTH, CONF_MAX_DEPTH + 1,
	};
	struct str packed = STR_INIT;
	struct conf_tree *tree;
	unsigned i, j;

	for (i = 0; i < 2; i++) {
		str_clear(&packed);
		str_puts(&packed, "WPC1");
		for (j = 0; j < depths[i]; j++)
			str_append(&packed, "\1\0\0\0\0\0\0\0\0\0\0\0\0"
				   "\0\0\0\0", 17);
		for (j = 0; j <= depths[i] + 1; j++)
			str_putc(&packed, 8);
		tree = conf_tree_unpack(packed.data, packed.len);
		cr_expect_eq(tree != NULL, i == 0, "depth %u", depths[i]);
		conf_tree_free(&tree);
	}
	str_free(&packed);
}

Test(conf_tree, free_takes_null)
{
	struct conf_tree *tree = NULL;

	conf_tree_free(&tree);
	tree = conf_tree_new();
	conf_tree_free(&tree);
	cr_assert_null(tree);
}
