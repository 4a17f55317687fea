#include "backends/director/cluster_keys.h"

#include <string.h>

#include "lib/mem.h"

static void free_key(struct cluster_key *key)
{
	mem_free(&key->name);
	mem_free(&key->value);
}

void cluster_keys_clear(struct cluster_keys *keys)
{
	size_t i;

	for (i = 0; i < keys->count; i++)
		free_key(&keys->list[i]);
	mem_free(&keys->list);
	*keys = (struct cluster_keys){ NULL, 0, 0 };
}

/* Of the first key that is not before name. */
static size_t place_of(const struct cluster_keys *keys, const char *name)
{
	size_t low = 0, high = keys->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(keys->list[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct cluster_keys *keys, size_t place,
		  const char *name)
{
	return place < keys->count &&
	       strcmp(keys->list[place].name, name) == 0;
}

static void make_room(struct cluster_keys *keys, size_t place)
{
	if (keys->count == keys->size) {
		keys->size = keys->size > 0 ? keys->size * 2 : 16;
		keys->list = mem_realloc(keys->list,
					 keys->size * sizeof(*keys->list));
	}
	memmove(&keys->list[place + 1], &keys->list[place],
		(keys->count - place) * sizeof(*keys->list));
	keys->count++;
}

struct cluster_key *
cluster_keys_put(struct cluster_keys *keys, const char *name, const char *value,
		 size_t len, int64_t create, int64_t mod)
{
	size_t place = place_of(keys, name);

	if (is_at(keys, place, name))
		free_key(&keys->list[place]);
	else
		make_room(keys, place);
	keys->list[place] = (struct cluster_key){
		.name = mem_strdup(name),
		.value = mem_alloc(len + 1),
		.len = len,
		.create = create,
		.mod = mod,
	};
	memcpy(keys->list[place].value, value, len);
	keys->list[place].value[len] = '\0';
	return &keys->list[place];
}

void cluster_keys_drop(struct cluster_keys *keys, const char *name)
{
	size_t place = place_of(keys, name);

	if (!is_at(keys, place, name))
		return;
	free_key(&keys->list[place]);
	memmove(&keys->list[place], &keys->list[place + 1],
		(--keys->count - place) * sizeof(*keys->list));
}

const struct cluster_key *cluster_keys_find(const struct cluster_keys *keys,
					    const char *name)
{
	size_t place = place_of(keys, name);

	return is_at(keys, place, name) ? &keys->list[place] : NULL;
}

const struct cluster_key *cluster_keys_under(const struct cluster_keys *keys,
					     const char *prefix,
					     size_t *count_r)
{
	size_t place = place_of(keys, prefix), len = strlen(prefix);

	*count_r = 0;
	while (place + *count_r < keys->count &&
	       strncmp(keys->list[place + *count_r].name, prefix, len) == 0)
		(*count_r)++;
	return keys->list != NULL ? &keys->list[place] : NULL;
}
