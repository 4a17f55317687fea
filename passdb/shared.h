/* The configured passdbs and userdbs, opened: what the chains of all threads
 * share. */
#ifndef PASSDB_SHARED_H
#define PASSDB_SHARED_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/arena.h"
#include "lib/loop.h"
#include "lib/nss.h"
#include "passdb/cache.h"
#include "passdb/driver.h"
#include "passdb/flight.h"
#include "passdb/passdb.h"
#include "passdb/template.h"
#include "passdb/username.h"

/* One passdb of a chain. */
struct passdb_entry {
	const struct passdb_block *block;
	const struct passdb_driver *driver;
	const char *name; /* for log lines */
	void *shared;	  /* the driver's */
	struct passdb_template default_fields, override_fields;
	const char **username_filter; /* patterns, NULL at the end */
	enum passdb_next next_success, next_failure, next_internalfail;
};

/* The passdbs, or the userdbs, that take part in lookups. */
struct passdb_chain {
	struct passdb_entry *entries;
	unsigned count;
};

/* Immutable but for refs, cache and flights. */
struct passdb_shared {
	atomic_uint refs;
	struct loop *control;
	pthread_t control_thread;
	struct loop_task free_task;
	struct arena *arena;
	const struct passdb_settings *settings;
	struct username_rules username;
	struct passdb_chain chains[PASSDB_KINDS];
	struct passdb_cache *cache; /* NULL: none */
	struct passdb_flights *flights; /* lookups that go into the cache */
	struct nss *nss; /* for userdbs; NULL: in a check */
};

#define PASSDB_ASKING_BUCKETS 256

/* The chains of one loop. */
struct passdb {
	struct loop *loop;
	struct passdb_shared *shared;
	void **states[PASSDB_KINDS]; /* per entry: what its lookup() wants */
	struct str scratch; /* for one expansion at a time */
	struct str key;	    /* of one lookup for the cache */
	struct list asking[PASSDB_ASKING_BUCKETS]; /* see ask.c */
	struct passdb_inbox inbox; /* if there is a cache */
	struct passdb_stats *stats; /* of each kind; NULL: nothing is counted */
};

/* The chain that a lookup goes along. */
static inline const struct passdb_chain *
passdb_request_chain(const struct passdb_request *request)
{
	return &request->passdb->shared->chains[request->kind];
}

/* The one that is asked in its step. */
static inline const struct passdb_entry *
passdb_request_entry(const struct passdb_request *request)
{
	return &passdb_request_chain(request)->entries[request->step];
}

/* What that one's lookup() wants. */
static inline void *passdb_request_state(const struct passdb_request *request)
{
	return request->passdb->states[request->kind][request->step];
}

#endif
