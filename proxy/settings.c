#include "proxy/settings.h"

#include "lib/hosts.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "proxy/settings_check.h"
#include "proxy/settings_tables.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define MAX_CHOICES 4096

/* The merged tree that settings are bound from, and its filters. */
struct binder {
	struct settings *settings;
	struct conf_errors *errors;
	struct conf_tree *merged;
	const struct conf_filter *filters;
	unsigned filter_count;
	const char *hostname; /* the system's; NULL: not asked for yet */
};

/* A network of some filter, or none. */
struct net_choice {
	bool has;
	struct addr_net net;
};

static const char *default_value(const char *name)
{
	const struct conf_def *def = conf_schema_def(&settings_schema, name);

	if (def != NULL)
		return def->value;
	return conf_schema_is_other(&settings_schema, name) ? "" : NULL;
}

struct conf_tree *settings_read(const char *path, struct conf_errors *errors)
{
	return conf_tree_read(path, default_value, errors);
}

void settings_dump(const struct conf_tree *tree, enum conf_dump_mode mode,
		   struct str *out)
{
	struct conf_tree *empty = conf_tree_new();

	conf_dump(&settings_schema, tree != NULL ? tree : empty, mode, out);
	conf_tree_free(&empty);
}

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

static void name_host(struct binder *binder, struct lmtp_settings *lmtp)
{
	if (*lmtp->hostname != '\0')
		return;
	if (binder->hostname == NULL)
		binder->hostname = system_hostname(binder->settings->arena);
	lmtp->hostname = binder->hostname;
}

static bool for_all_connections(const struct conf_filter *filter)
{
	return !filter->has_local && !filter->has_remote && !filter->has_name;
}

/* Sets fields from the top, then from protocol lmtp and the like. */
static void bind_top(struct binder *binder, const struct conf_table *table,
		     void *object)
{
	struct arena *arena = binder->settings->arena;
	unsigned i;

	conf_defaults(table, arena, object);
	conf_apply(table, arena, binder->merged->root, object);
	for (i = 0; i < binder->filter_count; i++) {
		const struct conf_filter *filter = &binder->filters[i];

		if (for_all_connections(filter) &&
		    conf_filter_protocol(filter, "lmtp"))
			conf_apply(table, arena, filter->section, object);
	}
}

static unsigned count_sections(const struct conf_node *parent, const char *key)
{
	const struct conf_node *node;
	unsigned count = 0;

	for (node = parent->children; node != NULL; node = node->next)
		count += node->section && strcmp(node->key, key) == 0;
	return count;
}

/* Binds each section with that key below parent to one element of size bytes
 * at list, through bind(). Returns their number. */
static unsigned bind_sections(struct arena *arena, const char *key,
			      const struct conf_node *parent, void *list,
			      size_t size,
			      void (*bind)(struct arena *arena,
					   const struct conf_node *node,
					   void *object))
{
	const struct conf_node *node;
	char *object = list;

	for (node = parent->children; node != NULL; node = node->next) {
		if (!node->section || strcmp(node->key, key) != 0)
			continue;
		bind(arena, node, object);
		object += size;
	}
	return (unsigned)((size_t)(object - (char *)list) / size);
}

static void bind_inet_listener(struct arena *arena,
			       const struct conf_node *node, void *object)
{
	struct inet_listener_settings *listener = object;

	conf_defaults(&settings_inet_listener_table, arena, listener);
	conf_apply(&settings_inet_listener_table, arena, node, listener);
	if (*listener->name == '\0')
		listener->name = arena_strdup(arena, node->value);
	listener->file = arena_strdup(arena, node->file);
	listener->line = node->line;
}

static void bind_unix_listener(struct arena *arena,
			       const struct conf_node *node, void *object)
{
	struct unix_listener_settings *listener = object;

	conf_defaults(&settings_unix_listener_table, arena, listener);
	conf_apply(&settings_unix_listener_table, arena, node, listener);
	if (*listener->path == '\0')
		listener->path = arena_strdup(arena, node->value);
	listener->file = arena_strdup(arena, node->file);
	listener->line = node->line;
}

static void bind_passdb(struct arena *arena, const struct conf_node *node,
			void *object)
{
	struct passdb_block *block = object;

	conf_defaults(&settings_passdb_table, arena, block);
	conf_apply(&settings_passdb_table, arena, node, block);
	if (*block->name == '\0')
		block->name = arena_strdup(arena, node->value);
	block->file = arena_strdup(arena, node->file);
	block->line = node->line;
}

static void bind_service(struct binder *binder)
{
	struct arena *arena = binder->settings->arena;
	struct service_settings *service = &binder->settings->service;
	struct inet_listener_settings *inet;
	struct unix_listener_settings *sockets;
	const struct conf_node *node;

	conf_defaults(&settings_service_table, arena, service);
	node = conf_node_section(binder->merged->root, "service", "lmtp");
	ASSERT(node != NULL); /* it has a built-in part */
	conf_apply(&settings_service_table, arena, node, service);
	inet = arena_alloc(arena, count_sections(node, "inet_listener") *
				  sizeof(*inet));
	service->inet_listener_count =
		bind_sections(arena, "inet_listener", node, inet,
			      sizeof(*inet), bind_inet_listener);
	service->inet_listeners = inet;
	sockets = arena_alloc(arena, count_sections(node, "unix_listener") *
				     sizeof(*sockets));
	service->unix_listener_count =
		bind_sections(arena, "unix_listener", node, sockets,
			      sizeof(*sockets), bind_unix_listener);
	service->unix_listeners = sockets;
}

/* As in Dovecot, the passdbs of protocol lmtp come before the others. */
static void bind_passdbs(struct binder *binder)
{
	struct arena *arena = binder->settings->arena;
	struct passdb_settings *passdb = &binder->settings->passdb;
	const struct conf_node *root = binder->merged->root;
	struct passdb_block *blocks;
	unsigned i, count = count_sections(root, "passdb");

	for (i = 0; i < binder->filter_count; i++)
		count += count_sections(binder->filters[i].section, "passdb");
	blocks = arena_alloc(arena, count * sizeof(*blocks));
	for (i = 0; i < binder->filter_count; i++) {
		const struct conf_filter *filter = &binder->filters[i];

		if (for_all_connections(filter) &&
		    conf_filter_protocol(filter, "lmtp"))
			passdb->count += bind_sections(
				arena, "passdb", filter->section,
				blocks + passdb->count, sizeof(*blocks),
				bind_passdb);
	}
	passdb->count += bind_sections(arena, "passdb", root,
				       blocks + passdb->count, sizeof(*blocks),
				       bind_passdb);
	passdb->blocks = blocks;
}

static bool net_equal(const struct addr_net *a, const struct addr_net *b)
{
	return a->bits == b->bits && addr_net_contains(a, &b->addr);
}

/* Adds net unless it is there, keeping shorter prefixes in front. */
static void add_net(struct net_choice *list, unsigned *count,
		    const struct addr_net *net)
{
	unsigned i;

	for (i = 1; i < *count; i++) {
		if (net_equal(&list[i].net, net))
			return;
	}
	for (i = (*count)++; i > 1 && list[i - 1].net.bits > net->bits; i--)
		list[i] = list[i - 1];
	list[i].has = true;
	list[i].net = *net;
}

/* Whether every connection of this choice is one of the filter's. */
static bool covers(bool has, const struct addr_net *filter,
		   const struct net_choice *choice)
{
	return !has || (choice->has && choice->net.bits >= filter->bits &&
			addr_net_contains(filter, &choice->net.addr));
}

static void bind_choice(struct binder *binder,
			struct lmtp_settings_choice *choice,
			const struct net_choice *local,
			const struct net_choice *remote)
{
	struct settings *settings = binder->settings;
	unsigned i;

	choice->has_local = local->has;
	choice->local = local->net;
	choice->has_remote = remote->has;
	choice->remote = remote->net;
	conf_defaults(&settings_lmtp_table, settings->arena,
		      &choice->settings);
	conf_apply(&settings_lmtp_table, settings->arena,
		   binder->merged->root, &choice->settings);
	for (i = 0; i < binder->filter_count; i++) {
		const struct conf_filter *filter = &binder->filters[i];

		if (conf_filter_protocol(filter, "lmtp") &&
		    !filter->has_name &&
		    covers(filter->has_local, &filter->local, local) &&
		    covers(filter->has_remote, &filter->remote, remote))
			conf_apply(&settings_lmtp_table, settings->arena,
				   filter->section, &choice->settings);
	}
	name_host(binder, &choice->settings);
}

/* One choice for each pair of networks: which filters match a connection
 * follows from the most specific local and remote network that hold it. */
static void bind_choices(struct binder *binder)
{
	struct settings *settings = binder->settings;
	size_t size = (binder->filter_count + 1) * sizeof(struct net_choice);
	struct net_choice *locals = arena_alloc(settings->arena, size);
	struct net_choice *remotes = arena_alloc(settings->arena, size);
	struct lmtp_settings_choice *choices;
	unsigned local_count = 1, remote_count = 1, i;

	for (i = 0; i < binder->filter_count; i++) {
		const struct conf_filter *filter = &binder->filters[i];

		if (filter->has_local)
			add_net(locals, &local_count, &filter->local);
		if (filter->has_remote)
			add_net(remotes, &remote_count, &filter->remote);
	}
	if (local_count * remote_count > MAX_CHOICES) {
		conf_error(binder->errors, NULL, 0, "the networks of the "
			   "filters local and remote make more than %d "
			   "combinations", MAX_CHOICES);
		return;
	}
	settings->choice_count = local_count * remote_count - 1;
	choices = arena_alloc(settings->arena,
			      settings->choice_count * sizeof(*choices));
	/* Pair 0 is "neither": settings->lmtp. */
	for (i = 1; i <= settings->choice_count; i++)
		bind_choice(binder, &choices[i - 1], &locals[i / remote_count],
			    &remotes[i % remote_count]);
	settings->choices = choices;
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (list += strspn(list, " ,"); *list != '\0';
	     list += strspn(list, " ,")) {
		size_t here = strcspn(list, " ,");

		if (here == len && strncmp(list, word, len) == 0)
			return true;
		list += here;
	}
	return false;
}

/* Fills in what follows from other settings. */
static void bind_derived(struct settings *settings)
{
	settings->lmtp_enabled = has_word(settings->protocols, "lmtp");
	settings->mail_debug = settings->lmtp.mail_debug;
	settings->passdb.hostname = settings->lmtp.hostname;
	settings->passdb.debug = settings->auth_debug;
}

static void bind_all(struct binder *binder, settings_check_fn *check)
{
	struct settings *settings = binder->settings;

	binder->filter_count = conf_filters(binder->merged, settings->arena,
					    &binder->filters);
	bind_top(binder, &settings_global_table, settings);
	bind_top(binder, &settings_lmtp_table, &settings->lmtp);
	bind_top(binder, &settings_auth_table, &settings->passdb);
	name_host(binder, &settings->lmtp);
	bind_service(binder);
	bind_passdbs(binder);
	bind_choices(binder);
	bind_derived(settings);
	settings_check(settings, binder->merged->root, binder->errors);
	if (check != NULL)
		check(settings, binder->merged->root, binder->errors);
}

static void settings_free(struct settings *settings)
{
	conf_tree_free(&settings->tree);
	arena_free(&settings->arena);
	mem_release(settings);
}

struct settings *settings_new_checked(struct conf_tree *tree,
				      settings_check_fn *check,
				      struct conf_errors *errors)
{
	unsigned errors_before = errors->errors;
	struct binder binder = {
		.settings = mem_new(struct settings),
		.errors = errors,
	};

	conf_check(&settings_schema, tree, errors);
	binder.settings->arena = arena_new(4096);
	atomic_init(&binder.settings->refs, 1);
	binder.merged = conf_merge(&settings_schema, tree);
	bind_all(&binder, check);
	conf_tree_free(&binder.merged);
	if (errors->errors > errors_before) {
		settings_free(binder.settings);
		return NULL;
	}
	binder.settings->tree = tree;
	return binder.settings;
}

struct settings *settings_new(struct conf_tree *tree,
			      struct conf_errors *errors)
{
	return settings_new_checked(tree, NULL, errors);
}

struct settings *settings_ref(struct settings *settings)
{
	atomic_fetch_add(&settings->refs, 1);
	return settings;
}

void settings_unref(struct settings **settings)
{
	if (*settings == NULL)
		return;
	if (atomic_fetch_sub(&(*settings)->refs, 1) == 1)
		settings_free(*settings);
	*settings = NULL;
}

const struct lmtp_settings *settings_for(const struct settings *settings,
					 const struct addr *local,
					 const struct addr *remote)
{
	unsigned i;

	for (i = settings->choice_count; i > 0; i--) {
		const struct lmtp_settings_choice *choice =
			&settings->choices[i - 1];

		if ((!choice->has_local ||
		     addr_net_contains(&choice->local, local)) &&
		    (!choice->has_remote ||
		     addr_net_contains(&choice->remote, remote)))
			return &choice->settings;
	}
	return &settings->lmtp;
}
