/* Finds out when deliveries by earlier views are over: all worker threads work by
 * the view, and no user whom it moves has deliveries under way elsewhere. */
#ifndef PROXY_DIRECTOR_TURN_H
#define PROXY_DIRECTOR_TURN_H

#include "proxy/director/director.h"
#include "proxy/worker/worker.h"

struct director_turn;

/* over(arg, serial) is called from the loop. All outlive the turn. */
struct director_turn *
director_turn_new(struct loop *loop, struct worker_set *set,
		  void (*over)(void *arg, uint64_t serial), void *arg);

/* Clears the pointer; NULL is fine. */
void director_turn_free(struct director_turn **turn);

/* The workers were given the view, of which the turn gets a reference, with that
 * serial. What was begun before counts no more. */
void director_turn_begin(struct director_turn *turn, struct director *view,
			 uint64_t serial);

/* How many users there are still to wait for, when last counted. */
unsigned director_turn_lingering(const struct director_turn *turn);

#endif
