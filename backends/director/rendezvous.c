#include "backends/director/rendezvous.h"

#include <math.h>
#include <string.h>

#include "backends/director/hash.h"

struct candidate {
	uint64_t key;
	double weight;
	const struct director_server *server;
};

struct director_rendezvous {
	struct candidate *candidates;
	unsigned count;
};

struct director_rendezvous *
director_rendezvous_new(struct arena *arena,
			const struct director_servers *servers,
			const char *tag)
{
	struct director_rendezvous *rendezvous =
		arena_new_struct(arena, struct director_rendezvous);
	unsigned i;

	rendezvous->candidates =
		arena_alloc(arena, servers->count *
				   sizeof(*rendezvous->candidates));
	for (i = 0; i < servers->count; i++) {
		const struct director_server *server = &servers->list[i];
		struct candidate *candidate =
			&rendezvous->candidates[rendezvous->count];

		if (strcmp(server->tag, tag) != 0 || server->weight == 0)
			continue;
		if (director_hash(server->ip, &candidate->key) < 0)
			return NULL;
		candidate->weight = server->weight;
		candidate->server = server;
		rendezvous->count++;
	}
	return rendezvous;
}

#define DRAW_MAX 0x1p52

/* A number from 0 to DRAW_MAX, which it is not. hash is even already, as digests
 * are: two multiplications make what its bits have in common with those of
 * other servers' vanish from the upper ones of the product. */
static inline int64_t draw(uint64_t hash)
{
	hash *= 0xff51afd7ed558ccdU;
	hash = (hash ^ hash >> 32) * 0xc4ceb9fe1a85ec53U;
	return (int64_t)(hash >> 12);
}

/* The wait for an event that comes with the rate weight is -ln(1 - u) / weight
 * with a u between 0 and 1, and among several such the chance to be the first is
 * the share of the weight. It is more than u / weight, which tells all but a few
 * without a logarithm. */
const struct director_server *
director_rendezvous_find(const struct director_rendezvous *rendezvous,
			 uint64_t hash)
{
	const struct director_server *first = NULL;
	double best = HUGE_VAL; /* times DRAW_MAX */
	unsigned i;

	for (i = 0; i < rendezvous->count; i++) {
		const struct candidate *candidate = &rendezvous->candidates[i];
		int64_t drawn = draw(hash ^ candidate->key);
		double wait;

		if ((double)drawn >= best * candidate->weight)
			continue;
		wait = -log1p(-((double)drawn + 0.5) / DRAW_MAX) * DRAW_MAX /
		       candidate->weight;
		if (wait < best) {
			best = wait;
			first = candidate->server;
		}
	}
	return first;
}
