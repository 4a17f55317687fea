#include "t/etcd_store.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/panic.h"

static void free_key(struct store_key *key)
{
	mem_free(&key->name);
	mem_free(&key->value);
}

static void free_event(struct store_event *event)
{
	mem_free(&event->name);
	mem_free(&event->value);
}

void etcd_store_init(struct etcd_store *store)
{
	*store = (struct etcd_store){ .revision = 1 };
}

void etcd_store_free(struct etcd_store *store)
{
	size_t i;

	for (i = 0; i < store->count; i++)
		free_key(&store->keys[i]);
	for (i = 0; i < store->event_count; i++)
		free_event(&store->events[i]);
	mem_free(&store->keys);
	mem_free(&store->events);
	mem_free(&store->leases);
	store->count = store->event_count = store->lease_count = 0;
	store->key_room = store->event_room = 0;
}

/* --- keys --- */

static size_t place_of(const struct etcd_store *store, const char *name)
{
	size_t low = 0, high = store->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(store->keys[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct store_key *find(const struct etcd_store *store, const char *name)
{
	size_t place = place_of(store, name);

	return place < store->count &&
			       strcmp(store->keys[place].name, name) == 0
		       ? &store->keys[place] : NULL;
}

const struct store_key *etcd_store_find(const struct etcd_store *store,
					const char *name)
{
	return find(store, name);
}

static void note(struct etcd_store *store, const struct store_key *key,
		 bool gone)
{
	struct store_event *event;

	if (store->event_count == store->event_room) {
		store->event_room = store->event_room * 2 + 16;
		store->events = mem_realloc(store->events, store->event_room *
							   sizeof(*event));
	}
	event = &store->events[store->event_count++];
	*event = (struct store_event){
		.gone = gone,
		.name = mem_strdup(key->name),
		.value = mem_strndup(gone ? "" : key->value,
				     gone ? 0 : key->len),
		.len = gone ? 0 : key->len,
		.create = key->create,
		.mod = store->revision,
	};
}

static struct store_key *add_key(struct etcd_store *store, const char *name)
{
	size_t place = place_of(store, name);
	struct store_key *key;

	if (store->count == store->key_room) {
		store->key_room = store->key_room * 2 + 16;
		store->keys = mem_realloc(store->keys,
					  store->key_room * sizeof(*key));
	}
	key = &store->keys[place];
	memmove(key + 1, key, (store->count++ - place) * sizeof(*key));
	*key = (struct store_key){
		.name = mem_strdup(name),
		.create = store->revision,
	};
	return key;
}

static void put(struct etcd_store *store, const char *name, const char *value,
		size_t len, int64_t lease)
{
	struct store_key *key = find(store, name);

	if (key == NULL)
		key = add_key(store, name);
	mem_free(&key->value);
	key->value = mem_alloc(len + 1);
	memcpy(key->value, value, len);
	key->len = len;
	key->mod = store->revision;
	key->lease = lease;
	store->writes++;
	store->bytes += len;
	note(store, key, false);
}

static void drop(struct etcd_store *store, struct store_key *key)
{
	note(store, key, true);
	free_key(key);
	memmove(key, key + 1, (size_t)(store->keys + --store->count - key) *
				      sizeof(*key));
}

void etcd_store_put(struct etcd_store *store, const char *name,
		    const char *value)
{
	store->revision++;
	put(store, name, value, strlen(value), 0);
}

void etcd_store_delete(struct etcd_store *store, const char *name)
{
	struct store_key *key = find(store, name);

	ASSERT(key != NULL);
	store->revision++;
	drop(store, key);
}

/* --- leases --- */

int64_t etcd_store_grant(struct etcd_store *store)
{
	store->leases = mem_realloc(store->leases,
				    (store->lease_count + 1) *
					    sizeof(*store->leases));
	return store->leases[store->lease_count++] = ++store->last_lease;
}

bool etcd_store_has_lease(const struct etcd_store *store, int64_t lease)
{
	size_t i;

	for (i = 0; i < store->lease_count; i++) {
		if (store->leases[i] == lease)
			return true;
	}
	return false;
}

void etcd_store_end_lease(struct etcd_store *store, int64_t lease)
{
	size_t i = 0, kept = 0;
	bool any = false;

	for (i = 0; i < store->lease_count; i++) {
		if (store->leases[i] != lease)
			store->leases[kept++] = store->leases[i];
	}
	if (kept == store->lease_count)
		return;
	store->lease_count = kept;
	for (i = store->count; i > 0; i--) {
		if (store->keys[i - 1].lease != lease)
			continue;
		store->revision += !any;
		any = true;
		drop(store, &store->keys[i - 1]);
	}
}

/* --- transactions --- */

static bool holds(const struct etcd_store *store,
		  const struct etcd_compare *compare)
{
	const struct store_key *key = find(store, compare->key.data);
	int64_t number = 0;

	ASSERT(compare->target != ETCD_COMPARE_VERSION);
	if (key != NULL)
		number = compare->target == ETCD_COMPARE_MOD ? key->mod
							     : key->create;
	return number == compare->number;
}

static bool can_be_done(const struct etcd_store *store,
			const struct etcd_txn *txn)
{
	size_t i;

	ASSERT(txn->op_count <= ETCD_MAX_OPS);
	ASSERT(txn->compare_count <= ETCD_MAX_OPS);
	for (i = 0; i < txn->compare_count; i++) {
		if (!holds(store, &txn->compares[i]))
			return false;
	}
	for (i = 0; i < txn->op_count; i++) {
		if (!txn->ops[i].delete && txn->ops[i].lease != 0 &&
		    !etcd_store_has_lease(store, txn->ops[i].lease))
			return false;
	}
	return true;
}

bool etcd_store_txn(struct etcd_store *store, const struct etcd_txn *txn)
{
	struct store_key *key;
	bool changes = false;
	size_t i;

	if (!can_be_done(store, txn))
		return false;
	for (i = 0; i < txn->op_count; i++) {
		const struct etcd_op *op = &txn->ops[i];

		key = find(store, op->key.data);
		if (op->delete && key == NULL)
			continue;
		store->revision += !changes;
		changes = true;
		if (op->delete)
			drop(store, key);
		else
			put(store, op->key.data, op->value.data, op->value.len,
			    op->lease);
	}
	return true;
}

/* --- telling --- */

static void tell_put(struct director_cluster *cluster, const char *name,
		     const char *value, size_t len, int64_t create, int64_t mod)
{
	struct etcd_kv kv = {
		.key = { name, strlen(name) },
		.value = { value, len },
		.create_revision = create,
		.mod_revision = mod,
	};

	director_cluster_put(cluster, &kv);
}

void etcd_store_load(const struct etcd_store *store,
		     struct director_cluster *cluster)
{
	size_t i;

	director_cluster_begin(cluster);
	for (i = 0; i < store->count; i++) {
		const struct store_key *key = &store->keys[i];

		tell_put(cluster, key->name, key->value, key->len, key->create,
			 key->mod);
	}
}

int etcd_store_tell_all(const struct etcd_store *store,
			struct director_cluster *cluster, struct err *err)
{
	etcd_store_load(store, cluster);
	return director_cluster_settled(cluster, err);
}

int etcd_store_tell(const struct etcd_store *store,
		    struct director_cluster *cluster, int64_t after,
		    int64_t last, struct err *err)
{
	size_t i = store->event_count;

	while (i > 0 && store->events[i - 1].mod > after)
		i--;
	for (; i < store->event_count && store->events[i].mod <= last; i++) {
		const struct store_event *event = &store->events[i];
		struct etcd_bytes name = { event->name, strlen(event->name) };

		if (event->gone)
			director_cluster_gone(cluster, name);
		else
			tell_put(cluster, event->name, event->value, event->len,
				 event->create, event->mod);
	}
	return director_cluster_settled(cluster, err);
}

void etcd_store_compact(struct etcd_store *store, int64_t revision)
{
	size_t i, count = 0;

	while (count < store->event_count &&
	       store->events[count].mod <= revision)
		free_event(&store->events[count++]);
	store->event_count -= count;
	for (i = 0; i < store->event_count && count > 0; i++)
		store->events[i] = store->events[i + count];
}
