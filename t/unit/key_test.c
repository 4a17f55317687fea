#include <criterion/criterion.h>

#include "passdb/key.h"

static const struct {
	const char *text, *name;
	enum passdb_suffix suffix;
	const char *special; /* NULL: ordinary */
} rows[] = {
	{ "host", "host", PASSDB_SUFFIX_NONE, NULL },
	{ "host:protected", "host", PASSDB_SUFFIX_PROTECTED, NULL },
	{ "host:remove", "host", PASSDB_SUFFIX_REMOVE, NULL },
	/* nothing but a suffix, and others, are names */
	{ ":protected", ":protected", PASSDB_SUFFIX_NONE, NULL },
	{ ":remove", ":remove", PASSDB_SUFFIX_NONE, NULL },
	{ "a:b", "a:b", PASSDB_SUFFIX_NONE, NULL },
	{ "a:", "a:", PASSDB_SUFFIX_NONE, NULL },
	{ "a:removed", "a:removed", PASSDB_SUFFIX_NONE, NULL },
	{ "a:remove:protected", "a:remove", PASSDB_SUFFIX_PROTECTED, NULL },
	{ "::remove", ":", PASSDB_SUFFIX_REMOVE, NULL },
	{ "", "", PASSDB_SUFFIX_NONE, NULL },
	{ "user", "user", PASSDB_SUFFIX_NONE, "user" },
	{ "user:remove", "user", PASSDB_SUFFIX_REMOVE, "user" },
	{ "username", "username", PASSDB_SUFFIX_NONE, "username" },
	{ "userx", "userx", PASSDB_SUFFIX_NONE, NULL },
	{ "use", "use", PASSDB_SUFFIX_NONE, NULL },
	{ "User", "User", PASSDB_SUFFIX_NONE, NULL },
	{ "userdb_", "userdb_", PASSDB_SUFFIX_NONE, "userdb_" },
	{ "userdb_home", "userdb_home", PASSDB_SUFFIX_NONE, "userdb_" },
	{ "userdb", "userdb", PASSDB_SUFFIX_NONE, NULL },
	{ "passdb_import", "passdb_import", PASSDB_SUFFIX_NONE,
	  "passdb_import" },
};

Test(key, rows)
{
	struct arena *arena = arena_new(256);
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct passdb_key key = passdb_key_parse(arena, rows[i].text);

		cr_expect_eq(key.text, rows[i].text);
		cr_expect_str_eq(key.name, rows[i].name, "%s: %s",
				 rows[i].text, key.name);
		cr_expect_eq(key.suffix, rows[i].suffix, "%s", rows[i].text);
		cr_expect_eq(key.special != NULL, rows[i].special != NULL,
			     "%s", rows[i].text);
		if (key.special != NULL && rows[i].special != NULL)
			cr_expect_str_eq(key.special->name, rows[i].special,
					 "%s", rows[i].text);
	}
	arena_free(&arena);
}
