/* Equal lookups of several chains, each on a thread of its own, are made once: the
 * first chain that asks for a key leads, and those that come while it does follow
 * until it has landed. Each chain takes part in a lookup with one struct
 * passdb_flight, however many of its requests wait for the answer.
 *
 * Who leads lands with the driver's answer, which followers then hear on their
 * own loop, or leaves, and then one of the followers leads. So nobody is
 * forgotten while there is a loop that turns; a follower that does not want to
 * wait any longer leaves, too.
 *
 * No lock is held while a passdb is asked or a callback runs. */
#ifndef PASSDB_FLIGHT_H
#define PASSDB_FLIGHT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/loop.h"
#include "passdb/cache.h"

/* The lookups that are under way, of all chains. */
struct passdb_flights;

struct passdb_flights *passdb_flights_new(void);

/* When no chain takes part any more. Clears the pointer; NULL is fine. */
void passdb_flights_free(struct passdb_flights **flights);

/* Of a key: the same for all chains. */
uint64_t passdb_flights_hash(const struct passdb_flights *flights,
			     const char *key, size_t key_len);

/* How many have landed so far, of those that others could have followed. */
uint64_t passdb_flights_landed(const struct passdb_flights *flights);

struct passdb_flight;

/* What a chain hears of the others, on its own loop. The flight is the chain's
 * own one, and takes part in nothing any more when it has heard an answer. */
struct passdb_flight_events {
	/* What the leader's passdb said, valid for the call; NULL: it could not
	 * say. */
	void (*answered)(struct passdb_flight *flight,
			 const struct passdb_cache_answer *answer);
	/* It is up to this chain to ask now: it leads. */
	void (*leads)(struct passdb_flight *flight);
};

/* Where a chain hears. */
struct passdb_inbox {
	struct passdb_flights *flights;
	struct loop *loop;
	const struct passdb_flight_events *events;
	pthread_mutex_t lock; /* guards the rest */
	struct list told;     /* struct passdb_flight */
	bool posted;
};

void passdb_inbox_open(struct passdb_inbox *inbox,
		       struct passdb_flights *flights, struct loop *loop,
		       const struct passdb_flight_events *events);

/* When none of the chain's flights takes part in anything. On its thread. */
void passdb_inbox_close(struct passdb_inbox *inbox);

/* Lives in the chain's object; zeroed but for the first three. */
struct passdb_flight {
	const char *key; /* lives as long */
	size_t key_len;
	uint64_t hash;
	struct passdb_inbox *inbox; /* NULL: it takes part in nothing */
	/* Guarded by the lock of the key's shard: */
	bool leads;
	struct list node;	/* among those who lead, or who follow one */
	struct list followers;	/* of who leads: one of each chain */
	/* Guarded by the lock of the inbox: */
	struct list told;
	struct passdb_flight_word *word; /* what it is told; NULL: to lead */
};

/* Whether both are about the same key. */
bool passdb_flight_is_equal(const struct passdb_flight *a,
			    const struct passdb_flight *b);

enum passdb_flight_role {
	PASSDB_FLIGHT_LEADS,   /* ask, and land or leave */
	PASSDB_FLIGHT_FOLLOWS, /* an event comes, unless it leaves */
	PASSDB_FLIGHT_LATE,    /* look into the cache once more */
};

/* Takes part. landed is what passdb_flights_landed() said before the cache was
 * found not to have the answer: if one may have come into it since then, the
 * flight takes part in nothing. Where there is but one chain, it leads and takes
 * no lock. */
enum passdb_flight_role passdb_flight_start(struct passdb_flight *flight,
					    struct passdb_inbox *inbox,
					    uint64_t landed);

/* Tells who follows what the passdb said (NULL: it could not say), which was put
 * into the cache before. For who leads; fine when it takes part in nothing. */
void passdb_flight_land(struct passdb_flight *flight,
			const struct passdb_cache_answer *answer);

/* Takes part no longer; if it leads, one of those who follow does from now on.
 * Fine when it takes part in nothing. */
void passdb_flight_leave(struct passdb_flight *flight);

/* Has another one of the same chain and key take its part. Returns whether that
 * one leads, as it does when neither takes part in anything: then it is up to it
 * to ask, without an event. */
bool passdb_flight_pass_on(struct passdb_flight *flight,
			   struct passdb_flight *to);

#endif
