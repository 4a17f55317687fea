/* A pair of connected sockets between two of our own processes: packets of
 * bounded size, each with file descriptors. Only channel_await() blocks. */
#ifndef LIB_CHANNEL_H
#define LIB_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

#define CHANNEL_MAX_DATA 8192
#define CHANNEL_MAX_FDS 64

struct channel_packet {
	unsigned char data[CHANNEL_MAX_DATA];
	size_t len;
	int fds[CHANNEL_MAX_FDS]; /* who takes one over sets it to -1 */
	unsigned fd_count;
};

/* Two ends (close-on-exec, non-blocking), one for each process. */
int channel_pair(int fds_r[2], struct err *err);

/* Sends len bytes (1 to CHANNEL_MAX_DATA) with copies of fds, which stay the
 * caller's. -1 also when the other side does not read. */
int channel_send(int channel, const void *data, size_t len, const int *fds,
		 unsigned fd_count, struct err *err);

/* The same. 1: sent; 0: there is no room now; -1: never will be. */
int channel_offer(int channel, const void *data, size_t len, const int *fds,
		  unsigned fd_count, struct err *err);

/* 1: got a packet; 0: none now; -1: the other side is gone, or sent something
 * too large. The descriptors are close-on-exec and the caller's. */
int channel_recv(int channel, struct channel_packet *packet, struct err *err);

/* Waits for a packet, or the end, on a channel that is blocking (channel_block()), and
 * takes nothing: whom a signal ends meanwhile has lost nothing. May return early. */
void channel_await(int channel);

/* As channel_recv(), where several wait. 0: the other side is gone. -1: errno is EAGAIN
 * when there is none; EBADMSG when the other side sent what channel_send() does not send,
 * too much or no bytes; else what failed here. */
int channel_take(int channel, struct channel_packet *packet, struct err *err);

/* Makes our end blocking, in all processes that have it. */
int channel_block(int channel, struct err *err);

/* Whether a descriptor that somebody else has sent is an end of such a pair. */
bool channel_is(int fd);

/* Closes what nobody took over. */
void channel_packet_close(struct channel_packet *packet);

#endif
