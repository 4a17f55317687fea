#include "backends/director/ring.h"

#include <stdlib.h>
#include <string.h>

#include "backends/director/hash.h"
#include "lib/mem.h"
#include "lib/panic.h"

/* The number of the point, of those of its server. */
struct ring_point {
	uint32_t hash;
	uint32_t server : 20; /* its place in servers */
	uint32_t number : 12;
};

_Static_assert(DIRECTOR_MAX_WEIGHT < 1 << 12, "points have more numbers");

#define MAX_SERVERS (1U << 20)

struct director_ring {
	struct director_servers servers;
	struct ring_point *points; /* sorted */
	unsigned count;
};

/* Where two servers have the same place, the lower address comes first. */
static bool comes_before(const struct ring_point *a, const struct ring_point *b)
{
	return a->hash != b->hash ? a->hash < b->hash : a->server < b->server;
}

static int point_order(const void *a, const void *b)
{
	return comes_before(a, b) ? -1 : comes_before(b, a);
}

/* --- what stays of the last ring --- */

/* Of one of its servers. */
struct heir {
	uint32_t server; /* its place now */
	unsigned points; /* so many of its first ones stay */
};

static bool has_tag(const struct director_server *server, const char *tag)
{
	return strcmp(server->tag, tag) == 0;
}

/* Both lists are in the same order, and so are points that stay. */
static struct heir *find_heirs(const struct director_ring *last,
			       const struct director_servers *servers,
			       unsigned *stay)
{
	const struct director_servers *old = &last->servers;
	struct heir *heirs = mem_alloc((old->count + 1) * sizeof(*heirs));
	unsigned i = 0, j = 0;

	memset(heirs, 0, (old->count + 1) * sizeof(*heirs));
	while (i < old->count && j < servers->count) {
		const struct director_server *was = &old->list[i];
		const struct director_server *is = &servers->list[j];
		int order = director_server_order(was, is);

		if (order == 0) {
			stay[j] = was->weight < is->weight ? was->weight
							   : is->weight;
			heirs[i] = (struct heir){ j, stay[j] };
		}
		i += order <= 0;
		j += order >= 0;
	}
	return heirs;
}

/* Puts fresh points among those that stay of the last ring. */
static void merge(struct director_ring *ring, const struct director_ring *last,
		  const struct heir *heirs, const struct ring_point *fresh,
		  unsigned fresh_count)
{
	unsigned i, j = 0;

	for (i = 0; i < last->count; i++) {
		struct ring_point point = last->points[i];
		const struct heir *heir = &heirs[point.server];

		if (point.number >= heir->points)
			continue;
		point.server = heir->server & (MAX_SERVERS - 1);
		while (j < fresh_count && comes_before(&fresh[j], &point))
			ring->points[ring->count++] = fresh[j++];
		ring->points[ring->count++] = point;
	}
	while (j < fresh_count)
		ring->points[ring->count++] = fresh[j++];
}

/* --- new points --- */

struct points {
	struct ring_point *list;
	unsigned count;
};

static int add_points(struct points *points,
		      const struct director_server *server, unsigned place,
		      unsigned first, struct str *text)
{
	uint64_t hash;
	unsigned i;

	for (i = first; i < server->weight; i++) {
		str_clear(text);
		str_printf(text, "%s-%u", server->ip, i);
		if (director_hash(str_c(text), &hash) < 0)
			return -1;
		points->list[points->count++] = (struct ring_point){
			.hash = (uint32_t)(hash >> 32),
			.server = place & (MAX_SERVERS - 1),
			.number = i & 0xfff,
		};
	}
	return 0;
}

/* Sorted; those of the servers but for the first that stay. */
static int make_points(struct points *points,
		       const struct director_servers *servers, const char *tag,
		       const unsigned *stay)
{
	struct str text = STR_INIT;
	unsigned i;
	int ret = 0;

	for (i = 0; i < servers->count && ret == 0; i++) {
		if (has_tag(&servers->list[i], tag))
			ret = add_points(points, &servers->list[i], i, stay[i],
					 &text);
	}
	qsort(points->list, points->count, sizeof(*points->list), point_order);
	str_free(&text);
	return ret;
}

static unsigned count_points(const struct director_servers *servers,
			     const char *tag)
{
	unsigned i, total = 0;

	for (i = 0; i < servers->count; i++)
		total += has_tag(&servers->list[i], tag)
				 ? servers->list[i].weight : 0;
	return total;
}

struct director_ring *director_ring_new(struct arena *arena,
					const struct director_servers *servers,
					const char *tag,
					const struct director_ring *last)
{
	static const struct director_ring nothing = { .count = 0 };
	struct director_ring *ring =
		arena_new_struct(arena, struct director_ring);
	unsigned total = count_points(servers, tag);
	size_t size = (servers->count + 1) * sizeof(unsigned);
	unsigned *stay = mem_alloc(size);
	struct points points = { mem_alloc((total + 1) * sizeof(*points.list)),
				 0 };
	struct heir *heirs;
	int ret;

	ASSERT(servers->count <= MAX_SERVERS);
	memset(stay, 0, size);
	if (last == NULL)
		last = &nothing;
	ring->servers = *servers;
	ring->points = arena_alloc(arena, total * sizeof(*ring->points));
	heirs = find_heirs(last, servers, stay);
	ret = make_points(&points, servers, tag, stay);
	if (ret == 0)
		merge(ring, last, heirs, points.list, points.count);
	mem_free(&heirs);
	mem_free(&stay);
	mem_free(&points.list);
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
	return &ring->servers.list[ring->points[left % ring->count].server];
}
