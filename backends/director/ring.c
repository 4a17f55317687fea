#include "backends/director/ring.h"

#include <stdlib.h>
#include <string.h>

#include "backends/director/hash.h"

struct ring_point {
	uint32_t hash;
	uint32_t server; /* its place in servers */
};

struct director_ring {
	const struct director_servers *servers;
	struct ring_point *points; /* sorted */
	unsigned count;
};

/* Where two servers have the same place, the lower address comes first. */
static int point_order(const void *a_p, const void *b_p)
{
	const struct ring_point *a = a_p, *b = b_p;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->server < b->server ? -1 : a->server > b->server;
}

static int add_points(struct director_ring *ring, unsigned number,
		      struct str *text)
{
	const struct director_server *server = &ring->servers->list[number];
	uint64_t hash;
	unsigned i;

	for (i = 0; i < server->weight; i++) {
		str_clear(text);
		str_printf(text, "%s-%u", server->ip, i);
		if (director_hash(str_c(text), &hash) < 0)
			return -1;
		ring->points[ring->count++] = (struct ring_point){
			.hash = (uint32_t)(hash >> 32),
			.server = number,
		};
	}
	return 0;
}

struct director_ring *director_ring_new(struct arena *arena,
					const struct director_servers *servers,
					const char *tag)
{
	struct director_ring *ring =
		arena_new_struct(arena, struct director_ring);
	struct str text = STR_INIT;
	size_t total = 0;
	unsigned i;
	int ret = 0;

	for (i = 0; i < servers->count; i++)
		total += strcmp(servers->list[i].tag, tag) == 0
				 ? servers->list[i].weight : 0;
	ring->servers = servers;
	ring->points = arena_alloc(arena, total * sizeof(*ring->points));
	for (i = 0; i < servers->count && ret == 0; i++) {
		if (strcmp(servers->list[i].tag, tag) == 0)
			ret = add_points(ring, i, &text);
	}
	qsort(ring->points, ring->count, sizeof(*ring->points), point_order);
	str_free(&text);
	return ret == 0 ? ring : NULL;
}

/* Dovecot never lets a user's hash be 0, and its search ends at the first point
 * that it meets with the same hash, which need not be the first of several. */
const struct director_server *
director_ring_find(const struct director_ring *ring, uint64_t user)
{
	uint32_t hash = (uint32_t)(user >> 32);
	unsigned left = 0, right = ring->count, middle;

	if (ring->count == 0)
		return NULL;
	if (hash == 0)
		hash = 1;
	while (left < right) {
		middle = (left + right) / 2;
		if (ring->points[middle].hash < hash)
			left = middle + 1;
		else
			right = middle;
		if (ring->points[middle].hash == hash) {
			left = middle;
			break;
		}
	}
	return &ring->servers->list[ring->points[left % ring->count].server];
}
