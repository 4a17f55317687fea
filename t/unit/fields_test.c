#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "passdb/fields.h"

Test(fields, set_get_remove)
{
	struct arena *arena = arena_new(256);
	struct passdb_fields fields = { NULL, 0, 0 };

	cr_assert_null(passdb_fields_get(&fields, "host"));
	cr_assert_not(passdb_fields_remove(&fields, "host"));
	passdb_fields_put(&fields, arena, "host", "10.0.0.1", false);
	passdb_fields_put(&fields, arena, "hostip", "", false);
	cr_assert_str_eq(passdb_fields_get(&fields, "host"), "10.0.0.1");
	cr_assert_str_eq(passdb_fields_get(&fields, "hostip"), "");
	cr_assert_null(passdb_fields_get(&fields, "hos"));
	cr_assert_null(passdb_fields_get(&fields, "Host"));
	passdb_fields_put(&fields, arena, "host", "b", false);
	cr_assert_eq(fields.count, 2);
	cr_assert_str_eq(fields.list[0].value, "b");
	cr_assert(passdb_fields_remove(&fields, "host"));
	cr_assert_eq(fields.count, 1);
	cr_assert_str_eq(fields.list[0].key, "hostip");
	arena_free(&arena);
}

Test(fields, many_keep_their_order)
{
	struct arena *arena = arena_new(64);
	struct passdb_fields fields = { NULL, 0, 0 };
	char key[16];
	const char *copy;
	unsigned i;

	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		copy = arena_strdup(arena, key);
		passdb_fields_put(&fields, arena, copy, copy, false);
	}
	cr_assert_eq(fields.count, 100);
	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		cr_assert_str_eq(fields.list[i].key, key);
		cr_assert_str_eq(fields.list[i].value, key);
	}
	arena_free(&arena);
}

Test(fields, copy_is_independent)
{
	struct arena *arena = arena_new(256);
	struct passdb_fields fields = { NULL, 0, 0 }, copy;

	copy = passdb_fields_copy(&fields, arena);
	cr_assert_eq(copy.count, 0);
	passdb_fields_put(&fields, arena, "a", "1", false);
	passdb_fields_put(&fields, arena, "b", "2", false);
	copy = passdb_fields_copy(&fields, arena);
	passdb_fields_put(&copy, arena, "a", "x", false);
	passdb_fields_remove(&copy, "b");
	passdb_fields_put(&copy, arena, "c", "3", false);
	cr_assert_eq(fields.count, 2);
	cr_assert_str_eq(passdb_fields_get(&fields, "a"), "1");
	cr_assert_str_eq(passdb_fields_get(&fields, "b"), "2");
	arena_free(&arena);
}

Test(fields, equal)
{
	struct arena *arena = arena_new(256);
	struct passdb_fields a = { NULL, 0, 0 }, b = { NULL, 0, 0 };

	cr_assert(passdb_fields_equal(&a, &b));
	passdb_fields_put(&a, arena, "host", "x", false);
	cr_assert_not(passdb_fields_equal(&a, &b));
	passdb_fields_put(&b, arena, arena_strdup(arena, "host"),
			  arena_strdup(arena, "x"), false);
	cr_assert(passdb_fields_equal(&a, &b));
	passdb_fields_put(&b, arena, "host", "y", false);
	cr_assert_not(passdb_fields_equal(&a, &b));
	passdb_fields_remove(&b, "host");
	passdb_fields_put(&b, arena, "port", "x", false);
	cr_assert_not(passdb_fields_equal(&a, &b));
	arena_free(&arena);
}

Test(fields, secrets)
{
	cr_expect(passdb_field_is_secret("pass"));
	cr_expect(passdb_field_is_secret("PASSWORD"));
	cr_expect(passdb_field_is_secret("userdb_mail_crypt_private_key"));
	cr_expect(passdb_field_is_secret("forward_Token"));
	cr_expect(passdb_field_is_secret("client_secret"));
	cr_expect_not(passdb_field_is_secret("nopassword"));
	cr_expect_not(passdb_field_is_secret("host"));
	cr_expect_not(passdb_field_is_secret(""));
}
