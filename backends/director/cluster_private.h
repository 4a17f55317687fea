/* What backends/director/cluster*.c share. */
#ifndef BACKENDS_DIRECTOR_CLUSTER_PRIVATE_H
#define BACKENDS_DIRECTOR_CLUSTER_PRIVATE_H

#include "backends/director/cluster.h"

/* This process finds a server dead. */
struct cluster_vote {
	uint32_t id;
	char *why; /* NULL: it does not, any more */
	uint64_t at_s;
	uint64_t recovery; /* when it last found the server well again */
};

struct director_cluster {
	struct director_cluster_self self;
	struct cluster_keys keys;
	struct director_state *wanted;
	struct director_state now, before;
	struct director_state trial; /* of a configuration that may be none */
	/* Cleared: what a view that may be none is read into, to be in place of now
	 * and before then, with the same ids. */
	struct director_state next_now, next_before;
	bool has_before;
	bool broken; /* the view is another one, which cannot be read */
	bool stale_view; /* or which is older */
	uint64_t serial;
	int64_t view_mod;
	struct str wanted_config; /* the key's last value that could be read */
	char *hash;		  /* as it says; NULL: there was none */
	int64_t config_mod;
	int64_t newest, told; /* of all keys, and when last settled */
	bool joined;	      /* the others have known this process */
	bool stale;	      /* wanted: but for health, its keys are others */
	struct cluster_keys pins; /* that have changed since, unless stale */
	bool polled;	      /* its health is what votes say */
	unsigned news;	      /* enum director_cluster_news */
	char *away;	      /* a node; NULL: none */

	/* what this process says */
	int64_t lease;
	struct str config; /* the value of the key */
	bool insists;	   /* on it */
	struct cluster_vote *votes;
	unsigned vote_count;
	uint64_t recoveries; /* so far: with each it has something to write */
	uint64_t told_recoveries; /* by the store */
	uint64_t slept; /* which of them was from sleep; 0: none */
	uint64_t done;
	bool (*lives)(void *arg, const char *process); /* NULL: all do */
	void *lives_arg;
};

/* Of the key of a node that has said goodbye, and that has, or seems to have,
 * another process, which is dead or about to end. */
#define CLUSTER_GOING "{\"going\":true}"

void director_cluster_align(struct director_cluster *cluster);

/* Sets the health of wanted. */
void director_cluster_count_votes(struct director_cluster *cluster);

/* Whether no other node is there, or away. */
bool director_cluster_is_alone(const struct director_cluster *cluster);

/* Whether there is no other process, of this node or another, either. */
bool director_cluster_is_only(const struct director_cluster *cluster);

/* Whether all processes of all nodes are done with the view. */
bool director_cluster_all_done(const struct director_cluster *cluster);

/* Hears what this process has written of itself. */
void director_cluster_hear_own(struct director_cluster *cluster);

/* Finds out what director_cluster_away() says. */
void director_cluster_look_for_away(struct director_cluster *cluster);

/* Whether a key of another process of this node, with "KIND/NODE/PROCESS", is of one
 * that has died. */
bool director_cluster_is_dead(const struct director_cluster *cluster,
			      const struct cluster_key *key);

/* The key of this kind ("node/", "runs/") that this process has, in arena. */
const char *director_cluster_own_key(const struct director_cluster *cluster,
				     struct arena *arena, const char *kind);

/* The keys of this kind of a node's processes: count_r of them. */
const struct cluster_key *
director_cluster_of_node(const struct director_cluster *cluster,
			 const char *kind, const char *node, size_t *count_r);

/* -1 and err: a key that is news is none of a process, or says nothing. */
int director_cluster_check_processes(const struct director_cluster *cluster,
				     struct err *err);

/* Puts into err what is wrong with a key, if that is news: -1. Else 0. */
int director_cluster_complain(const struct director_cluster *cluster,
			      const struct cluster_key *key, const char *why,
			      struct err *err);

/* What a process says of its configuration: short, and the same for the same text
 * in all processes. Appended. */
void director_cluster_put_digest(struct str *out, const char *text, size_t len);

/* Appends the name of a server in keys. */
void director_cluster_put_server(struct str *out,
				 const struct director_server *server);

/* The key with that name, in arena. */
struct etcd_bytes director_cluster_key(const struct director_cluster *cluster,
				       struct arena *arena, const char *name);

/* Splits "KIND/NODE/PROCESS", or with a slash and more behind it; -1: it is not
 * that. */
struct cluster_place {
	const char *node, *process, *rest; /* rest NULL: there is no more */
	size_t node_len, process_len;
};
int director_cluster_place(const char *name, struct cluster_place *place_r);

#endif
