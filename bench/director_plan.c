/* How long waypostctl director plan has the control loop do nothing else, with a
 * thousand servers: CPU time of one thread. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "backends/director/hash.h"
#include "backends/director/map.h"
#include "lib/clock.h"
#include "lib/panic.h"
#include "proxy/director/plan.h"

#define SERVERS 1000
#define AT_A_TIME_US 5000 /* as proxy/control/plan.c has it */

struct bench {
	struct arena *arena;
	struct loop *loop;
	struct director_settings settings;
	struct director_state state;
	struct director_users *users;
	struct director *before;
};

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void add_servers(struct bench *bench)
{
	unsigned i;

	for (i = 0; i < SERVERS; i++) {
		struct director_server server = {
			.ip = arena_printf(bench->arena, "10.0.%u.%u", i >> 8,
					   i & 255),
			.tag = "",
			.weight = DIRECTOR_WEIGHT,
		};

		addr_parse_ip(&server.addr, server.ip, 0);
		director_state_backend(&bench->state, &server)->configured =
			true;
	}
}

static uint64_t key_of(const char *user)
{
	uint64_t key;

	if (director_hash(user, &key) < 0)
		PANIC("MD5 is refused");
	return key;
}

/* Each has had a delivery. */
static void add_users(struct bench *bench, unsigned count)
{
	const struct director_rules rules = director_rules(bench->before);
	char user[32];
	uint32_t got;
	unsigned i;

	for (i = 0; i < count; i++) {
		struct director_visit visit = { .loop = bench->loop,
						.tag = "" };
		uint64_t key;

		snprintf(user, sizeof(user), "user%u", i);
		key = key_of(user);
		director_users_enter(bench->users, &visit, 1, key,
				     director_hashed(bench->before, "",
						     key)->id,
				     DIRECTOR_MAY_STAY, &rules, &got);
		director_users_leave(&visit, 1);
	}
}

static void add_pins(struct bench *bench, unsigned count)
{
	char user[32];
	unsigned i;

	for (i = 0; i < count; i++) {
		snprintf(user, sizeof(user), "user%u", i * 7);
		director_state_pin(&bench->state, key_of(user), user,
				   &bench->state.backends[i % SERVERS], 0,
				   "admin", 1);
	}
}

static struct director *view_of(const struct bench *bench,
				const struct director_state *state)
{
	struct err err;
	struct director *view = director_view(&bench->settings, state,
					      bench->before, &err);

	if (view == NULL)
		PANIC("%s", err.text);
	return view;
}

/* As proxy/control does it; returns how long the longest step took. */
static double plan_ms(struct bench *bench, double *all_r)
{
	double begin = now_ms(), step = begin, longest = 0, end;
	struct director_state copy;
	struct director_plan *plan;
	struct director *after;
	bool done = false;

	director_state_copy(&copy, &bench->state);
	director_state_set_admin(&copy, &copy.backends[7], DIRECTOR_DOWN, "x",
				 1);
	after = view_of(bench, &copy);
	plan = director_plan_new(bench->before, after, "", &copy.pins,
				 bench->users, 2);
	director_unref(&after);
	director_state_free(&copy);
	for (;;) {
		end = now_ms();
		longest = end - step > longest ? end - step : longest;
		if (done)
			break;
		step = end;
		done = director_plan_go_on(plan,
					   clock_now_us() + AT_A_TIME_US);
	}
	director_plan_free(&plan);
	*all_r = end - begin;
	return longest;
}

static void measure(enum director_method method, unsigned users, unsigned pins)
{
	struct bench bench = {
		.arena = arena_new(65536),
		.loop = loop_new(),
		.settings = { .username_hash = "%u", .hash = (int)method },
		.users = director_users_new(UINT64_C(900000000)),
	};
	double longest, all;

	director_state_init(&bench.state);
	add_servers(&bench);
	bench.before = view_of(&bench, &bench.state);
	add_users(&bench, users);
	add_pins(&bench, pins);
	director_unref(&bench.before);
	bench.before = view_of(&bench, &bench.state);
	longest = plan_ms(&bench, &all);
	printf("| %s | %u | %u | %.1f | %.1f |\n",
	       method == DIRECTOR_MD5_RING ? "md5-ring" : "rendezvous", users,
	       pins, all, longest);
	director_unref(&bench.before);
	director_users_free(&bench.users);
	director_state_free(&bench.state);
	loop_free(&bench.loop);
	arena_free(&bench.arena);
}

int main(void)
{
	static const enum director_method methods[] = {
		DIRECTOR_MD5_RING, DIRECTOR_RENDEZVOUS,
	};
	unsigned i;

	puts("\n| director_hash | users at servers | moved users | ms for a "
	     "plan | ms for its longest step |\n"
	     "| --- | --- | --- | --- | --- |");
	for (i = 0; i < 2; i++) {
		measure(methods[i], 0, 0);
		measure(methods[i], 0, DIRECTOR_MAX_PINS);
		measure(methods[i], 1000000, DIRECTOR_MAX_PINS);
	}
	return EXIT_SUCCESS;
}
