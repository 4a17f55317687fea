#include "backends/director/map.h"

#include <string.h>

#include "backends/director/rendezvous.h"
#include "backends/director/ring.h"

/* The servers of one tag. */
struct map_part {
	const char *tag;
	struct director_ring *ring; /* NULL: rendezvous */
	struct director_rendezvous *rendezvous;
};

struct director_map {
	struct map_part *parts;
	unsigned count;
};

static const struct map_part *find_part(const struct director_map *map,
					const char *tag)
{
	unsigned i = 0;

	while (i < map->count && strcmp(map->parts[i].tag, tag) != 0)
		i++;
	return i < map->count ? &map->parts[i] : NULL;
}

static const struct director_ring *ring_of(const struct director_map *map,
					   const char *tag)
{
	const struct map_part *part =
		map != NULL ? find_part(map, tag) : NULL;

	return part != NULL ? part->ring : NULL;
}

static int add_part(struct director_map *map, struct arena *arena,
		    const struct director_servers *servers, const char *tag,
		    enum director_method method,
		    const struct director_map *last)
{
	struct map_part *part = &map->parts[map->count++];

	part->tag = tag;
	if (method == DIRECTOR_RENDEZVOUS)
		part->rendezvous = director_rendezvous_new(arena, servers, tag);
	else
		part->ring = director_ring_new(arena, servers, tag,
					       ring_of(last, tag));
	return part->ring != NULL || part->rendezvous != NULL ? 0 : -1;
}

struct director_map *director_map_new(struct arena *arena,
				      const struct director_servers *servers,
				      enum director_method method,
				      const struct director_map *last)
{
	struct director_map *map = arena_new_struct(arena, struct director_map);
	unsigned i;

	map->parts = arena_alloc(arena, servers->count * sizeof(*map->parts));
	for (i = 0; i < servers->count; i++) {
		const char *tag = servers->list[i].tag;

		if (find_part(map, tag) == NULL &&
		    add_part(map, arena, servers, tag, method, last) < 0)
			return NULL;
	}
	return map;
}

const struct director_server *director_map_find(const struct director_map *map,
						const char *tag, uint64_t hash)
{
	const struct map_part *part = find_part(map, tag);

	if (part == NULL)
		return NULL;
	return part->ring != NULL
		       ? director_ring_find(part->ring, hash)
		       : director_rendezvous_find(part->rendezvous, hash);
}
