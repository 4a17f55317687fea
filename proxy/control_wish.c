/* What the control interface leaves to the supervisor: reload, stop, logs. */
#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/control_private.h"

/* A call that waits for the end of a reload. */
struct control_wait {
	struct list node;
	struct control_call *call;
	uint32_t number; /* of its wish */
};

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
	struct control_wait *wait;

	if (call->control->leaving) {
		control_refuse(&call, 503, "stopping");
		return;
	}
	if (!control_wish(&call, CONTROL_RELOAD))
		return;
	wait = mem_new(struct control_wait);
	wait->call = call;
	wait->number = call->control->last_wish;
	list_append(&call->control->wishes, &wait->node);
}

/* Those up to number. status: with which to refuse them; 0: they have what they
 * want. */
static void answer(struct control *control, uint32_t number, unsigned status,
		   const char *text)
{
	struct list *node, *tmp;

	list_each(&control->wishes, node, tmp) {
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
	answer(control, number, ok ? 0 : 409, text);
}

void control_wishes_drop(struct control *control)
{
	answer(control, UINT32_MAX, 503, "stopping");
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
