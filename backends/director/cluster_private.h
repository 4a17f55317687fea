/* What backends/director/cluster*.c share. */
#ifndef BACKENDS_DIRECTOR_CLUSTER_PRIVATE_H
#define BACKENDS_DIRECTOR_CLUSTER_PRIVATE_H

#include "backends/director/cluster.h"

/* This process finds a server dead. */
struct cluster_vote {
	uint32_t id;
	char *why; /* NULL: it does not, any more */
	uint64_t at_s;
};

struct director_cluster {
	struct director_cluster_self self;
	struct cluster_keys keys;
	struct director_state *wanted;
	struct director_state now, before;
	bool has_before;
	bool broken; /* the view cannot be read */
	uint64_t serial;
	int64_t view_mod;

	/* what this process says */
	int64_t lease;
	struct str config; /* the value of the key */
	bool insists;	   /* on it */
	struct cluster_vote *votes;
	unsigned vote_count;
	uint64_t done;
};

void director_cluster_align(struct director_cluster *cluster);

/* Sets the health of wanted. */
void director_cluster_count_votes(struct director_cluster *cluster);

/* Whether no other node is there, or away. */
bool director_cluster_is_alone(const struct director_cluster *cluster);

/* Appends the name of a server in keys. */
void director_cluster_put_server(struct str *out,
				 const struct director_server *server);

/* The key with that name, in arena. */
struct etcd_bytes director_cluster_key(const struct director_cluster *cluster,
				       struct arena *arena, const char *name);

/* The process's own key, without the prefix, in arena. */
const char *director_cluster_own(const struct director_cluster *cluster,
				 struct arena *arena);

/* Splits "KIND/NODE/PROCESS" or with more behind it; -1: it is not that. Lengths
 * of the pieces; *rest_r: what follows, "" or behind a slash. */
struct cluster_place {
	const char *node, *process, *rest;
	size_t node_len, process_len;
};
int director_cluster_place(const char *name, struct cluster_place *place_r);

#endif
