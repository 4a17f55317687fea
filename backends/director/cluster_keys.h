/* The keys of a cluster as its store last told them, in their order. */
#ifndef BACKENDS_DIRECTOR_CLUSTER_KEYS_H
#define BACKENDS_DIRECTOR_CLUSTER_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cluster_key {
	char *name;  /* without the cluster's prefix */
	char *value; /* a NUL behind its len bytes */
	size_t len;
	int64_t create, mod; /* revisions */
	bool sound;	     /* whoever has put it found that it can be read */
};

struct cluster_keys {
	struct cluster_key *list;
	size_t count, size;
};

void cluster_keys_clear(struct cluster_keys *keys);

/* Sets a key, and returns it until keys change; name and value are copied. */
struct cluster_key *
cluster_keys_put(struct cluster_keys *keys, const char *name, const char *value,
		 size_t len, int64_t create, int64_t mod);

/* Nothing happens when it is not there. */
void cluster_keys_drop(struct cluster_keys *keys, const char *name);

/* NULL: it is not there. Valid until keys change. */
const struct cluster_key *cluster_keys_find(const struct cluster_keys *keys,
					    const char *name);

/* Where the keys that begin with prefix are: count_r of them. */
const struct cluster_key *cluster_keys_under(const struct cluster_keys *keys,
					     const char *prefix,
					     size_t *count_r);

#endif
