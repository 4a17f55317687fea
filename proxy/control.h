/* The control interface: HTTP and JSON on the listeners of the services ctl and
 * http (waypost-control(7) has every path), on the control loop. */
#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop.h"
#include "proxy/worker.h"

struct control;

/* What only the supervisor can do. */
enum control_wish {
	CONTROL_RELOAD,
	CONTROL_STOP,
	CONTROL_ABORT,
	CONTROL_REOPEN_LOGS,
};

struct director_keeper;

/* What the interface shows and steers; outlives it. */
struct control_env {
	struct loop *loop;
	struct worker_set *set;
	const struct worker_source *source; /* what is in force now */
	struct director_keeper *keeper;
	/* Passes a wish to the supervisor: -1 when that is gone. Numbers grow. */
	int (*wish)(void *arg, enum control_wish wish, uint32_t number);
	void *arg;
};

struct control *control_new(const struct control_env *env);

/* Closes everything. Clears the pointer; NULL is fine. */
void control_free(struct control **control);

/* Serves a listening socket, which it takes over; flags: enum listener_flag. */
void control_listen(struct control *control, uint32_t name, int fd,
		    unsigned flags);
void control_unlisten(struct control *control, uint32_t name);

/* Takes no new connections any more: another process does, or none. Those that
 * there are end when they have been answered. */
void control_close(struct control *control);

/* A reload is over, which began behind the wish with that number; text says why
 * it failed. */
void control_reloaded(struct control *control, uint32_t number, bool ok,
		      const char *text);

#endif
