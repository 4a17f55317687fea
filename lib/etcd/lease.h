/* One lease of etcd, kept alive at a third of its time; a new one when it is
 * lost. */
#ifndef LIB_ETCD_LEASE_H
#define LIB_ETCD_LEASE_H

#include "lib/etcd/etcd.h"

/* They come from the loop, never inside a call; each may free the lease. */
struct etcd_lease_events {
	/* A new one: put all keys with it that are to live as long. */
	void (*granted)(void *arg, int64_t id);
	/* It is over, or has to be taken for over since it could not be renewed
	 * for its whole time by the monotonic clock: its keys go. granted()
	 * follows. */
	void (*lost)(void *arg, const char *why);
};

/* Asks for a lease of ttl_s seconds (of which etcd may make more) until it has
 * one. events outlives it. */
struct etcd_lease;
struct etcd_lease *etcd_lease_new(struct etcd *etcd, unsigned ttl_s,
				  const struct etcd_lease_events *events,
				  void *arg);

/* Revokes it, for which its keys go at once; no events come any more.
 * done(arg), from the loop, when that is over, whatever came of it (within the
 * timeout of a call); it may free the lease, which has to be freed all the
 * same, and then the client. */
void etcd_lease_revoke(struct etcd_lease *lease, void (*done)(void *arg));

/* Without revoking. Clears the pointer; NULL is fine. */
void etcd_lease_free(struct etcd_lease **lease);

#endif
