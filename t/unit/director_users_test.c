/* One user on one server while the view of the servers changes. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <string.h>

#include "backends/director/users.h"
#include "t/unit/loop_helper.h"

#define EXPIRE_US 1000

static struct loop *loop;
static struct director_users *users;
static enum director_hold holds[4];
static uint64_t flushed[4];
static unsigned woken;

static enum director_hold hold(const void *arg, uint32_t id)
{
	(void)arg;
	return holds[id];
}

static uint64_t flushed_us(const void *arg, uint32_t id)
{
	(void)arg;
	return flushed[id];
}

static const struct director_rules rules = {
	.hold = hold,
	.flushed_us = flushed_us,
	.generation = 1,
};

static void start(void)
{
	loop = loop_new();
	users = director_users_new(EXPIRE_US);
	memset(holds, 0, sizeof(holds));
	memset(flushed, 0, sizeof(flushed));
	woken = 0;
}

static void end(void)
{
	director_users_free(&users);
	loop_free(&loop);
}

TestSuite(director_users, .init = start, .fini = end);

static void again(struct director_visit *visit)
{
	(void)visit;
	woken++;
}

#define WAITS (-1)

/* The server that it is, or WAITS. */
static int enter(struct director_visit *visit, uint64_t now_us, uint64_t key,
		 uint32_t server, bool moved)
{
	uint32_t result;

	visit->loop = loop;
	visit->again = again;
	return director_users_enter(users, visit, now_us, key, server,
				    moved ? DIRECTOR_MOVED : DIRECTOR_MAY_STAY,
				    &rules, &result)
		       ? (int)result : WAITS;
}

static void leave(struct director_visit *visit, uint64_t now_us)
{
	director_users_leave(visit, now_us);
}

Test(director_users, new_ones_go_where_the_view_says)
{
	struct director_visit a = { 0 }, b = { 0 };

	cr_expect_eq(enter(&a, 1, 7, 0, false), 0);
	cr_expect_eq(enter(&b, 1, 8, 1, false), 1);
	leave(&a, 2);
	leave(&b, 2);
	leave(&b, 2);
}

Test(director_users, stay_with_deliveries_under_way)
{
	struct director_visit a = { 0 }, b = { 0 };

	cr_expect_eq(enter(&a, 1, 7, 0, false), 0);
	cr_expect_eq(enter(&b, 1 + 10 * EXPIRE_US, 7, 1, false), 0);
	leave(&a, 2);
	leave(&b, 2);
}

Test(director_users, stay_until_they_have_been_idle)
{
	struct director_visit a = { 0 };

	cr_expect_eq(enter(&a, 1, 7, 0, false), 0);
	leave(&a, 10);
	cr_expect_eq(enter(&a, 9 + EXPIRE_US, 7, 1, false), 0);
	leave(&a, 20 + EXPIRE_US);
	cr_expect_eq(enter(&a, 20 + 2 * EXPIRE_US, 7, 1, false), 1);
	leave(&a, 20 + 2 * EXPIRE_US);
}

Test(director_users, stay_though_another_loop_is_ahead)
{
	struct director_visit a = { 0 };

	cr_expect_eq(enter(&a, 10, 7, 0, false), 0);
	leave(&a, 12);
	cr_expect_eq(enter(&a, 11, 7, 1, false), 0);
	leave(&a, 13);
}

Test(director_users, of_a_dead_server_are_not_waited_for)
{
	struct director_visit a = { 0 }, b = { 0 }, c = { 0 };

	cr_expect_eq(enter(&a, 1, 7, 0, false), 0);
	holds[0] = DIRECTOR_LOST;
	cr_expect_eq(enter(&b, 2, 7, 1, false), 1);
	/* What ends there says nothing about the new server. */
	leave(&a, 3);
	holds[1] = DIRECTOR_LETS_GO;
	cr_expect_eq(enter(&c, 4, 7, 2, false), WAITS);
	leave(&b, 5);
	pass(loop);
	cr_expect_eq(woken, 1);
	cr_expect_eq(enter(&c, 6, 7, 2, false), 2);
	leave(&c, 7);
}

Test(director_users, wait_until_they_are_let_go)
{
	struct director_visit a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	cr_expect_eq(enter(&a, 1, 7, 0, false), 0);
	cr_expect_eq(enter(&b, 1, 7, 0, false), 0);
	holds[0] = DIRECTOR_LETS_GO;
	cr_expect_eq(enter(&c, 2, 7, 1, false), WAITS);
	cr_expect_eq(enter(&d, 2, 7, 1, false), WAITS);
	leave(&a, 3);
	pass(loop);
	cr_expect_eq(woken, 0);
	leave(&b, 3);
	pass(loop);
	cr_expect_eq(woken, 2);
	cr_expect_eq(enter(&c, 4, 7, 1, false), 1);
	cr_expect_eq(enter(&d, 4, 7, 1, false), 1);
	leave(&c, 5);
	leave(&d, 5);
}

Test(director_users, moved_by_hand_at_once_or_after_what_is_under_way)
{
	struct director_visit a = { 0 }, b = { 0 };

	cr_expect_eq(enter(&a, 1, 7, 0, false), 0);
	cr_expect_eq(enter(&b, 2, 7, 1, true), WAITS);
	leave(&a, 3);
	leave(&b, 3); /* gave up, though it was woken */
	pass(loop);
	cr_expect_eq(woken, 0);
	cr_expect_eq(enter(&b, 4, 7, 1, true), 1);
	leave(&b, 5);
}

Test(director_users, flushed_once)
{
	struct director_visit a = { 0 };

	cr_expect_eq(enter(&a, 10, 7, 0, false), 0);
	leave(&a, 11);
	flushed[0] = 20;
	cr_expect_eq(enter(&a, 30, 7, 1, false), 1);
	leave(&a, 31);
	/* Those who came later stay. */
	cr_expect_eq(enter(&a, 32, 8, 0, false), 0);
	leave(&a, 33);
	cr_expect_eq(enter(&a, 34, 8, 1, false), 0);
	leave(&a, 35);
}

Test(director_users, flushed_to_where_they_are_stay_there_later)
{
	struct director_visit a = { 0 };

	cr_expect_eq(enter(&a, 10, 7, 0, false), 0);
	leave(&a, 11);
	flushed[0] = 20;
	cr_expect_eq(enter(&a, 30, 7, 0, false), 0);
	leave(&a, 31);
	cr_expect_eq(enter(&a, 40, 7, 1, false), 0);
	leave(&a, 41);
}

Test(director_users, a_new_view_wakes_who_waits)
{
	struct director_visit a = { 0 }, b = { 0 };

	cr_expect_eq(enter(&a, 1, 7, 0, false), 0);
	holds[0] = DIRECTOR_LETS_GO;
	cr_expect_eq(enter(&b, 2, 7, 1, false), WAITS);
	holds[0] = DIRECTOR_LOST;
	director_users_wake(users, 1);
	pass(loop);
	cr_expect_eq(woken, 1);
	cr_expect_eq(enter(&b, 3, 7, 1, false), 1);
	leave(&a, 4);
	leave(&b, 4);
}

Test(director_users, who_comes_to_wait_by_an_old_view_is_woken)
{
	struct director_visit a = { 0 }, b = { 0 };

	cr_expect_eq(enter(&a, 1, 7, 0, false), 0);
	holds[0] = DIRECTOR_LETS_GO;
	director_users_wake(users, 2);
	cr_expect_eq(enter(&b, 2, 7, 1, false), WAITS);
	pass(loop);
	cr_expect_eq(woken, 1);
	leave(&a, 4);
	leave(&b, 4);
}

/* Whose view has not the server cannot be sent there. */
Test(director_users, nobody_joins_at_a_server_that_his_view_has_not)
{
	struct director_visit a = { 0 }, b = { .loop = loop, .again = again };
	uint32_t server;

	cr_expect_eq(enter(&a, 1, 7, 3, false), 3);
	holds[3] = DIRECTOR_UNKNOWN;
	cr_expect(!director_users_enter(users, &b, 2, 7, 1, DIRECTOR_JOINS,
					&rules, &server));
	holds[3] = DIRECTOR_KEEPS;
	director_users_wake(users, 2);
	pass(loop);
	cr_expect_eq(woken, 1);
	cr_expect(director_users_enter(users, &b, 3, 7, 1, DIRECTOR_JOINS,
				       &rules, &server));
	cr_expect_eq(server, 3);
	leave(&a, 4);
	leave(&b, 4);
}

static void count_one(void *arg, uint64_t key,
		      const struct director_whereabouts *where)
{
	(void)key;
	(void)where;
	++*(unsigned *)arg;
}

static unsigned count_users(void)
{
	unsigned count = 0;

	director_users_each(users, count_one, &count);
	return count;
}

Test(director_users, are_forgotten_in_time)
{
	struct director_visit a = { 0 };
	struct director_whereabouts where;
	uint64_t key, now_us = 1, all, busy;

	for (key = 0; key < 10000; key++) {
		enter(&a, now_us, key, 0, false);
		leave(&a, now_us);
	}
	cr_expect_eq(count_users(), 10000);
	cr_expect(director_users_find(users, 5, now_us, &where));
	cr_expect_eq(where.expires_us, now_us + EXPIRE_US);
	now_us += EXPIRE_US;
	cr_expect(!director_users_find(users, 5, now_us, &where));
	for (key = 10000; key < 20000; key++) {
		enter(&a, now_us, key, 0, false);
		leave(&a, now_us);
	}
	cr_expect_leq(count_users(), 10300);
	enter(&a, now_us, 20000, 0, false);
	director_users_count(users, &all, &busy);
	cr_expect_eq(all, count_users());
	cr_expect_eq(busy, 1);
	leave(&a, now_us);
	director_users_count(users, &all, &busy);
	cr_expect_eq(busy, 0);
}

/* --- threads --- */

#define THREADS 4
#define ROUNDS 20000
#define KEYS 16

static _Atomic unsigned inside[KEYS][2];
static _Atomic unsigned broken, view;

static enum director_hold swinging(const void *arg, uint32_t id)
{
	(void)arg;
	(void)id;
	return DIRECTOR_LETS_GO;
}

static const struct director_rules swing = {
	.hold = swinging,
	.flushed_us = flushed_us,
	.generation = 1,
};

static void *swing_users(void *arg)
{
	uint64_t key;
	unsigned i;

	for (i = 0; i < ROUNDS; i++) {
		struct director_visit visit = { .loop = loop, .again = again };
		uint32_t server;

		key = (i * 7 + (uintptr_t)arg) % KEYS;
		if (i % 100 == 0)
			view++;
		if (director_users_enter(users, &visit, i, key, view % 2,
					 DIRECTOR_MAY_STAY,
					 &swing, &server)) {
			inside[key][server]++;
			if (inside[key][!server] > 0)
				broken++;
			inside[key][server]--;
		}
		director_users_leave(&visit, i);
	}
	return NULL;
}

/* The view swings between two servers, neither of which keeps anybody: nobody is
 * ever at both. Visits that wait give up here. */
Test(director_users, never_at_two_servers)
{
	pthread_t threads[THREADS];
	uintptr_t i;

	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, swing_users, (void *)i);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pass(loop);
	cr_expect_eq(broken, 0);
	cr_expect_eq(woken, 0);
}
