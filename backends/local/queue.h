/* The deliveries of one worker thread: each is handed to a process that saves
 * the mail (deliver.h), and waits for its answer. */
#ifndef BACKENDS_LOCAL_QUEUE_H
#define BACKENDS_LOCAL_QUEUE_H

#include <stdbool.h>

#include "backends/local/links.h"
#include "backends/local/request.h"
#include "backends/local/stats.h"
#include "lib/list.h"
#include "lib/loop.h"

struct local_queue;

/* A delivery under way; a zeroed member of the caller's object. */
struct local_delivery {
	/* set by the caller: what became of it, once, from the loop. When
	 * nobody answered, the text says why, and the mail may yet have been
	 * saved. It may free the delivery. */
	void (*done)(struct local_delivery *delivery,
		     const struct local_result *result);

	/* the module's own: */
	struct list node;
	struct local_queue *queue; /* NULL: not under way */
	struct str packet, who;
	enum local_request_kind kind;
	uint64_t bytes, begun_us;
	int message;
	struct local_link *link; /* NULL: not sent yet */
	struct loop_timer timer;
};

/* requests is the worker process's end of the channel and stays the caller's; all
 * threads use it. */
struct local_queue *local_queue_new(struct loop *loop, int requests);

/* How many processes this thread's deliveries may be with, those included that are kept
 * for more of the same user (links.h). Without a word of this, none is kept. */
void local_queue_limit(struct local_queue *queue, unsigned limit);

/* Keeps none of these processes any longer: a reload counts for who begins after it.
 * on: whether anybody is delivered to by the new settings. Who still asks under earlier
 * ones hears that it is turned off when there is no answer. */
void local_queue_renew(struct local_queue *queue, bool on);

/* No delivery may be under way. Clears the pointer; NULL is fine. */
void local_queue_free(struct local_queue **queue);

/* What it has counted so far. */
const struct local_stats *local_queue_stats(const struct local_queue *queue);

/* How long one takes at the moment, until there is an answer: a second at most, in ms;
 * 25 before there was one. */
unsigned local_queue_usual_ms(const struct local_queue *queue);

/* Starts a delivery. message stays the caller's, and open until done() or
 * local_delivery_cancel(); LOCAL_REQUEST_CHECK has none: -1. When the channel is full,
 * it waits for its turn. After timeout_ms it is over. A copy for which the request has no
 * room is left out. -1: it cannot be passed on, which is counted as a failure, and done()
 * is not called. */
int local_queue_add(struct local_queue *queue, struct local_delivery *delivery,
		    const struct local_request *request, int message,
		    unsigned timeout_ms, struct err *err);

/* Forgets a delivery: done() is not called. Idempotent. */
void local_delivery_cancel(struct local_delivery *delivery);

#endif
