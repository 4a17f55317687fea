/* The control interface: HTTP and JSON on the listeners of the services ctl and
 * http (waypost-control(7) has every path), and what Postfix asks service
 * socketmap, on the control loop. */
#ifndef PROXY_CONTROL_CONTROL_H
#define PROXY_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/loop.h"
#include "lib/str.h"
#include "proxy/rawlog_rules.h"
#include "proxy/worker/worker.h"

struct control;

/* What only the supervisor can do. */
enum control_wish {
	CONTROL_RELOAD,
	CONTROL_STOP,
	CONTROL_ABORT,
	CONTROL_REOPEN_LOGS,
	/* What an order begins or ends; it is obeyed here already. */
	CONTROL_DRAIN,
	CONTROL_UNDRAIN,
	CONTROL_DEBUG,
	CONTROL_NO_DEBUG,
};
#define CONTROL_WISH_LAST CONTROL_NO_DEBUG

/* What an administrator wants until he says otherwise: bits, which the
 * supervisor keeps for the worker processes to come. */
enum control_order {
	CONTROL_ORDER_DRAIN = 1 << 0, /* refuse new clients */
	CONTROL_ORDER_DEBUG = 1 << 1, /* log_want_debug() */
};
#define CONTROL_ORDERS 3 /* all of them */

/* What a worker process knows from the supervisor alone. */
struct control_standing {
	unsigned orders; /* enum control_order */
	unsigned others; /* worker processes beside this one: those that end,
			    or one that starts */
};

struct director_keeper;

/* What the interface shows and steers; outlives it. */
struct control_env {
	struct loop *loop;
	struct worker_set *set;
	const struct worker_source *source; /* what is in force now */
	struct director_keeper *keeper;
	const char *account; /* that the process runs as */
	struct control_standing standing; /* at the start */
	const struct rawlog_rules *rawlogs; /* the same */
	/* Passes a wish to the supervisor: -1 when that is gone. Numbers grow. */
	int (*wish)(void *arg, enum control_wish wish, uint32_t number);
	/* The same with an order about rawlogs; control_rawlogs() follows. */
	int (*wish_rawlog)(void *arg, const struct str *order, uint32_t number);
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

/* How things stand, for all that the supervisor has heard: the wishes up to
 * number, and those of other worker processes. */
void control_obey(struct control *control,
		  const struct control_standing *standing, uint32_t number);

/* The rawlogs that the supervisor wants of all processes, as rawlog_rules_encode()
 * writes them. number: of our own order that they follow; ok: they do, and did not
 * grow too many; 0: somebody else wanted it. -1: they are malformed. */
int control_rawlogs(struct control *control, const void *data, size_t len,
		    uint32_t number, bool ok, struct err *err);

#endif
