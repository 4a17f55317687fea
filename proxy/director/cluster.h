/* A node of a cluster: keeps the director's state in step with etcd. On the
 * control loop; backends/director/cluster.h has the rules. */
#ifndef PROXY_DIRECTOR_CLUSTER_H
#define PROXY_DIRECTOR_CLUSTER_H

#include "backends/director/cluster.h"
#include "proxy/settings/settings.h"

struct cluster_node;

struct cluster_node_events {
	/* What is wanted, or the view, may have changed; shares and trust of
	 * what is wanted are to be set. Called from the loop. */
	void (*changed)(void *arg);
	/* The process has said goodbye, or could not. */
	void (*left)(void *arg);
};

/* A node that begins to take part, by settings, of which it gets a reference.
 * wanted: see director_cluster_new(). NULL when it cannot be. */
struct cluster_node *cluster_node_new(struct loop *loop,
				      struct settings *settings,
				      struct director_state *wanted,
				      const struct cluster_node_events *events,
				      void *arg, struct err *err);

/* The settings are others. -1 when the node cannot go on by them without being
 * started again. */
int cluster_node_check(const struct cluster_node *node,
		       const struct settings *settings, struct err *err);

/* This node's configuration is settings from now on: when its servers are others than
 * before, all nodes are to have them. */
void cluster_node_use(struct cluster_node *node,
		      const struct settings *settings);

/* Clears the pointer; NULL is fine. Without a goodbye: the others wait until the
 * lease is over. */
void cluster_node_free(struct cluster_node **node);

/* Says goodbye; for_good: with the node, of which no other process goes on. Then
 * events->left(), once. */
void cluster_node_leave(struct cluster_node *node, bool for_good);

/* What is known, and agreed. */
struct director_cluster *cluster_node_cluster(struct cluster_node *node);

/* Something that the node says has changed: it is written, if it can be. */
void cluster_node_write(struct cluster_node *node);

/* Whether what is known is up to date. */
bool cluster_node_in_step(const struct cluster_node *node);

/* Why not, or why the node takes no part; NULL: all is well. */
const char *cluster_node_problem(const struct cluster_node *node);

/* For how long etcd has been lost, in ms; 0: it is not. */
uint64_t cluster_node_lost_ms(const struct cluster_node *node);

/* The member of etcd in use. */
const char *cluster_node_member(const struct cluster_node *node);

/* Writes txn, of any number of ops, each with a compare for the same key, which
 * lives in arena, taken over. fn is called once, from the loop: error NULL, it is
 * noted, and in force, unless it takes longer than 2 s until all nodes are done
 * with what was changed before: see director_cluster_in_force(). */
void cluster_node_change(struct cluster_node *node, const struct etcd_txn *txn,
			 struct arena *arena,
			 void (*fn)(void *arg, const char *error), void *arg);

/* Has those that are under way end: their fn are called. */
void cluster_node_end_changes(struct cluster_node *node);

#endif
