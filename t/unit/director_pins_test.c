/* Users who were moved by hand. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "backends/director/state.h"
#include "lib/mem.h"

static struct director_pins pins;

static void teardown(void)
{
	director_pins_clear(&pins);
}

TestSuite(director_pins, .fini = teardown);

static void expect_order(void)
{
	unsigned i;

	for (i = 1; i < pins.count; i++)
		cr_expect_lt(pins.list[i - 1]->key, pins.list[i]->key);
}

Test(director_pins, none)
{
	cr_expect_null(director_pins_find(&pins, 0));
	cr_expect_not(director_pins_drop(&pins, 0));
	cr_expect_not(director_pins_expire(&pins, UINT64_MAX));
	director_pins_clear(&pins);
}

Test(director_pins, the_least_and_the_greatest_key)
{
	director_pins_get(&pins, UINT64_MAX)->server = 1;
	director_pins_get(&pins, 0)->server = 2;
	cr_expect_eq(director_pins_find(&pins, UINT64_MAX)->server, 1);
	cr_expect_eq(director_pins_find(&pins, 0)->server, 2);
	cr_expect_null(director_pins_find(&pins, 1));
	cr_expect_null(director_pins_find(&pins, UINT64_MAX - 1));
	cr_expect_eq(director_pins_get(&pins, 0)->server, 2);
	cr_expect_eq(pins.count, 2);
	cr_expect(director_pins_drop(&pins, 0));
	cr_expect_null(director_pins_find(&pins, 0));
}

/* Against a table that needs no thought. */
Test(director_pins, any_order)
{
	bool there[200] = { false };
	unsigned i, key, count;

	srand(7);
	for (i = 0; i < 5000; i++) {
		key = (unsigned)rand() % 200;
		if (rand() % 2 == 0)
			director_pins_get(&pins, key);
		else
			cr_expect_eq(director_pins_drop(&pins, key), there[key]);
		there[key] = director_pins_find(&pins, key) != NULL;
		if (i % 100 == 0)
			expect_order();
	}
	for (key = count = 0; key < 200; key++) {
		cr_expect_eq(director_pins_find(&pins, key) != NULL, there[key]);
		count += there[key];
	}
	cr_expect_eq(pins.count, count);
}

Test(director_pins, those_whose_time_is_over_go)
{
	static const uint64_t until[] = { 0, 5, 7, 6, 9 };
	unsigned i;

	for (i = 0; i < 5; i++) {
		struct director_pin *pin = director_pins_get(&pins, i);

		pin->user = mem_strdup("u");
		pin->mark.by = mem_strdup("ann");
		pin->until_s = until[i];
	}
	cr_expect_not(director_pins_expire(&pins, 4));
	cr_expect(director_pins_expire(&pins, 6));
	cr_expect_eq(pins.count, 3);
	cr_expect_not_null(director_pins_find(&pins, 0));
	cr_expect_not_null(director_pins_find(&pins, 2));
	cr_expect_not_null(director_pins_find(&pins, 4));
}

Test(director_pins, many_at_a_time)
{
	static const uint64_t keys[] = { 9, 0, UINT64_MAX, 3 };
	unsigned i;

	cr_expect_eq(director_pins_sort(&pins), 0);
	for (i = 0; i < 4; i++)
		director_pins_append(&pins, keys[i])->server = i;
	cr_expect_eq(director_pins_sort(&pins), 0);
	cr_expect_eq(pins.count, 4);
	expect_order();
	for (i = 0; i < 4; i++)
		cr_expect_eq(director_pins_find(&pins, keys[i])->server, i);
	director_pins_append(&pins, 3);
	cr_expect_eq(director_pins_sort(&pins), -1, "one is there twice");
}
