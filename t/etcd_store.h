/* A store of keys as etcd is one, in memory: revisions, transactions, leases, and
 * what has changed, in order. For tests of what several clients make of it. */
#ifndef T_ETCD_STORE_H
#define T_ETCD_STORE_H

#include "backends/director/cluster.h"
#include "lib/etcd/wire.h"

struct store_key {
	char *name, *value;
	size_t len;
	int64_t create, mod, lease;
};

/* A key was put, or is gone. */
struct store_event {
	bool gone;
	char *name, *value;
	size_t len;
	int64_t create, mod;
};

struct etcd_store {
	struct store_key *keys; /* sorted */
	size_t count, key_room;
	int64_t revision;
	int64_t *leases; /* there are */
	size_t lease_count;
	int64_t last_lease;
	struct store_event *events;
	size_t event_count, event_room;
	uint64_t writes, bytes; /* of values put */
};

void etcd_store_init(struct etcd_store *store);
void etcd_store_free(struct etcd_store *store);

int64_t etcd_store_grant(struct etcd_store *store);

/* With its keys; nothing happens when it is over. */
void etcd_store_end_lease(struct etcd_store *store, int64_t lease);
bool etcd_store_has_lease(const struct etcd_store *store, int64_t lease);

/* Whether its compares held, and its leases are there: then it is done. */
bool etcd_store_txn(struct etcd_store *store, const struct etcd_txn *txn);

/* By hand. */
void etcd_store_put(struct etcd_store *store, const char *name,
		    const char *value);
void etcd_store_delete(struct etcd_store *store, const char *name);

/* NULL: there is none. Valid until the next change. */
const struct store_key *etcd_store_find(const struct etcd_store *store,
					const char *name);

/* Begins to tell a cluster all keys; settling it is the caller's. */
void etcd_store_load(const struct etcd_store *store,
		     struct director_cluster *cluster);

/* Tells a cluster all keys, and settles it. */
int etcd_store_tell_all(const struct etcd_store *store,
			struct director_cluster *cluster, struct err *err);

/* Tells what came after revision after, up to revision last, and settles. */
int etcd_store_tell(const struct etcd_store *store,
		    struct director_cluster *cluster, int64_t after,
		    int64_t last, struct err *err);

/* Events up to that revision are not asked for any more. */
void etcd_store_compact(struct etcd_store *store, int64_t revision);

#endif
