#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "passdb/fields.h"

Test(fields, set_get_remove)
{
	struct arena *arena = arena_new(256);
	struct passdb_fields fields = { NULL, 0, 0 };
	char value[] = "10.0.0.1";

	cr_assert_null(passdb_fields_get(&fields, "host"));
	passdb_fields_remove(&fields, "host");
	passdb_fields_set(&fields, arena, "host", value);
	passdb_fields_set(&fields, arena, "hostip", "");
	memset(value, 'x', strlen(value)); /* it was copied */
	cr_assert_str_eq(passdb_fields_get(&fields, "host"), "10.0.0.1");
	cr_assert_str_eq(passdb_fields_get(&fields, "hostip"), "");
	cr_assert_null(passdb_fields_get(&fields, "hos"));
	cr_assert_null(passdb_fields_get(&fields, "Host"));
	passdb_fields_set(&fields, arena, "host", "b");
	cr_assert_eq(fields.count, 2);
	cr_assert_str_eq(fields.list[0].value, "b");
	passdb_fields_remove(&fields, "host");
	cr_assert_eq(fields.count, 1);
	cr_assert_str_eq(fields.list[0].key, "hostip");
	arena_free(&arena);
}

Test(fields, suffixes)
{
	struct arena *arena = arena_new(256);
	struct passdb_fields fields = { NULL, 0, 0 };

	passdb_fields_set(&fields, arena, "host:protected", "a");
	passdb_fields_set(&fields, arena, "host:protected", "b");
	cr_assert_str_eq(passdb_fields_get(&fields, "host"), "a");
	passdb_fields_set(&fields, arena, "port:remove", "");
	passdb_fields_set(&fields, arena, "host:remove", "x");
	cr_assert_eq(fields.count, 0);
	/* nothing but the suffix, and others, are names */
	passdb_fields_set(&fields, arena, ":remove", "1");
	passdb_fields_set(&fields, arena, ":protected", "2");
	passdb_fields_set(&fields, arena, "a:b", "3");
	cr_assert_eq(fields.count, 3);
	cr_assert_str_eq(passdb_fields_get(&fields, ":remove"), "1");
	cr_assert_str_eq(passdb_fields_get(&fields, "a:b"), "3");
	arena_free(&arena);
}

Test(fields, many_keep_their_order)
{
	struct arena *arena = arena_new(64);
	struct passdb_fields fields = { NULL, 0, 0 };
	char key[16];
	unsigned i;

	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		passdb_fields_set(&fields, arena, key, key);
	}
	cr_assert_eq(fields.count, 100);
	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		cr_assert_str_eq(fields.list[i].key, key);
		cr_assert_str_eq(fields.list[i].value, key);
	}
	arena_free(&arena);
}

Test(fields, put_takes_parts_of_a_text)
{
	struct arena *arena = arena_new(256);
	struct passdb_fields fields = { NULL, 0, 0 };

	passdb_fields_put(&fields, arena, "hostname", 4, "value", 3);
	cr_assert_str_eq(passdb_fields_get(&fields, "host"), "val");
	passdb_fields_put(&fields, arena, "hostXX", 4, "other", 1);
	cr_assert_str_eq(passdb_fields_get(&fields, "host"), "o");
	cr_assert_eq(fields.count, 1);
	arena_free(&arena);
}

Test(fields, copy_is_independent)
{
	struct arena *arena = arena_new(256);
	struct passdb_fields fields = { NULL, 0, 0 }, copy;

	copy = passdb_fields_copy(&fields, arena);
	cr_assert_eq(copy.count, 0);
	passdb_fields_set(&fields, arena, "a", "1");
	passdb_fields_set(&fields, arena, "b", "2");
	copy = passdb_fields_copy(&fields, arena);
	passdb_fields_set(&copy, arena, "a", "x");
	passdb_fields_remove(&copy, "b");
	passdb_fields_set(&copy, arena, "c", "3");
	cr_assert_eq(fields.count, 2);
	cr_assert_str_eq(passdb_fields_get(&fields, "a"), "1");
	cr_assert_str_eq(passdb_fields_get(&fields, "b"), "2");
	arena_free(&arena);
}
