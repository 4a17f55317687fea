/* Calls that take long to answer: a bit at a time, so that what else the control loop
 * does need not wait. */
#include "lib/clock.h"
#include "proxy/control/private.h"

#define AT_A_TIME_US 5000
#define MAX_CALLS 8 /* at a time */

static void end(struct control_steps *steps)
{
	steps->call->control->steps_count--;
	list_remove(&steps->node);
	loop_timer_close(&steps->timer);
	steps->free(steps);
}

static void go_on(struct loop_timer *timer)
{
	struct control_steps *steps =
		container_of(timer, struct control_steps, timer);
	struct control_call *call = steps->call;

	if (!steps->go_on(steps, clock_now_us() + AT_A_TIME_US)) {
		loop_timer_set(timer, 0);
		return;
	}
	end(steps);
	control_answer(&call);
}

bool control_steps_may_start(struct control_call **call)
{
	if ((*call)->control->steps_count < MAX_CALLS)
		return true;
	control_refuse(call, 503, "too many calls of this kind at a time");
	return false;
}

void control_steps_start(struct control_steps *steps, struct control_call *call)
{
	struct control *control = call->control;

	steps->call = call;
	list_append(&control->steps, &steps->node);
	control->steps_count++;
	loop_timer_open(&steps->timer, control->env.loop, go_on);
	loop_timer_set(&steps->timer, 0);
}

void control_steps_drop(struct control *control)
{
	struct list *node, *tmp;

	list_each(&control->steps, node, tmp) {
		struct control_steps *steps =
			container_of(node, struct control_steps, node);
		struct control_call *call = steps->call;

		end(steps);
		control_refuse(&call, 503, "stopping");
	}
}
