/* Extra fields that a passdb returns for a user: an ordered list of key and
 * value, small, looked through linearly. */
#ifndef PASSDB_FIELDS_H
#define PASSDB_FIELDS_H

#include <stdbool.h>

#include "lib/arena.h"

struct passdb_field {
	const char *key, *value; /* value "" when the field has none */
	bool hidden; /* only the lookup is concerned with it */
};

struct passdb_fields {
	struct passdb_field *list;
	unsigned count, size;
};

/* Sets key to value (replacing it). Neither is copied; the list grows in
 * arena. */
void passdb_fields_put(struct passdb_fields *fields, struct arena *arena,
		       const char *key, const char *value, bool hidden);

/* The value, "" for a field without one; NULL when it is not there. */
const char *passdb_fields_get(const struct passdb_fields *fields,
			      const char *key);

/* Returns whether it was there. */
bool passdb_fields_remove(struct passdb_fields *fields, const char *key);

/* Whether both have the same keys with the same values, in the same order. */
bool passdb_fields_equal(const struct passdb_fields *a,
			 const struct passdb_fields *b);

/* A list of the same fields that can be changed without changing the first. */
struct passdb_fields passdb_fields_copy(const struct passdb_fields *fields,
					struct arena *arena);

/* Whether what a field of that name holds is not to be shown: passwords for the
 * backend, and what sites may put into fields of their own. */
bool passdb_field_is_secret(const char *key);

#endif
