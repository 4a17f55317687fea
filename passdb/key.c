#include "passdb/key.h"

#include <string.h>

static const char *const suffixes[] = {
	[PASSDB_SUFFIX_PROTECTED] = ":protected",
	[PASSDB_SUFFIX_REMOVE] = ":remove",
};

static enum passdb_suffix key_suffix(const char *text)
{
	const char *colon = strrchr(text, ':');

	if (colon == NULL || colon == text)
		return PASSDB_SUFFIX_NONE;
	if (strcmp(colon, suffixes[PASSDB_SUFFIX_PROTECTED]) == 0)
		return PASSDB_SUFFIX_PROTECTED;
	if (strcmp(colon, suffixes[PASSDB_SUFFIX_REMOVE]) == 0)
		return PASSDB_SUFFIX_REMOVE;
	return PASSDB_SUFFIX_NONE;
}

struct passdb_key passdb_key_parse(struct arena *arena, const char *text)
{
	struct passdb_key key = { .text = text, .name = text,
				  .suffix = key_suffix(text) };

	if (key.suffix != PASSDB_SUFFIX_NONE)
		key.name = arena_strndup(arena, text,
					 strlen(text) -
						 strlen(suffixes[key.suffix]));
	key.special = passdb_special_find(key.name);
	return key;
}

bool passdb_key_is_plain(const struct passdb_key *key, enum passdb_kind kind)
{
	return key->suffix == PASSDB_SUFFIX_NONE &&
	       (passdb_special_put(key->special, kind) == NULL ||
		passdb_special_only_hides(key->special, kind));
}
