/* What the control interface leaves to the supervisor: reload, stop, logs. */
#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/control/private.h"

/* A call that waits for the end of what it began. */
struct control_wait {
	struct list node;
	struct control_call *call;
	uint32_t number; /* of its wish */
};

/* For the wish that was the last one. */
static void wait_for_it(struct control_call *call, struct list *waits)
{
	struct control_wait *wait = mem_new(struct control_wait);

	wait->call = call;
	wait->number = call->control->last_wish;
	list_append(waits, &wait->node);
}

bool control_wish(struct control_call **call, enum control_wish what)
{
	struct control *control = (*call)->control;
	const struct control_env *env = &control->env;

	if (env->wish(env->arg, what, ++control->last_wish) == 0)
		return true;
	control_refuse(call, 503, "the supervisor is gone");
	return false;
}

void control_reload(struct control_call *call)
{
	if (call->control->leaving) {
		control_refuse(&call, 503, CONTROL_LEAVES);
		return;
	}
	if (control_wish(&call, CONTROL_RELOAD))
		wait_for_it(call, &call->control->wishes);
}

void control_wish_rawlog(struct control_call *call, const struct str *order)
{
	struct control *control = call->control;
	const struct control_env *env = &control->env;

	if (env->wish_rawlog(env->arg, order, ++control->last_wish) == 0)
		wait_for_it(call, &control->rawlog_waits);
	else
		control_refuse(&call, 503, "the supervisor is gone");
}

/* Those up to number. status: with which to refuse them; 0: they have what they
 * want. */
static void answer(struct list *waits, uint32_t number, unsigned status,
		   const char *text)
{
	struct list *node, *tmp;

	list_each(waits, node, tmp) {
		struct control_wait *wait =
			container_of(node, struct control_wait, node);

		if (wait->number > number)
			continue;
		list_remove(node);
		if (status == 0)
			control_answer_ok(&wait->call);
		else
			control_refuse(&wait->call, status, text);
		mem_free(&wait);
	}
}

void control_reloaded(struct control *control, uint32_t number, bool ok,
		      const char *text)
{
	answer(&control->wishes, number, ok ? 0 : 409, text);
}

void control_rawlog_told(struct control *control, uint32_t number, bool ok)
{
	answer(&control->rawlog_waits, number, ok ? 0 : 503,
	       "there are too many patterns");
}

void control_wishes_drop(struct control *control)
{
	answer(&control->wishes, UINT32_MAX, 503, CONTROL_LEAVES);
	answer(&control->rawlog_waits, UINT32_MAX, 503, CONTROL_LEAVES);
}

void control_stop(struct control_call *call)
{
	const char *now = control_param(call, "now");

	if (control_wish(&call, now != NULL ? CONTROL_ABORT : CONTROL_STOP))
		control_answer_ok(&call);
}

void control_log_reopen(struct control_call *call)
{
	if (control_wish(&call, CONTROL_REOPEN_LOGS))
		control_answer_ok(&call);
}
