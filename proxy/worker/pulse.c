#include "proxy/worker/pulse.h"

static void pulse_answered(void *arg)
{
	struct worker_pulse *pulse = arg;

	if (--pulse->missing == 0)
		pulse->felt(pulse);
}

/* In the worker's thread. */
static void pulse_asked(void *arg)
{
	struct worker_pulse *pulse = arg;

	loop_post(pulse->set->control, pulse_answered, pulse);
}

void worker_pulse_feel(struct worker_pulse *pulse)
{
	unsigned i;

	if (pulse->missing > 0)
		return;
	pulse->missing = pulse->set->count;
	for (i = 0; i < pulse->set->count; i++)
		loop_post(pulse->set->workers[i]->loop, pulse_asked, pulse);
}
