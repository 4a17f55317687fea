/* One question to all worker threads: each answers on its own thread, where
 * what it looks at cannot change, and the control loop goes on with the
 * answers. */
#ifndef PROXY_WORKER_GATHER_H
#define PROXY_WORKER_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/str.h"
#include "proxy/worker/worker.h"

struct gather;

/* What one worker answered. */
struct gather_part {
	struct gather *gather;
	struct worker *worker;
	struct str out; /* text for done() */
	void *data;	/* anything else, from mem_alloc(): becomes the gather's */
	uint64_t count;
	bool back;
};

struct gather {
	struct arena *arena; /* for the question; read by all threads */
	/* On each worker's thread. */
	void (*visit)(struct gather_part *part);
	/* On the control loop, once: all parts are back, or those that are not
	 * have taken too long. */
	void (*done)(struct gather *gather);
	const void *query; /* in arena, for visit() */
	void *arg;	   /* for done() */
	struct gather_part *parts;
	unsigned count, missing;

	/* the module's own: */
	struct list node; /* of those that are not over */
	struct loop *loop;
	struct loop_timer timer;
	bool told;
};

/* Makes a question; the caller fills in visit, done and arg, and what visit()
 * needs to know in arena. Until all workers have answered it is in asked. */
struct gather *gather_new(const struct worker_set *set, struct list *asked);

/* Asks. The gather frees itself when everything is over. */
void gather_start(struct gather *gather);

/* Nobody wants to know any more: done() will not be called, and it is in no list.
 * The workers are visited all the same, and it still frees itself. False: it
 * was called before. */
bool gather_forget(struct gather *gather);

#endif
