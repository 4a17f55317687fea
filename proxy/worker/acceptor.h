/* Accepts connections on one listening socket, in one worker's thread, and
 * gives each to the worker that has the fewest. */
#ifndef PROXY_WORKER_ACCEPTOR_H
#define PROXY_WORKER_ACCEPTOR_H

#include <stdint.h>

struct worker;

/* Starts accepting from fd, which the acceptor takes over. It is on
 * worker->acceptors from now on, under name. Its sessions get flags (enum
 * listener_flag). */
void acceptor_open(struct worker *worker, uint32_t name, int fd,
		   unsigned flags);

/* Stops accepting and closes the socket; nothing for an unknown name. */
void acceptor_close_named(struct worker *worker, uint32_t name);
void acceptor_close_all(struct worker *worker);

#endif
