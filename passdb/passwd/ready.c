#include "passdb/passwd/ready.h"

#include <stdint.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/mem.h"

#define PLACES 64
#define EXTRA_MAX 512 /* bytes that are worth being kept */

struct place {
	uint64_t hash; /* of the extra fields that came up last */
	struct arena *arena; /* NULL: what they say is not kept */
	const char *extra;
	size_t len;
	const char *text; /* the same, with a NUL behind each key and value */
	struct passdb_fields fields; /* whose keys and values stand there */
};

struct passwd_ready {
	uint64_t seed;
	struct place places[PLACES];
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

	for (i = 0; ready != NULL && i < PLACES; i++)
		arena_free(&ready->places[i].arena);
	mem_free(ready_p);
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
	const struct place *place = &ready->places[hash % PLACES];

	if (place->arena == NULL || place->len != len ||
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
	struct place *place = &ready->places[hash % PLACES];
	bool again = place->hash == hash;

	arena_free(&place->arena);
	place->hash = hash;
	if (!again || len > EXTRA_MAX)
		return;
	place->arena = arena_new(256);
	place->extra = arena_strndup(place->arena, extra, len);
	place->len = len;
	place->text = arena_strndup(place->arena, text, len);
	place->fields = fields_copy(fields, place->arena, text, place->text);
}
