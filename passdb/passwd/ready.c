#include "passdb/passwd/ready.h"

#include <stdint.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/mem.h"

#define SETS 64
#define WAYS 4 /* places in a set */
#define EXTRA_MAX 512 /* bytes that are worth being kept */

struct place {
	uint64_t hash; /* of extra fields that came up */
	struct arena *arena; /* NULL: once only, and what they say is not kept */
	const char *extra;
	size_t len;
	const char *text; /* the same, with a NUL behind each key and value */
	struct passdb_fields fields; /* whose keys and values stand there */
};

struct set {
	struct place places[WAYS];
	unsigned turns;
};

struct passwd_ready {
	uint64_t seed;
	struct set sets[SETS];
};

struct passwd_ready *passwd_ready_new(void)
{
	struct passwd_ready *ready = mem_new(struct passwd_ready);

	ready->seed = hash_seed();
	return ready;
}

void passwd_ready_free(struct passwd_ready **ready_p)
{
	struct passwd_ready *ready = *ready_p;
	unsigned i;

	for (i = 0; ready != NULL && i < SETS * WAYS; i++)
		arena_free(&ready->sets[i / WAYS].places[i % WAYS].arena);
	mem_free(ready_p);
}

/* NULL: they did not come up lately. */
static struct place *place_find(struct passwd_ready *ready, uint64_t hash)
{
	struct set *set = &ready->sets[hash % SETS];
	unsigned i;

	for (i = 0; i < WAYS; i++)
		if (set->places[i].hash == hash)
			return &set->places[i];
	return NULL;
}

/* For one that is new: first of all the place of another that has not come again, so
 * that users who share theirs with nobody leave the rest alone. */
static void place_take(struct passwd_ready *ready, uint64_t hash)
{
	struct set *set = &ready->sets[hash % SETS];
	unsigned turn = ++set->turns, i;
	struct place *place = &set->places[turn % WAYS];

	for (i = 1; i < WAYS && place->arena != NULL; i++)
		place = &set->places[(turn + i) % WAYS];
	arena_free(&place->arena);
	place->hash = hash;
}

/* A copy of fields whose keys and values stand in to as they do in from. */
static struct passdb_fields fields_copy(const struct passdb_fields *fields,
					struct arena *arena, const char *from,
					const char *to)
{
	struct passdb_fields copy = passdb_fields_copy(fields, arena);
	unsigned i;

	for (i = 0; i < copy.count; i++) {
		copy.list[i].key = to + (copy.list[i].key - from);
		copy.list[i].value = to + (copy.list[i].value - from);
	}
	return copy;
}

bool passwd_ready_use(struct passwd_ready *ready, const char *extra, size_t len,
		      struct passdb_request *request)
{
	uint64_t hash = hash_bytes(ready->seed, extra, len);
	const struct place *place = place_find(ready, hash);

	if (place == NULL || place->arena == NULL || place->len != len ||
	    memcmp(place->extra, extra, len) != 0)
		return false;
	request->fields = fields_copy(
		&place->fields, request->arena, place->text,
		arena_strndup(request->arena, place->text, len));
	return true;
}

void passwd_ready_note(struct passwd_ready *ready, const char *extra, size_t len,
		       const char *text, const struct passdb_fields *fields)
{
	uint64_t hash = hash_bytes(ready->seed, extra, len);
	struct place *place = place_find(ready, hash);

	if (len > EXTRA_MAX)
		return;
	if (place == NULL) {
		place_take(ready, hash);
		return;
	}
	arena_free(&place->arena);
	place->arena = arena_new(256);
	place->extra = arena_strndup(place->arena, extra, len);
	place->len = len;
	place->text = arena_strndup(place->arena, text, len);
	place->fields = fields_copy(fields, place->arena, text, place->text);
}
