/* Which users a change of the director's servers would move. */
#include "lib/mem.h"
#include "proxy/control/private.h"
#include "proxy/director/keeper.h"
#include "proxy/director/plan.h"

struct control_plan {
	struct control_steps steps;
	struct director_plan *plan;
	const char *tag;
};

static struct control_plan *plan_of(struct control_steps *steps)
{
	return container_of(steps, struct control_plan, steps);
}

static void plan_free(struct control_steps *steps)
{
	struct control_plan *plan = plan_of(steps);

	director_plan_free(&plan->plan);
	mem_free(&plan);
}

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
	if (move->scatters)
		json_write_text(json, "to", "any");
	else
		write_place(json, "to", move->to);
	write_share(json, "share", move);
	json_write_number(json, "users", move->users);
	json_write_number(json, "pinned", move->pinned);
	json_close_object(json);
}

static void write_result(struct control_plan *plan)
{
	const struct director_plan_result *result =
		director_plan_result(plan->plan);
	struct json_writer *json = &plan->steps.call->json;
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
}

static bool go_on(struct control_steps *steps, uint64_t until_us)
{
	struct control_plan *plan = plan_of(steps);

	if (!director_plan_go_on(plan->plan, until_us))
		return false;
	write_result(plan);
	return true;
}

void control_plan(struct control_call *call, struct director *after,
		  const char *tag, struct director_pins *pins)
{
	struct control_env *env = &call->control->env;
	struct control_plan *plan;

	if (!control_steps_may_start(&call))
		return;
	plan = mem_new(struct control_plan);
	plan->tag = arena_strdup(call->request->arena, tag);
	plan->plan = director_plan_new(director_keeper_view(env->keeper), after,
				       tag, pins, env->set->users,
				       loop_now_us(env->loop));
	plan->steps.go_on = go_on;
	plan->steps.free = plan_free;
	control_steps_start(&plan->steps, call);
}
