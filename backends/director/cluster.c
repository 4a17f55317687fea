#include "backends/director/cluster_private.h"

#include <stdlib.h>
#include <string.h>

#include "backends/director/json_fields.h"
#include "backends/director/view_json.h"
#include "lib/mem.h"

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
	director_state_init(&cluster->trial);
	director_state_init(&cluster->next_now);
	director_state_init(&cluster->next_before);
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
	director_state_free(&cluster->trial);
	director_state_free(&cluster->next_now);
	director_state_free(&cluster->next_before);
	cluster_keys_clear(&cluster->keys);
	cluster_keys_clear(&cluster->pins);
	str_free(&cluster->config);
	str_free(&cluster->wanted_config);
	mem_free(&cluster->hash);
	mem_free(&cluster->away);
	drop_votes(cluster);
	mem_free(cluster_p);
}

/* --- what keys say --- */

/* A kind of keys of which each says something of its own: whether it can be read,
 * and is called after what it says, and reading it then. */
struct kind {
	const char *prefix;
	int (*read)(struct director_state *state, const char *text, size_t len,
		    struct err *err);
	void (*put_name)(const struct director_state *state, struct str *out);
};

static void put_backend_name(const struct director_state *state,
			     struct str *out)
{
	director_cluster_put_server(out, &state->backends[0].server);
}

static void put_pin_name(const struct director_state *state, struct str *out)
{
	director_put_key(out, state->pins.list[0]->key);
}

static const struct kind backends = {
	"backend/", director_state_read_backend, put_backend_name,
};
static const struct kind pins = {
	"pin/", director_state_read_pin, put_pin_name,
};

static int check_key(const struct kind *kind, const struct cluster_key *key,
		     struct err *err)
{
	struct director_state trial;
	struct str name = STR_INIT;
	int ret;

	director_state_init(&trial);
	ret = kind->read(&trial, key->value, key->len, err);
	if (ret == 0) {
		kind->put_name(&trial, &name);
		if (strcmp(key->name + strlen(kind->prefix), str_c(&name)) != 0)
			ret = err_set(err, "it is about %.100s", str_c(&name));
	}
	str_free(&name);
	director_state_free(&trial);
	return ret;
}

/* NULL: it is of no such kind. */
static const struct kind *kind_of(const char *name)
{
	if (strncmp(name, pins.prefix, strlen(pins.prefix)) == 0)
		return &pins;
	return strncmp(name, backends.prefix, strlen(backends.prefix)) == 0
		       ? &backends : NULL;
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

static bool is_known(const struct director_cluster *cluster, const char *name)
{
	return cluster_keys_find(&cluster->keys, name) != NULL;
}

/* Whether such a key says nothing of servers or users. */
static bool is_about_nodes(const char *name)
{
	static const char *const kinds[] = { "node/", "runs/", "vote/" };
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strncmp(name, kinds[i], 5) == 0)
			return true;
	}
	return strcmp(name, "view") == 0;
}

/* Most changes say what a process is done with, and change no more than that. */
static void note_change(struct director_cluster *cluster, const char *name,
			bool comes_or_goes)
{
	bool is_process = strncmp(name, "node/", 5) == 0;
	bool is_vote = strncmp(name, "vote/", 5) == 0;

	if (is_vote || (is_process && comes_or_goes))
		cluster->polled = false;
	if (strncmp(name, "pin/", 4) == 0)
		cluster_keys_put(&cluster->pins, name, "", 0, 0, 0);
	else
		cluster->stale |= !is_about_nodes(name);
}

void director_cluster_begin(struct director_cluster *cluster)
{
	cluster_keys_clear(&cluster->keys);
	cluster->stale = true;
	cluster->polled = false;
}

void director_cluster_put(struct director_cluster *cluster,
			  const struct etcd_kv *kv)
{
	const char *name = name_of(cluster, kv->key);
	const struct kind *kind;
	struct cluster_key *key;
	struct err err;

	if (name == NULL)
		return;
	kind = kind_of(name);
	note_change(cluster, name, !is_known(cluster, name));
	key = cluster_keys_put(&cluster->keys, name, kv->value.data,
			       kv->value.len, kv->create_revision,
			       kv->mod_revision);
	/* Now, as the rest follows later, and all of that in one go. */
	key->sound = kind != NULL && check_key(kind, key, &err) == 0;
	if (kv->mod_revision > cluster->newest)
		cluster->newest = kv->mod_revision;
}

void director_cluster_gone(struct director_cluster *cluster,
			   struct etcd_bytes key)
{
	const char *name = name_of(cluster, key);

	if (name == NULL)
		return;
	note_change(cluster, name, true);
	cluster_keys_drop(&cluster->keys, name);
}

/* --- what is wanted --- */

int director_cluster_complain(const struct director_cluster *cluster,
			      const struct cluster_key *key, const char *why,
			      struct err *err)
{
	return key->mod <= cluster->told
		       ? 0 : err_set(err, "key %.100s: %.200s", key->name, why);
}

static int check_config(struct director_cluster *cluster,
			const struct json *root, struct err *err)
{
	const char *hash;

	director_state_clear(&cluster->trial);
	return json_field_text(root, "hash", &hash, err) < 0
		       ? -1 : director_view_read(&cluster->trial,
						 json_member(root, "config"),
						 err);
}

static void use_config(struct director_cluster *cluster,
		       const struct cluster_key *key, const struct json *root)
{
	mem_free(&cluster->hash);
	cluster->hash = mem_strdup(json_text(json_member(root, "hash")));
	str_clear(&cluster->wanted_config);
	str_append(&cluster->wanted_config, key->value, key->len);
}

static int take_config(struct director_cluster *cluster, struct err *err)
{
	const struct cluster_key *key =
		cluster_keys_find(&cluster->keys, "config");
	struct json *root;
	struct err why;
	int ret = -1;

	if (key == NULL || key->mod == cluster->config_mod)
		return 0;
	cluster->config_mod = key->mod;
	root = json_parse(key->value, key->len, &why);
	if (root != NULL)
		ret = check_config(cluster, root, &why);
	if (ret == 0)
		use_config(cluster, key, root);
	json_close(&root);
	return ret == 0 ? 0 : director_cluster_complain(cluster, key, why.text,
							err);
}

/* Which could be read before. */
static void load_config(const struct director_cluster *cluster,
			struct director_state *state)
{
	const struct str *text = &cluster->wanted_config;
	struct json *root;
	struct err err;

	if (text->len == 0)
		return;
	root = json_parse(text->data, text->len, &err);
	director_view_read(state, json_member(root, "config"), &err);
	json_close(&root);
}

/* -1: it cannot be read, and is news. */
static int load_key(const struct director_cluster *cluster,
		    const struct kind *kind, const struct cluster_key *key,
		    struct director_state *state, struct err *err)
{
	struct err why;

	if (!key->sound && check_key(kind, key, &why) < 0)
		return director_cluster_complain(cluster, key, why.text, err);
	kind->read(state, key->value, key->len, &why);
	return 0;
}

/* Reads each that can be read; -1: there was another, and it is news. */
static int load_each(const struct director_cluster *cluster,
		     const struct kind *kind, struct director_state *state,
		     struct err *err)
{
	const struct cluster_key *key;
	size_t i, count;
	int ret = 0;

	key = cluster_keys_under(&cluster->keys, kind->prefix, &count);
	for (i = 0; i < count; i++) {
		if (load_key(cluster, kind, &key[i], state, err) < 0)
			ret = -1;
	}
	return ret;
}

static void forget_health(struct director_state *state)
{
	unsigned i;

	for (i = 0; i < state->count; i++) {
		struct director_backend *backend = &state->backends[i];

		mem_free(&backend->health.by);
		backend->health = (struct director_mark){ NULL, 0 };
		backend->sick = backend->trusted = false;
		backend->share = 100;
	}
}

/* The state as administrators and the configuration have it, without health. */
static int load_wanted(const struct director_cluster *cluster,
		       struct director_state *state, struct err *err)
{
	int ret;

	load_config(cluster, state);
	ret = load_each(cluster, &backends, state, err);
	return load_each(cluster, &pins, state, err) < 0 ? -1 : ret;
}

/* --- the view --- */

/* Copies the servers that one state has got behind those of another. */
static void extend(struct director_state *to,
		   const struct director_state *from)
{
	unsigned i;

	for (i = to->count; i < from->count; i++)
		director_state_backend(to, &from->backends[i].server);
}

/* One of the states may have got new backends: all get them, in that order. */
void director_cluster_align(struct director_cluster *cluster)
{
	struct director_state *states[] = {
		cluster->wanted, &cluster->now, &cluster->before,
		&cluster->next_now, &cluster->next_before,
	};
	enum { COUNT = sizeof(states) / sizeof(*states) };
	unsigned from, to;

	for (from = 0; from < COUNT; from++) {
		for (to = 0; to < COUNT; to++)
			extend(states[to], states[from]);
	}
}

static int read_next(struct director_cluster *cluster, const struct json *root,
		     uint64_t *serial_r, struct err *err)
{
	const struct json *before = json_member(root, "before");

	if (json_field_number(root, "serial", INT64_MAX, serial_r, err) < 0 ||
	    director_view_read(&cluster->next_now, json_member(root, "now"),
			       err) < 0)
		return -1;
	/* What is new in the one gets the same place in the other. */
	extend(&cluster->next_before, &cluster->next_now);
	return before == NULL ? 0 : director_view_read(&cluster->next_before,
						       before, err);
}

/* Both have the same backends; next is left as if nothing had been read. */
static void take_next(struct director_state *state, struct director_state *next)
{
	struct director_state was = *state;

	*state = *next;
	*next = was;
	director_state_clear(next);
}

/* Servers that a view names which is none are not kept. */
static void drop_next(struct director_state *next)
{
	director_state_free(next);
	director_state_init(next);
}

static int read_view(struct director_cluster *cluster, const struct json *root,
		     struct err *err)
{
	uint64_t serial;

	if (read_next(cluster, root, &serial, err) < 0) {
		drop_next(&cluster->next_now);
		drop_next(&cluster->next_before);
		return -1;
	}
	/* The store was restored from a copy: users are where later views sent
	 * them, and its numbers are taken. */
	cluster->stale_view = serial < cluster->serial;
	if (cluster->stale_view) {
		director_state_clear(&cluster->next_now);
		director_state_clear(&cluster->next_before);
		return 0;
	}
	cluster->serial = serial;
	cluster->has_before = json_member(root, "before") != NULL;
	take_next(&cluster->now, &cluster->next_now);
	take_next(&cluster->before, &cluster->next_before);
	return 0;
}

static int load_view(struct director_cluster *cluster, struct err *err)
{
	const struct cluster_key *key =
		cluster_keys_find(&cluster->keys, "view");
	struct json *root;
	struct err why;
	int ret = -1;

	cluster->broken &= key != NULL;
	if (key == NULL || key->mod == cluster->view_mod)
		return 0;
	cluster->view_mod = key->mod;
	root = json_parse(key->value, key->len, &why);
	if (root != NULL)
		ret = read_view(cluster, root, &why);
	json_close(&root);
	cluster->broken = ret < 0;
	return ret == 0 ? 0 : director_cluster_complain(cluster, key, why.text,
							err);
}

/* All that administrators and the configuration say. */
static int take_all(struct director_cluster *cluster, struct err *err)
{
	int ret;

	director_state_clear(cluster->wanted);
	ret = load_wanted(cluster, cluster->wanted, err);
	cluster->stale = cluster->polled = false;
	cluster->news |= DIRECTOR_NEWS_SERVERS | DIRECTOR_NEWS_PINS;
	return ret;
}

static int take_pin(struct director_cluster *cluster, const char *name,
		    struct err *err)
{
	const struct cluster_key *key = cluster_keys_find(&cluster->keys, name);
	const char *text = name + strlen(pins.prefix);
	uint64_t user;

	if (director_read_key(text, &user) == 0 && text[16] == '\0')
		director_state_unpin(cluster->wanted, user);
	return key != NULL
		       ? load_key(cluster, &pins, key, cluster->wanted, err) : 0;
}

/* Of ten thousand users who were moved, those who were just now. */
static int take_pins(struct director_cluster *cluster, struct err *err)
{
	int ret = 0;
	size_t i;

	for (i = 0; i < cluster->pins.count; i++) {
		if (take_pin(cluster, cluster->pins.list[i].name, err) < 0)
			ret = -1;
		cluster->news |= DIRECTOR_NEWS_PINS;
	}
	return ret;
}

static int take_wanted(struct director_cluster *cluster, struct err *err)
{
	int ret = cluster->stale ? take_all(cluster, err)
				 : take_pins(cluster, err);

	cluster_keys_clear(&cluster->pins);
	return ret;
}

/* A server that is new may have had votes before. */
static void take_votes(struct director_cluster *cluster, bool new_servers)
{
	if (cluster->polled && !new_servers)
		return;
	forget_health(cluster->wanted);
	director_cluster_count_votes(cluster);
	cluster->polled = true;
	cluster->news |= DIRECTOR_NEWS_HEALTH;
}

unsigned director_cluster_news(const struct director_cluster *cluster)
{
	return cluster->news;
}

int director_cluster_settled(struct director_cluster *cluster,
			     struct err *err)
{
	int ret = take_config(cluster, err);
	unsigned known = cluster->wanted->count;

	cluster->news = 0;
	if (take_wanted(cluster, err) < 0)
		ret = -1;
	director_cluster_align(cluster);
	if (load_view(cluster, err) < 0)
		ret = -1;
	director_cluster_align(cluster);
	take_votes(cluster, cluster->wanted->count > known);
	if (director_cluster_check_processes(cluster, err) < 0)
		ret = -1;
	cluster->joined |= director_cluster_is_member(cluster);
	director_cluster_look_for_away(cluster);
	director_cluster_hear_own(cluster);
	cluster->told = cluster->newest;
	return ret;
}

/* --- what follows --- */

uint64_t director_cluster_serial(const struct director_cluster *cluster)
{
	return cluster->serial;
}

int64_t director_cluster_revision(const struct director_cluster *cluster)
{
	return cluster->view_mod;
}

const struct director_state *
director_cluster_now(const struct director_cluster *cluster)
{
	return cluster->serial > 0 && cluster->joined ? &cluster->now : NULL;
}

const struct director_state *
director_cluster_before(const struct director_cluster *cluster)
{
	return cluster->has_before && cluster->joined ? &cluster->before : NULL;
}

bool director_cluster_agreed(const struct director_cluster *cluster)
{
	return cluster->serial > 0 && !cluster->has_before;
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
	director_state_copy(draft, cluster->wanted);
	forget_health(draft);
}

static size_t wanted_size(const struct director_state *state)
{
	struct str view = STR_INIT;
	size_t size;

	director_view_put_healthy(state, &view);
	size = view.len;
	str_free(&view);
	return size;
}

int director_cluster_fits(const struct director_cluster *cluster,
			  const struct director_state *draft, struct err *err)
{
	size_t size = wanted_size(draft);

	if (size <= DIRECTOR_CLUSTER_MAX_VIEW ||
	    size <= wanted_size(cluster->wanted))
		return 0;
	return err_set(err, "the cluster's view would be %zu KiB large, of %d "
		       "that it may be: fewer servers, shorter names or fewer "
		       "users who were moved are needed", (size + 1023) / 1024,
		       DIRECTOR_CLUSTER_MAX_VIEW / 1024);
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
	/* Of another version, perhaps. */
	if (value->len == 0 && !key->sound)
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

static void change_pins(struct changes *changes,
			const struct director_state *draft)
{
	struct str name = STR_INIT, value = STR_INIT;
	unsigned i;

	for (i = 0; i < draft->pins.count; i++) {
		const struct director_pin *pin = draft->pins.list[i];

		str_clear(&name);
		str_clear(&value);
		str_puts(&name, pins.prefix);
		director_put_key(&name, pin->key);
		director_state_put_pin(draft, pin, &value);
		change_key(changes, str_c(&name), &value);
	}
	str_free(&name);
	str_free(&value);
}

static void drop_pins(struct changes *changes,
		      const struct director_state *draft)
{
	const struct cluster_key *key;
	struct str none = STR_INIT;
	size_t i, count;

	key = cluster_keys_under(&changes->cluster->keys, "pin/", &count);
	for (i = 0; i < count; i++) {
		uint64_t user;

		if (director_read_key(key[i].name + strlen("pin/"), &user) == 0 &&
		    director_state_pin_of(draft, user) == NULL)
			change_key(changes, key[i].name, &none);
	}
}

void director_cluster_change(const struct director_cluster *cluster,
			     const struct director_state *draft,
			     struct arena *arena, struct etcd_txn *txn_r)
{
	struct changes changes = { .cluster = cluster, .arena = arena };
	size_t most = draft->count + draft->pins.count + cluster->keys.count;

	changes.compares = arena_alloc(arena, most * sizeof(*changes.compares));
	changes.ops = arena_alloc(arena, most * sizeof(*changes.ops));
	change_backends(&changes, draft);
	change_pins(&changes, draft);
	drop_pins(&changes, draft);
	*txn_r = (struct etcd_txn){ changes.compares, changes.count,
				    changes.ops, changes.count };
}

static bool op_is_so(const struct director_cluster *cluster,
		     const struct etcd_op *op)
{
	const struct cluster_key *key = cluster_keys_find(
		&cluster->keys, name_of(cluster, op->key));

	if (op->delete)
		return key == NULL;
	return key != NULL && key->len == op->value.len &&
	       memcmp(key->value, op->value.data, key->len) == 0;
}

bool director_cluster_is_so(const struct director_cluster *cluster,
			    const struct etcd_txn *txn)
{
	size_t i;

	for (i = 0; i < txn->op_count; i++) {
		if (!op_is_so(cluster, &txn->ops[i]))
			return false;
	}
	return true;
}
