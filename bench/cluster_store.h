/* The store of a simulated cluster, and what is on its way to it and from it. */
#ifndef BENCH_CLUSTER_STORE_H
#define BENCH_CLUSTER_STORE_H

#include "bench/cluster_world.h"

#define PREFIX "/waypost/sim/"
#define LEASE_US UINT64_C(10000000) /* cluster_lease_time */

/* To a process of a node, or from it. */
struct message {
	struct arena *arena;
	struct node *node;
	unsigned life;
	struct etcd_txn txn;
	int64_t revision, lease;
	bool done, goes;
	struct etcd_store *copy; /* of all keys */
};

struct message *message_new(struct node *node);
void message_free(struct message *message);

/* Whether it is still the same process, and can be reached. */
bool message_arrives(const struct message *message);

/* Has fn called with the message, when it is there. */
void message_to_store(struct world *world, struct message *message,
		      event_fn *fn);

/* The same, in the order of sending. */
void message_to_node(struct world *world, struct message *message,
		     event_fn *fn);

/* A process that is stopped hears of it later: whether that is so. */
bool message_is_put_off(struct world *world, struct message *message,
			event_fn *fn);

/* The store has other keys than at the revision before, perhaps. */
void store_tell_nodes(struct world *world, int64_t before);

int64_t store_grant(struct world *world);

#endif
