/* Idle connections on which something has come, though nothing was asked. */
#ifndef LIB_SPOILT_H
#define LIB_SPOILT_H

#include <poll.h>

/* Zeroed: none yet. */
struct spoilt {
	struct pollfd fds[64];
	nfds_t count;
};

/* An idle connection that is to be looked at, some time until spoilt_end(). */
void spoilt_add(struct spoilt *spoilt, int fd);

/* All of them have been: those with input, or closed by their peers, are shut
 * down now, with nothing to be read from them. */
void spoilt_end(struct spoilt *spoilt);

#endif
