#include "backends/remote/limits.h"

#include <criterion/criterion.h>

#include "t/unit/loop_helper.h"

static struct loop *loop;
static struct remote_limits *limits;
static unsigned granted;

static void setup(void)
{
	loop = loop_new();
	limits = remote_limits_new();
	granted = 0;
}

static void teardown(void)
{
	remote_limits_free(&limits);
	loop_free(&loop);
}

TestSuite(limits, .init = setup, .fini = teardown, .timeout = 60);

static void on_granted(void *owner)
{
	(void)owner;
	granted++;
}

Test(limits, places_are_counted_by_name)
{
	struct remote_limit *a = remote_limit_find(limits, "a");
	struct remote_limit *same = remote_limit_find(limits, "a");
	struct remote_limit *b = remote_limit_find(limits, "b");

	cr_assert_eq(a, same);
	cr_assert_neq(a, b);
	cr_assert(remote_limit_take(a, 1));
	remote_limit_unref(&a);
	cr_assert_null(a);
	cr_assert_not(remote_limit_take(same, 1));
	cr_assert(remote_limit_take(b, 1));
	remote_limit_release(b);
	remote_limit_release(same);
	remote_limit_unref(&same);
	remote_limit_unref(&b);
	remote_limit_unref(&b);
}

/* Nobody but the grant itself knows the limit any more when it arrives. */
Test(limits, a_grant_that_nobody_wants_any_more)
{
	struct remote_limit *a = remote_limit_find(limits, "a"), *again;
	struct remote_waiter *waiter;

	cr_assert(remote_limit_take(a, 1));
	waiter = remote_limit_wait(a, loop, NULL, on_granted, &granted);
	remote_limit_release(a);
	remote_limit_cancel(&waiter);
	remote_limit_unref(&a);
	again = remote_limit_find(limits, "a");
	cr_assert_not(remote_limit_take(again, 1), "its place is on its way");
	pass(loop);
	cr_assert_eq(granted, 0);
	cr_assert(remote_limit_take(again, 1));
	remote_limit_release(again);
	remote_limit_unref(&again);
}

Test(limits, a_grant)
{
	struct remote_limit *a = remote_limit_find(limits, "a");

	cr_assert(remote_limit_take(a, 1));
	remote_limit_wait(a, loop, NULL, on_granted, &granted);
	cr_assert(remote_limit_contended(a));
	remote_limit_release(a);
	pass(loop);
	cr_assert_eq(granted, 1);
	remote_limit_release(a);
	remote_limit_unref(&a);
}

Test(limits, waiters_of_a_kind)
{
	struct remote_limit *a = remote_limit_find(limits, "a");
	int kind, other, owner;

	cr_assert(remote_limit_take(a, 1));
	cr_assert_null(remote_limit_pass_on(a, &kind));
	remote_limit_wait(a, loop, &kind, on_granted, &owner);
	cr_assert_null(remote_limit_pass_on(a, &other));
	cr_assert_eq(remote_limit_pass_on(a, &kind), &owner);
	cr_assert_not(remote_limit_contended(a));
	remote_limit_release(a);
	remote_limit_unref(&a);
}

/* Where more places are allowed now than when he began to wait. */
Test(limits, nobody_overtakes_who_waits)
{
	struct remote_limit *a = remote_limit_find(limits, "a");

	cr_assert(remote_limit_take(a, 1));
	remote_limit_wait(a, loop, NULL, on_granted, &granted);
	cr_assert_not(remote_limit_take(a, 2));
	remote_limit_release(a);
	pass(loop);
	cr_assert_eq(granted, 1);
	cr_assert(remote_limit_take(a, 2));
	cr_assert_not(remote_limit_take(a, 2));
	remote_limit_release(a);
	remote_limit_release(a);
	remote_limit_unref(&a);
}
