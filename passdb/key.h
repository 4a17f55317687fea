/* The name of a field as a configuration or a driver gives it: with what its
 * suffix says, and whether the field means something by itself. */
#ifndef PASSDB_KEY_H
#define PASSDB_KEY_H

#include <stdbool.h>

#include "lib/arena.h"
#include "passdb/special.h"

/* Dovecot's suffixes. */
enum passdb_suffix {
	PASSDB_SUFFIX_NONE,
	PASSDB_SUFFIX_PROTECTED, /* ":protected" only sets what is not set */
	PASSDB_SUFFIX_REMOVE,	 /* ":remove" */
};

struct passdb_key {
	const char *text; /* as it was given */
	const char *name; /* without suffix */
	enum passdb_suffix suffix;
	const struct passdb_special *special; /* NULL: an ordinary field */
};

/* Reads text, which has to live as long as the result and the fields set by
 * it; a name cut off it lives in arena. A suffix alone is a name. */
struct passdb_key passdb_key_parse(struct arena *arena, const char *text);

/* Whether a field with that key is set to its value in a lookup of that kind, and
 * nothing else comes of it. */
bool passdb_key_is_plain(const struct passdb_key *key, enum passdb_kind kind);

#endif
