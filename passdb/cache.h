/* Answers of passdbs kept for a time (Dovecot's auth_cache_size, _ttl and
 * _negative_ttl). Bounded by bytes: what was used longest ago goes first. Shared
 * by all threads; nobody waits for a passdb in here. */
#ifndef PASSDB_CACHE_H
#define PASSDB_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"

struct passdb_cache;

/* What a passdb said: keys as it gave them, suffixes included. */
struct passdb_cache_field {
	const char *key, *value;
};

struct passdb_cache_answer {
	bool found; /* else: there is no such user */
	struct passdb_cache_field *fields;
	unsigned count;
};

/* A copy in arena. */
struct passdb_cache_answer
passdb_cache_answer_copy(const struct passdb_cache_answer *answer,
			 struct arena *arena);

enum passdb_cache_state {
	PASSDB_CACHE_NONE,
	PASSDB_CACHE_FRESH,
	PASSDB_CACHE_STALE, /* for when the passdb cannot say */
};

struct passdb_cache_stats {
	uint64_t hits, stale_hits, misses; /* of passdb_cache_get() */
	uint64_t evicted; /* before their time, for want of space */
	size_t bytes;	  /* taken now, of size */
	size_t size;
	unsigned entries;
};

/* size in bytes, of everything; times in ms. An answer that took more than a
 * sixteenth of size is not kept, nor one whose ttl is 0. */
struct passdb_cache *passdb_cache_new(size_t size, unsigned ttl_ms,
				      unsigned negative_ttl_ms);

/* Clears the pointer; NULL is fine. */
void passdb_cache_free(struct passdb_cache **cache);

/* The answer kept for key, copied into arena. now_us: monotonic. */
enum passdb_cache_state
passdb_cache_get(struct passdb_cache *cache, const char *key, size_t key_len,
		 uint64_t now_us, struct arena *arena,
		 struct passdb_cache_answer *answer_r);

/* Keeps an answer, in place of an older one; one that is not kept takes that away,
 * too. */
void passdb_cache_put(struct passdb_cache *cache, const char *key,
		      size_t key_len, uint64_t now_us,
		      const struct passdb_cache_answer *answer);

/* Forgets all answers. */
void passdb_cache_flush(struct passdb_cache *cache);

/* How often that was done. As a part of keys it parts what was asked before from
 * what is asked after: an answer that is still to come will not be used again. */
unsigned passdb_cache_flushes(const struct passdb_cache *cache);

void passdb_cache_stats(struct passdb_cache *cache,
			struct passdb_cache_stats *stats_r);

#endif
