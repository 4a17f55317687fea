#include "lib/conf/dump.h"

#include <string.h>

#include "lib/conf/line.h"

#define INDENT 2

struct dump {
	struct str *out;
	enum conf_dump_mode mode;
	struct arena *scratch;
	unsigned depth;
};

static void dump_children(struct dump *dump, const struct conf_schema *schema,
			  const struct conf_node *section,
			  const struct conf_node *normal);

static void put_indent(struct dump *dump)
{
	unsigned i;

	for (i = 0; i < dump->depth * INDENT; i++)
		str_putc(dump->out, ' ');
}

/* The value in canonical form; as it is when it does not parse. */
static void canonical(struct dump *dump, const struct conf_def *def,
		      const char *value, struct str *out)
{
	union conf_field field;
	struct err err;

	if (conf_value_parse(def->type, def->words, dump->scratch, value,
			     &field, &err) == 0)
		conf_value_write(def->type, def->words, &field, out);
	else
		str_puts(out, value);
}

static void put_place(struct str *out, const struct conf_node *node)
{
	str_put_escaped(out, node->file, strlen(node->file));
	str_printf(out, ":%u", node->line);
}

/* node is where it was set (NULL: nowhere). */
static void put_setting(struct dump *dump, const struct conf_def *def,
			const struct conf_node *node, const char *value)
{
	put_indent(dump);
	str_printf(dump->out, "%s = ", def->name);
	if (node != NULL && node->path != NULL)
		str_printf(dump->out, "<%s", node->path);
	else if (def->secret && *value != '\0')
		str_puts(dump->out, "# hidden");
	else
		conf_line_write_value(dump->out, value);
	if (dump->mode == CONF_DUMP_ORIGINS && node != NULL) {
		str_puts(dump->out, "  # ");
		put_place(dump->out, node);
	}
	str_putc(dump->out, '\n');
}

/* Whether the mode shows a setting: node is where it was set (NULL: nowhere),
 * changed whether that is another value than it has otherwise. */
static bool shows(const struct dump *dump, const struct conf_node *node,
		  bool changed)
{
	switch (dump->mode) {
	case CONF_DUMP_CHANGED:
		return changed;
	case CONF_DUMP_SET:
	case CONF_DUMP_ORIGINS:
		return node != NULL;
	case CONF_DUMP_ALL:
	case CONF_DUMP_DEFAULTS:
		break;
	}
	return true;
}

/* normal is the same section before anything was set; NULL: it is not there.
 * Nodes of the built-in part have no file. */
static void dump_setting(struct dump *dump, const struct conf_def *def,
			 const struct conf_node *section,
			 const struct conf_node *normal)
{
	const struct conf_node *node = conf_node_setting(section, def->name);
	const struct conf_node *before = NULL;
	struct str value = STR_INIT, usual = STR_INIT;
	bool changed;

	if (normal != NULL)
		before = conf_node_setting(normal, def->name);
	canonical(dump, def, before != NULL ? before->value : def->value,
		  &usual);
	if (node != NULL)
		canonical(dump, def, node->value, &value);
	else
		str_puts(&value, str_c(&usual));
	changed = node != NULL && (node->path != NULL ||
				   strcmp(str_c(&value), str_c(&usual)) != 0);
	if (shows(dump, node != NULL && *node->file != '\0' ? node : NULL,
		  changed))
		put_setting(dump, def, node, str_c(&value));
	str_free(&value);
	str_free(&usual);
}

static void dump_section(struct dump *dump, const struct conf_schema *schema,
			 const struct conf_node *section,
			 const struct conf_node *normal)
{
	size_t start = dump->out->len, body;

	put_indent(dump);
	str_puts(dump->out, section->key);
	if (*section->value != '\0') {
		str_putc(dump->out, ' ');
		conf_line_write_name(dump->out, section->value);
	}
	str_puts(dump->out, " {\n");
	body = dump->out->len;
	dump->depth++;
	dump_children(dump, schema, section, normal);
	dump->depth--;
	if (dump->out->len == body &&
	    ((schema->flags & CONF_EXISTS) == 0 || normal != NULL)) {
		str_truncate(dump->out, start);
		return;
	}
	put_indent(dump);
	str_puts(dump->out, "}\n");
}

/* Those that are in no table, in the order of the text. */
static void dump_more(struct dump *dump, const struct conf_schema *schema,
		      const struct conf_node *section,
		      const struct conf_node *normal)
{
	const struct conf_node *node;

	for (node = section->children; node != NULL; node = node->next) {
		const struct conf_def def = {
			.name = node->key, .type = CONF_STRING, .value = "",
		};

		if (!node->section && conf_schema_has_more(schema, node->key))
			dump_setting(dump, &def, section, normal);
	}
}

static void dump_tables(struct dump *dump, const struct conf_schema *schema,
			const struct conf_node *section,
			const struct conf_node *normal)
{
	const struct conf_table *const *table = schema->tables;
	const struct conf_def *def;

	for (; table != NULL && *table != NULL; table++) {
		for (def = (*table)->defs; def->name != NULL; def++)
			dump_setting(dump, def, section, normal);
	}
}

/* What stands in a filter is shown as it is: it may be there to bring a
 * default back. */
static void dump_filter(struct dump *dump, const struct conf_schema *schema,
			const struct conf_node *section)
{
	struct dump inner = *dump;
	struct conf_node none = { .section = true };

	if (inner.mode != CONF_DUMP_ORIGINS)
		inner.mode = CONF_DUMP_SET;
	dump_section(&inner, schema, section, &none);
}

static void dump_children(struct dump *dump, const struct conf_schema *schema,
			  const struct conf_node *section,
			  const struct conf_node *normal)
{
	const struct conf_node *node, *before;
	const struct conf_schema *inner;

	dump_tables(dump, schema, section, normal);
	dump_more(dump, schema, section, normal);
	for (node = section->children; node != NULL; node = node->next) {
		if (!node->section)
			continue;
		if (conf_is_filter(node->key)) {
			dump_filter(dump, schema, node);
			continue;
		}
		inner = conf_schema_section(schema, node->key, node->value);
		if (inner == NULL || inner->tables == NULL)
			continue;
		before = NULL;
		if (normal != NULL && (inner->flags & CONF_REPEATS) == 0)
			before = conf_node_section(normal, node->key,
						   node->value);
		dump_section(dump, inner, node, before);
	}
}

/* Without the value: it may be a password. */
static void list_other(struct dump *dump, const struct conf_node *node,
		       const char *path)
{
	str_puts(dump->out, "#   ");
	str_put_escaped(dump->out, path, strlen(path));
	str_put_escaped(dump->out, node->key, strlen(node->key));
	str_puts(dump->out, " (");
	put_place(dump->out, node);
	str_puts(dump->out, ")\n");
}

/* Comment lines for the settings below section that have no effect. path is
 * how to get there. */
static void list_others(struct dump *dump, const struct conf_schema *schema,
			const struct conf_node *section, const char *path)
{
	const struct conf_schema *inner;
	const struct conf_node *node;

	for (node = section->children; node != NULL; node = node->next) {
		if (!node->section) {
			if (conf_schema_def(schema, node->key) == NULL &&
			    !conf_schema_has_more(schema, node->key))
				list_other(dump, node, path);
			continue;
		}
		inner = conf_is_filter(node->key) ? schema :
			conf_schema_section(schema, node->key, node->value);
		if (inner != NULL)
			list_others(dump, inner, node,
				    arena_printf(dump->scratch, "%s%s%s%s / ",
						 path, node->key,
						 *node->value ? " " : "",
						 node->value));
	}
}

static void dump_others(struct dump *dump, const struct conf_schema *top,
			const struct conf_tree *tree)
{
	size_t start = dump->out->len, body;

	str_puts(dump->out, "# accepted, without effect here:\n");
	body = dump->out->len;
	list_others(dump, top, tree->root, "");
	if (dump->out->len == body)
		str_truncate(dump->out, start);
}

void conf_dump(const struct conf_schema *top, const struct conf_tree *tree,
	       enum conf_dump_mode mode, struct str *out)
{
	struct conf_tree *empty = conf_tree_new();
	struct conf_tree *normal = conf_merge(top, empty);
	struct conf_tree *merged = conf_merge(top, tree);
	struct dump dump = {
		.out = out,
		.mode = mode,
		.scratch = arena_new(1024),
	};

	if (mode == CONF_DUMP_DEFAULTS) {
		dump_children(&dump, top, normal->root, normal->root);
	} else {
		dump_children(&dump, top, merged->root, normal->root);
		dump_others(&dump, top, merged);
	}
	arena_wipe(&dump.scratch);
	conf_tree_free(&merged);
	conf_tree_free(&normal);
	conf_tree_free(&empty);
}
