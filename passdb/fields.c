#include "passdb/fields.h"

#include <string.h>

#define FIELDS_MIN_SIZE 8

static struct passdb_field *fields_find(const struct passdb_fields *fields,
					const char *key)
{
	unsigned i;

	for (i = 0; i < fields->count; i++) {
		const char *have = fields->list[i].key;

		if (have[0] == key[0] && strcmp(have, key) == 0)
			return &fields->list[i];
	}
	return NULL;
}

static struct passdb_field *fields_add(struct passdb_fields *fields,
				       struct arena *arena)
{
	if (fields->count == fields->size) {
		unsigned size = fields->size > 0 ? fields->size * 2
						 : FIELDS_MIN_SIZE;
		struct passdb_field *list =
			arena_alloc(arena, size * sizeof(*list));

		if (fields->count > 0)
			memcpy(list, fields->list,
			       fields->count * sizeof(*list));
		fields->list = list;
		fields->size = size;
	}
	return &fields->list[fields->count++];
}

void passdb_fields_put(struct passdb_fields *fields, struct arena *arena,
		       const char *key, const char *value, bool hidden)
{
	struct passdb_field *field = fields_find(fields, key);

	if (field == NULL)
		field = fields_add(fields, arena);
	*field = (struct passdb_field){ key, value, hidden };
}

const char *passdb_fields_get(const struct passdb_fields *fields,
			      const char *key)
{
	const struct passdb_field *field = fields_find(fields, key);

	return field != NULL ? field->value : NULL;
}

bool passdb_fields_remove(struct passdb_fields *fields, const char *key)
{
	struct passdb_field *field = fields_find(fields, key);
	size_t behind;

	if (field == NULL)
		return false;
	fields->count--;
	behind = fields->count - (size_t)(field - fields->list);
	memmove(field, field + 1, behind * sizeof(*field));
	return true;
}

/* Fields of a configuration are the same texts at the same place. */
static bool text_equal(const char *a, const char *b)
{
	return a == b || strcmp(a, b) == 0;
}

bool passdb_fields_equal(const struct passdb_fields *a,
			 const struct passdb_fields *b)
{
	unsigned i, count = a->count;

	if (count != b->count)
		return false;
	/* What differs most often comes first: the last ones' values, since all
	 * begin with proxy=y. */
	for (i = count; i-- > 0;)
		if (!text_equal(a->list[i].value, b->list[i].value))
			return false;
	for (i = 0; i < count; i++)
		if (!text_equal(a->list[i].key, b->list[i].key))
			return false;
	return true;
}

struct passdb_fields passdb_fields_copy(const struct passdb_fields *fields,
					struct arena *arena)
{
	struct passdb_fields copy = { NULL, fields->count, fields->count };

	if (fields->count == 0)
		return copy;
	copy.list = arena_alloc(arena, fields->count * sizeof(*copy.list));
	memcpy(copy.list, fields->list, fields->count * sizeof(*copy.list));
	return copy;
}

bool passdb_field_is_secret(const char *key)
{
	static const char *const signs[] = { "pass", "secret", "token", "key" };
	size_t i;

	if (strcasecmp(key, "nopassword") == 0)
		return false;
	for (i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
		if (strcasestr(key, signs[i]) != NULL)
			return true;
	}
	return false;
}
