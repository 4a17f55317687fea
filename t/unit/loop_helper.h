/* Passes of a loop that has nothing to wait for. */
#ifndef LOOP_HELPER_H
#define LOOP_HELPER_H

#include "lib/loop.h"

static inline void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* Runs what was posted, and what is due or ready. */
static inline void pass(struct loop *loop)
{
	loop_post(loop, stop_loop, loop);
	loop_run(loop);
}

static inline void passes(struct loop *loop, unsigned count)
{
	while (count-- > 0)
		pass(loop);
}

#endif
