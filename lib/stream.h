/* A connected socket that never blocks: buffered output, unbuffered input, in
 * clear or, from stream_start_tls() on, through TLS: everything here works the
 * same then.
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

struct rawlog;
struct stream;
struct tls;
struct tls_info;

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
	/* The TLS handshake is over; a handshake that fails calls broken().
	 * Needed only for stream_start_tls(). */
	void (*secured)(struct stream *stream, void *owner);
};

/* Takes over fd (non-blocking) and watches for input. */
struct stream *stream_new(struct loop *loop, int fd,
			  const struct stream_handler *handler, void *owner);

/* Tries once to send what is queued, closes the fd, and frees the stream;
 * clears the pointer, NULL is fine. No callback runs afterwards. */
void stream_close(struct stream **stream);

/* Has everything that is read and sent from now on, behind TLS, written to
 * rawlog (see lib/rawlog.h), which becomes the stream's; NULL is fine. What goes
 * wrong with it is logged, once. */
void stream_set_rawlog(struct stream *stream, struct rawlog *rawlog);

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
 * not fill a segment, so that the end can go with it. Under TLS close_notify
 * goes behind the queue, unless some of that has to stay. */
void stream_finish(struct stream *stream);

/* Bytes queued and not yet sent. */
size_t stream_pending(const struct stream *stream);

/* Has writable() called when the socket takes more. */
void stream_want_write(struct stream *stream);

/* Starts TLS: tls (from tls_accept() or tls_connect(), becomes the stream's)
 * speaks first when it is a client. What is queued already still leaves in
 * clear. What is written from now on, and all reading, waits for secured();
 * stream_read() returns 0 until then. How long the handshake may take is the
 * owner's timer.
 *
 * What the owner read before belongs to the clear text: if there is more than
 * the command that started TLS, somebody put it there, and it must be dropped
 * (RFC 3207 4.2, CVE-2011-0411). */
void stream_start_tls(struct stream *stream, struct tls *tls);

/* Whether the TLS handshake is over; fills *info, whose strings belong to the
 * stream, if so. */
bool stream_tls_info(const struct stream *stream, struct tls_info *info);

/* Whether the handshake failed for the peer's certificate, or for want of one.
 */
bool stream_is_untrusted(const struct stream *stream);

/* Sends FIN after what was queued has left as far as one send goes; the other
 * direction stays open. */
void stream_shutdown(struct stream *stream);

int stream_fd(const struct stream *stream);

/* Whether the connection failed (a reset, a timeout), other than by the peer's
 * orderly end. With TLS that end is close_notify: without it, anybody on the
 * way may have cut off the rest. */
bool stream_failed(const struct stream *stream);

/* Text of the last failure, or "connection closed". */
const char *stream_error(const struct stream *stream);

#endif
