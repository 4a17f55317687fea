#include "passdb/fields.h"

#include <string.h>

#define FIELDS_MIN_SIZE 8

static struct passdb_field *fields_find(const struct passdb_fields *fields,
					const char *key, size_t key_len)
{
	unsigned i;

	for (i = 0; i < fields->count; i++) {
		const char *have = fields->list[i].key;

		if (have[0] == key[0] && strncmp(have, key, key_len) == 0 &&
		    have[key_len] == '\0')
			return &fields->list[i];
	}
	return NULL;
}

static bool key_ends_with(const char *key, size_t key_len, const char *suffix)
{
	size_t len = strlen(suffix);

	return key_len > len &&
	       memcmp(key + key_len - len, suffix, len) == 0;
}

static void fields_remove(struct passdb_fields *fields, const char *key,
			  size_t key_len)
{
	struct passdb_field *field = fields_find(fields, key, key_len);
	size_t behind;

	if (field == NULL)
		return;
	fields->count--;
	behind = fields->count - (size_t)(field - fields->list);
	memmove(field, field + 1, behind * sizeof(*field));
}

size_t passdb_fields_suffix(struct passdb_fields *fields, const char *key,
			    size_t key_len)
{
	static const char protect[] = ":protected", drop[] = ":remove";

	if (memchr(key, ':', key_len) == NULL)
		return key_len;
	if (key_ends_with(key, key_len, protect)) {
		key_len -= sizeof(protect) - 1;
		return fields_find(fields, key, key_len) == NULL ? key_len : 0;
	}
	if (key_ends_with(key, key_len, drop)) {
		fields_remove(fields, key, key_len - (sizeof(drop) - 1));
		return 0;
	}
	return key_len;
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
		       const char *key, size_t key_len, const char *value,
		       size_t value_len)
{
	struct passdb_field *field = fields_find(fields, key, key_len);
	char *copy;

	if (field != NULL) {
		field->value = arena_strndup(arena, value, value_len);
		return;
	}
	field = fields_add(fields, arena);
	copy = arena_alloc(arena, key_len + 1 + value_len + 1);
	memcpy(copy, key, key_len);
	memcpy(copy + key_len + 1, value, value_len);
	field->key = copy;
	field->value = copy + key_len + 1;
}

void passdb_fields_set(struct passdb_fields *fields, struct arena *arena,
		       const char *key, const char *value)
{
	size_t key_len = passdb_fields_suffix(fields, key, strlen(key));

	if (key_len > 0)
		passdb_fields_put(fields, arena, key, key_len, value,
				  strlen(value));
}

const char *passdb_fields_get(const struct passdb_fields *fields,
			      const char *key)
{
	const struct passdb_field *field =
		fields_find(fields, key, strlen(key));

	return field != NULL ? field->value : NULL;
}

void passdb_fields_remove(struct passdb_fields *fields, const char *key)
{
	fields_remove(fields, key, strlen(key));
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
