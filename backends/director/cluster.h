/* What the nodes of a cluster agree on, through a store of keys that all of them
 * see changed in the same order (etcd). No I/O and no clock: the owner tells what
 * the store says, and writes what this module wants written.
 *
 * All nodes route by one key, the view, and by nothing else: so a user is at the
 * same server for each node that has seen the same view. The views' serial
 * numbers grow. Users whom view N moves wait, at each node, until all processes
 * of all nodes have said that their deliveries by earlier views are over for
 * those whom N moves (they are "done" with N), and view N says no more what was
 * before it. Then the next view may come, not before. Who is at a server that is
 * lost is not waited for, and so a view may lose servers at any time, under the
 * same serial number.
 *
 * A process routes once the others know it, and so wait for it. One whose lease has
 * run out may live, and go on routing by the last view that it has seen: it is away.
 * So each leaves word that it runs, in a key that has no lease, and takes that back
 * when it says goodbye. Of a node that is being replaced (USR2, a reload) there are
 * several; that one of them has died is for the kernel of the node to say, and so for
 * the others of that node to write.
 *
 * A view that is older than one that a process knows is none: the store was restored from
 * a copy, and who knows a later view writes that again.
 *
 * A view is written by the leader, the process that has been there longest,
 * from what the other keys say: the configuration, what administrators want,
 * and votes. A server is lost when more than half of the nodes vote so.
 *
 * While there is a process that is away, or a node without one that has not said
 * goodbye, users are moved from lost servers only; a view that it was not done with is
 * taken back, unless it has lost a server since. It comes back, or its node says that
 * it has died, or an administrator says that the node is gone.
 *
 * What no rule can do: a process that is away may have users at a server that all others
 * have lost, if it alone reaches that; and where it does not, and nobody does, the server
 * may be back before the process is. So a process doubts a server that it has found dead,
 * and then well again, until the store has told it something that it wrote after that:
 * by then it knows whether the others have lost the server. One that has slept has found
 * nothing: it lets nobody in until it has heard so.
 *
 * The keys, behind the prefix of the cluster:
 *   config                     servers as configured, and how users are hashed
 *   backend/IP@TAG             what administrators say of a server
 *   pin/KEY                    a user who was moved by hand
 *   member/NODE                a node, there or away
 *   node/NODE/PROCESS          a process of it, under its lease
 *   runs/NODE/PROCESS          it has not ended, as far as anybody knows
 *   vote/NODE/PROCESS/IP@TAG   it finds the server dead, under its lease
 *   view                       serial, now, before (of the last serial) */
#ifndef BACKENDS_DIRECTOR_CLUSTER_H
#define BACKENDS_DIRECTOR_CLUSTER_H

#include "backends/director/cluster_keys.h"
#include "backends/director/state.h"
#include "lib/etcd/wire.h"

/* Who this is. Neither node nor process has a slash. */
struct director_cluster_self {
	const char *prefix;  /* of all keys */
	const char *node;
	const char *process; /* no other one of any time has it */
	const char *hash;    /* how users are hashed: the same for all nodes */
	const char *version; /* of the program */
	uint64_t since;	     /* when it began, by the node's clock */
};

/* etcd takes 1.5 MiB at a time, and a view is there twice while users move: so much
 * may be wanted, and that leaves room for what health says of 4096 servers. Of it,
 * the configuration may have so much. */
enum {
	DIRECTOR_CLUSTER_MAX_VIEW = 640 * 1024,
	DIRECTOR_CLUSTER_MAX_CONFIG = 448 * 1024,
};

struct director_cluster;

/* wanted becomes what the store says of the servers, but for what follows from
 * their health (shares, whom to trust), which is the owner's to set. It and the
 * strings outlive the cluster. */
struct director_cluster *
director_cluster_new(const struct director_cluster_self *self,
		     struct director_state *wanted);
void director_cluster_free(struct director_cluster **cluster);

/* --- what the store says --- */

/* All keys follow. */
void director_cluster_begin(struct director_cluster *cluster);

/* Keys that do not begin with the prefix are passed over. */
void director_cluster_put(struct director_cluster *cluster,
			  const struct etcd_kv *kv);
void director_cluster_gone(struct director_cluster *cluster,
			   struct etcd_bytes key);

/* That was all up to now. Returns -1 and err when a key that is news has what
 * cannot be: it counts as if it were not there, but for the configuration and
 * the view, of which the last one stays, and a process, which is done with
 * nothing. */
int director_cluster_settled(struct director_cluster *cluster,
			     struct err *err);

/* What the last director_cluster_settled() has changed of wanted. */
enum director_cluster_news {
	DIRECTOR_NEWS_SERVERS = 1 << 0, /* or what is said of them */
	DIRECTOR_NEWS_PINS = 1 << 1,
	DIRECTOR_NEWS_HEALTH = 1 << 2, /* shares and trust are to be set anew, or
					* a doubt is over */
};
unsigned director_cluster_news(const struct director_cluster *cluster);

/* --- what follows --- */

/* What to route by, and before that, for users who have to wait; NULL: there is
 * none, or the others have not known this process yet. Backends have the same ids
 * in both, and in wanted. */
const struct director_state *
director_cluster_now(const struct director_cluster *cluster);
const struct director_state *
director_cluster_before(const struct director_cluster *cluster);

/* Of the view; 0: there is none. */
uint64_t director_cluster_serial(const struct director_cluster *cluster);

/* Of the view's key: with each change of it another one. */
int64_t director_cluster_revision(const struct director_cluster *cluster);

/* Whether this process is one of the cluster: the others know it. */
bool director_cluster_is_member(const struct director_cluster *cluster);

/* A node that is away, or of which a process is, as long as which users leave lost
 * servers only; NULL: there is none. Valid until the store tells more. */
const char *director_cluster_away(const struct director_cluster *cluster);

/* How many servers are lost in the view though enough votes for that are there no
 * longer, since a node is away, which may have users there. */
unsigned director_cluster_kept_lost(const struct director_cluster *cluster);

/* Whether all processes of all nodes were done with the view: there is no
 * before. */
bool director_cluster_agreed(const struct director_cluster *cluster);

/* Why this node cannot take part; NULL: it can. */
const char *director_cluster_problem(const struct director_cluster *cluster);

/* Whether the configuration of this node is that of the cluster. */
bool director_cluster_same_config(const struct director_cluster *cluster);

/* Whether the cluster has another one, and this node is content with it. */
bool director_cluster_yields(const struct director_cluster *cluster);

/* Whether the view is as administrators want it. */
bool director_cluster_in_force(const struct director_cluster *cluster);

/* Whether this process is the one to write views. */
bool director_cluster_leads(const struct director_cluster *cluster);

/* A process, or a node without one. */
struct director_cluster_node {
	const char *node, *process; /* process NULL: the node is away */
	bool away; /* and nothing of the below is known */
	const char *version;
	uint64_t done;
	bool leads, self;
	bool other_config; /* its configured servers are not the cluster's */
};

/* Calls fn for each; what it gets is valid until it returns. */
void director_cluster_nodes(const struct director_cluster *cluster,
			    void (*fn)(void *arg,
				       const struct director_cluster_node *),
			    void *arg);

/* Whether there is such a node; one with a process that is not away is there. */
bool director_cluster_has_node(const struct director_cluster *cluster,
			       const char *node, bool *there_r);

/* --- what this node says --- */

/* The lease of this process; 0: none. */
void director_cluster_set_lease(struct director_cluster *cluster,
				int64_t lease);

/* Whether a cluster can have these servers: -1 and err. */
int director_cluster_check_servers(const struct director_servers *servers,
				   struct err *err);

/* The servers of this node's configuration. When they are others than those of the
 * call before, the cluster is to have them, too; so it is anyway when there is no
 * other node, or no configuration. */
void director_cluster_configure(struct director_cluster *cluster,
				const struct director_servers *servers);

/* Whether this process finds the backend, which is one of wanted's, dead: why
 * (copied); NULL: it does not. now_s is kept as the time when it found so first,
 * for that reason. */
void director_cluster_vote(struct director_cluster *cluster, uint32_t id,
			   const char *why, uint64_t now_s);

/* Whether this process, which has found the backend dead and does not any more, cannot
 * know yet that the others have not lost it meanwhile; and how many there are. */
bool director_cluster_doubts(const struct director_cluster *cluster,
			     uint32_t id);
unsigned director_cluster_doubted(const struct director_cluster *cluster);

/* This process did not run for a while, in which it cannot have found a server dead; and
 * whether it has heard since then what the others made of that while. */
void director_cluster_slept(struct director_cluster *cluster);
bool director_cluster_is_awake(const struct director_cluster *cluster);

/* How to tell whether another process of this node, by its name, lives. Unless this
 * is said, all do. */
void director_cluster_set_lives(struct director_cluster *cluster,
				bool (*lives)(void *arg, const char *process),
				void *arg);

/* Its deliveries by views before that are over, for those whom it moves. */
void director_cluster_done(struct director_cluster *cluster, uint64_t serial);

/* The next thing to write: one at a time, again when the store has told what
 * came of it. Shares and trust in wanted are set. False: nothing. All lives in
 * arena. */
bool director_cluster_next(struct director_cluster *cluster,
			   struct arena *arena, struct etcd_txn *txn_r);

/* That this process goes. for_good: with its node, of which no other process goes on;
 * those that live say goodbye for themselves. */
void director_cluster_leave(struct director_cluster *cluster, bool for_good,
			    struct arena *arena, struct etcd_txn *txn_r);

/* --- what administrators say --- */

/* A copy of what they want, for changes: to be freed. */
void director_cluster_draft(const struct director_cluster *cluster,
			    struct director_state *draft);

/* Whether a view can be made of the draft, with room to spare, in what etcd takes at
 * a time; one that is not larger than what is wanted now can. -1 and err. */
int director_cluster_fits(const struct director_cluster *cluster,
			  const struct director_state *draft, struct err *err);

/* What to write for it to be so, if nobody else has changed the same: any number
 * of compares and ops, one of each for a key. */
void director_cluster_change(const struct director_cluster *cluster,
			     const struct director_state *draft,
			     struct arena *arena, struct etcd_txn *txn_r);

/* Whether all that txn is to do is so already. */
bool director_cluster_is_so(const struct director_cluster *cluster,
			    const struct etcd_txn *txn);

/* That the configuration of this node, which has one, is the cluster's, if nobody
 * else has changed that: a compare and an op. */
void director_cluster_adopt(const struct director_cluster *cluster,
			    struct arena *arena, struct etcd_txn *txn_r);

/* That a node which is away will not come back. */
void director_cluster_forget(const struct director_cluster *cluster,
			     const char *node, struct arena *arena,
			     struct etcd_txn *txn_r);

#endif
