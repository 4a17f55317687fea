/* The filters of a configuration. */
#include "lib/conf/schema.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

	if ((a->name == NULL) != (b->name == NULL))
		return a->name == NULL ? -1 : 1;
	if (local_a != local_b)
		return local_a < local_b ? -1 : 1;
	if (remote_a != remote_b)
		return remote_a < remote_b ? -1 : 1;
	if ((a->protocol == NULL) != (b->protocol == NULL))
		return a->protocol == NULL ? -1 : 1;
	return a->section->number > b->section->number ? -1 : 1;
}

static int compare_items(const void *a, const void *b)
{
	return a == b ? 0 : compare(a, b);
}

unsigned conf_filters(const struct conf_tree *tree, struct arena *arena,
		      const struct conf_filter **filters_r)
{
	const struct conf_filter none = { .protocol = NULL };
	unsigned count = count_filters(tree->root), used = 0;
	struct conf_filter *list;

	list = arena_alloc(arena, (count + 1) * sizeof(*list));
	collect(tree->root, &none, list, &used);
	qsort(list, used, sizeof(*list), compare_items);
	*filters_r = list;
	return used;
}

bool conf_filter_gives_way(const struct conf_filter *filter,
			   const struct conf_filter *next)
{
	return net_rank(filter->has_local, &filter->local) <=
		       net_rank(next->has_local, &next->local) &&
	       net_rank(filter->has_remote, &filter->remote) <=
		       net_rank(next->has_remote, &next->remote) &&
	       (filter->protocol == NULL || next->protocol != NULL);
}

/* --- which of them are the same --- */

static bool same_text(const char *a, const char *b,
		      int (*order)(const char *a, const char *b))
{
	return a == b || (a != NULL && b != NULL && order(a, b) == 0);
}

/* As in Dovecot, 10.0.0.1/8 is not the same as 10.0.0.0/8. */
static bool same_net(bool has_a, const struct addr_net *a, bool has_b,
		     const struct addr_net *b)
{
	return has_a == has_b &&
	       (!has_a || (a->bits == b->bits &&
			   addr_same_host(&a->addr, &b->addr)));
}

static bool same_filter(const struct conf_filter *a,
			const struct conf_filter *b)
{
	return same_text(a->protocol, b->protocol, strcmp) &&
	       same_text(a->name, b->name, strcasecmp) &&
	       same_net(a->has_local, &a->local, b->has_local, &b->local) &&
	       same_net(a->has_remote, &a->remote, b->has_remote, &b->remote);
}

/* What holds inside section, with all that is around it. False: a network in
 * that cannot be read. */
static bool enter_all(struct conf_filter *filter,
		      const struct conf_node *section)
{
	if (section->parent == NULL)
		return true;
	return enter_all(filter, section->parent) &&
	       (!conf_is_filter(section->key) || enter(filter, section));
}

/* Calls found() for the sections of the wanted filter below parent, until it
 * returns true. */
static bool each_same(struct conf_node *parent,
		      const struct conf_filter *outer,
		      const struct conf_filter *wanted,
		      bool (*found)(struct conf_node *section, void *arg),
		      void *arg)
{
	struct conf_node *node;

	for (node = parent->children; node != NULL; node = node->next) {
		struct conf_filter filter = *outer;

		if (!node->section || !conf_is_filter(node->key) ||
		    !enter(&filter, node))
			continue;
		if ((same_filter(&filter, wanted) && found(node, arg)) ||
		    each_same(node, &filter, wanted, found, arg))
			return true;
	}
	return false;
}

static bool take_first(struct conf_node *section, void *arg)
{
	*(struct conf_node **)arg = section;
	return true;
}

struct conf_node *conf_filter_find(struct conf_node *root,
				   const struct conf_node *section)
{
	const struct conf_filter none = { .protocol = NULL };
	struct conf_filter wanted = none;
	struct conf_node *found = NULL;

	if (enter_all(&wanted, section))
		each_same(root, &none, &wanted, take_first, &found);
	return found;
}

struct setting_search {
	const char *name;
	const struct conf_node *found; /* the last one so far */
};

static bool take_setting(struct conf_node *section, void *arg)
{
	struct setting_search *search = arg;
	const struct conf_node *node =
		conf_node_setting(section, search->name);

	if (node != NULL && (search->found == NULL ||
			     node->number > search->found->number))
		search->found = node;
	return false;
}

const struct conf_node *conf_filter_setting(const struct conf_node *section,
					    const char *name)
{
	const struct conf_filter none = { .protocol = NULL };
	struct conf_filter wanted = none;
	struct setting_search search = { .name = name };
	const struct conf_node *root = section;

	while (root->parent != NULL)
		root = root->parent;
	if (!enter_all(&wanted, section))
		return NULL;
	if (wanted.section == NULL)
		return conf_node_setting(root, name);
	each_same((struct conf_node *)root, &none, &wanted, take_setting,
		  &search);
	return search.found;
}

bool conf_filter_protocol(const struct conf_filter *filter, const char *name)
{
	if (filter->protocol == NULL)
		return true;
	if (filter->protocol[0] == '!')
		return strcmp(filter->protocol + 1, name) != 0;
	return strcmp(filter->protocol, name) == 0;
}
