#include "proxy/settings/variants.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/hosts.h"
#include "lib/panic.h"
#include "lib/tls/name.h"
#include "proxy/settings/conflicts.h"
#include "proxy/settings/tables.h"

#define MAX_VARIANTS 4096

/* --- one variant --- */

/* The name of this host, with its domain when the system knows it. */
static const char *system_hostname(struct arena *arena)
{
	char name[256] = "", full[256];

	if (gethostname(name, sizeof(name) - 1) < 0 || *name == '\0')
		return "localhost";
	if (strchr(name, '.') == NULL &&
	    hosts_full_name(HOSTS_FILE, name, full, sizeof(full)))
		return arena_strdup(arena, full);
	return arena_strdup(arena, name);
}

static void apply(struct settings *settings, const struct conf_node *section,
		  struct lmtp_settings *lmtp)
{
	conf_apply(&settings_lmtp_table, settings->arena, section, lmtp);
	conf_apply(&tls_settings_table, settings->arena, section, &lmtp->tls);
}

/* What follows from the values. */
static void derive(struct settings *settings, struct lmtp_settings *lmtp)
{
	struct err err;

	if (*lmtp->hostname == '\0')
		lmtp->hostname = system_hostname(settings->arena);
	(void)networks_parse(settings->arena, lmtp->login_trusted_networks,
			     &lmtp->trusted, &err);
}

bool settings_variants_is_general(const struct conf_filter *filter)
{
	return !filter->has_local && !filter->has_remote &&
	       filter->name == NULL;
}

/* Without the filters that do not hold for every connection. */
static void bind_base(struct settings *settings, const struct conf_node *root,
		      const struct conf_filter *filters, unsigned count)
{
	struct lmtp_settings *lmtp = &settings->lmtp;
	unsigned i;

	conf_defaults(&settings_lmtp_table, settings->arena, lmtp);
	conf_defaults(&tls_settings_table, settings->arena, &lmtp->tls);
	apply(settings, root, lmtp);
	for (i = 0; i < count; i++) {
		if (settings_variants_is_general(&filters[i]) &&
		    conf_filter_protocol(&filters[i], "lmtp"))
			apply(settings, filters[i].section, lmtp);
	}
}

static bool covers_net(bool has, const struct addr_net *filter,
		       const struct addr_net *net)
{
	return !has || (net != NULL && net->bits >= filter->bits &&
			addr_net_contains(filter, &net->addr));
}

/* Whether a filter holds for all connections of a variant. NULL: no network that
 * filters know, no name. */
static bool covers(const struct conf_filter *filter,
		   const struct addr_net *local, const struct addr_net *remote,
		   const char *name)
{
	return conf_filter_protocol(filter, "lmtp") &&
	       covers_net(filter->has_local, &filter->local, local) &&
	       covers_net(filter->has_remote, &filter->remote, remote) &&
	       (filter->name == NULL ||
		(name != NULL && tls_name_match(filter->name, name)));
}

/* --- the networks and names that filters know --- */

static bool net_equal(const struct addr_net *a, const struct addr_net *b)
{
	return a->bits == b->bits && addr_net_contains(a, &b->addr);
}

/* Adds net unless it is there, keeping shorter prefixes in front. */
static void add_net(struct settings_nets *nets, const struct addr_net *net)
{
	unsigned i;

	for (i = 0; i < nets->count; i++) {
		if (net_equal(&nets->list[i], net))
			return;
	}
	for (i = nets->count++; i > 0 && nets->list[i - 1].bits > net->bits;
	     i--)
		nets->list[i] = nets->list[i - 1];
	nets->list[i] = *net;
}

static void collect_nets(struct settings *settings,
			 const struct conf_filter *filters, unsigned count)
{
	size_t size = count * sizeof(struct addr_net);
	unsigned i;

	settings->locals.list = arena_alloc(settings->arena, size);
	settings->remotes.list = arena_alloc(settings->arena, size);
	for (i = 0; i < count; i++) {
		if (filters[i].has_local)
			add_net(&settings->locals, &filters[i].local);
		if (filters[i].has_remote)
			add_net(&settings->remotes, &filters[i].remote);
	}
}

static bool is_pattern(const char *name)
{
	return strpbrk(name, "*?") != NULL;
}

/* Patterns first. */
static int compare_names(const char *a, const char *b)
{
	if (is_pattern(a) != is_pattern(b))
		return is_pattern(a) ? -1 : 1;
	return strcasecmp(a, b);
}

/* How many names come before name. *found_r: name is the next one. */
static unsigned find_place(const struct settings_names *names, const char *name,
			   bool *found_r)
{
	unsigned low = 0, high = names->count, i;
	int order;

	*found_r = false;
	while (low < high) {
		i = (low + high) / 2;
		order = compare_names(name, names->list[i]);
		if (order == 0)
			*found_r = true;
		if (order <= 0)
			high = i;
		else
			low = i + 1;
	}
	return low;
}

/* Adds name unless it is there, or there are more than could be used. */
static void add_name(struct settings *settings, const char *name)
{
	struct settings_names *names = &settings->names;
	bool found;
	unsigned i = find_place(names, name, &found);

	if (found || names->count == MAX_VARIANTS)
		return;
	memmove(names->list + i + 1, names->list + i,
		(names->count - i) * sizeof(*names->list));
	names->list[i] = arena_strdup(settings->arena, name);
	names->count++;
	if (is_pattern(name))
		names->patterns++;
}

static void add_names(struct settings *settings, const char *text)
{
	struct str name = STR_INIT;
	size_t len;

	for (text += strspn(text, " "); *text != '\0';
	     text += strspn(text, " ")) {
		len = strcspn(text, " ");
		str_clear(&name);
		str_append(&name, text, len);
		add_name(settings, str_c(&name));
		text += len;
	}
	str_free(&name);
}

/* For a host that several patterns match: what is in all of them is one of the names,
 * too, and the filters of each of them hold for it. */
static void add_meets(struct settings *settings)
{
	struct settings_names *names = &settings->names;
	struct str both = STR_INIT;
	unsigned i, j, before;

	do {
		before = names->count;
		for (i = 0; i < names->patterns; i++) {
			for (j = 0; j < i && names->count < MAX_VARIANTS; j++) {
				if (tls_name_meet(names->list[i],
						  names->list[j], &both))
					add_name(settings, str_c(&both));
			}
		}
	} while (names->count > before && names->count < MAX_VARIANTS);
	str_free(&both);
}

static void collect_names(struct settings *settings,
			  const struct conf_filter *filters, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		if (filters[i].name == NULL)
			continue;
		if (settings->names.list == NULL)
			settings->names.list = arena_alloc(
				settings->arena,
				MAX_VARIANTS * sizeof(const char *));
		add_names(settings, filters[i].name);
	}
	add_meets(settings);
}

/* --- all variants --- */

/* In each dimension 0 is "none of them". */
static unsigned variant_at(const struct settings *settings, unsigned local,
			   unsigned remote, unsigned name)
{
	return (local * (settings->remotes.count + 1) + remote) *
	       (settings->names.count + 1) + name;
}

/* Which filters match a connection follows from the most specific local and
 * remote network that hold it, and the name that fits best. */
struct chosen {
	const struct addr_net *local, *remote;
	const char *name;
	const struct conf_filter **filters; /* those that match, in order */
	unsigned count;
};

static void choose(const struct settings *settings, unsigned number,
		   const struct conf_filter *filters, unsigned count,
		   struct chosen *chosen)
{
	unsigned names = settings->names.count + 1;
	unsigned remotes = settings->remotes.count + 1;
	unsigned name = number % names, remote = number / names % remotes;
	unsigned local = number / names / remotes, i;

	chosen->local = local ? &settings->locals.list[local - 1] : NULL;
	chosen->remote = remote ? &settings->remotes.list[remote - 1] : NULL;
	chosen->name = name ? settings->names.list[name - 1] : NULL;
	chosen->count = 0;
	for (i = 0; i < count; i++) {
		if (covers(&filters[i], chosen->local, chosen->remote,
			   chosen->name))
			chosen->filters[chosen->count++] = &filters[i];
	}
}

/* Whether a connection can have such addresses: XCLIENT may bring others
 * together, for which the order of filters is good enough. */
static bool can_be(const struct chosen *chosen)
{
	return chosen->local == NULL || chosen->remote == NULL ||
	       chosen->local->addr.sa.sa_family ==
		       chosen->remote->addr.sa.sa_family;
}

static void bind_variant(struct settings *settings,
			 struct lmtp_settings *variant, unsigned number,
			 const struct chosen *chosen)
{
	unsigned i;

	*variant = settings->lmtp;
	variant->variant = number;
	for (i = 0; i < chosen->count; i++) {
		if (!settings_variants_is_general(chosen->filters[i]))
			apply(settings, chosen->filters[i]->section, variant);
	}
	derive(settings, variant);
}

static void bind_variants(struct settings *settings,
			  const struct conf_filter *filters, unsigned count,
			  struct conf_errors *errors)
{
	struct settings_conflicts conflicts = { .errors = errors };
	struct lmtp_settings *variants;
	struct chosen chosen;
	unsigned i;

	variants = arena_alloc(settings->arena,
			       settings->variant_count * sizeof(*variants));
	chosen.filters = arena_alloc(settings->arena,
				     count * sizeof(*chosen.filters));
	for (i = 1; i < settings->variant_count; i++) {
		choose(settings, i, filters, count, &chosen);
		bind_variant(settings, &variants[i], i, &chosen);
		if (can_be(&chosen))
			settings_conflicts_find(&conflicts, chosen.filters,
						chosen.count);
	}
	settings->variants = variants;
}

void settings_variants_bind(struct settings *settings,
			    const struct conf_node *root,
			    const struct conf_filter *filters, unsigned count,
			    struct conf_errors *errors)
{
	uint64_t combinations;

	bind_base(settings, root, filters, count);
	collect_nets(settings, filters, count);
	collect_names(settings, filters, count);
	combinations = (uint64_t)(settings->locals.count + 1) *
		       (settings->remotes.count + 1) *
		       (settings->names.count + 1);
	settings->variant_count = 1;
	if (combinations <= MAX_VARIANTS)
		settings->variant_count = (unsigned)combinations;
	else
		conf_error(errors, NULL, 0, "the names and networks of the "
			   "filters local_name, local and remote make more "
			   "than %d combinations", MAX_VARIANTS);
	derive(settings, &settings->lmtp);
	bind_variants(settings, filters, count, errors);
}

/* --- which one --- */

const struct lmtp_settings *settings_variant(const struct settings *settings,
					     unsigned number)
{
	if (number == 0)
		return &settings->lmtp;
	ASSERT(number < settings->variant_count);
	return &settings->variants[number];
}

static unsigned find_net(const struct settings_nets *nets,
			 const struct addr *addr)
{
	unsigned i = nets->count;

	while (i > 0 && !addr_net_contains(&nets->list[i - 1], addr))
		i--;
	return i;
}

/* Of the patterns that match, the one that is in all others. */
static unsigned find_pattern(const struct settings_names *names,
			     const char *name)
{
	unsigned best = 0, i;

	for (i = 0; i < names->patterns; i++) {
		if (tls_name_match(names->list[i], name) &&
		    (best == 0 || tls_name_match(names->list[best - 1],
						 names->list[i])))
			best = i + 1;
	}
	return best;
}

static unsigned find_name(const struct settings_names *names, const char *name)
{
	bool found;
	unsigned i = find_place(names, name, &found);

	return found ? i + 1 : find_pattern(names, name);
}

const struct lmtp_settings *settings_for_name(const struct settings *settings,
					      const struct addr *local,
					      const struct addr *remote,
					      const char *name)
{
	return settings_variant(
		settings,
		variant_at(settings, find_net(&settings->locals, local),
			   find_net(&settings->remotes, remote),
			   name ? find_name(&settings->names, name) : 0));
}
