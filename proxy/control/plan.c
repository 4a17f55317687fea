/* Which users a change of the director's servers would move: a bit at a time, so that
 * what else the control loop does need not wait. */
#include "lib/clock.h"
#include "lib/mem.h"
#include "proxy/control/private.h"
#include "proxy/director/keeper.h"
#include "proxy/director/plan.h"

#define AT_A_TIME_US 5000
#define MAX_PLANS 8 /* at a time */

struct control_plan {
	struct list node;
	struct control_call *call;
	struct director_plan *plan;
	const char *tag;
	struct loop_timer timer;
};

static void plan_free(struct control_plan *plan)
{
	plan->call->control->plan_count--;
	list_remove(&plan->node);
	loop_timer_close(&plan->timer);
	director_plan_free(&plan->plan);
	mem_free(&plan);
}

/* --- the answer --- */

static void write_share(struct json_writer *json, const char *name,
			const struct director_plan_move *move)
{
	json_write_seconds(json, name, UINT64_C(1000000) * move->samples /
					       DIRECTOR_PLAN_SAMPLES);
}

static void write_place(struct json_writer *json, const char *name,
			const struct director_server *server)
{
	json_write_text(json, name, server != NULL ? server->ip : "none");
}

static void write_move(struct json_writer *json,
		       const struct director_plan_move *move)
{
	json_open_object(json, NULL);
	write_place(json, "from", move->from);
	write_place(json, "to", move->to);
	write_share(json, "share", move);
	json_write_number(json, "users", move->users);
	json_write_number(json, "pinned", move->pinned);
	json_close_object(json);
}

static void finish(struct control_plan *plan)
{
	const struct director_plan_result *result =
		director_plan_result(plan->plan);
	struct control_call *call = plan->call;
	struct json_writer *json = &call->json;
	unsigned i;

	json_open_object(json, NULL);
	json_write_text(json, "tag", plan->tag);
	write_share(json, "moved_share", &result->all);
	json_open_array(json, "moves");
	for (i = 0; i < result->count; i++)
		write_move(json, &result->moves[i]);
	json_close_array(json);
	json_write_number(json, "moved_users", result->all.users);
	json_write_number(json, "moved_pinned", result->all.pinned);
	json_write_number(json, "kept_pinned", result->kept);
	json_close_object(json);
	plan_free(plan);
	control_answer(&call);
}

/* --- finding out --- */

static void go_on(struct loop_timer *timer)
{
	struct control_plan *plan =
		container_of(timer, struct control_plan, timer);

	if (director_plan_go_on(plan->plan, clock_now_us() + AT_A_TIME_US))
		finish(plan);
	else
		loop_timer_set(timer, 0);
}

void control_plan(struct control_call *call, struct director *after,
		  const char *tag, struct director_pins *pins)
{
	struct control *control = call->control;
	struct control_env *env = &control->env;
	struct control_plan *plan;

	if (control->plan_count == MAX_PLANS) {
		control_refuse(&call, 503, "too many plans at a time");
		return;
	}
	plan = mem_new(struct control_plan);
	plan->call = call;
	plan->tag = arena_strdup(call->request->arena, tag);
	plan->plan = director_plan_new(director_keeper_view(env->keeper), after,
				       tag, pins, env->set->users,
				       loop_now_us(env->loop));
	list_append(&control->plans, &plan->node);
	control->plan_count++;
	loop_timer_open(&plan->timer, env->loop, go_on);
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
