/* The listening sockets of the worker process, and which worker accepts on
 * each. A new one is staged first: it comes before the configuration that it
 * belongs to, which may turn out not to work. */
#ifndef PROXY_WORKER_SOCKETS_H
#define PROXY_WORKER_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "proxy/listener.h"
#include "proxy/worker/worker.h"

/* Those in use and, during a reload, those to come. */
#define WORKER_SOCKETS_MAX (2 * LISTENER_MAX)

struct control;

struct worker_socket {
	uint32_t name; /* the supervisor's descriptor */
	int fd;	       /* staged; -1: with its owner */
	unsigned flags; /* enum listener_flag */
	struct worker *owner; /* NULL: the control interface */
};

struct worker_sockets {
	struct worker_socket items[WORKER_SOCKETS_MAX];
	unsigned count;
	unsigned next_owner;
	struct control *control; /* set by the owner; for LISTENER_CONTROL */
};

/* Takes over fd. -1 when there are too many, or one has that name already. */
int worker_sockets_stage(struct worker_sockets *sockets, uint32_t name, int fd,
			 unsigned flags, struct err *err);

bool worker_sockets_has(const struct worker_sockets *sockets, uint32_t name);

/* Has the workers of set accept on exactly the sockets that are named: gives
 * them the staged ones in turn, and takes the others away. */
void worker_sockets_switch(struct worker_sockets *sockets,
			   const struct worker_set *set, const uint32_t *names,
			   unsigned count);

/* Closes those that are staged. */
void worker_sockets_drop_staged(struct worker_sockets *sockets);

#endif
