/* What tests of a cluster's rules share: processes of its nodes, and their store.
 * Included by one .c file per program. */
#ifndef CLUSTER_HELPER_H
#define CLUSTER_HELPER_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "backends/director/cluster.h"
#include "t/etcd_store.h"
#include "t/unit/director_helper.h"

#define PREFIX "/waypost/mail/"
#define SERVERS "10.0.0.1-10.0.0.4"
#define SERVER(n) "10.0.0." #n

/* A process. */
struct peer {
	struct director_cluster_self self;
	struct director_state wanted;
	struct director_cluster *cluster;
	int64_t seen, lease;
	bool slow; /* says what it is done with when told to */
};

static struct arena *arena;
static struct etcd_store store;
static struct err err;
static struct peer a, b;

static inline void world_start(void)
{
	arena = arena_new(4096);
	etcd_store_init(&store);
}

static inline void world_end(void)
{
	etcd_store_free(&store);
	arena_free(&arena);
}

/* Of node a process, which is not told anything yet. */
static inline void peer_make(struct peer *peer, const char *node,
			     const char *process, const char *hash)
{
	*peer = (struct peer){
		.self = { PREFIX, node, process, hash, "1.0",
			  strtoull(process, NULL, 10) },
	};
	director_state_init(&peer->wanted);
	peer->cluster = director_cluster_new(&peer->self, &peer->wanted);
	peer->lease = etcd_store_grant(&store);
	director_cluster_set_lease(peer->cluster, peer->lease);
}

static inline void peer_configure(struct peer *peer, const char *servers)
{
	director_cluster_configure(peer->cluster, servers_of(arena, servers));
}

/* Without a goodbye; its lease goes on. */
static inline void peer_free(struct peer *peer)
{
	director_cluster_free(&peer->cluster);
	director_state_free(&peer->wanted);
}

static inline int peer_hear(struct peer *peer)
{
	int ret = peer->seen == 0
			  ? etcd_store_tell_all(&store, peer->cluster, &err)
			  : etcd_store_tell(&store, peer->cluster, peer->seen,
					    store.revision, &err);

	peer->seen = store.revision;
	if (!peer->slow && director_cluster_now(peer->cluster) != NULL)
		director_cluster_done(peer->cluster,
				      director_cluster_serial(peer->cluster));
	return ret;
}

/* Whether there was something to write. */
static inline bool peer_write(struct peer *peer)
{
	struct etcd_txn txn;

	if (!director_cluster_next(peer->cluster, arena, &txn))
		return false;
	etcd_store_txn(&store, &txn);
	return true;
}

/* All hear and write until nobody has anything more to say. */
static inline void settle(struct peer *const *peers, unsigned count)
{
	unsigned i, rounds = 0;
	bool wrote = true;

	while (wrote) {
		cr_assert_lt(rounds++, 100, "there is no end of writing");
		wrote = false;
		for (i = 0; i < count; i++) {
			peer_hear(peers[i]);
			wrote |= peer_write(peers[i]);
		}
	}
	for (i = 0; i < count; i++)
		peer_hear(peers[i]);
}

#define SETTLE(...) \
	settle((struct peer *const[]){ __VA_ARGS__ }, \
	       sizeof((struct peer *const[]){ __VA_ARGS__ }) / \
		       sizeof(struct peer *))

static inline void join(struct peer *peer, const char *node,
			const char *servers)
{
	peer_make(peer, node, "1", "rendezvous %Lu");
	peer_configure(peer, servers);
}

static inline void goodbye(struct peer *peer)
{
	struct etcd_txn txn;

	director_cluster_leave(peer->cluster, true, arena, &txn);
	cr_assert(etcd_store_txn(&store, &txn));
	etcd_store_end_lease(&store, peer->lease);
	peer_free(peer);
}

static inline uint64_t serial(const struct peer *peer)
{
	return director_cluster_serial(peer->cluster);
}

static inline const struct director_backend *
backend_in(const struct director_state *state, const char *ip)
{
	unsigned i;

	cr_assert_not_null(state);
	for (i = 0; i < state->count; i++) {
		if (strcmp(state->backends[i].server.ip, ip) == 0)
			return &state->backends[i];
	}
	cr_assert_fail("%s is nowhere", ip);
	return NULL;
}

static inline const struct director_backend *now_of(const struct peer *peer,
						    const char *ip)
{
	return backend_in(director_cluster_now(peer->cluster), ip);
}

static inline bool is_lost(const struct peer *peer, const char *ip)
{
	return now_of(peer, ip)->sick;
}

static inline void vote(struct peer *peer, const char *ip, const char *why)
{
	director_cluster_vote(peer->cluster,
			      backend_in(&peer->wanted, ip)->server.id, why,
			      1000);
}

/* The draft that an administrator changes. */
static inline bool set_admin(struct peer *peer, const char *ip,
			     enum director_admin admin)
{
	struct director_state draft;
	struct etcd_txn txn;

	director_cluster_draft(peer->cluster, &draft);
	director_state_set_admin(&draft, director_state_find(&draft, ip, &err),
				 admin, "admin", 1000);
	director_cluster_change(peer->cluster, &draft, arena, &txn);
	director_state_free(&draft);
	return etcd_store_txn(&store, &txn);
}

static inline enum director_admin admin_of(const struct peer *peer,
					   const char *ip)
{
	return now_of(peer, ip)->admin;
}

static inline bool agreed(const struct peer *peer)
{
	return director_cluster_agreed(peer->cluster);
}

static inline bool adopt(struct peer *peer)
{
	struct etcd_txn txn;

	director_cluster_adopt(peer->cluster, arena, &txn);
	return etcd_store_txn(&store, &txn);
}

static inline void forget(struct peer *peer, const char *node)
{
	struct etcd_txn txn;

	director_cluster_forget(peer->cluster, node, arena, &txn);
	cr_assert(etcd_store_txn(&store, &txn));
}

/* Both of them, agreed. */
static inline void two(void)
{
	join(&a, "a", SERVERS);
	SETTLE(&a);
	join(&b, "b", SERVERS);
	SETTLE(&a, &b);
}

static inline void free_two(void)
{
	peer_free(&a);
	peer_free(&b);
}

#endif
