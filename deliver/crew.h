/* The processes that save mail for one worker process. Each waits on the channel
 * that requests come through (backends/local/deliver.h); the crew starts them, ends
 * those that take too long, and never reads a byte of what the worker process says.
 *
 * It is a process of its own, of a program with next to no libraries: a fork copies
 * what the program has mapped. */
#ifndef DELIVER_CREW_H
#define DELIVER_CREW_H

#include "lib/title.h"

/* Does what the supervisor orders, with the descriptors of deliver/crew_channel.h, until
 * that lets go of the channel and the last member has ended. All signals have to be
 * blocked. Returns the exit status of the process. */
int crew_run(const struct title *title);

#endif
