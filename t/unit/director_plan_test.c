/* What a change of the servers would move, before it is made. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "backends/director/map.h"
#include "lib/clock.h"
#include "lib/loop.h"
#include "proxy/director/plan.h"
#include "t/unit/director_helper.h"

static struct arena *arena;
static struct loop *loop;
static struct director_users *users;
static struct director_state state;
static struct director *before;
static struct director_plan *plan;
static const struct director_plan_result *result;
static struct err err;

static const struct director_settings settings = {
	.username_hash = "%Lu",
	.hash = DIRECTOR_RENDEZVOUS,
};

static void setup(void)
{
	arena = arena_new(1024);
	loop = loop_new();
	users = director_users_new(1000000);
	director_state_init(&state);
	director_state_configure(
		&state, servers_of(arena, "10.0.0.1-10.0.0.3 "
					  "10.1.0.1-10.1.0.2@x"));
}

static void teardown(void)
{
	director_plan_free(&plan);
	director_unref(&before);
	director_state_free(&state);
	director_users_free(&users);
	loop_free(&loop);
	arena_free(&arena);
}

TestSuite(director_plan, .init = setup, .fini = teardown);

static struct director_backend *named(const char *name)
{
	struct director_backend *backend =
		director_state_find(&state, name, &err);

	cr_assert_not_null(backend, "%s", err.text);
	return backend;
}

static struct director *view_now(void)
{
	struct director *view = director_view(&settings, &state, NULL, &err);

	cr_assert_not_null(view, "%s", err.text);
	return view;
}

static struct director_choice choice_of(const char *user, const char *tag)
{
	struct director *view = view_now();
	struct director_choice choice;

	cr_assert_eq(director_choose(view, arena, user, tag, &choice, &err), 0);
	choice.server = &state.backends[choice.server->id].server;
	director_unref(&view);
	return choice;
}

static const char *whom(const char *user, const char *tag)
{
	return choice_of(user, tag).server->ip;
}

static void pin(const char *user, const char *tag, const char *host)
{
	director_state_pin(&state, choice_of(user, tag).key, user, named(host),
			   0, "admin", 1);
}

/* Has a delivery begin and end. */
static void come(const char *user, const char *tag)
{
	struct director_choice choice = choice_of(user, tag);
	struct director *view = view_now();
	const struct director_rules rules = director_rules(view);
	struct director_visit visit = { .loop = loop, .tag = tag };
	uint32_t id;

	cr_assert(director_users_enter(users, &visit, 1, choice.key,
				       choice.server->id, DIRECTOR_MAY_STAY,
				       &rules, &id));
	director_users_leave(&visit, 1);
	director_unref(&view);
}

static void set(const char *host, enum director_admin admin)
{
	director_state_set_admin(&state, named(host), admin, "admin", 1);
}

static void begin(void)
{
	director_unref(&before);
	before = view_now();
}

/* Plans what became of the state since begin(). */
static void find_out(const char *tag)
{
	struct director *after = view_now();
	struct director_state copy;

	director_state_copy(&copy, &state);
	director_plan_free(&plan);
	plan = director_plan_new(before, after, tag, &copy.pins, users, 2);
	cr_expect_eq(copy.pins.count, 0);
	while (!director_plan_go_on(plan, clock_now_us()))
		;
	result = director_plan_result(plan);
	director_state_free(&copy);
	director_unref(&after);
}

/* "NONE": nowhere. */
static bool is_server(const struct director_server *server, const char *ip)
{
	return strcmp(server != NULL ? server->ip : "NONE", ip) == 0;
}

static const struct director_plan_move *move_of(const char *from,
						const char *to)
{
	unsigned i = 0;

	while (i < result->count && !(is_server(result->moves[i].from, from) &&
				      is_server(result->moves[i].to, to)))
		i++;
	cr_assert_lt(i, result->count, "nobody goes from %s to %s", from, to);
	return &result->moves[i];
}

/* A user whom the hash sends to that server, one of many. */
static const char *user_of(const char *ip, const char *tag, unsigned number)
{
	unsigned i;

	for (i = 0;; i++) {
		const char *user = arena_printf(arena, "user%u", i);

		if (strcmp(whom(user, tag), ip) == 0 && number-- == 0)
			return user;
	}
}

Test(director_plan, nothing_changes)
{
	pin("joe", "", "10.0.0.2");
	begin();
	find_out("");
	cr_expect_eq(result->count, 0);
	cr_expect_eq(result->kept, 1);
	cr_expect_eq(result->all.samples + result->all.pinned, 0);
	cr_expect_eq(result->all.users, 0);
}

Test(director_plan, the_hash_moves_a_part_of_all)
{
	unsigned i;

	for (i = 0; i < 30; i++)
		come(arena_printf(arena, "user%u", i), "");
	begin();
	set("10.0.0.1", DIRECTOR_DOWN);
	find_out("");
	cr_expect_eq(result->count, 2);
	cr_expect_float_eq(result->all.samples,
			   DIRECTOR_PLAN_SAMPLES / 3.0, 1000);
	cr_expect_eq(result->all.samples,
		     move_of("10.0.0.1", "10.0.0.2")->samples +
			     move_of("10.0.0.1", "10.0.0.3")->samples);
	cr_expect_eq(result->all.pinned + result->kept, 0);
	set("10.0.0.2", DIRECTOR_DOWN);
	set("10.0.0.3", DIRECTOR_DOWN);
	find_out("");
	cr_expect_eq(result->all.samples, DIRECTOR_PLAN_SAMPLES);
	cr_expect_eq(result->all.users, 30);
	cr_expect_gt(move_of("10.0.0.3", "NONE")->users, 0);
}

Test(director_plan, who_was_moved_stays_there)
{
	const char *user = user_of("10.0.0.1", "", 0);

	pin(user, "", "10.0.0.2");
	come(user, "");
	begin();
	set("10.0.0.1", DIRECTOR_DOWN);
	find_out("");
	cr_expect_eq(result->kept, 1);
	cr_expect_eq(result->all.pinned, 0);
	cr_expect_eq(result->all.users, 0);
	cr_expect_str_eq(whom(user, ""), "10.0.0.2");
	set("10.0.0.2", DIRECTOR_DRAIN);
	find_out("");
	cr_expect_eq(result->kept, 1);
	cr_expect_eq(result->all.pinned, 0);
	cr_expect_eq(result->all.users, 0);
	cr_expect_str_eq(whom(user, ""), "10.0.0.2");
}

Test(director_plan, who_was_moved_to_what_goes_moves)
{
	const char *user = user_of("10.0.0.1", "", 0);
	const char *other = user_of("10.0.0.2", "", 0);

	pin(user, "", "10.0.0.2");
	come(user, "");
	come(other, "");
	pin("who is at no server", "", "10.0.0.2");
	begin();
	director_state_remove(&state, named("10.0.0.2"), "admin", 1);
	find_out("");
	cr_expect_str_eq(whom(user, ""), "10.0.0.1");
	cr_expect_eq(result->kept, 0);
	cr_expect_eq(result->all.pinned, 2);
	cr_expect_geq(move_of("10.0.0.2", "10.0.0.1")->pinned, 1);
	cr_expect_geq(move_of("10.0.0.2", "10.0.0.1")->users, 1);
	/* The one other user is half here, half there. */
	cr_expect(result->all.users >= 2 && result->all.users <= 3, "%lu",
		  result->all.users);
}

Test(director_plan, who_was_moved_to_what_comes_back_moves)
{
	const char *user = user_of("10.0.0.1", "", 0);

	pin(user, "", "10.0.0.2");
	set("10.0.0.2", DIRECTOR_DOWN);
	begin();
	set("10.0.0.2", DIRECTOR_UP);
	find_out("");
	cr_expect_eq(move_of("10.0.0.1", "10.0.0.2")->pinned, 1);
	cr_expect_eq(result->all.users, 0);
}

Test(director_plan, a_drained_server_may_have_moved_users_only)
{
	pin("joe", "", "10.0.0.2");
	set("10.0.0.2", DIRECTOR_DRAIN);
	come("joe", "");
	begin();
	set("10.0.0.2", DIRECTOR_DOWN);
	find_out("");
	cr_expect_eq(result->count, 1);
	cr_expect_eq(result->all.pinned, 1);
	cr_expect_eq(result->all.users, 1);
	cr_expect_eq(result->all.samples, 0);
}

Test(director_plan, tags_are_apart)
{
	const char *user = user_of("10.1.0.1", "x", 0);

	pin(user, "x", "10.1.0.2@x");
	pin(user, "", "10.0.0.1");
	come(user, "x");
	come(user, "");
	begin();
	set("10.1.0.2@x", DIRECTOR_DOWN);
	find_out("x");
	cr_expect_eq(result->kept, 0);
	cr_expect_eq(move_of("10.1.0.2", "10.1.0.1")->pinned, 1);
	cr_expect_eq(result->all.users, 1);
	find_out("");
	cr_expect_eq(result->count, 0);
	cr_expect_eq(result->kept, 1);
}

Test(director_plan, a_pin_that_is_nobodys_any_more)
{
	director_state_pin(&state, 7, "joe", named("10.0.0.2"), 0, "admin", 1);
	begin();
	set("10.0.0.2", DIRECTOR_DOWN);
	find_out("");
	cr_expect_eq(result->all.pinned + result->kept, 0);
}

/* What it says is what happens then. */
Test(director_plan, as_many_as_move_in_the_end)
{
	static const char *const hosts[] = { "10.0.0.1", "10.0.0.2",
					     "10.0.0.3" };
	const char *names[600], *was[600];
	unsigned i, moved = 0;

	for (i = 0; i < 600; i++) {
		names[i] = arena_printf(arena, "user%u", i);
		pin(names[i], "", hosts[i % 3]);
		come(names[i], "");
	}
	set("10.0.0.3", DIRECTOR_DOWN);
	begin();
	for (i = 0; i < 600; i++)
		was[i] = whom(names[i], "");
	set("10.0.0.3", DIRECTOR_UP);
	director_state_set_weight(&state, named("10.0.0.2"), 50, "admin", 1);
	set("10.0.0.1", DIRECTOR_DOWN);
	find_out("");
	for (i = 0; i < 600; i++)
		moved += strcmp(whom(names[i], ""), was[i]) != 0;
	cr_expect_gt(moved, 200);
	cr_expect_eq(result->all.pinned, moved);
	cr_expect_eq(result->kept, 600 - moved);
}

/* The hash names a drained server for nobody, but who is there may stay. */
Test(director_plan, who_only_stays_is_counted)
{
	const struct director_plan_move *move;
	unsigned i, there = 0;
	char user[16];

	for (i = 0; i < 60; i++) {
		snprintf(user, sizeof(user), "u%u", i);
		come(user, "");
		there += strcmp(choice_of(user, "").server->ip, "10.0.0.1") == 0;
	}
	set("10.0.0.1", DIRECTOR_DRAIN);
	begin();
	set("10.0.0.1", DIRECTOR_DOWN);
	find_out("");
	cr_assert_eq(result->count, 1);
	move = &result->moves[0];
	cr_expect_str_eq(move->from->ip, "10.0.0.1");
	cr_expect(move->scatters);
	cr_expect_eq(move->users, there);
	cr_expect_eq(result->all.users, there);
	cr_expect_eq(result->all.samples, 0);
	find_out("x");
	cr_expect_eq(result->count, 0);
	set("10.0.0.1", DIRECTOR_UP);
	find_out("");
	cr_expect_neq(result->count, 0);
	for (i = 0; i < result->count; i++)
		cr_expect_not(result->moves[i].scatters);
}
