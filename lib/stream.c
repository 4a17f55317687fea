#include "lib/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/panic.h"

#define STREAM_IOV_MAX 16

struct stream {
	struct loop *loop;
	const struct stream_handler *handler;
	void *owner;
	struct loop_io io;
	struct loop_task flush;
	struct str out;
	size_t out_sent; /* bytes of out that have left */
	int error;       /* errno, 0: none */
	int flags;       /* of send() */
	bool broken;     /* no more output: what is queued is dropped */
	bool told;       /* broken() was called */
};

static void stream_flush_task(struct loop_task *task);
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
	loop_io_open(&stream->io, loop, fd, stream_event);
	loop_io_want(&stream->io, LOOP_READ);
	return stream;
}

size_t stream_pending(const struct stream *stream)
{
	return stream->out.len - stream->out_sent;
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

	if (stream_pending(stream) > 0) {
		all[n].iov_base = stream->out.data + stream->out_sent;
		all[n++].iov_len = stream_pending(stream);
	}
	for (i = 0; i < count && n < STREAM_IOV_MAX; i++)
		if (iov[i].iov_len > 0)
			all[n++] = iov[i];
	return n;
}

static void stream_send_failed(struct stream *stream)
{
	stream->error = errno;
	stream->broken = true;
	stream->out_sent = 0;
	str_clear(&stream->out);
}

/* One system call. Returns the bytes of iov that left. */
static size_t stream_send(struct stream *stream, const struct iovec *iov,
			  int count)
{
	struct iovec all[STREAM_IOV_MAX];
	struct msghdr msg = { .msg_iov = all };
	size_t queued = stream_pending(stream);
	ssize_t sent;

	if (stream->broken)
		stream_out_advance(stream, queued);
	msg.msg_iovlen = (size_t)stream_gather(stream, iov, count, all);
	if (msg.msg_iovlen == 0 || stream->broken)
		return 0;
	do
		sent = msg.msg_iovlen == 1
			       ? send(stream->io.fd, all[0].iov_base,
				      all[0].iov_len, stream->flags)
			       : sendmsg(stream->io.fd, &msg, stream->flags);
	while (sent < 0 && errno == EINTR);
	if (sent < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			stream_send_failed(stream);
		return 0;
	}
	if ((size_t)sent <= queued) {
		stream_out_advance(stream, (size_t)sent);
		return 0;
	}
	stream_out_advance(stream, queued);
	return (size_t)sent - queued;
}

void stream_close(struct stream **stream_p)
{
	struct stream *stream = *stream_p;

	if (stream == NULL)
		return;
	stream_finish(stream);
	loop_task_cancel(&stream->flush);
	loop_io_close(&stream->io);
	close(stream->io.fd);
	str_free(&stream->out);
	mem_free(stream_p);
}

int stream_read(struct stream *stream, void *buf, size_t len, size_t *len_r)
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

static void stream_want(struct stream *stream, unsigned flag, bool on)
{
	unsigned want = stream->io.want;

	loop_io_want(&stream->io, on ? want | flag : want & ~flag);
}

void stream_want_read(struct stream *stream, bool on)
{
	stream_want(stream, LOOP_READ, on);
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

static void stream_flush_task(struct loop_task *task)
{
	struct stream *stream = container_of(task, struct stream, flush);

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
	stream_send(stream, NULL, 0);
}

void stream_shutdown(struct stream *stream)
{
	stream_finish(stream);
	shutdown(stream->io.fd, SHUT_WR);
}

static void stream_event(struct loop_io *io, unsigned events)
{
	struct stream *stream = container_of(io, struct stream, io);

	if (events & LOOP_READ) {
		stream->handler->readable(stream, stream->owner);
		return;
	}
	stream_send(stream, NULL, 0);
	if (stream_pending(stream) > 0)
		return;
	stream_want(stream, LOOP_WRITE, false);
	if (stream->broken)
		stream_tell_broken(stream);
	else
		stream->handler->writable(stream, stream->owner);
}

int stream_fd(const struct stream *stream)
{
	return stream->io.fd;
}

bool stream_failed(const struct stream *stream)
{
	return stream->error != 0;
}

const char *stream_error(const struct stream *stream)
{
	return stream->error != 0 ? strerror(stream->error)
				  : "connection closed";
}
