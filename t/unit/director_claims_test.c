#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/director/claims.h"
#include "backends/director/users.h"

enum { LOST = 66, KEYS = 20000 };

static int memory, to_parent[2], to_child[2];
static struct director_claims *claims;
static pid_t child;
static struct err err;
static uint64_t where;

static void setup(void)
{
	memory = director_claims_make(&err);
	cr_assert_geq(memory, 0, "%s", err.text);
	cr_assert_eq(pipe(to_parent), 0);
	cr_assert_eq(pipe(to_child), 0);
}

static void teardown(void)
{
	director_claims_close(&claims);
	close(memory);
}

TestSuite(director_claims, .init = setup, .fini = teardown);

static void open_claims(void)
{
	claims = director_claims_open(memory, &err);
	cr_assert_not_null(claims, "%s", err.text);
}

static void tell(const int *way)
{
	cr_assert_eq(write(way[1], "x", 1), 1);
}

static void hear(const int *way)
{
	char c;

	cr_assert_eq(read(way[0], &c, 1), 1);
}

/* Another process, which does that; then it waits to be told to go on, and ends. */
static void start_other(void (*fn)(void))
{
	child = fork();
	cr_assert_geq(child, 0);
	if (child > 0) {
		hear(to_parent);
		return;
	}
	open_claims();
	fn();
	tell(to_parent);
	hear(to_child);
	director_claims_close(&claims);
	_exit(0);
}

static void end_other(void)
{
	int status;

	tell(to_child);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void kill_other(void)
{
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitpid(child, NULL, 0), child);
}

static void take_seven(void)
{
	cr_assert(director_claims_take(claims, 7, 1, &where));
}

static bool takes(uint64_t key, uint64_t server)
{
	return director_claims_take(claims, key, server, &where);
}

Test(director_claims, a_process_alone_has_whom_it_likes)
{
	open_claims();
	cr_expect(takes(7, 1));
	cr_expect(takes(7, 2));
	cr_expect(takes(8, 1));
	director_claims_give(claims, 7);
	director_claims_give(claims, 7);
	director_claims_give(claims, 9);
}

Test(director_claims, a_user_of_another_process_is_only_where_he_is_there)
{
	start_other(take_seven);
	open_claims();
	cr_expect(takes(8, 2));
	cr_expect_not(takes(7, 2));
	cr_expect_eq(where, 1);
	cr_expect(takes(7, 1));
	end_other();
	cr_expect(takes(7, 2));
}

Test(director_claims, who_gives_leaves_those_of_others)
{
	start_other(take_seven);
	open_claims();
	cr_expect(takes(7, 1));
	director_claims_give(claims, 7);
	cr_expect_not(takes(7, 2));
	end_other();
	cr_expect(takes(7, 2));
}

Test(director_claims, at_a_dead_server_nobody_has_him)
{
	start_other(take_seven);
	open_claims();
	director_claims_seize(claims, 7, 2);
	director_claims_give(claims, 7);
	cr_expect(takes(7, 3));
	end_other();
	director_claims_seize(claims, 7, 4);
	director_claims_seize(claims, 9, 4);
	cr_expect(takes(9, 5));
}

Test(director_claims, a_dead_process_has_nobody)
{
	open_claims();
	start_other(take_seven);
	kill_other();
	cr_expect_not(takes(7, 2));
	director_claims_bury(claims);
	cr_expect(takes(7, 2));
}

Test(director_claims, who_comes_after_a_dead_one_does_not_have_what_that_had)
{
	start_other(take_seven);
	kill_other();
	open_claims(); /* with its number */
	director_claims_close(&claims);
	start_other(take_seven);
	open_claims();
	cr_expect_not(takes(7, 2));
	end_other();
}

Test(director_claims, so_many_processes)
{
	int i;

	for (i = 0; i < DIRECTOR_CLAIMS_PROCESSES; i++)
		start_other(take_seven);
	claims = director_claims_open(memory, &err);
	cr_expect_null(claims);
	cr_expect_str_eq(err.text, "there are 32 worker processes already");
	kill_other();
	open_claims();
	for (i = 0; i < DIRECTOR_CLAIMS_PROCESSES; i++)
		tell(to_child);
	while (wait(NULL) > 0)
		;
}

Test(director_claims, no_memory_of_theirs)
{
	claims = director_claims_open(to_parent[0], &err);
	cr_expect_null(claims);
}

/* --- many --- */

static uint64_t key_of(unsigned i)
{
	return i * UINT64_C(0x1234567890abcdef);
}

static bool is_kept(unsigned i)
{
	return i % 3 == 0;
}

/* Most of them come and go several times. */
static void take_many(void)
{
	unsigned i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < KEYS; i++)
			cr_assert(takes(key_of(i), 1));
		for (i = 0; i < KEYS; i++) {
			if (!is_kept(i) || round < 2)
				director_claims_give(claims, key_of(i));
		}
	}
	for (i = 0; i < KEYS; i++) {
		if (is_kept(i))
			cr_assert(takes(key_of(i), 1));
	}
}

static void expect_kept(void)
{
	unsigned i;

	for (i = 0; i < KEYS; i++) {
		cr_assert_eq(takes(key_of(i), 2), !is_kept(i) || i == 0,
			     "%u", i);
		director_claims_give(claims, key_of(i));
	}
}

static void give_two(void)
{
	take_many();
	director_claims_give(claims, key_of(0));
}

Test(director_claims, none_of_many_is_lost)
{
	start_other(give_two);
	open_claims();
	expect_kept();
	kill_other();
	director_claims_bury(claims);
	cr_expect(takes(key_of(3), 2));
	cr_expect(takes(key_of(KEYS - 2), 2));
}

/* Those who are too many are as if they were not there. */
Test(director_claims, more_than_there_is_room_for)
{
	unsigned i, count = DIRECTOR_CLAIMS_ROOM + KEYS, unseen = 0;

	open_claims();
	for (i = 0; i < count; i++)
		unseen += director_claims_take(claims, key_of(i), 1, &where) ==
			  DIRECTOR_CLAIM_UNSEEN;
	cr_expect_eq(director_claims_count(claims), count - unseen);
	cr_expect_geq(unseen, KEYS);
	cr_expect_lt(unseen, 2 * KEYS);
	for (i = 0; i < count; i++)
		director_claims_give(claims, key_of(i));
	cr_expect_eq(director_claims_count(claims), 0);
	start_other(take_seven);
	cr_expect_not(takes(7, 2));
	end_other();
}

static void take_for_ever(void)
{
	unsigned i;

	tell(to_parent);
	for (i = 0;; i++) {
		takes(key_of(i % KEYS), 1);
		director_claims_give(claims, key_of(i * 7 % KEYS));
	}
}

Test(director_claims, whoever_is_killed_holds_up_nobody)
{
	unsigned i, round;

	open_claims();
	for (round = 0; round < 20; round++) {
		start_other(take_for_ever);
		for (i = 0; i < KEYS / 20; i++)
			director_claims_give(claims, key_of(i));
		kill_other();
		director_claims_bury(claims);
		for (i = 0; i < KEYS; i++)
			cr_assert(takes(key_of(i), 2));
		for (i = 0; i < KEYS; i++)
			director_claims_give(claims, key_of(i));
	}
}

/* --- tables of users --- */

static enum director_hold holds(const void *arg, uint32_t id)
{
	(void)arg;
	return id == LOST ? DIRECTOR_LOST : DIRECTOR_KEEPS;
}

static uint64_t never(const void *arg, uint32_t id)
{
	(void)arg;
	(void)id;
	return 0;
}

static uint64_t number(const void *arg, uint32_t id)
{
	(void)arg;
	return id + 100;
}

static uint32_t find(const void *arg, uint64_t server)
{
	(void)arg;
	return server >= 100 && server < 200 ? (uint32_t)server - 100
					     : DIRECTOR_NO_SERVER;
}

static const struct director_rules rules = {
	.hold = holds, .flushed_us = never, .number = number, .find = find,
};

static struct director_users *users;
static struct director_visit visit, second;

static void share(void)
{
	open_claims();
	users = director_users_new(1000);
	director_users_share(users, claims);
}

static bool enters(struct director_visit *who, uint32_t server, uint32_t *there_r)
{
	return director_users_enter(users, who, 1, 7, server, DIRECTOR_MAY_STAY,
				    &rules, there_r);
}

static uint32_t peek(uint32_t server)
{
	return director_users_peek(users, 1, 7, server, DIRECTOR_MOVED, &rules);
}

static void leave(struct director_visit *who)
{
	director_users_leave(who, 2);
}

static void take_at_one(void)
{
	cr_assert(director_claims_take(claims, 7, 101, &where));
}

static void take_at_lost(void)
{
	cr_assert(director_claims_take(claims, 7, 100 + LOST, &where));
}

static void take_at_unknown(void)
{
	cr_assert(director_claims_take(claims, 7, 999, &where));
}

static void expect_shares(uint64_t count, uint64_t followed, uint64_t unseen)
{
	struct director_shares shares;

	director_users_shares(users, &shares);
	cr_expect_eq(shares.users, count);
	cr_expect_eq(shares.followed, followed);
	cr_expect_eq(shares.unseen, unseen);
}

Test(director_claims, a_user_too_many)
{
	uint32_t there;
	unsigned i;

	share();
	for (i = 1; i < DIRECTOR_CLAIMS_ROOM + KEYS; i++)
		takes(key_of(i), 1);
	for (i = DIRECTOR_CLAIMS_ROOM + KEYS; !visit.unseen; i++) {
		leave(&visit);
		cr_assert(director_users_enter(users, &visit, 1, key_of(i), 1,
					       DIRECTOR_MAY_STAY, &rules,
					       &there));
	}
	expect_shares(director_claims_count(claims), 0, 1);
	leave(&visit);
	director_users_free(&users);
}

Test(director_claims, deliveries_follow_those_of_another_process)
{
	uint32_t there;

	start_other(take_at_one);
	share();
	cr_expect_eq(peek(2), 1);
	cr_expect(director_users_shared(users, 7, &rules, &there));
	cr_expect_eq(there, 1);
	expect_shares(1, 0, 0);
	cr_expect(enters(&visit, 2, &there));
	cr_expect_eq(there, 1);
	expect_shares(1, 1, 0);
	end_other();
	cr_expect_eq(peek(2), 2);
	cr_expect_not(director_users_shared(users, 7, &rules, &there));
	cr_expect(enters(&second, 2, &there));
	cr_expect_eq(there, 1, "he stays");
	leave(&visit);
	leave(&second);
	director_users_free(&users);
}

Test(director_claims, those_of_another_process_at_a_dead_server_do_not_count)
{
	uint32_t there;

	start_other(take_at_lost);
	share();
	cr_expect_eq(peek(2), 2);
	cr_expect(enters(&visit, 2, &there));
	cr_expect_eq(there, 2);
	leave(&visit);
	end_other();
	director_users_free(&users);
}

Test(director_claims, they_wait_for_a_server_that_is_not_known)
{
	uint32_t there;

	start_other(take_at_unknown);
	share();
	cr_expect_not(enters(&visit, 2, &there));
	cr_expect(visit.repeats);
	leave(&visit);
	cr_expect_not(enters(&visit, 2, &there));
	leave(&visit);
	end_other();
	cr_expect(enters(&visit, 2, &there));
	cr_expect_eq(there, 2);
	leave(&visit);
	director_users_free(&users);
}

static void enter_here(void)
{
	uint32_t there;

	users = director_users_new(1000);
	director_users_share(users, claims);
	cr_assert(enters(&visit, 2, &there));
	cr_assert(enters(&second, 2, &there));
	leave(&visit);
}

Test(director_claims, what_is_under_way_in_a_table_is_claimed)
{
	start_other(enter_here);
	open_claims();
	cr_expect_not(takes(7, 103));
	cr_expect_eq(where, 102);
	kill_other();
}
