#include "passdb/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/list.h"
#include "lib/mem.h"

#define BYTES_PER_BUCKET 256
#define BUCKETS_MIN 16
#define BUCKETS_MAX (1024 * 1024)
/* What malloc() needs beside. */
#define ENTRY_OVERHEAD 16

/* data: the key, then for each field its key and its value with their NULs. */
struct entry {
	struct list bucket; /* of the same hash */
	struct list used;   /* most recently first */
	uint64_t hash, put_us;
	size_t key_len, size;
	unsigned count;
	bool found;
	char data[];
};

struct passdb_cache {
	pthread_mutex_t lock;
	uint64_t seed, ttl_us, negative_ttl_us;
	size_t size;
	struct list *buckets;
	size_t mask; /* buckets - 1 */
	struct list used;
	struct passdb_cache_stats stats;
	atomic_uint flushes;
};

struct passdb_cache_answer
passdb_cache_answer_copy(const struct passdb_cache_answer *answer,
			 struct arena *arena)
{
	struct passdb_cache_answer copy = *answer;
	unsigned i;

	copy.fields = arena_alloc(arena, copy.count * sizeof(*copy.fields));
	for (i = 0; i < copy.count; i++) {
		copy.fields[i].key =
			arena_strdup(arena, answer->fields[i].key);
		copy.fields[i].value =
			arena_strdup(arena, answer->fields[i].value);
	}
	return copy;
}

static size_t buckets_for(size_t size)
{
	size_t count = BUCKETS_MIN;

	while (count < BUCKETS_MAX && count * BYTES_PER_BUCKET < size)
		count *= 2;
	return count;
}

struct passdb_cache *passdb_cache_new(size_t size, unsigned ttl_ms,
				      unsigned negative_ttl_ms)
{
	struct passdb_cache *cache = mem_new(struct passdb_cache);
	size_t i, count = buckets_for(size);

	pthread_mutex_init(&cache->lock, NULL);
	cache->seed = hash_seed();
	cache->ttl_us = ttl_ms * UINT64_C(1000);
	cache->negative_ttl_us = negative_ttl_ms * UINT64_C(1000);
	cache->size = size;
	cache->buckets = mem_alloc(count * sizeof(*cache->buckets));
	cache->mask = count - 1;
	for (i = 0; i < count; i++)
		list_init(&cache->buckets[i]);
	list_init(&cache->used);
	cache->stats.size = size;
	cache->stats.bytes = sizeof(*cache) + count * sizeof(*cache->buckets);
	return cache;
}

static void entry_free(struct passdb_cache *cache, struct entry *entry)
{
	list_remove(&entry->bucket);
	list_remove(&entry->used);
	cache->stats.bytes -= entry->size;
	cache->stats.entries--;
	mem_free(&entry);
}

void passdb_cache_flush(struct passdb_cache *cache)
{
	struct list *node, *tmp;

	atomic_fetch_add(&cache->flushes, 1);
	pthread_mutex_lock(&cache->lock);
	list_each(&cache->used, node, tmp)
		entry_free(cache, container_of(node, struct entry, used));
	pthread_mutex_unlock(&cache->lock);
}

unsigned passdb_cache_flushes(const struct passdb_cache *cache)
{
	return atomic_load(&cache->flushes);
}

void passdb_cache_free(struct passdb_cache **cache_p)
{
	struct passdb_cache *cache = *cache_p;

	if (cache == NULL)
		return;
	passdb_cache_flush(cache);
	pthread_mutex_destroy(&cache->lock);
	mem_free(&cache->buckets);
	mem_free(cache_p);
}

static struct entry *entry_find(struct passdb_cache *cache, uint64_t hash,
				const char *key, size_t key_len)
{
	struct list *bucket = &cache->buckets[hash & cache->mask], *node, *tmp;

	list_each(bucket, node, tmp) {
		struct entry *entry = container_of(node, struct entry, bucket);

		if (entry->hash == hash && entry->key_len == key_len &&
		    memcmp(entry->data, key, key_len) == 0)
			return entry;
	}
	return NULL;
}

static bool entry_is_fresh(const struct passdb_cache *cache,
			   const struct entry *entry, uint64_t now_us)
{
	uint64_t ttl_us = entry->found ? cache->ttl_us : cache->negative_ttl_us;

	/* Another thread's clock may be a little ahead. */
	return now_us < entry->put_us || now_us - entry->put_us < ttl_us;
}

/* --- reading --- */

static void entry_read(const struct entry *entry, struct arena *arena,
		       struct passdb_cache_answer *answer)
{
	size_t len = entry->size - ENTRY_OVERHEAD - sizeof(*entry) -
		     entry->key_len;
	const char *text = arena_alloc(arena, len + 1);
	unsigned i;

	memcpy((char *)text, entry->data + entry->key_len, len);
	answer->found = entry->found;
	answer->count = entry->count;
	answer->fields =
		arena_alloc(arena, entry->count * sizeof(*answer->fields));
	for (i = 0; i < entry->count; i++) {
		answer->fields[i].key = text;
		text += strlen(text) + 1;
		answer->fields[i].value = text;
		text += strlen(text) + 1;
	}
}

static enum passdb_cache_state cache_read(struct passdb_cache *cache,
					  struct entry *entry, uint64_t now_us,
					  struct arena *arena,
					  struct passdb_cache_answer *answer)
{
	entry_read(entry, arena, answer);
	list_remove(&entry->used);
	list_prepend(&cache->used, &entry->used);
	if (entry_is_fresh(cache, entry, now_us)) {
		cache->stats.hits++;
		return PASSDB_CACHE_FRESH;
	}
	cache->stats.stale_hits++;
	return PASSDB_CACHE_STALE;
}

enum passdb_cache_state
passdb_cache_get(struct passdb_cache *cache, const char *key, size_t key_len,
		 uint64_t now_us, struct arena *arena,
		 struct passdb_cache_answer *answer_r)
{
	uint64_t hash = hash_bytes(cache->seed, key, key_len);
	enum passdb_cache_state state = PASSDB_CACHE_NONE;
	struct entry *entry;

	pthread_mutex_lock(&cache->lock);
	entry = entry_find(cache, hash, key, key_len);
	if (entry != NULL)
		state = cache_read(cache, entry, now_us, arena, answer_r);
	else
		cache->stats.misses++;
	pthread_mutex_unlock(&cache->lock);
	return state;
}

/* --- writing --- */

static size_t entry_size(size_t key_len,
			 const struct passdb_cache_answer *answer)
{
	size_t size = sizeof(struct entry) + ENTRY_OVERHEAD + key_len;
	unsigned i;

	for (i = 0; i < answer->count; i++)
		size += strlen(answer->fields[i].key) +
			strlen(answer->fields[i].value) + 2;
	return size;
}

static struct entry *entry_new(const char *key, size_t key_len, size_t size,
			       const struct passdb_cache_answer *answer)
{
	struct entry *entry = mem_alloc(size - ENTRY_OVERHEAD);
	char *to = entry->data + key_len;
	unsigned i;

	entry->key_len = key_len;
	entry->size = size;
	entry->found = answer->found;
	entry->count = answer->count;
	memcpy(entry->data, key, key_len);
	for (i = 0; i < answer->count; i++) {
		to = stpcpy(to, answer->fields[i].key) + 1;
		to = stpcpy(to, answer->fields[i].value) + 1;
	}
	return entry;
}

static void cache_make_room(struct passdb_cache *cache, size_t size)
{
	while (cache->stats.bytes + size > cache->size &&
	       !list_empty(&cache->used)) {
		entry_free(cache, list_last(&cache->used, struct entry, used));
		cache->stats.evicted++;
	}
}

static void cache_remove(struct passdb_cache *cache, uint64_t hash,
			 const char *key, size_t key_len)
{
	struct entry *old = entry_find(cache, hash, key, key_len);

	if (old != NULL)
		entry_free(cache, old);
}

static void cache_insert(struct passdb_cache *cache, struct entry *entry)
{
	cache_make_room(cache, entry->size);
	list_prepend(&cache->buckets[entry->hash & cache->mask],
		     &entry->bucket);
	list_prepend(&cache->used, &entry->used);
	cache->stats.bytes += entry->size;
	cache->stats.entries++;
}

void passdb_cache_put(struct passdb_cache *cache, const char *key,
		      size_t key_len, uint64_t now_us,
		      const struct passdb_cache_answer *answer)
{
	uint64_t hash = hash_bytes(cache->seed, key, key_len);
	size_t size = entry_size(key_len, answer);
	struct entry *entry = NULL;

	if (size <= cache->size / 16 &&
	    (answer->found ? cache->ttl_us : cache->negative_ttl_us) > 0) {
		entry = entry_new(key, key_len, size, answer);
		entry->hash = hash;
		entry->put_us = now_us;
	}
	pthread_mutex_lock(&cache->lock);
	cache_remove(cache, hash, key, key_len);
	if (entry != NULL)
		cache_insert(cache, entry);
	pthread_mutex_unlock(&cache->lock);
}

void passdb_cache_stats(struct passdb_cache *cache,
			struct passdb_cache_stats *stats_r)
{
	pthread_mutex_lock(&cache->lock);
	*stats_r = cache->stats;
	pthread_mutex_unlock(&cache->lock);
}
