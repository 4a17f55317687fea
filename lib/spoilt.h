/* Idle connections on which something has come, though nothing was asked. */
#ifndef LIB_SPOILT_H
#define LIB_SPOILT_H

#include <poll.h>
#include <sys/types.h>

/* Zeroed: none yet. */
struct spoilt {
	struct pollfd fds[64];
	nfds_t count;
};

/* What a socket is known by, also when it is closed and its descriptor is that of
 * another one; 0: it is no socket. */
ino_t spoilt_inode(int fd);

/* An idle connection that is to be looked at, some time until spoilt_end(); not if
 * it is not there any more: curl does not tell that it has closed one on which
 * connect() has failed or timed out. */
void spoilt_add(struct spoilt *spoilt, int fd, ino_t inode);

/* All of them have been: those with input, or closed by their peers, are shut
 * down now, with nothing to be read from them. */
void spoilt_end(struct spoilt *spoilt);

#endif
