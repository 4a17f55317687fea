#include "backends/director/cluster_private.h"

#include <string.h>

#include "backends/director/json_fields.h"
#include "backends/director/view_json.h"

/* --- making --- */

struct director_cluster *
director_cluster_new(const struct director_cluster_self *self,
		     struct director_state *wanted)
{
	struct director_cluster *cluster = mem_new(struct director_cluster);

	cluster->self = *self;
	cluster->wanted = wanted;
	director_state_init(&cluster->now);
	director_state_init(&cluster->before);
	return cluster;
}

static void drop_votes(struct director_cluster *cluster)
{
	unsigned i;

	for (i = 0; i < cluster->vote_count; i++)
		mem_free(&cluster->votes[i].why);
	mem_free(&cluster->votes);
	cluster->vote_count = 0;
}

void director_cluster_free(struct director_cluster **cluster_p)
{
	struct director_cluster *cluster = *cluster_p;

	if (cluster == NULL)
		return;
	director_state_free(&cluster->now);
	director_state_free(&cluster->before);
	cluster_keys_clear(&cluster->keys);
	str_free(&cluster->config);
	drop_votes(cluster);
	mem_free(cluster_p);
}

/* --- keys --- */

/* Without the prefix; NULL: it is none of ours, or has a NUL. */
static const char *name_of(const struct director_cluster *cluster,
			   struct etcd_bytes key)
{
	size_t len = strlen(cluster->self.prefix);

	if (key.len < len || memcmp(key.data, cluster->self.prefix, len) != 0 ||
	    strlen(key.data) != key.len)
		return NULL;
	return key.data + len;
}

void director_cluster_begin(struct director_cluster *cluster)
{
	cluster_keys_clear(&cluster->keys);
}

void director_cluster_put(struct director_cluster *cluster,
			  const struct etcd_kv *kv)
{
	const char *name = name_of(cluster, kv->key);

	if (name != NULL)
		cluster_keys_put(&cluster->keys, name, kv->value.data,
				 kv->value.len, kv->create_revision,
				 kv->mod_revision);
}

void director_cluster_gone(struct director_cluster *cluster,
			   struct etcd_bytes key)
{
	const char *name = name_of(cluster, key);

	if (name != NULL)
		cluster_keys_drop(&cluster->keys, name);
}

/* --- what is wanted --- */

static int note(const struct cluster_key *key, const struct err *why,
		struct err *err)
{
	return err_set(err, "key %.100s: %.200s", key->name, why->text);
}

static int load_config(struct director_cluster *cluster,
		       struct director_state *state, struct err *err)
{
	const struct cluster_key *key =
		cluster_keys_find(&cluster->keys, "config");
	struct json *root;
	struct err why;
	int ret = -1;

	if (key == NULL)
		return 0;
	root = json_parse(key->value, key->len, &why);
	if (root != NULL)
		ret = director_view_read(state, json_member(root, "config"),
					 &why);
	json_close(&root);
	return ret == 0 ? 0 : note(key, &why, err);
}

/* Reads each key under prefix that can be read; -1: there was another. */
static int load_each(const struct director_cluster *cluster,
		     const char *prefix, struct director_state *state,
		     int (*read)(struct director_state *state, const char *text,
				 size_t len, struct err *err),
		     struct err *err)
{
	const struct cluster_key *key;
	size_t i, count;
	struct err why;
	int ret = 0;

	key = cluster_keys_under(&cluster->keys, prefix, &count);
	for (i = 0; i < count; i++) {
		if (read(state, key[i].value, key[i].len, &why) < 0)
			ret = note(&key[i], &why, err);
	}
	return ret;
}

/* The state as administrators and the configuration have it, without health. */
static int load_wanted(struct director_cluster *cluster,
		       struct director_state *state, struct err *err)
{
	int ret = load_config(cluster, state, err);

	if (load_each(cluster, "backend/", state, director_state_read_backend,
		      err) < 0)
		ret = -1;
	if (load_each(cluster, "pin/", state, director_state_read_pin,
		      err) < 0)
		ret = -1;
	return ret;
}

/* --- the view --- */

static int read_view(struct director_cluster *cluster, const struct json *root,
		     struct err *err)
{
	const struct json *before = json_member(root, "before");

	director_state_clear(&cluster->now);
	director_state_clear(&cluster->before);
	if (json_field_number(root, "serial", INT64_MAX, &cluster->serial,
			      err) < 0 ||
	    director_view_read(&cluster->now, json_member(root, "now"),
			       err) < 0)
		return -1;
	director_cluster_align(cluster);
	cluster->has_before = before != NULL;
	return before == NULL
		       ? 0 : director_view_read(&cluster->before, before, err);
}

static int load_view(struct director_cluster *cluster, struct err *err)
{
	const struct cluster_key *key =
		cluster_keys_find(&cluster->keys, "view");
	struct json *root;
	struct err why;
	int ret = -1;

	if (key == NULL || key->mod == cluster->view_mod)
		return 0;
	cluster->view_mod = key->mod;
	root = json_parse(key->value, key->len, &why);
	if (root != NULL)
		ret = read_view(cluster, root, &why);
	json_close(&root);
	cluster->broken = ret < 0;
	return ret == 0 ? 0 : note(key, &why, err);
}

/* Copies the servers that one state has got behind those of another. */
static void extend(struct director_state *to,
		   const struct director_state *from)
{
	unsigned i;

	for (i = to->count; i < from->count; i++)
		director_state_backend(to, &from->backends[i].server);
}

/* One of the three states may have got new backends: all get them, in that
 * order. */
void director_cluster_align(struct director_cluster *cluster)
{
	struct director_state *states[] = { cluster->wanted, &cluster->now,
					    &cluster->before };
	unsigned from, to;

	for (from = 0; from < 3; from++) {
		for (to = 0; to < 3; to++)
			extend(states[to], states[from]);
	}
}

int director_cluster_settled(struct director_cluster *cluster,
			     struct err *err)
{
	int ret;

	director_state_clear(cluster->wanted);
	ret = load_wanted(cluster, cluster->wanted, err);
	director_cluster_align(cluster);
	if (load_view(cluster, err) < 0)
		ret = -1;
	director_cluster_align(cluster);
	director_cluster_count_votes(cluster);
	return ret;
}

/* --- what follows --- */

uint64_t director_cluster_serial(const struct director_cluster *cluster)
{
	return cluster->broken ? 0 : cluster->serial;
}

int64_t director_cluster_revision(const struct director_cluster *cluster)
{
	return cluster->view_mod;
}

const struct director_state *
director_cluster_now(const struct director_cluster *cluster)
{
	return director_cluster_serial(cluster) > 0 ? &cluster->now : NULL;
}

const struct director_state *
director_cluster_before(const struct director_cluster *cluster)
{
	return director_cluster_serial(cluster) > 0 && cluster->has_before
		       ? &cluster->before : NULL;
}

bool director_cluster_in_force(const struct director_cluster *cluster)
{
	struct str now = STR_INIT, wanted = STR_INIT;
	bool in_force;

	director_view_put_healthy(&cluster->now, &now);
	director_view_put_healthy(cluster->wanted, &wanted);
	in_force = strcmp(str_c(&now), str_c(&wanted)) == 0;
	str_free(&now);
	str_free(&wanted);
	return in_force;
}

/* --- changes --- */

void director_cluster_draft(const struct director_cluster *cluster,
			    struct director_state *draft)
{
	struct err err;
	unsigned i;

	director_state_init(draft);
	/* What cannot be read was said before. */
	load_wanted((struct director_cluster *)cluster, draft, &err);
	for (i = 0; i < draft->count; i++)
		draft->backends[i].share = 100;
}

struct changes {
	const struct director_cluster *cluster;
	struct arena *arena;
	struct etcd_compare *compares;
	struct etcd_op *ops;
	size_t count;
};

/* Has the key be value; "": not be there. */
static void change_key(struct changes *changes, const char *name,
		       const struct str *value)
{
	const struct cluster_key *key =
		cluster_keys_find(&changes->cluster->keys, name);
	struct etcd_bytes bytes =
		director_cluster_key(changes->cluster, changes->arena, name);

	if (key == NULL ? value->len == 0
			: key->len == value->len &&
			  memcmp(key->value, str_c(value), key->len) == 0)
		return;
	changes->compares[changes->count] = (struct etcd_compare){
		ETCD_COMPARE_MOD, bytes, key != NULL ? key->mod : 0
	};
	changes->ops[changes->count++] = (struct etcd_op){
		.delete = value->len == 0,
		.key = bytes,
		.value = { arena_strndup(changes->arena, str_c(value),
					 value->len), value->len },
	};
}

static void change_backends(struct changes *changes,
			    const struct director_state *draft)
{
	struct str name = STR_INIT, value = STR_INIT;
	unsigned i;

	for (i = 0; i < draft->count; i++) {
		str_clear(&name);
		str_clear(&value);
		str_puts(&name, "backend/");
		director_cluster_put_server(&name,
					    &draft->backends[i].server);
		director_state_put_backend(&draft->backends[i], &value);
		change_key(changes, str_c(&name), &value);
	}
	str_free(&name);
	str_free(&value);
}

static const char *pin_name(struct arena *arena, uint64_t key)
{
	return arena_printf(arena, "pin/%016llx", (unsigned long long)key);
}

static void change_pins(struct changes *changes,
			const struct director_state *draft)
{
	struct str value = STR_INIT;
	struct list *node, *tmp;

	list_each(&draft->pins, node, tmp) {
		const struct director_pin *pin =
			container_of(node, struct director_pin, node);

		str_clear(&value);
		director_state_put_pin(draft, pin, &value);
		change_key(changes, pin_name(changes->arena, pin->key),
			   &value);
	}
	str_free(&value);
}

static bool has_pin(const struct director_state *draft, const char *name,
		    struct arena *arena)
{
	struct list *node, *tmp;

	list_each(&draft->pins, node, tmp) {
		if (strcmp(name, pin_name(arena,
					  container_of(node,
						       struct director_pin,
						       node)->key)) == 0)
			return true;
	}
	return false;
}

static void drop_pins(struct changes *changes,
		      const struct director_state *draft)
{
	struct arena *arena = arena_new(1024);
	const struct cluster_key *key;
	struct str none = STR_INIT;
	size_t i, count;

	key = cluster_keys_under(&changes->cluster->keys, "pin/", &count);
	for (i = 0; i < count; i++) {
		if (!has_pin(draft, key[i].name, arena))
			change_key(changes, key[i].name, &none);
	}
	arena_free(&arena);
}

void director_cluster_change(const struct director_cluster *cluster,
			     const struct director_state *draft,
			     struct arena *arena, struct etcd_txn *txn_r)
{
	struct changes changes = { .cluster = cluster, .arena = arena };
	size_t most = draft->count + cluster->keys.count;
	struct list *node, *tmp;

	list_each(&draft->pins, node, tmp)
		most++;
	changes.compares = arena_alloc(arena, most * sizeof(*changes.compares));
	changes.ops = arena_alloc(arena, most * sizeof(*changes.ops));
	change_backends(&changes, draft);
	change_pins(&changes, draft);
	drop_pins(&changes, draft);
	*txn_r = (struct etcd_txn){ changes.compares, changes.count,
				    changes.ops, changes.count };
}
