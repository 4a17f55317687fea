/* A connected socket that never blocks: buffered output, unbuffered input.
 *
 * Input is read by the owner, into memory of its choice (a line buffer or a
 * message's spool), when the readable callback says so. Output is queued and
 * leaves in one system call at the end of the pass; large bodies go out
 * straight from their own memory with stream_sendv(). */
#ifndef LIB_STREAM_H
#define LIB_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "lib/loop.h"
#include "lib/str.h"

struct stream;

struct stream_handler {
	/* There may be input: read until stream_read() returns 0, or less
	 * (what is left makes the callback run again). */
	void (*readable)(struct stream *stream, void *owner);
	/* All queued output has left, after stream_want_write() or after a
	 * time when some of it could not. */
	void (*writable)(struct stream *stream, void *owner);
	/* Sending failed: the connection is gone. Replies of the peer may
	 * still be readable. */
	void (*broken)(struct stream *stream, void *owner);
};

/* Takes over fd (non-blocking) and watches for input. */
struct stream *stream_new(struct loop *loop, int fd,
			  const struct stream_handler *handler, void *owner);

/* Tries once to send what is queued, closes the fd, and frees the stream;
 * clears the pointer, NULL is fine. No callback runs afterwards. */
void stream_close(struct stream **stream);

/* Reads at most len bytes into buf. 1: got *len_r bytes; 0: nothing now;
 * -1: the end, or an error (stream_error() tells). */
int stream_read(struct stream *stream, void *buf, size_t len, size_t *len_r);

/* Whether to watch for input (on at first). */
void stream_want_read(struct stream *stream, bool on);

/* The output queue: append to it, then call stream_flush_later(). */
struct str *stream_out(struct stream *stream);

/* Sends the queue at the end of this pass. */
void stream_flush_later(struct stream *stream);

/* Appends and has it sent at the end of this pass. */
void stream_write(struct stream *stream, const void *data, size_t len);
void stream_puts(struct stream *stream, const char *text);

/* Sends the queue and then iov[0..count) at once, as much as fits. Returns how
 * many bytes of iov were taken; the caller keeps the others and goes on when
 * writable() is called. */
size_t stream_sendv(struct stream *stream, const struct iovec *iov, int count);

/* Sends the queue, as much as fits, and means it to be the last: only
 * stream_close() or stream_shutdown() follow. The kernel holds back what does
 * not fill a segment, so that the end can go with it. */
void stream_finish(struct stream *stream);

/* Bytes queued and not yet sent. */
size_t stream_pending(const struct stream *stream);

/* Has writable() called when the socket takes more. */
void stream_want_write(struct stream *stream);

/* Sends FIN after what was queued has left as far as one send goes; the other
 * direction stays open. */
void stream_shutdown(struct stream *stream);

int stream_fd(const struct stream *stream);

/* Whether the connection failed (a reset, a timeout), other than by the peer's
 * orderly end. */
bool stream_failed(const struct stream *stream);

/* Text of the last failure, or "connection closed". */
const char *stream_error(const struct stream *stream);

#endif
