#include "lib/conf/schema.h"

#include <string.h>

#include "lib/panic.h"

const struct conf_def *conf_schema_find(const struct conf_schema *schema,
					const char *name,
					const struct conf_table **table_r)
{
	const struct conf_table *const *table = schema->tables;
	const struct conf_def *def;

	for (; table != NULL && *table != NULL; table++) {
		for (def = (*table)->defs; def->name != NULL; def++) {
			if (strcmp(def->name, name) != 0)
				continue;
			*table_r = *table;
			return def;
		}
	}
	return NULL;
}

const struct conf_def *conf_schema_def(const struct conf_schema *schema,
				       const char *name)
{
	const struct conf_table *table;

	return conf_schema_find(schema, name, &table);
}

bool conf_schema_has_more(const struct conf_schema *schema, const char *name)
{
	return schema->has_effect != NULL && schema->has_effect(name) &&
	       conf_schema_def(schema, name) == NULL;
}

const struct conf_schema *
conf_schema_section(const struct conf_schema *schema, const char *key,
		    const char *name)
{
	const struct conf_schema *const *section = schema->sections;

	for (; section != NULL && *section != NULL; section++) {
		if (strcmp((*section)->key, key) == 0 &&
		    ((*section)->name == NULL ||
		     strcmp((*section)->name, name) == 0))
			return *section;
	}
	return NULL;
}

bool conf_schema_is_other(const struct conf_schema *schema, const char *name)
{
	const char *const *other = schema->others;

	if ((schema->flags & CONF_ANY_SETTING) != 0)
		return true;
	while (other != NULL && *other != NULL && strcmp(*other, name) != 0)
		other++;
	return other != NULL && *other != NULL;
}

bool conf_is_filter(const char *key)
{
	return strcmp(key, "protocol") == 0 || strcmp(key, "local") == 0 ||
	       strcmp(key, "local_name") == 0 || strcmp(key, "remote") == 0;
}

static void *field_of(const struct conf_def *def, void *object)
{
	return (char *)object + def->offset;
}

void conf_defaults(const struct conf_table *table, struct arena *arena,
		   void *object)
{
	const struct conf_def *def;
	struct err err;

	for (def = table->defs; def->name != NULL; def++) {
		if (conf_value_parse(def->type, def->words, arena, def->value,
				     field_of(def, object), &err) < 0)
			PANIC("default of %s: %s", def->name, err.text);
	}
}

void conf_apply(const struct conf_table *table, struct arena *arena,
		const struct conf_node *section, void *object)
{
	const struct conf_def *def;
	const struct conf_node *node;
	struct err err;

	for (def = table->defs; def->name != NULL; def++) {
		node = conf_node_setting(section, def->name);
		if (node != NULL)
			(void)conf_value_parse(def->type, def->words, arena,
					       node->value,
					       field_of(def, object), &err);
	}
}

/* Copies of a setting replace the one that is there. */
static void merge_setting(struct conf_tree *to, struct conf_node *parent,
			  const struct conf_node *node)
{
	struct conf_node *copy = conf_node_setting(parent, node->key);

	if (copy == NULL)
		copy = conf_node_add(to, parent, node->key, "");
	if (copy == NULL)
		return; /* the built-in part came on top of a full tree */
	copy->value = node->value;
	copy->path = node->path;
	copy->loaded = node->loaded;
	copy->file = node->file;
	copy->line = node->line;
}

static bool merges(const struct conf_schema *schema,
		   const struct conf_node *node)
{
	const struct conf_schema *own;

	if (conf_is_filter(node->key))
		return true;
	own = schema != NULL ?
		conf_schema_section(schema, node->key, node->value) : NULL;
	if (own != NULL && (own->flags & CONF_REPEATS) != 0)
		return false;
	return *node->value != '\0' || own == NULL ||
	       (own->flags & CONF_EXISTS) == 0;
}

static struct conf_node *merged_section(const struct conf_schema *schema,
					struct conf_tree *to,
					struct conf_node *parent,
					const struct conf_node *node)
{
	struct conf_node *copy = NULL;

	if (conf_is_filter(node->key))
		copy = conf_filter_find(to->root, node);
	if (copy == NULL && merges(schema, node))
		copy = conf_node_section(parent, node->key, node->value);
	if (copy != NULL && *copy->file != '\0')
		return copy;
	/* A built-in one is said to stand where it is changed. */
	if (copy == NULL)
		copy = conf_node_add(to, parent, node->key, node->value);
	if (copy != NULL) {
		copy->section = true;
		copy->file = node->file;
		copy->line = node->line;
	}
	return copy;
}

/* What applies inside a section of schema: a filter changes nothing. */
static const struct conf_schema *inner_schema(const struct conf_schema *schema,
					      const struct conf_node *node)
{
	if (schema == NULL || conf_is_filter(node->key))
		return schema;
	return conf_schema_section(schema, node->key, node->value);
}

static void merge_children(const struct conf_schema *schema,
			   struct conf_tree *to, struct conf_node *parent,
			   const struct conf_node *from)
{
	const struct conf_node *node;
	struct conf_node *copy;

	for (node = from->children; node != NULL; node = node->next) {
		if (!node->section) {
			merge_setting(to, parent, node);
			continue;
		}
		copy = merged_section(schema, to, parent, node);
		if (copy != NULL)
			merge_children(inner_schema(schema, node), to, copy,
				       node);
	}
}

/* The strings of a merged tree must live in its own arena. */
static void own_strings(struct arena *arena, struct conf_node *node)
{
	for (; node != NULL; node = node->next) {
		node->key = arena_strdup(arena, node->key);
		node->value = arena_strdup(arena, node->value);
		node->file = arena_strdup(arena, node->file);
		if (node->path != NULL)
			node->path = arena_strdup(arena, node->path);
		own_strings(arena, node->children);
	}
}

static void merge_builtin(const struct conf_schema *top, struct conf_tree *to)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *builtin;

	if (top->builtin == NULL)
		return;
	builtin = conf_tree_parse("", top->builtin, strlen(top->builtin), NULL,
				  &errors);
	if (builtin == NULL)
		PANIC("built-in configuration: %s", str_c(&errors.text));
	merge_children(top, to, to->root, builtin->root);
	own_strings(to->arena, to->root->children);
	conf_tree_free(&builtin);
	conf_errors_free(&errors);
}

struct conf_tree *conf_merge(const struct conf_schema *top,
			     const struct conf_tree *tree)
{
	struct conf_tree *to = conf_tree_new();

	merge_builtin(top, to);
	merge_children(top, to, to->root, tree->root);
	own_strings(to->arena, to->root->children);
	return to;
}
