#include "proxy/settings/settings.h"

#include <stdatomic.h>
#include <string.h>

#include "backends/director/cluster.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "proxy/settings/check.h"
#include "proxy/settings/health.h"
#include "proxy/settings/local.h"
#include "proxy/settings/missed.h"
#include "proxy/settings/tables.h"
#include "proxy/settings/variants.h"

/* The merged tree that settings are bound from, and its filters. */
struct binder {
	struct settings *settings;
	struct conf_errors *errors;
	struct conf_tree *tree, *merged;
	const struct conf_filter *filters;
	unsigned filter_count;
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

		if (settings_variants_is_general(filter) &&
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

static void bind_userdb(struct arena *arena, const struct conf_node *node,
			void *object)
{
	struct passdb_block *block = object;

	conf_defaults(&settings_passdb_table, arena, block);
	conf_defaults(&settings_userdb_table, arena, block);
	conf_apply(&settings_userdb_table, arena, node, block);
	if (*block->name == '\0')
		block->name = arena_strdup(arena, node->value);
	block->file = arena_strdup(arena, node->file);
	block->line = node->line;
}

static void bind_listeners(struct arena *arena, const struct conf_node *node,
			   struct service_settings *service, bool control,
			   bool socketmap)
{
	struct inet_listener_settings *inet;
	struct unix_listener_settings *sockets;
	unsigned i;

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
	for (i = 0; i < service->inet_listener_count; i++) {
		inet[i].control = control;
		inet[i].socketmap = socketmap;
	}
	for (i = 0; i < service->unix_listener_count; i++) {
		sockets[i].control = control;
		sockets[i].socketmap = socketmap;
	}
}

static void bind_services(struct binder *binder)
{
	struct settings *settings = binder->settings;
	struct arena *arena = settings->arena;
	const struct conf_node *root = binder->merged->root, *node;

	conf_defaults(&settings_service_table, arena, &settings->service);
	node = conf_node_section(root, "service", "lmtp");
	ASSERT(node != NULL); /* it has a built-in part */
	conf_apply(&settings_service_table, arena, node, &settings->service);
	bind_listeners(arena, node, &settings->service, false, false);
	node = conf_node_section(root, "service", "ctl");
	ASSERT(node != NULL); /* the same */
	bind_listeners(arena, node, &settings->ctl, true, false);
	node = conf_node_section(root, "service", "http");
	if (node != NULL)
		bind_listeners(arena, node, &settings->http, true, false);
	node = conf_node_section(root, "service", "socketmap");
	if (node != NULL)
		bind_listeners(arena, node, &settings->socketmap, true, true);
}

/* The blocks called key. As in Dovecot, those of protocol lmtp come before the
 * others, and those of the filter that counts most are the first. */
static unsigned bind_blocks(struct binder *binder, const char *key,
			    const struct passdb_block **blocks_r,
			    void (*bind)(struct arena *arena,
					 const struct conf_node *node,
					 void *object))
{
	struct arena *arena = binder->settings->arena;
	const struct conf_node *root = binder->merged->root;
	unsigned i, room = count_sections(root, key), count = 0;
	const struct conf_filter *filter;
	struct passdb_block *blocks;

	for (i = 0; i < binder->filter_count; i++)
		room += count_sections(binder->filters[i].section, key);
	blocks = arena_alloc(arena, room * sizeof(*blocks));
	for (i = binder->filter_count; i > 0; i--) {
		filter = &binder->filters[i - 1];
		if (settings_variants_is_general(filter) &&
		    conf_filter_protocol(filter, "lmtp"))
			count += bind_sections(arena, key, filter->section,
					       blocks + count, sizeof(*blocks),
					       bind);
	}
	count += bind_sections(arena, key, root, blocks + count,
			       sizeof(*blocks), bind);
	*blocks_r = blocks;
	return count;
}

static void bind_passdbs(struct binder *binder)
{
	struct passdb_settings *passdb = &binder->settings->passdb;

	passdb->count = bind_blocks(binder, "passdb", &passdb->blocks,
				    bind_passdb);
	passdb->userdb_count = bind_blocks(binder, "userdb",
					   &passdb->userdb_blocks,
					   bind_userdb);
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
	struct err err;

	(void)networks_parse(settings->arena,
			     settings->haproxy_trusted_networks,
			     &settings->haproxy_trusted, &err);
	(void)networks_parse(settings->arena, settings->passdb.proxy_self,
			     &settings->proxy_self, &err);
	settings->lmtp_enabled = has_word(settings->protocols, "lmtp");
	settings->mail_debug = settings->lmtp.mail_debug;
	settings->passdb.hostname = settings->lmtp.hostname;
	settings->passdb.debug = settings->auth_debug;
}

static void bind_director_backend(struct arena *arena,
				  const struct conf_node *node, void *object)
{
	struct director_backend_settings *backend = object;

	conf_defaults(&settings_director_backend_table, arena, backend);
	conf_apply(&settings_director_backend_table, arena, node, backend);
	backend->name = arena_strdup(arena, node->value);
	backend->file = arena_strdup(arena, node->file);
	backend->line = node->line;
}

static void bind_director_backends(struct binder *binder)
{
	const struct conf_node *root = binder->merged->root;
	struct director_settings *director =
		&binder->settings->director_settings;
	struct director_backend_settings *backends = arena_alloc(
		binder->settings->arena,
		count_sections(root, "director_backend") * sizeof(*backends));

	director->backends = backends;
	director->backend_count =
		bind_sections(binder->settings->arena, "director_backend", root,
			      backends, sizeof(*backends),
			      bind_director_backend);
}

static void bind_director(struct binder *binder)
{
	struct settings *settings = binder->settings;
	struct director_settings *director = &settings->director_settings;
	const struct director_backend_settings *bad;
	struct err why, text;

	bind_director_backends(binder);
	if (*director->mail_servers == '\0' && director->backend_count == 0)
		return;
	settings->director = director_new(settings->arena, director, &bad,
					  &why);
	if (settings->director != NULL)
		return;
	if (bad != NULL) {
		conf_error(binder->errors, bad->file, bad->line,
			   "director_backend %s: %s", bad->name, why.text);
		return;
	}
	err_put(&text, "director_mail_servers: %.400s", why.text);
	settings_error(binder->errors, binder->merged->root,
		       "director_mail_servers", text.text);
}

static void check_cluster(struct binder *binder)
{
	const struct settings *settings = binder->settings;
	struct err why, text;

	if (*settings->cluster.etcd_urls == '\0' ||
	    settings->director == NULL ||
	    director_cluster_check_servers(
		    director_configured(settings->director), &why) == 0)
		return;
	err_put(&text, "director_mail_servers: %.400s", why.text);
	settings_error(binder->errors, binder->merged->root,
		       "director_mail_servers", text.text);
}

static void bind_local(struct binder *binder)
{
	struct settings *settings = binder->settings;
	const struct conf_node *root = binder->merged->root;
	unsigned i;

	settings_local_derive(settings, root, binder->errors);
	settings_local_add_quota(settings, root, binder->errors);
	for (i = 0; i < binder->filter_count; i++) {
		const struct conf_filter *filter = &binder->filters[i];

		if (settings_variants_is_general(filter) &&
		    conf_filter_protocol(filter, "lmtp"))
			settings_local_add_quota(settings, filter->section,
						 binder->errors);
	}
}

static void bind_all(struct binder *binder, settings_check_fn *check)
{
	struct settings *settings = binder->settings;

	binder->filter_count = conf_filters(binder->merged, settings->arena,
					    &binder->filters);
	bind_top(binder, &settings_global_table, settings);
	bind_top(binder, &settings_auth_table, &settings->passdb);
	bind_top(binder, &settings_director_table,
		 &settings->director_settings);
	bind_top(binder, &settings_health_table, &settings->director_health);
	bind_top(binder, &settings_cluster_table, &settings->cluster);
	bind_top(binder, &settings_local_table, &settings->local);
	bind_director(binder);
	settings_variants_bind(settings, binder->merged->root, binder->filters,
			       binder->filter_count, binder->errors);
	bind_services(binder);
	bind_passdbs(binder);
	settings->passdb.tree = binder->tree;
	bind_derived(settings);
	bind_local(binder);
	settings_check(settings, binder->merged->root, binder->errors);
	settings_local_check(settings, binder->merged->root, binder->errors);
	settings_missed_check(settings, binder->merged->root, binder->filters,
			      binder->filter_count, binder->errors);
	settings_health_check(&settings->director_health, binder->merged->root,
			      binder->errors);
	settings_cluster_finish(&settings->cluster, settings->lmtp.hostname,
				settings->arena, binder->merged->root,
				binder->errors);
	check_cluster(binder);
	if (check != NULL)
		check(settings, binder->merged->root, binder->errors);
}

static void settings_free(struct settings *settings)
{
	conf_tree_free(&settings->tree);
	arena_wipe(&settings->arena);
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
		.tree = tree,
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
