/* What is wanted until it is taken back. It is obeyed at once, and the supervisor
 * hears of it, for the worker processes beside this one and after it. */
#include <string.h>

#include "lib/log/log.h"
#include "proxy/control/private.h"

/* False: the call is refused. */
static bool give_order(struct control_call **call, enum control_order order,
		       bool on, enum control_wish what)
{
	struct control *control = (*call)->control;

	if (!control_wish(call, what))
		return false;
	control->last_order = control->last_wish;
	if (on)
		control->standing.orders |= order;
	else
		control->standing.orders &= ~(unsigned)order;
	return true;
}

void control_drain(struct control_call *call)
{
	if (give_order(&call, CONTROL_ORDER_DRAIN, true, CONTROL_DRAIN))
		control_sessions_drain(call->control, true, call);
}

void control_undrain(struct control_call *call)
{
	if (give_order(&call, CONTROL_ORDER_DRAIN, false, CONTROL_UNDRAIN))
		control_sessions_drain(call->control, false, call);
}

void control_log_level(struct control_call *call)
{
	const char *level = control_param(call, "level");
	bool debug = level != NULL && strcmp(level, "debug") == 0;

	if (!debug && (level == NULL || strcmp(level, "default") != 0)) {
		control_refuse(&call, 400, "level must be debug or default");
		return;
	}
	if (!give_order(&call, CONTROL_ORDER_DEBUG, debug,
			debug ? CONTROL_DEBUG : CONTROL_NO_DEBUG))
		return;
	log_want_debug(debug);
	control_answer_ok(&call);
}

void control_orders_start(struct control *control)
{
	unsigned orders = control->standing.orders;

	log_want_debug(orders & CONTROL_ORDER_DEBUG);
	if (orders & CONTROL_ORDER_DRAIN)
		log_info(NULL, "draining, as was wanted of the process before "
			 "this one");
}

/* Of two processes that were told different things, both hear at last what the
 * supervisor heard last. What it says before it has heard of our own last order
 * would only go back and forth. */
void control_obey(struct control *control,
		  const struct control_standing *standing, uint32_t number)
{
	unsigned orders = standing->orders, changed;

	control->standing.others = standing->others;
	if (number < control->last_order)
		return;
	changed = orders ^ control->standing.orders;
	control->standing.orders = orders;
	if (changed & CONTROL_ORDER_DEBUG)
		log_want_debug(orders & CONTROL_ORDER_DEBUG);
	if (changed & CONTROL_ORDER_DRAIN)
		control_sessions_drain(control, orders & CONTROL_ORDER_DRAIN,
				       NULL);
}
