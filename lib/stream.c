#include "lib/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/rawlog.h"
#include "lib/tls/tls.h"

#define STREAM_IOV_MAX 72 /* a body with its dots taken out has many */
/* So that a stream in clear, without a rawlog, pays for one test each. */
#define RARE_PART __attribute__((noinline))

struct stream {
	struct loop *loop;
	const struct stream_handler *handler;
	void *owner;
	struct loop_io io;
	unsigned want; /* LOOP_ flags: what owner and queue wait for */
	struct tls *tls; /* NULL: in clear */
	struct rawlog *rawlog; /* NULL: none */
	struct loop_task flush;
	struct loop_task again; /* input is there that the socket knows not of */
	struct str out;
	size_t out_sent; /* bytes of out that have left */
	int error;       /* errno, 0: none */
	int flags;       /* of send() */
	bool broken;     /* no more output: what is queued is dropped */
	bool told;       /* broken() was called */
};

static void stream_flush_task(struct loop_task *task);
static void stream_again_task(struct loop_task *task);
static void stream_event(struct loop_io *io, unsigned events);

struct stream *stream_new(struct loop *loop, int fd,
			  const struct stream_handler *handler, void *owner)
{
	struct stream *stream = mem_new(struct stream);

	stream->loop = loop;
	stream->handler = handler;
	stream->owner = owner;
	stream->flags = MSG_NOSIGNAL;
	stream->flush.fn = stream_flush_task;
	stream->again.fn = stream_again_task;
	loop_io_open(&stream->io, loop, fd, stream_event);
	stream->want = LOOP_READ;
	loop_io_want(&stream->io, LOOP_READ);
	return stream;
}

/* --- rawlog --- */

void stream_set_rawlog(struct stream *stream, struct rawlog *rawlog)
{
	rawlog_free(&stream->rawlog);
	stream->rawlog = rawlog;
}

static RARE_PART void stream_log(struct stream *stream,
				 enum rawlog_direction direction,
				 const void *data, size_t len)
{
	struct err err;

	if (rawlog_write(stream->rawlog, direction, data, len, &err) < 0)
		log_error(NULL, "%s", err.text);
}

/* The first len bytes of iov have left. */
static RARE_PART void stream_log_sent(struct stream *stream,
				      const struct iovec *iov, size_t len)
{
	while (len > 0) {
		size_t part = iov->iov_len < len ? iov->iov_len : len;

		stream_log(stream, RAWLOG_OUT, iov->iov_base, part);
		len -= part;
		iov++;
	}
}

/* --- output --- */

static size_t stream_queued(const struct stream *stream)
{
	return stream->out.len - stream->out_sent;
}

size_t stream_pending(const struct stream *stream)
{
	size_t queued = stream_queued(stream);

	return stream->tls == NULL || stream->broken
		       ? queued : queued + tls_unsent(stream->tls);
}

static RARE_PART bool stream_is_handshaking(const struct stream *stream)
{
	return tls_is_handshaking(stream->tls) && !stream->broken;
}

/* What to watch the socket for under TLS, where one direction may need the
 * other. */
static RARE_PART unsigned stream_tls_want(const struct stream *stream)
{
	unsigned want = stream->want;

	if (stream->broken)
		return want;
	if (tls_is_handshaking(stream->tls) ||
	    tls_write_needs_input(stream->tls))
		want = LOOP_READ;
	if (tls_unsent(stream->tls) > 0)
		want |= LOOP_WRITE;
	return want;
}

static void stream_watch(struct stream *stream)
{
	loop_io_want(&stream->io, stream->tls == NULL ?
					  stream->want :
					  stream_tls_want(stream));
}

static void stream_out_advance(struct stream *stream, size_t len)
{
	stream->out_sent += len;
	if (stream->out_sent < stream->out.len)
		return;
	stream->out_sent = 0;
	str_clear(&stream->out);
}

/* Gathers the queue and iov into at most STREAM_IOV_MAX pieces. */
static int stream_gather(struct stream *stream, const struct iovec *iov,
			 int count, struct iovec *all)
{
	int n = 0, i;

	if (stream_queued(stream) > 0) {
		all[n].iov_base = stream->out.data + stream->out_sent;
		all[n++].iov_len = stream_queued(stream);
	}
	for (i = 0; i < count && n < STREAM_IOV_MAX; i++)
		if (iov[i].iov_len > 0)
			all[n++] = iov[i];
	return n;
}

static void stream_break(struct stream *stream)
{
	stream->broken = true;
	stream->out_sent = 0;
	str_clear(&stream->out);
}

static ssize_t stream_send_pieces(const struct stream *stream,
				  struct iovec *iov, int count)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)count };

	return sendmsg(stream->io.fd, &msg, stream->flags);
}

/* One system call. Returns the bytes that left. */
static size_t stream_send_clear(struct stream *stream, struct iovec *iov,
				int count)
{
	ssize_t sent;

	if (count == 0)
		return 0;
	do
		sent = count == 1 ? send(stream->io.fd, iov[0].iov_base,
					 iov[0].iov_len, stream->flags)
				  : stream_send_pieces(stream, iov, count);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return (size_t)sent;
	if (errno != EAGAIN && errno != EWOULDBLOCK) {
		stream->error = errno;
		stream_break(stream);
	}
	return 0;
}

static RARE_PART size_t stream_send_tls(struct stream *stream, const struct iovec *iov,
			      int count)
{
	size_t taken = tls_write(stream->tls, iov, count);

	if (tls_failed(stream->tls))
		stream_break(stream);
	stream_watch(stream);
	return taken;
}

/* Sends the queue and iov, as much as goes. Returns the bytes of iov that left.
 */
static size_t stream_send(struct stream *stream, const struct iovec *iov,
			  int count)
{
	struct iovec all[STREAM_IOV_MAX];
	size_t queued = stream_queued(stream), sent;

	if (stream->broken) {
		stream_out_advance(stream, queued);
		return 0;
	}
	count = stream_gather(stream, iov, count, all);
	sent = stream->tls == NULL ? stream_send_clear(stream, all, count)
				   : stream_send_tls(stream, all, count);
	if (stream->rawlog != NULL)
		stream_log_sent(stream, all, sent);
	if (stream->broken)
		return 0;
	if (sent <= queued) {
		stream_out_advance(stream, sent);
		return 0;
	}
	stream_out_advance(stream, queued);
	return sent - queued;
}

void stream_close(struct stream **stream_p)
{
	struct stream *stream = *stream_p;

	if (stream == NULL)
		return;
	stream_finish(stream);
	loop_task_cancel(&stream->flush);
	loop_task_cancel(&stream->again);
	loop_io_close(&stream->io);
	close(stream->io.fd);
	tls_free(&stream->tls);
	rawlog_free(&stream->rawlog);
	str_free(&stream->out);
	mem_free(stream_p);
}

static void stream_again_task(struct loop_task *task)
{
	struct stream *stream = container_of(task, struct stream, again);

	if (stream->want & LOOP_READ)
		loop_io_wake(&stream->io);
}

/* Sees to it that readable() runs when TLS holds input. */
static void stream_check_again(struct stream *stream)
{
	if (stream->want & LOOP_READ && tls_is_readable(stream->tls))
		loop_defer(stream->loop, &stream->again);
}

static RARE_PART int stream_read_tls(struct stream *stream, void *buf, size_t len,
			   size_t *len_r)
{
	int ret = tls_read(stream->tls, buf, len, len_r);

	stream_watch(stream);
	if (ret > 0)
		stream_check_again(stream);
	return ret;
}

static int stream_read_clear(struct stream *stream, void *buf, size_t len,
			     size_t *len_r)
{
	ssize_t got;

	do
		got = recv(stream->io.fd, buf, len, 0);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		*len_r = (size_t)got;
		return 1;
	}
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (got < 0)
		stream->error = errno;
	return -1;
}

int stream_read(struct stream *stream, void *buf, size_t len, size_t *len_r)
{
	int ret = stream->tls == NULL
			  ? stream_read_clear(stream, buf, len, len_r)
			  : stream_read_tls(stream, buf, len, len_r);

	if (stream->rawlog != NULL && ret > 0)
		stream_log(stream, RAWLOG_IN, buf, *len_r);
	return ret;
}

static void stream_want(struct stream *stream, unsigned flag, bool on)
{
	stream->want = on ? stream->want | flag : stream->want & ~flag;
	stream_watch(stream);
}

void stream_want_read(struct stream *stream, bool on)
{
	stream_want(stream, LOOP_READ, on);
	if (stream->tls != NULL)
		stream_check_again(stream);
}

void stream_want_write(struct stream *stream)
{
	stream_want(stream, LOOP_WRITE, true);
}

struct str *stream_out(struct stream *stream)
{
	return &stream->out;
}

void stream_flush_later(struct stream *stream)
{
	loop_defer(stream->loop, &stream->flush);
}

void stream_write(struct stream *stream, const void *data, size_t len)
{
	str_append(&stream->out, data, len);
	stream_flush_later(stream);
}

void stream_puts(struct stream *stream, const char *text)
{
	stream_write(stream, text, strlen(text));
}

static void stream_tell_broken(struct stream *stream)
{
	if (stream->told)
		return;
	stream->told = true;
	stream->handler->broken(stream, stream->owner);
}

/* Calls back at its end. */
static void stream_handshake(struct stream *stream)
{
	int ret = tls_handshake(stream->tls);

	if (ret < 0)
		stream_break(stream);
	stream_watch(stream);
	if (ret < 0) {
		stream_tell_broken(stream);
	} else if (ret > 0) {
		stream_check_again(stream);
		stream_flush_later(stream);
		stream->handler->secured(stream, stream->owner);
	}
}

void stream_start_tls(struct stream *stream, struct tls *tls)
{
	ASSERT(stream->tls == NULL && stream->handler->secured != NULL);
	if (stream->rawlog != NULL)
		stream_log(stream, RAWLOG_OUT,
			   str_c(&stream->out) + stream->out_sent,
			   stream_queued(stream));
	stream->tls = tls;
	tls_attach(tls, stream->io.fd, str_c(&stream->out) + stream->out_sent,
		   stream_queued(stream));
	stream->out_sent = 0;
	str_clear(&stream->out);
	stream_flush_later(stream);
}

static void stream_flush_task(struct loop_task *task)
{
	struct stream *stream = container_of(task, struct stream, flush);

	if (stream->tls != NULL && stream_is_handshaking(stream)) {
		stream_handshake(stream);
		return;
	}
	stream_send(stream, NULL, 0);
	if (stream_pending(stream) > 0)
		stream_want_write(stream);
	else if (stream->broken)
		stream_tell_broken(stream);
}

size_t stream_sendv(struct stream *stream, const struct iovec *iov, int count)
{
	size_t taken = stream_send(stream, iov, count);

	/* The owner learns of it in a callback, never inside its own call. */
	if (stream->broken)
		stream_want_write(stream);
	return taken;
}

void stream_finish(struct stream *stream)
{
	stream->flags |= MSG_MORE;
	if (stream->tls != NULL)
		tls_finish(stream->tls);
	stream_send(stream, NULL, 0);
	/* close_notify says that this was everything, so it must be. */
	if (stream->tls != NULL && !stream->broken &&
	    stream_queued(stream) == 0)
		tls_shutdown(stream->tls);
}

void stream_shutdown(struct stream *stream)
{
	stream_finish(stream);
	shutdown(stream->io.fd, SHUT_WR);
}

/* TLS's part of an event. Whether the owner is to hear of it, too. */
static RARE_PART bool stream_tls_event(struct stream *stream, unsigned events)
{
	if (stream_is_handshaking(stream)) {
		stream_handshake(stream);
		return false;
	}
	if (events & LOOP_READ && tls_write_needs_input(stream->tls))
		stream_send(stream, NULL, 0);
	return (events & LOOP_WRITE) || (stream->want & LOOP_READ);
}

static void stream_event(struct loop_io *io, unsigned events)
{
	struct stream *stream = container_of(io, struct stream, io);
	bool wanted;

	if (stream->tls != NULL && !stream_tls_event(stream, events))
		return;
	if (events & LOOP_READ) {
		stream->handler->readable(stream, stream->owner);
		return;
	}
	stream_send(stream, NULL, 0);
	if (stream_pending(stream) > 0)
		return;
	wanted = stream->want & LOOP_WRITE;
	stream_want(stream, LOOP_WRITE, false);
	if (stream->broken)
		stream_tell_broken(stream);
	else if (wanted)
		stream->handler->writable(stream, stream->owner);
}

int stream_fd(const struct stream *stream)
{
	return stream->io.fd;
}

bool stream_failed(const struct stream *stream)
{
	return stream->error != 0 ||
	       (stream->tls != NULL && tls_failed(stream->tls));
}

const char *stream_error(const struct stream *stream)
{
	if (stream->tls != NULL && tls_failed(stream->tls))
		return tls_error(stream->tls);
	return stream->error != 0 ? strerror(stream->error)
				  : "connection closed";
}

bool stream_tls_info(const struct stream *stream, struct tls_info *info)
{
	return stream->tls != NULL && tls_get_info(stream->tls, info);
}

bool stream_is_untrusted(const struct stream *stream)
{
	return stream->tls != NULL && tls_is_untrusted(stream->tls);
}
