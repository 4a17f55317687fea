/* A crew (deliver/crew.h) as the supervisor sees it: a process that starts those that
 * save mail for one worker process, of a program of its own, waypost-deliver. When it
 * dies, another one is started. */
#ifndef PROXY_SUPERVISOR_CREW_CHILD_H
#define PROXY_SUPERVISOR_CREW_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "deliver/crew_order.h"
#include "lib/loop.h"

struct crew_child {
	struct loop *loop;
	/* For all its processes: what requests come through, and where they write
	 * what they count (deliver/crew_counts.h). */
	int requests, counts;
	pid_t pid;   /* 0: none */
	int control; /* -1: none */
	uint64_t started_us; /* loop time */
	unsigned unanswered;	/* orders */
	bool wanted;
	int program;		 /* the owner's */
	struct crew_order order; /* its texts are the owner's */
	struct loop_io io, refusal; /* of control; of requests that nobody takes */
	struct loop_timer restart;
	void (*broken)(void *owner);
	void *owner;
};

/* The program, to be executed: it is that of this version also when another one has
 * been installed meanwhile. It lies beside our own, or where it was installed. -1: it
 * is not there. */
int crew_child_program(struct err *err);

/* requests and counts are taken over. broken() is called when the worker process said
 * what it never should: nothing it says is to be trusted any more. No process is
 * started yet. */
struct crew_child *crew_child_new(struct loop *loop, int requests, int counts,
				  void (*broken)(void *owner), void *owner);

/* A process that was started by the program that we were before exec(), and has still to
 * answer so many of its orders: what it says next is about those, not about ours. */
void crew_child_adopt(struct crew_child *crew, pid_t pid, int control,
		      unsigned unanswered);

/* Has members that go by order, of which texts have to live until the next one; those
 * from before end once they are idle. Waits until no delivery begins any more that goes
 * by another one, unless the crew is only about to start. NULL: there is to be none any
 * more, and requests end without an answer. */
void crew_child_order(struct crew_child *crew, int program,
		      const struct crew_order *order);

/* A child has died. False: it was not that. */
bool crew_child_died(struct crew_child *crew, pid_t pid, int status);

/* Lets go of the process, which ends when its members have; in another child, for
 * which loop_forked() was called, without its noticing. Clears the pointer; NULL is
 * fine. */
void crew_child_free(struct crew_child **crew);

#endif
