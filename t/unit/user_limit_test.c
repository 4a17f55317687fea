#include "proxy/user_limit.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

static struct user_limit *limit;

static void setup(void)
{
	limit = user_limit_new();
}

/* Frees it, for which nobody may be left. */
static void teardown(void)
{
	user_limit_free(&limit);
	cr_assert_null(limit);
}

TestSuite(user_limit, .init = setup, .fini = teardown, .timeout = 60);

Test(user_limit, as_many_as_may_be)
{
	struct user_count *first = user_limit_enter(limit, "joe", 2);
	struct user_count *second = user_limit_enter(limit, "joe", 2);
	struct user_count *other = user_limit_enter(limit, "ann", 1);

	cr_assert_not_null(first);
	cr_assert_not_null(second);
	cr_assert_not_null(other);
	cr_assert_null(user_limit_enter(limit, "joe", 2));
	cr_assert_null(user_limit_enter(limit, "ann", 1));
	user_limit_leave(limit, &first);
	cr_assert_null(first);
	first = user_limit_enter(limit, "joe", 2);
	cr_assert_not_null(first);
	user_limit_leave(limit, &first);
	user_limit_leave(limit, &first);
	user_limit_leave(limit, &second);
	user_limit_leave(limit, &other);
}

#define USERS 3000

Test(user_limit, many_users)
{
	static struct user_count *counts[USERS];
	char name[16];
	unsigned i;

	for (i = 0; i < USERS; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		counts[i] = user_limit_enter(limit, name, 1);
		cr_assert_not_null(counts[i]);
		cr_assert_null(user_limit_enter(limit, name, 1));
	}
	for (i = 0; i < USERS; i++)
		user_limit_leave(limit, &counts[i]);
}

static void *come_and_go(void *arg)
{
	unsigned *entered = arg, i;

	for (i = 0; i < 20000 || *entered == 0; i++) {
		struct user_count *count = user_limit_enter(limit, "joe", 3);

		*entered += count != NULL;
		user_limit_leave(limit, &count);
	}
	return NULL;
}

Test(user_limit, threads)
{
	unsigned entered[4] = { 0 }, i;
	pthread_t threads[4];

	for (i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, come_and_go,
					    &entered[i]), 0);
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		cr_assert_gt(entered[i], 0);
	}
}
