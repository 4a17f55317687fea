#include "proxy/settings/conflicts.h"

#include "proxy/settings/settings.h"
#include "proxy/settings/tables.h"

/* Whether a setting can differ between connections; in all others such filters
 * have no effect. */
static bool of_connections(const struct conf_node *node)
{
	const struct conf_table *table;

	return !node->section &&
	       conf_schema_find(&settings_schema, node->key, &table) != NULL &&
	       (table->flags & CONF_TABLE_GLOBAL) == 0;
}

static bool take(struct settings_conflicts *conflicts,
		 const struct conf_node *node)
{
	unsigned i;

	for (i = 0; i < conflicts->count; i++) {
		if (conflicts->seen[i] == node)
			return false;
	}
	if (conflicts->count == CONF_MAX_MESSAGES)
		return false;
	conflicts->seen[conflicts->count++] = node;
	return true;
}

static void report(struct settings_conflicts *conflicts,
		   const struct conf_node *node, const struct conf_node *other)
{
	if (take(conflicts, node))
		conf_error(conflicts->errors, node->file, node->line,
			   "%s: %s:%u sets it too, some connections match both "
			   "filters, and it is not defined which of them "
			   "counts: set it in one of them only; what holds in "
			   "general may stand outside of filters", node->key,
			   other->file, other->line);
}

/* What filter sets and one of those behind it, too. */
static void compare(struct settings_conflicts *conflicts,
		    const struct conf_filter *filter,
		    const struct conf_filter *const *others, unsigned count)
{
	const struct conf_node *node, *other;
	unsigned i;

	for (node = filter->section->children; node != NULL;
	     node = node->next) {
		if (!of_connections(node))
			continue;
		for (i = 0, other = NULL; i < count && other == NULL; i++)
			other = conf_node_setting(others[i]->section,
						  node->key);
		if (other != NULL)
			report(conflicts, node, other);
	}
}

void settings_conflicts_find(struct settings_conflicts *conflicts,
			     const struct conf_filter *const *filters,
			     unsigned count)
{
	unsigned i;

	for (i = 0; i + 1 < count; i++) {
		if (!conf_filter_gives_way(filters[i], filters[i + 1]))
			compare(conflicts, filters[i], &filters[i + 1],
				count - i - 1);
	}
}
