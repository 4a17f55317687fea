#include "proxy/forward.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena *arena;

static void setup(void)
{
	arena = arena_new(512);
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(forward, .init = setup, .fini = teardown);

static const char *field(const struct passdb_fields *fields, const char *key)
{
	const char *value = passdb_fields_get(fields, key);

	return value != NULL ? value : "(none)";
}

Test(forward, what_comes_becomes_fields)
{
	struct smtp_rcpt_params params = { .xrcptforward = "a+3D1+09b" };
	struct passdb_fields fields;
	struct err err;

	cr_assert_eq(forward_read(arena, &params, &fields, &err), 0);
	cr_assert_eq(fields.count, 2);
	cr_expect_str_eq(field(&fields, "forward_a"), "1");
	cr_expect_str_eq(field(&fields, "forward_b"), "");
	params.xrcptforward = NULL;
	cr_assert_eq(forward_read(arena, &params, &fields, &err), 0);
	cr_assert_eq(fields.count, 0);
}

Test(forward, what_is_malformed)
{
	struct smtp_rcpt_params params = { .xrcptforward = "a+0" };
	struct passdb_fields fields;
	struct err err;

	cr_assert_lt(forward_read(arena, &params, &fields, &err), 0);
	cr_expect_str_eq(err.text, "Invalid XRCPTFORWARD= parameter: "
				   "Not in xtext");
}

Test(forward, what_leaves)
{
	struct smtp_rcpt_params params = { .xrcptforward = "old" };
	struct passdb_fields fields = { NULL, 0, 0 };
	struct err err;

	cr_assert_eq(forward_write(arena, &fields, &params, &err), 0);
	cr_assert_null(params.xrcptforward);
	passdb_fields_put(&fields, arena, "host", "x", false);
	passdb_fields_put(&fields, arena, "forward_a", "1", false);
	passdb_fields_put(&fields, arena, "forwarder", "2", false);
	passdb_fields_put(&fields, arena, "forward_b", "", false);
	cr_assert_eq(forward_write(arena, &fields, &params, &err), 0);
	cr_expect_str_eq(params.xrcptforward, "a+3D1+09b+3D");
}

Test(forward, what_cannot_leave)
{
	struct smtp_rcpt_params params = { .xrcptforward = NULL };
	struct passdb_fields fields = { NULL, 0, 0 };
	char *text = arena_alloc(arena, 4001);
	struct err err;

	memset(text, 'x', 4000);
	passdb_fields_put(&fields, arena, "forward_", "1", false);
	cr_expect_lt(forward_write(arena, &fields, &params, &err), 0);
	passdb_fields_remove(&fields, "forward_");
	passdb_fields_put(&fields, arena, "forward_a", text, false);
	cr_expect_lt(forward_write(arena, &fields, &params, &err), 0);
	cr_expect_null(params.xrcptforward);
}
