#include "backends/director/rendezvous.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/director/hash.h"

struct candidate {
	uint64_t key;
	const struct director_server *server;
};

/* Those of one weight. */
struct group {
	double weight;
	const uint64_t *keys;
	const struct candidate *candidates;
	unsigned count;
};

struct director_rendezvous {
	struct group *groups; /* by weight, the largest first */
	unsigned count;
};

static int candidate_order(const void *a_p, const void *b_p)
{
	const struct candidate *a = a_p, *b = b_p;

	if (a->server->weight != b->server->weight)
		return a->server->weight > b->server->weight ? -1 : 1;
	return a->key < b->key ? -1 : a->key > b->key;
}

static unsigned count_alike(const struct candidate *candidates, unsigned count)
{
	unsigned i = 1;

	while (i < count && candidates[i].server->weight ==
				    candidates[0].server->weight)
		i++;
	return i;
}

/* candidates are sorted. */
static void make_groups(struct director_rendezvous *rendezvous,
			struct arena *arena, const struct candidate *candidates,
			unsigned count)
{
	uint64_t *keys = arena_alloc(arena, count * sizeof(*keys));
	struct group *group;
	unsigned i;

	rendezvous->groups = arena_alloc(arena, count * sizeof(*group));
	for (i = 0; i < count; i++)
		keys[i] = candidates[i].key;
	for (i = 0; i < count; i += group->count) {
		group = &rendezvous->groups[rendezvous->count++];
		*group = (struct group){
			candidates[i].server->weight, keys + i, candidates + i,
			count_alike(candidates + i, count - i),
		};
	}
}

struct director_rendezvous *
director_rendezvous_new(struct arena *arena,
			const struct director_servers *servers,
			const char *tag)
{
	struct director_rendezvous *rendezvous =
		arena_new_struct(arena, struct director_rendezvous);
	struct candidate *candidates = arena_alloc(
		arena, servers->count * sizeof(*candidates));
	unsigned i, count = 0;

	for (i = 0; i < servers->count; i++) {
		const struct director_server *server = &servers->list[i];

		if (strcmp(server->tag, tag) != 0 || server->weight == 0)
			continue;
		if (director_hash(server->ip, &candidates[count].key) < 0)
			return NULL;
		candidates[count++].server = server;
	}
	qsort(candidates, count, sizeof(*candidates), candidate_order);
	make_groups(rendezvous, arena, candidates, count);
	return rendezvous;
}

#define DRAW_BITS 51
#define DRAW_MAX 0x1p51
#define PLACE_MASK ((UINT64_C(1) << (64 - DRAW_BITS)) - 1)

_Static_assert(DIRECTOR_MOST_SERVERS - 1 <= PLACE_MASK,
	       "a place does not fit behind a draw");

/* A number of 51 bits, with more bits of it behind these. hash is even already, as
 * digests are: two multiplications make what its bits have in common with those of
 * other servers' vanish from the upper ones of the product. */
static inline uint64_t draw(uint64_t hash)
{
	hash *= 0xff51afd7ed558ccdU;
	return (hash ^ hash >> 32) * 0xc4ceb9fe1a85ec53U;
}

/* The least draw of a group, with its place in the lower bits, so that there is one
 * number to keep, and nothing to foretell. */
static uint64_t least_draw(const struct group *group, uint64_t hash)
{
	uint64_t least = UINT64_MAX;
	unsigned i;

	for (i = 0; i < group->count; i++) {
		uint64_t drawn = (draw(hash ^ group->keys[i]) & ~PLACE_MASK) | i;

		least = drawn < least ? drawn : least;
	}
	return least;
}

/* The wait for an event that comes with the rate weight is -ln(1 - u) / weight
 * with a u between 0 and 1, and among several such the chance to be the first is
 * the share of the weight. Of one weight the least u is the first. The wait is more
 * than u / weight, which tells most of the others without a logarithm. */
const struct director_server *
director_rendezvous_find(const struct director_rendezvous *rendezvous,
			 uint64_t hash)
{
	const struct director_server *first = NULL;
	double best = HUGE_VAL, drawn, wait; /* times DRAW_MAX */
	unsigned i;

	for (i = 0; i < rendezvous->count; i++) {
		const struct group *group = &rendezvous->groups[i];
		uint64_t least = least_draw(group, hash);

		drawn = (double)(least >> (64 - DRAW_BITS));
		if (drawn >= best * group->weight)
			continue;
		wait = -log1p(-(drawn + 0.5) / DRAW_MAX) * DRAW_MAX /
		       group->weight;
		if (wait < best) {
			best = wait;
			first = group->candidates[least & PLACE_MASK].server;
		}
	}
	return first;
}
