/* The processes that save mail for one worker process. Each waits on the channel
 * that requests come through (backends/local/deliver.h); we start them, end those
 * that take too long, and never read a byte of what the worker process says. */
#ifndef PROXY_CREW_H
#define PROXY_CREW_H

#include <stdbool.h>
#include <sys/types.h>

#include "backends/local/deliver.h"
#include "lib/loop.h"
#include "proxy/title.h"

struct crew;

struct crew_settings {
	const struct local_policy *policy; /* copied; its strings have to live
					      until the next crew_man() */
	unsigned limit; /* members at a time */
	const struct title *title;
	const char *name; /* instance_name */
};

/* requests is taken over, and so is counts, where it writes what it counts
 * (proxy/crew_counts.h; -1: nowhere). broken() is called when the worker process said what
 * it never should: nothing it says is to be trusted any more. */
struct crew *crew_new(struct loop *loop, int requests, int counts,
		      void (*broken)(void *owner), void *owner);

/* The descriptor that it waits on. */
int crew_requests(const struct crew *crew);

/* Has members that go by settings; those from before end once they are idle.
 * NULL: none any more. */
void crew_man(struct crew *crew, const struct crew_settings *settings);

/* A child has died. False: it was no member. */
bool crew_died(struct crew *crew, pid_t pid, int status);

/* Lets go of all, without a word to the members: also in another child, for which
 * loop_forked() was called. Clears the pointer; NULL is fine. */
void crew_free(struct crew **crew);

#endif
