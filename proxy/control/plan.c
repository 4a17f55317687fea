/* Which users a change of the director's servers would move: found out with many
 * hashes, a few at a time, so that what else the control loop does need not wait. */
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "proxy/control/private.h"

#define SAMPLES 100000 /* of all users */
#define AT_A_TIME_US 5000
#define MAX_PLANS 8    /* at a time */
#define NOWHERE UINT32_MAX

/* A user's way, by ids of servers. */
struct move {
	uint32_t from, to;
};

struct control_plan {
	struct list node;
	struct control_call *call;
	struct director *before, *after;
	const char *tag;
	struct loop_timer timer;
	unsigned next; /* sample */
	struct move *moves;
	unsigned moved;
	const unsigned long *users; /* at each server of before */
	unsigned *samples;	    /* there */
};

static void plan_free(struct control_plan *plan)
{
	plan->call->control->plan_count--;
	list_remove(&plan->node);
	loop_timer_close(&plan->timer);
	director_unref(&plan->before);
	director_unref(&plan->after);
	mem_free(&plan->moves);
	mem_free(&plan->samples);
	mem_free(&plan);
}

/* --- the answer --- */

static int move_order(const void *a_p, const void *b_p)
{
	const struct move *a = a_p, *b = b_p;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	return a->to < b->to ? -1 : a->to > b->to;
}

static void write_share(struct json_writer *json, const char *name,
			unsigned long users)
{
	json_write_seconds(json, name, users * (1000000 / SAMPLES));
}

static void write_place(struct json_writer *json, const char *name,
			const struct director *director, uint32_t id)
{
	json_write_text(json, name, id != NOWHERE
			? director_server(director, id)->ip : "none");
}

/* How many of count moves are as the first one. */
static unsigned count_same(const struct move *moves, unsigned count)
{
	unsigned i = 1;

	while (i < count && move_order(&moves[0], &moves[i]) == 0)
		i++;
	return i;
}

/* Of the users who are at a server now, as many as of the hashes that it has. */
static unsigned long users_of(const struct control_plan *plan,
			      const struct move *move, unsigned same)
{
	unsigned long users, samples;

	if (move->from == NOWHERE)
		return 0;
	users = plan->users[move->from];
	samples = plan->samples[move->from];
	return (users * same + samples / 2) / samples;
}

/* How many users move. */
static unsigned long write_moves(struct json_writer *json,
				 const struct control_plan *plan)
{
	unsigned long users, all = 0;
	unsigned i, same;

	qsort(plan->moves, plan->moved, sizeof(*plan->moves), move_order);
	for (i = 0; i < plan->moved; i += same) {
		same = count_same(plan->moves + i, plan->moved - i);
		users = users_of(plan, &plan->moves[i], same);
		all += users;
		json_open_object(json, NULL);
		write_place(json, "from", plan->before, plan->moves[i].from);
		write_place(json, "to", plan->after, plan->moves[i].to);
		write_share(json, "share", same);
		json_write_number(json, "users", users);
		json_close_object(json);
	}
	return all;
}

static void finish(struct control_plan *plan)
{
	struct control_call *call = plan->call;
	struct json_writer *json = &call->json;
	unsigned long users;

	json_open_object(json, NULL);
	json_write_text(json, "tag", plan->tag);
	write_share(json, "moved_share", plan->moved);
	json_open_array(json, "moves");
	users = write_moves(json, plan);
	json_close_array(json);
	json_write_number(json, "moved_users", users);
	json_close_object(json);
	plan_free(plan);
	control_answer(&call);
}

/* --- finding out --- */

/* Users are spread evenly over the hashes. */
static uint64_t sample_hash(unsigned i)
{
	return (uint64_t)i * (UINT64_MAX / SAMPLES) + UINT64_MAX / SAMPLES / 2;
}

static uint32_t place_of(const struct director *director, const char *tag,
			 unsigned sample)
{
	const struct director_server *server =
		director_hashed(director, tag, sample_hash(sample));

	return server != NULL ? server->id : NOWHERE;
}

static void take_sample(struct control_plan *plan)
{
	const struct move move = {
		place_of(plan->before, plan->tag, plan->next),
		place_of(plan->after, plan->tag, plan->next),
	};

	plan->next++;
	if (move.from != NOWHERE)
		plan->samples[move.from]++;
	if (move.from != move.to)
		plan->moves[plan->moved++] = move;
}

static void go_on(struct loop_timer *timer)
{
	struct control_plan *plan =
		container_of(timer, struct control_plan, timer);
	uint64_t end_us = clock_now_us() + AT_A_TIME_US;

	while (plan->next < SAMPLES && clock_now_us() < end_us)
		take_sample(plan);
	if (plan->next < SAMPLES)
		loop_timer_set(timer, 0);
	else
		finish(plan);
}

void control_plan(struct control_call *call, struct director *before,
		  struct director *after, const char *tag,
		  const unsigned long *users, unsigned count)
{
	struct control *control = call->control;
	struct control_plan *plan;

	if (control->plan_count == MAX_PLANS) {
		control_refuse(&call, 503, "too many plans at a time");
		return;
	}
	plan = mem_new(struct control_plan);
	plan->call = call;
	plan->before = director_ref(before);
	plan->after = director_ref(after);
	plan->tag = arena_strdup(call->request->arena, tag);
	plan->moves = mem_alloc(SAMPLES * sizeof(*plan->moves));
	plan->users = users;
	plan->samples = mem_alloc((count + 1) * sizeof(*plan->samples));
	list_append(&control->plans, &plan->node);
	control->plan_count++;
	loop_timer_open(&plan->timer, control->env.loop, go_on);
	loop_timer_set(&plan->timer, 0);
}

void control_plans_drop(struct control *control)
{
	struct list *node, *tmp;

	list_each(&control->plans, node, tmp) {
		struct control_plan *plan =
			container_of(node, struct control_plan, node);
		struct control_call *call = plan->call;

		plan_free(plan);
		control_refuse(&call, 503, "stopping");
	}
}
