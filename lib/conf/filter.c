/* The filters of a configuration. */
#include "lib/conf/schema.h"

#include <stdlib.h>
#include <string.h>

/* Whether the filter around the sections in it is readable; else
 * conf_check() said why. */
static bool enter(struct conf_filter *filter, const struct conf_node *node)
{
	filter->section = node;
	if (strcmp(node->key, "protocol") == 0) {
		filter->protocol = node->value;
	} else if (strcmp(node->key, "local_name") == 0) {
		filter->name = node->value;
	} else if (strcmp(node->key, "local") == 0) {
		filter->has_local = true;
		return addr_net_parse(&filter->local, node->value) == 0;
	} else {
		filter->has_remote = true;
		return addr_net_parse(&filter->remote, node->value) == 0;
	}
	return true;
}

static unsigned count_filters(const struct conf_node *parent)
{
	const struct conf_node *node;
	unsigned count = 0;

	for (node = parent->children; node != NULL; node = node->next) {
		if (node->section && conf_is_filter(node->key))
			count += 1 + count_filters(node);
	}
	return count;
}

static void collect(const struct conf_node *parent,
		    const struct conf_filter *outer, struct conf_filter *list,
		    unsigned *count)
{
	const struct conf_node *node;

	for (node = parent->children; node != NULL; node = node->next) {
		struct conf_filter filter = *outer;

		if (!node->section || !conf_is_filter(node->key) ||
		    !enter(&filter, node))
			continue;
		list[(*count)++] = filter;
		collect(node, &filter, list, count);
	}
}

static unsigned protocol_rank(const struct conf_filter *filter)
{
	if (filter->protocol == NULL)
		return 0;
	return filter->protocol[0] == '!' ? 1 : 2;
}

static unsigned name_rank(const struct conf_filter *filter)
{
	if (filter->name == NULL)
		return 0;
	return strpbrk(filter->name, "*?") != NULL ? 1 : 2;
}

/* 0: no filter; longer prefixes are higher. */
static unsigned net_rank(bool has, const struct addr_net *net)
{
	return has ? net->bits + 1 : 0;
}

static int compare(const struct conf_filter *a, const struct conf_filter *b)
{
	unsigned local_a = net_rank(a->has_local, &a->local);
	unsigned local_b = net_rank(b->has_local, &b->local);
	unsigned remote_a = net_rank(a->has_remote, &a->remote);
	unsigned remote_b = net_rank(b->has_remote, &b->remote);

	if (name_rank(a) != name_rank(b))
		return name_rank(a) < name_rank(b) ? -1 : 1;
	if (local_a != local_b)
		return local_a < local_b ? -1 : 1;
	if (remote_a != remote_b)
		return remote_a < remote_b ? -1 : 1;
	return (int)protocol_rank(a) - (int)protocol_rank(b);
}

/* Insertion sort: stable, which qsort() is not. */
static void sort(struct conf_filter *list, unsigned count)
{
	unsigned i, j;

	for (i = 1; i < count; i++) {
		struct conf_filter filter = list[i];

		for (j = i; j > 0 && compare(&list[j - 1], &filter) > 0; j--)
			list[j] = list[j - 1];
		list[j] = filter;
	}
}

unsigned conf_filters(const struct conf_tree *tree, struct arena *arena,
		      const struct conf_filter **filters_r)
{
	const struct conf_filter none = { .protocol = NULL };
	unsigned count = count_filters(tree->root), used = 0;
	struct conf_filter *list;

	list = arena_alloc(arena, (count + 1) * sizeof(*list));
	collect(tree->root, &none, list, &used);
	sort(list, used);
	*filters_r = list;
	return used;
}

bool conf_filter_protocol(const struct conf_filter *filter, const char *name)
{
	if (filter->protocol == NULL)
		return true;
	if (filter->protocol[0] == '!')
		return strcmp(filter->protocol + 1, name) != 0;
	return strcmp(filter->protocol, name) == 0;
}
