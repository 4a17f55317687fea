/* A cluster in memory, on a clock of its own: a store of keys, nodes that are each
 * a real struct director_cluster, servers, and deliveries. Everything follows from
 * the seed. */
#ifndef BENCH_CLUSTER_WORLD_H
#define BENCH_CLUSTER_WORLD_H

#include "backends/director/cluster.h"
#include "backends/director/map.h"
#include "t/etcd_store.h"

#define NOWHERE UINT32_MAX
#define MAX_NODES 16

struct options {
	uint64_t seed;
	unsigned nodes, backends, rounds, busy, delay_ms, delivery_ms;
	uint64_t users;
	enum director_method method;
	bool steady; /* no faults: changes by administrators only */
	bool pairs;  /* each two of the nodes are processes of one */
};

/* What a node routes by: as proxy/director/director.c makes it of a state. */
struct standing {
	uint32_t place; /* of the server in the world */
	bool open, lost;
};

struct route {
	struct arena *arena; /* NULL: nothing is known */
	struct director_servers servers;
	struct director_map *map;
	struct standing *standings;
	unsigned count;
	struct director_pin_copy {
		uint64_t key;
		uint32_t server;
	} *pins;
	unsigned pin_count;
};

/* In the place of route. last: another one, by which it is made sooner. */
void route_make(struct route *route, const struct director_state *state,
		enum director_method method, const struct route *last);
void route_free(struct route *route);

/* An id of the state; NOWHERE. */
uint32_t route_find(const struct route *route, uint64_t user);

/* A user's deliveries at one node. */
struct presence {
	uint32_t server; /* id */
	uint32_t stay;
	unsigned count, waiters;
	bool lingers;
};

struct delivery {
	enum { FREE, WAITS, INSIDE } state;
	unsigned number; /* of all that have been here */
	unsigned node, user, place;
	uint32_t stay;
	uint64_t came_us;
	bool live; /* its server is */
	int next;  /* of those who wait at the node, or are free */
};

struct node {
	unsigned index, life; /* which of its processes this is */
	char name[16], process[16];
	struct director_cluster_self self;
	struct director_state wanted;
	struct director_cluster *cluster; /* NULL: it does not run */
	bool cut;		/* off the store */
	uint64_t paused_us;	/* until then */
	bool held; /* it was, and has not heard yet what the others did */
	bool stopping, writing, renewing;
	int64_t seen, awaited, lease; /* seen 0: it is not in step */
	uint64_t told_us;	/* nothing comes before what was sent before */
	struct route now, before;
	int64_t revision; /* of the view that they are of */
	uint64_t done;	  /* the last that was said */
	bool known;
	struct presence *users;
	unsigned deliveries, lingering;
	int first_waiter, last_waiter;
	bool *dead; /* servers, as it finds */
};

/* In the world, whatever anybody thinks of it. */
struct backend {
	bool alive, hangs;
};

struct figures {
	uint64_t deliveries, refused, waited, timeouts, broken;
	uint64_t longest_wait_us;
	unsigned views, losses, taken_back;
	uint64_t *agree_us; /* of each that was agreed on while all was well */
	unsigned agreed;
	double moved, had_to; /* shares of users */
	double settle_s, next_s, route_s;
	unsigned settles;
};

struct world;
typedef void event_fn(struct world *world, uintptr_t a, uintptr_t b);

struct event {
	uint64_t at_us, order;
	event_fn *fn;
	uintptr_t a, b;
};

struct world {
	struct options options;
	uint64_t now_us, random, order;
	struct event *events; /* a heap */
	size_t event_count, event_size;
	struct etcd_store store;
	uint64_t *lease_ends_us; /* by number */
	int64_t lease_count;
	struct arena *arena;
	struct director_servers servers; /* of the configuration */
	struct node nodes[MAX_NODES];
	struct backend *backends;
	uint64_t *users; /* those who get mail: hashes */
	unsigned user_count;
	struct user_truth {
		unsigned place, count; /* deliveries under way there */
	} *truth;
	struct delivery *deliveries;
	int delivery_count, free_delivery;
	struct figures figures;
	uint64_t serial, view_us; /* of the last view, and since when */
	bool view_well;		  /* all was well all the time */
	bool resting; /* nobody sends any more */
};

uint64_t world_random(struct world *world, uint64_t below);

/* 64 bits that look like chance, and are the same each time. */
uint64_t world_mix(uint64_t x);

/* One of so many ms, half as much or one and a half times as much. */
uint64_t world_about_us(struct world *world, uint64_t ms);

void world_at(struct world *world, uint64_t at_us, event_fn *fn, uintptr_t a,
	      uintptr_t b);

void world_init(struct world *world, const struct options *options);
void world_free(struct world *world);
void world_run(struct world *world, uint64_t until_us);

/* Whether all nodes run and are in step. */
bool world_is_well(const struct world *world);

/* --- what happens to it --- */

void node_start(struct world *world, struct node *node);
void node_kill(struct world *world, struct node *node);
void node_stop(struct world *world, struct node *node); /* in good order */
void node_cut(struct world *world, struct node *node);
void node_heal(struct world *world, struct node *node);
void node_pause(struct world *world, struct node *node, uint64_t until_us);
void backend_die(struct world *world, unsigned place, bool hangs);
void backend_live(struct world *world, unsigned place);

/* Whether another process of the same node runs. */
bool node_has_sibling(const struct world *world, const struct node *node);

/* One that can be asked to change something; NULL: there is none. */
struct node *world_any_in_step(struct world *world);
void node_change(struct world *world, struct node *node,
		 const struct director_state *draft);
void node_configure(struct world *world, struct node *node, unsigned count);

/* The place of a server. */
unsigned place_of(const struct director_server *server);

/* --- parts of the above: bench/cluster_node.c --- */

/* The node says what there is to say. */
void node_write(struct world *world, struct node *node);

/* Which servers it finds dead. */
void node_vote(struct node *node);

/* A message to a node: what the store has by now. */
void node_told(struct world *world, uintptr_t message, uintptr_t unused);

/* --- bench/cluster_deliveries.c --- */

void deliveries_init(struct world *world);
void deliveries_free(struct world *world);
void deliveries_end_all(struct world *world, struct node *node);
void deliveries_lose(struct world *world, unsigned place);

/* The node has another route. */
void deliveries_look(struct world *world, struct node *node);

/* Some are over: it may be done with the view, or have stopped. */
void node_look(struct world *world, struct node *node);

#endif
