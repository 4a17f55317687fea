/* Whether a tree makes sense to a schema. */
#include "lib/conf/schema.h"

#include <limits.h>
#include <string.h>

#include "lib/mem.h"

#define NAME_MAX_LEN 64 /* of names that are worth a suggestion */
#define MAX_FILTERS 1024

struct checker {
	const struct conf_schema *top;
	struct conf_tree *tree;
	struct conf_errors *errors;
	struct arena *scratch;
	unsigned filters;
};

static void check_children(struct checker *checker,
			   const struct conf_schema *schema,
			   struct conf_node *parent,
			   const struct conf_filter *filter);

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein's distance: how many bytes to insert, drop or replace. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LEN + 1], above, left;
	size_t i, j, len = strlen(b);

	if (len > NAME_MAX_LEN)
		return UINT_MAX;
	for (j = 0; j <= len; j++)
		row[j] = (unsigned)j;
	for (i = 0; a[i] != '\0'; i++) {
		left = row[0];
		row[0] = (unsigned)i + 1;
		for (j = 0; j < len; j++) {
			above = row[j + 1];
			row[j + 1] = min3(row[j] + 1, above + 1,
					  left + (a[i] != b[j]));
			left = above;
		}
	}
	return row[len];
}

struct nearest {
	const char *wanted, *name; /* name NULL: none is near */
	unsigned distance;
};

static void consider(struct nearest *nearest, const char *name)
{
	unsigned apart = distance(nearest->wanted, name);

	if (apart < nearest->distance) {
		nearest->distance = apart;
		nearest->name = name;
	}
}

static struct nearest nearest_start(const char *wanted)
{
	/* At most a third of the name may be wrong, to suggest no nonsense. */
	size_t len = strlen(wanted);
	struct nearest nearest = { .wanted = wanted };

	if (len <= NAME_MAX_LEN)
		nearest.distance = len / 3 + 2;
	return nearest;
}

const char *conf_nearest(const char *wanted, const char *const *names)
{
	struct nearest nearest = nearest_start(wanted);

	for (; *names != NULL; names++)
		consider(&nearest, *names);
	return nearest.name;
}

static const char *nearest_setting(const struct conf_schema *schema,
				   const char *wanted)
{
	struct nearest nearest = nearest_start(wanted);
	const struct conf_table *const *table = schema->tables;
	const char *const *other = schema->others;
	const struct conf_def *def;

	for (; table != NULL && *table != NULL; table++) {
		for (def = (*table)->defs; def->name != NULL; def++)
			consider(&nearest, def->name);
	}
	for (; other != NULL && *other != NULL; other++)
		consider(&nearest, *other);
	return nearest.name;
}

static const char *nearest_section(const struct conf_schema *schema,
				   bool filters, const char *wanted)
{
	static const char *const names[] = {
		"protocol", "local", "local_name", "remote",
	};
	struct nearest nearest = nearest_start(wanted);
	const struct conf_schema *const *section = schema->sections;
	size_t i;

	for (; section != NULL && *section != NULL; section++)
		consider(&nearest, (*section)->key);
	for (i = 0; filters && i < sizeof(names) / sizeof(names[0]); i++)
		consider(&nearest, names[i]);
	return nearest.name;
}

static void unknown(struct checker *checker, const struct conf_node *node,
		    const struct conf_schema *schema, const char *nearest)
{
	struct str text = STR_INIT;

	str_printf(&text, "unknown %s \"%s\"",
		   node->section ? "section" : "setting", node->key);
	if (schema->key != NULL)
		str_printf(&text, " in section %s", schema->key);
	if (nearest != NULL)
		str_printf(&text, " (did you mean \"%s\"?)", nearest);
	conf_error(checker->errors, node->file, node->line, "%s",
		   str_c(&text));
	str_free(&text);
}

static bool of_connections(const struct conf_filter *filter)
{
	return filter->has_local || filter->has_remote ||
	       filter->name != NULL;
}

/* Keys of other programs have no business here, and may be unreadable. */
static bool is_read(const struct checker *checker, const struct conf_node *node,
		    const struct conf_filter *filter)
{
	const char *protocol = checker->top->protocol;

	return node->path == NULL || protocol == NULL ||
	       conf_filter_protocol(filter, protocol);
}

static void check_value(struct checker *checker, const struct conf_def *def,
			struct conf_node *node)
{
	union conf_field field;
	struct err err;

	if (conf_node_load(checker->tree, node, &err) < 0 ||
	    conf_value_parse(def->type, def->words, checker->scratch,
			     node->value, &field, &err) < 0)
		conf_error(checker->errors, node->file, node->line, "%s: %s",
			   node->key, err.text);
}

/* Says when a setting stands in a filter where it cannot matter. */
static void check_effect(struct checker *checker,
			 const struct conf_table *table,
			 const struct conf_node *node,
			 const struct conf_filter *filter)
{
	if (of_connections(filter) &&
	    (table->flags & CONF_TABLE_GLOBAL) != 0)
		conf_warning(checker->errors, node->file, node->line,
			     "%s has no effect in this filter: it cannot "
			     "differ between connections", node->key);
}

static const char *old_name(const struct conf_schema *schema, const char *name)
{
	const struct conf_old_name *old = schema->old;

	for (; old != NULL && old->name != NULL; old++) {
		if (strcmp(old->name, name) == 0)
			return old->text;
	}
	return NULL;
}

static void check_setting(struct checker *checker,
			  const struct conf_schema *schema,
			  struct conf_node *node,
			  const struct conf_filter *filter)
{
	const struct conf_table *table;
	const struct conf_def *def;
	const char *old = old_name(schema, node->key);

	def = conf_schema_find(schema, node->key, &table);
	if (def != NULL) {
		if (is_read(checker, node, filter))
			check_value(checker, def, node);
		if (schema == checker->top)
			check_effect(checker, table, node, filter);
	} else if (old != NULL) {
		conf_warning(checker->errors, node->file, node->line, "%s %s",
			     node->key, old);
	} else if (!conf_schema_is_other(schema, node->key)) {
		unknown(checker, node, schema,
			nearest_setting(schema, node->key));
	}
}

/* Why node may not stand inside the outer filters (their order is Dovecot's);
 * NULL: it may. */
static const char *misplaced(const struct conf_node *node,
			     const struct conf_filter *outer)
{
	if (strcmp(node->key, "protocol") == 0)
		return outer->protocol != NULL ?
			"protocol cannot stand inside another protocol" : NULL;
	if (outer->protocol != NULL)
		return "this filter cannot stand inside protocol: write it "
		       "around protocol";
	if (strcmp(node->key, "remote") == 0)
		return NULL;
	if (outer->has_remote)
		return "this filter cannot stand inside remote: write it "
		       "around remote";
	if (strcmp(node->key, "local_name") == 0)
		return outer->name != NULL ?
			"local_name cannot stand inside another local_name" :
			NULL;
	if (outer->name != NULL)
		return "local cannot stand inside local_name: write it around "
		       "local_name";
	return NULL;
}

/* Reads the network of local or remote; one inside another narrows it. */
static const char *enter_net(const struct conf_node *node, bool *has,
			     struct addr_net *net)
{
	struct addr_net inner;

	if (addr_net_parse(&inner, node->value) < 0)
		return "an IP address or network is needed here (host names "
		       "are not looked up)";
	if (*has && (inner.bits < net->bits ||
		     !addr_net_contains(net, &inner.addr)))
		return "this network is not inside that of the filter around "
		       "it";
	*has = true;
	*net = inner;
	return NULL;
}

static const char *enter_filter(const struct conf_node *node,
				struct conf_filter *filter)
{
	const char *problem = misplaced(node, filter);

	if (problem != NULL)
		return problem;
	if (strcmp(node->key, "local") == 0)
		return enter_net(node, &filter->has_local, &filter->local);
	if (strcmp(node->key, "remote") == 0)
		return enter_net(node, &filter->has_remote, &filter->remote);
	if (*node->value == '\0')
		return "a filter needs a name";
	if (strcmp(node->key, "protocol") == 0)
		filter->protocol = node->value;
	else
		filter->name = node->value;
	return NULL;
}

static void check_filter(struct checker *checker,
			 const struct conf_schema *schema,
			 struct conf_node *node,
			 const struct conf_filter *outer)
{
	struct conf_filter filter = *outer;
	const char *problem;

	if (schema != checker->top)
		problem = "a filter cannot stand inside a section that is none";
	else if (++checker->filters > MAX_FILTERS)
		problem = "there are too many filters";
	else
		problem = enter_filter(node, &filter);
	if (problem != NULL)
		conf_error(checker->errors, node->file, node->line,
			   "%s %s: %s", node->key, node->value, problem);
	else
		check_children(checker, schema, node, &filter);
}

static void check_section(struct checker *checker,
			  const struct conf_schema *schema,
			  struct conf_node *node,
			  const struct conf_filter *filter)
{
	const struct conf_schema *inner;
	bool top = schema == checker->top;

	inner = conf_schema_section(schema, node->key, node->value);
	if (inner == NULL) {
		unknown(checker, node, schema,
			nearest_section(schema, top, node->key));
		return;
	}
	if (top && inner->tables != NULL &&
	    (of_connections(filter) ||
	     (filter->protocol != NULL &&
	      (inner->flags & CONF_IN_PROTOCOL) == 0)))
		conf_warning(checker->errors, node->file, node->line,
			     "the section %s has no effect in this filter",
			     node->key);
	check_children(checker, inner, node, filter);
}

static bool is_refused(const struct checker *checker,
		       const struct conf_schema *schema,
		       const struct conf_node *node,
		       const struct conf_filter *filter)
{
	return schema == checker->top && schema->is_general != NULL &&
	       of_connections(filter) && schema->is_general(node->key);
}

static void check_children(struct checker *checker,
			   const struct conf_schema *schema,
			   struct conf_node *parent,
			   const struct conf_filter *filter)
{
	struct conf_node *node;

	for (node = parent->children; node != NULL; node = node->next) {
		if (checker->errors->errors > CONF_MAX_MESSAGES)
			return; /* nobody would see it */
		if (is_refused(checker, schema, node, filter))
			conf_error(checker->errors, node->file, node->line,
				   "%s cannot differ between connections: "
				   "write it outside of local, local_name and "
				   "remote", node->key);
		else if (!node->section)
			check_setting(checker, schema, node, filter);
		else if (conf_is_filter(node->key))
			check_filter(checker, schema, node, filter);
		else
			check_section(checker, schema, node, filter);
	}
}

void conf_check(const struct conf_schema *top, struct conf_tree *tree,
		struct conf_errors *errors)
{
	const struct conf_filter none = { .protocol = NULL };
	struct checker checker = {
		.top = top,
		.tree = tree,
		.errors = errors,
		.scratch = arena_new(1024),
	};

	check_children(&checker, top, tree->root, &none);
	arena_wipe(&checker.scratch);
}
