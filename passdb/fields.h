/* Extra fields that a passdb returns for a user: an ordered list of key and
 * value, small, looked through linearly. */
#ifndef PASSDB_FIELDS_H
#define PASSDB_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"

struct passdb_field {
	const char *key, *value; /* value "" when the field has none */
};

struct passdb_fields {
	struct passdb_field *list;
	unsigned count, size;
};

/* Sets key to value (replacing it) with Dovecot's suffixes: "key:protected"
 * only sets what is not set, "key:remove" removes it. Copies into arena. */
void passdb_fields_set(struct passdb_fields *fields, struct arena *arena,
		       const char *key, const char *value);

/* Carries out what a suffix of key (key_len bytes) says. Returns the length of
 * the key without suffix when it is to be set, 0 when there is nothing more to
 * do. */
size_t passdb_fields_suffix(struct passdb_fields *fields, const char *key,
			    size_t key_len);

/* Sets key to value (replacing it), whatever suffix it has. Neither needs to
 * end with NUL. Copies into arena. */
void passdb_fields_put(struct passdb_fields *fields, struct arena *arena,
		       const char *key, size_t key_len, const char *value,
		       size_t value_len);

/* The value, "" for a field without one; NULL when it is not there. */
const char *passdb_fields_get(const struct passdb_fields *fields,
			      const char *key);

void passdb_fields_remove(struct passdb_fields *fields, const char *key);

/* A list of the same fields that can be changed without changing the first. */
struct passdb_fields passdb_fields_copy(const struct passdb_fields *fields,
					struct arena *arena);

#endif
