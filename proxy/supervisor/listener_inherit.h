/* Listening sockets that another process opened: systemd's (socket activation),
 * and those of the program that we were before exec(). They make a set for
 * listener_set_open() to find what it needs in. */
#ifndef PROXY_SUPERVISOR_LISTENER_INHERIT_H
#define PROXY_SUPERVISOR_LISTENER_INHERIT_H

#include "lib/err.h"
#include "proxy/listener.h"
#include "proxy/supervisor/handover_state.h"

/* Where systemd puts the first one, see sd_listen_fds(3). */
#define LISTENER_INHERIT_FIRST 3

/* The first descriptor behind those of $LISTEN_FDS, if $LISTEN_PID is us; else first. */
unsigned listener_inherit_behind(int first);

/* Those of $LISTEN_FDS, from descriptor first on, if $LISTEN_PID is us; the
 * variables are gone then. NULL when there are none. What is no listening
 * stream socket is reported and closed. */
struct listener_set *listener_inherit_activated(int first);

/* Reports those that set does not use, and closes what nobody shares.
 * Clears the pointer; NULL is fine. */
void listener_inherit_close(struct listener_set **inherited,
			    const struct listener_set *set);

/* Takes over the listeners of state. NULL when one is no listening socket. */
struct listener_set *
listener_inherit_state(const struct handover_state *state, struct err *err);

/* Writes those of set to state. */
void listener_inherit_save(struct handover_state *state,
			   const struct listener_set *set);

#endif
