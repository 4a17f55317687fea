/* All keys of etcd with a prefix, kept in step: ranges in pages at one fixed
 * revision, then one watch from the next revision on. */
#ifndef LIB_ETCD_MIRROR_H
#define LIB_ETCD_MIRROR_H

#include "lib/etcd/etcd.h"

/* None of them may free the mirror. */
struct etcd_mirror_events {
	/* What was told before counts no more: all keys follow. May come
	 * again before settled(), when loading was interrupted. */
	void (*begins)(void *arg);
	/* A key that is there, or has changed. */
	void (*put)(void *arg, const struct etcd_kv *kv);
	/* A key that was deleted, or whose lease ran out, at that revision. */
	void (*gone)(void *arg, struct etcd_bytes key, int64_t revision);
	/* Everything up to that revision was told: after the first load and
	 * after each line of the watch. */
	void (*settled)(void *arg, int64_t revision);
	/* Not in step any more, or not yet, since the first load failed;
	 * begins() follows when etcd is back. Once for each loss. A watch that
	 * goes on at another member within the time of a call is no loss. */
	void (*lost)(void *arg, const char *why);
};

/* The events come from the loop, not inside the call. prefix need not stay;
 * events outlives it. While nothing comes, each timeout of a call it asks
 * whether there is something new, or as many keys as it knows: the member may be
 * cut off from the others, or the connection dead. */
struct etcd_mirror;
struct etcd_mirror *etcd_mirror_new(struct etcd *etcd, const char *prefix,
				    const struct etcd_mirror_events *events,
				    void *arg);

/* Clears the pointer; NULL is fine. */
void etcd_mirror_free(struct etcd_mirror **mirror);

#endif
