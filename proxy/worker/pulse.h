/* Whether every thread of the worker process still turns its loop. */
#ifndef PROXY_WORKER_PULSE_H
#define PROXY_WORKER_PULSE_H

#include "proxy/worker/worker.h"

struct worker_pulse {
	/* Set by the owner: every worker has answered. On the control loop. */
	void (*felt)(struct worker_pulse *pulse);
	struct worker_set *set;
	unsigned missing; /* answers; 0: nobody was asked */
};

/* Asks every worker. Nothing happens while one of them has not answered
 * yet: that one is stuck, or busy. On the control loop. */
void worker_pulse_feel(struct worker_pulse *pulse);

#endif
