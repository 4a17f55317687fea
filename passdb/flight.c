#include "passdb/flight.h"

#include <stdatomic.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/hash.h"
#include "lib/mem.h"

#define SHARDS 16
#define BUCKETS 64 /* of a shard */

/* Locks are taken in this order: a shard's, an inbox's. */
struct shard {
	pthread_mutex_t lock;
	struct list buckets[BUCKETS]; /* of flights that lead */
};

struct passdb_flights {
	uint64_t seed;
	atomic_uint chains;
	atomic_uint_fast64_t landed;
	struct shard shards[SHARDS];
};

/* What all who follow are told; lives in its arena. */
struct passdb_flight_word {
	atomic_uint refs;
	struct arena *arena;
	bool failed;
	struct passdb_cache_answer answer;
};

struct passdb_flights *passdb_flights_new(void)
{
	struct passdb_flights *flights = mem_new(struct passdb_flights);
	unsigned i, j;

	flights->seed = hash_seed();
	for (i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&flights->shards[i].lock, NULL);
		for (j = 0; j < BUCKETS; j++)
			list_init(&flights->shards[i].buckets[j]);
	}
	return flights;
}

void passdb_flights_free(struct passdb_flights **flights_p)
{
	struct passdb_flights *flights = *flights_p;
	unsigned i;

	if (flights == NULL)
		return;
	for (i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&flights->shards[i].lock);
	mem_free(flights_p);
}

uint64_t passdb_flights_hash(const struct passdb_flights *flights,
			     const char *key, size_t key_len)
{
	return hash_bytes(flights->seed, key, key_len);
}

uint64_t passdb_flights_landed(const struct passdb_flights *flights)
{
	return atomic_load_explicit(&flights->landed, memory_order_acquire);
}

bool passdb_flight_is_equal(const struct passdb_flight *a,
			    const struct passdb_flight *b)
{
	return a->hash == b->hash && a->key_len == b->key_len &&
	       memcmp(a->key, b->key, a->key_len) == 0;
}

/* --- words --- */

static struct passdb_flight_word *
word_new(const struct passdb_cache_answer *answer)
{
	struct arena *arena = arena_new(512);
	struct passdb_flight_word *word =
		arena_new_struct(arena, struct passdb_flight_word);

	atomic_init(&word->refs, 1);
	word->arena = arena;
	word->failed = answer == NULL;
	if (answer != NULL)
		word->answer = passdb_cache_answer_copy(answer, arena);
	return word;
}

static void word_unref(struct passdb_flight_word **word_p)
{
	struct passdb_flight_word *word = *word_p;
	struct arena *arena;

	*word_p = NULL;
	if (word == NULL ||
	    atomic_fetch_sub_explicit(&word->refs, 1, memory_order_acq_rel) > 1)
		return;
	arena = word->arena;
	arena_free(&arena);
}

/* --- inboxes --- */

static struct passdb_flight *inbox_next(struct passdb_inbox *inbox)
{
	struct passdb_flight *flight;

	pthread_mutex_lock(&inbox->lock);
	flight = list_first(&inbox->told, struct passdb_flight, told);
	if (flight != NULL)
		list_remove(&flight->told);
	else
		inbox->posted = false;
	pthread_mutex_unlock(&inbox->lock);
	return flight;
}

static void inbox_read(void *arg)
{
	struct passdb_inbox *inbox = arg;
	struct passdb_flight *flight;
	struct passdb_flight_word *word;

	while ((flight = inbox_next(inbox)) != NULL) {
		word = flight->word;
		if (word == NULL) {
			inbox->events->leads(flight);
			continue;
		}
		flight->inbox = NULL;
		flight->word = NULL;
		inbox->events->answered(flight,
					word->failed ? NULL : &word->answer);
		word_unref(&word);
	}
}

/* Posts with the lock held, so that the loop is still there. */
static void inbox_tell(struct passdb_flight *flight,
		       struct passdb_flight_word *word)
{
	struct passdb_inbox *inbox = flight->inbox;

	if (word != NULL)
		atomic_fetch_add_explicit(&word->refs, 1,
					  memory_order_relaxed);
	pthread_mutex_lock(&inbox->lock);
	flight->word = word;
	list_append(&inbox->told, &flight->told);
	if (!inbox->posted)
		loop_post(inbox->loop, inbox_read, inbox);
	inbox->posted = true;
	pthread_mutex_unlock(&inbox->lock);
}

/* Takes back what was told and not read yet: whether there was something. */
static bool inbox_untell(struct passdb_flight *flight,
			 struct passdb_flight_word **word_r)
{
	bool told;

	pthread_mutex_lock(&flight->inbox->lock);
	told = list_linked(&flight->told);
	list_remove(&flight->told);
	*word_r = flight->word;
	flight->word = NULL;
	pthread_mutex_unlock(&flight->inbox->lock);
	return told;
}

void passdb_inbox_open(struct passdb_inbox *inbox,
		       struct passdb_flights *flights, struct loop *loop,
		       const struct passdb_flight_events *events)
{
	inbox->flights = flights;
	inbox->loop = loop;
	inbox->events = events;
	pthread_mutex_init(&inbox->lock, NULL);
	list_init(&inbox->told);
	inbox->posted = false;
	atomic_fetch_add(&flights->chains, 1);
}

/* Nobody is about to tell it anything: its flights have left, for which they took
 * the lock that is held for telling, or have read what they were told. */
void passdb_inbox_close(struct passdb_inbox *inbox)
{
	loop_unpost(inbox->loop, inbox_read, inbox);
	pthread_mutex_destroy(&inbox->lock);
	atomic_fetch_sub(&inbox->flights->chains, 1);
}

/* --- shards --- */

static struct shard *flight_lock(const struct passdb_flight *flight)
{
	struct shard *shard =
		&flight->inbox->flights->shards[flight->hash % SHARDS];

	pthread_mutex_lock(&shard->lock);
	return shard;
}

static struct list *shard_bucket(struct shard *shard,
				 const struct passdb_flight *flight)
{
	return &shard->buckets[flight->hash / SHARDS % BUCKETS];
}

static struct passdb_flight *shard_find(struct shard *shard,
					const struct passdb_flight *flight)
{
	struct list *bucket = shard_bucket(shard, flight), *node, *tmp;

	list_each(bucket, node, tmp) {
		struct passdb_flight *other =
			container_of(node, struct passdb_flight, node);

		if (passdb_flight_is_equal(other, flight))
			return other;
	}
	return NULL;
}

static void shard_lead(struct shard *shard, struct passdb_flight *flight)
{
	flight->leads = true;
	list_prepend(shard_bucket(shard, flight), &flight->node);
}

static void move_followers(struct passdb_flight *from,
			   struct passdb_flight *to)
{
	struct list *node, *tmp;

	list_each(&from->followers, node, tmp) {
		list_remove(node);
		list_append(&to->followers, node);
	}
}

/* --- flights --- */

enum passdb_flight_role passdb_flight_start(struct passdb_flight *flight,
					    struct passdb_inbox *inbox,
					    uint64_t landed)
{
	enum passdb_flight_role role = PASSDB_FLIGHT_LEADS;
	struct passdb_flight *leader;
	struct shard *shard;

	if (atomic_load_explicit(&inbox->flights->chains,
				 memory_order_relaxed) < 2)
		return role;
	flight->inbox = inbox;
	list_init(&flight->followers);
	shard = flight_lock(flight);
	leader = shard_find(shard, flight);
	if (leader != NULL) {
		list_append(&leader->followers, &flight->node);
		role = PASSDB_FLIGHT_FOLLOWS;
	} else if (passdb_flights_landed(inbox->flights) != landed) {
		flight->inbox = NULL;
		role = PASSDB_FLIGHT_LATE;
	} else {
		shard_lead(shard, flight);
	}
	pthread_mutex_unlock(&shard->lock);
	return role;
}

/* Nobody follows who is not found any more. */
static bool flight_is_alone(struct passdb_flight *flight)
{
	struct shard *shard = flight_lock(flight);
	bool alone = list_empty(&flight->followers);

	list_remove(&flight->node);
	flight->leads = false;
	atomic_fetch_add_explicit(&flight->inbox->flights->landed, 1,
				  memory_order_release);
	pthread_mutex_unlock(&shard->lock);
	return alone;
}

static void flight_tell(struct passdb_flight *flight,
			struct passdb_flight_word *word)
{
	struct shard *shard = flight_lock(flight);
	struct list *node, *tmp;

	list_each(&flight->followers, node, tmp) {
		list_remove(node);
		inbox_tell(container_of(node, struct passdb_flight, node),
			   word);
	}
	pthread_mutex_unlock(&shard->lock);
}

void passdb_flight_land(struct passdb_flight *flight,
			const struct passdb_cache_answer *answer)
{
	struct passdb_flight_word *word;

	if (flight->inbox == NULL)
		return;
	if (!flight_is_alone(flight)) {
		word = word_new(answer);
		flight_tell(flight, word);
		word_unref(&word);
	}
	flight->inbox = NULL;
}

void passdb_flight_leave(struct passdb_flight *flight)
{
	struct passdb_flight_word *word;
	struct passdb_flight *next;
	struct shard *shard;

	if (flight->inbox == NULL)
		return;
	shard = flight_lock(flight);
	inbox_untell(flight, &word);
	list_remove(&flight->node);
	next = list_first(&flight->followers, struct passdb_flight, node);
	if (next != NULL) {
		list_remove(&next->node);
		move_followers(flight, next);
		shard_lead(shard, next);
		inbox_tell(next, NULL);
	}
	pthread_mutex_unlock(&shard->lock);
	flight->inbox = NULL;
	word_unref(&word);
}

bool passdb_flight_pass_on(struct passdb_flight *flight,
			   struct passdb_flight *to)
{
	struct passdb_flight_word *word;
	struct shard *shard;
	bool leads, told;

	if (flight->inbox == NULL)
		return true;
	to->inbox = flight->inbox;
	list_init(&to->followers);
	shard = flight_lock(flight);
	leads = to->leads = flight->leads;
	told = inbox_untell(flight, &word);
	if (list_linked(&flight->node)) {
		list_insert_before(&flight->node, &to->node);
		list_remove(&flight->node);
	}
	move_followers(flight, to);
	if (told && !leads)
		inbox_tell(to, word);
	pthread_mutex_unlock(&shard->lock);
	flight->inbox = NULL;
	word_unref(&word);
	return leads;
}
