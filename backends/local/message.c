#include "backends/local/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "lib/mem.h"

#define PIECES 8
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* --- the file --- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Never had a name. -1: not all file systems have that, nor is there always a /proc. */
static int open_nameless(struct local_message *message)
{
	char own[32];

	message->write_fd = open(message->dir, O_TMPFILE | O_EXCL | O_WRONLY |
				 O_CLOEXEC, 0400);
	if (message->write_fd < 0)
		return -1;
	snprintf(own, sizeof(own), "/proc/self/fd/%d", message->write_fd);
	message->fd = open(own, O_RDONLY | O_CLOEXEC);
	if (message->fd >= 0)
		return 0;
	close_fd(&message->write_fd);
	return -1;
}

/* The name is gone before the first byte is there. */
static int open_named(struct local_message *message)
{
	char *path = mem_printf("%s/waypost.mail.XXXXXX", message->dir);
	int error = 0;

	message->write_fd = mkostemp(path, O_CLOEXEC);
	if (message->write_fd >= 0) {
		message->fd = open(path, O_RDONLY | O_CLOEXEC);
		error = errno;
		unlink(path);
	}
	mem_free(&path);
	if (message->write_fd >= 0 && message->fd < 0)
		errno = error;
	return message->fd < 0 ? -1 : 0;
}

static int open_file(struct local_message *message)
{
	return open_nameless(message) == 0 ? 0 : open_named(message);
}

static int open_memory(struct local_message *message)
{
	message->write_fd = memfd_create("waypost mail", MFD_CLOEXEC |
					 MFD_ALLOW_SEALING);
	message->in_memory = message->write_fd >= 0;
	return message->in_memory ? 0 : open_file(message);
}

/* It has become too large for memory. */
static int move_to_file(struct local_message *message)
{
	int memory = message->write_fd, status;
	off_t at = 0;
	ssize_t sent = 1;

	message->in_memory = false;
	message->write_fd = -1;
	status = open_file(message);
	while (status == 0 && (uint64_t)at < message->size && sent > 0) {
		sent = sendfile(message->write_fd, memory, &at,
				(size_t)(message->size - (uint64_t)at));
		if (sent == 0)
			errno = EIO;
		if (sent <= 0)
			status = -1;
	}
	close(memory);
	return status;
}

static int flush(struct local_message *message)
{
	const char *data = message->buffer;
	ssize_t done;

	if (message->write_fd < 0 && open_memory(message) < 0)
		return -1;
	if (message->in_memory &&
	    message->size + message->fill > message->memory &&
	    move_to_file(message) < 0)
		return -1;
	while (message->fill > 0) {
		done = write(message->write_fd, data, message->fill);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		data += done;
		message->fill -= (size_t)done;
		message->size += (uint64_t)done;
	}
	return 0;
}

static int put(struct local_message *message, const char *data, size_t len)
{
	while (len > 0) {
		size_t part = LOCAL_MESSAGE_BUFFER - message->fill;

		if (part > len)
			part = len;
		memcpy(message->buffer + message->fill, data, part);
		message->fill += part;
		data += part;
		len -= part;
		if (message->fill == LOCAL_MESSAGE_BUFFER &&
		    flush(message) < 0)
			return -1;
	}
	return 0;
}

/* --- lines --- */

/* Where CRLF ends, LF ends; a CR that ends the input waits for what follows. */
static int put_lines(struct local_message *message, const char *data,
		     size_t len)
{
	const char *end = data + len, *cr;

	while (data < end) {
		if (message->cr && *data != '\n' && put(message, "\r", 1) < 0)
			return -1;
		cr = memchr(data, '\r', (size_t)(end - data));
		message->cr = cr != NULL;
		if (cr == NULL)
			cr = end;
		if (put(message, data, (size_t)(cr - data)) < 0)
			return -1;
		data = cr + 1;
	}
	return 0;
}

static int put_pieces(struct local_message *message,
		      const struct smtp_stuffed *pieces)
{
	int i, status = 0;

	for (i = 0; i < pieces->count && status == 0; i++)
		status = put_lines(message, pieces->iov[i].iov_base,
				   pieces->iov[i].iov_len);
	return status;
}

/* --- reading the spool --- */

static void end(struct local_message *message, int error)
{
	message->error = error;
	message->complete = error == 0;
	spool_reader_remove(&message->reader);
	if (error != 0)
		local_message_stop(message);
	message->done(message);
}

static int finish(struct local_message *message)
{
	/* Also a message of no bytes has a file. */
	if (put(message, "\r", message->cr ? 1 : 0) < 0 || flush(message) < 0)
		return -1;
	if (!message->in_memory) {
		close_fd(&message->write_fd);
		return 0;
	}
	if (fcntl(message->write_fd, F_ADD_SEALS, SEALS) < 0)
		return -1;
	message->fd = message->write_fd;
	message->write_fd = -1;
	return 0;
}

/* 1: took some; 0: there is no more; -1: cannot keep it. */
static int take(struct local_message *message)
{
	struct iovec in[PIECES];
	struct smtp_stuffed pieces;
	int count = spool_peek(&message->reader, in, PIECES);
	size_t used;

	if (count == 0)
		return 0;
	smtp_stuff_map(&message->stuff, in, count, SIZE_MAX, &pieces);
	if (put_pieces(message, &pieces) < 0)
		return -1;
	used = smtp_stuff_advance(&message->stuff, in, count, &pieces,
				  pieces.len);
	spool_advance(&message->reader, used);
	return used > 0 ? 1 : 0;
}

static void ready(struct spool_reader *reader)
{
	struct local_message *message =
		container_of(reader, struct local_message, reader);
	const struct spool *spool = reader->spool;
	int got;

	while ((got = take(message)) > 0)
		;
	if (got < 0)
		end(message, errno);
	else if (reader->lost)
		end(message, reader->error);
	else if (spool_finished(spool) && reader->pos == spool_size(spool))
		end(message, finish(message) < 0 ? errno : 0);
}

void local_message_start(struct local_message *message, struct spool *spool,
			 enum smtp_form form, size_t memory, const char *dir,
			 void (*done)(struct local_message *message),
			 void *owner)
{
	memset(message, 0, sizeof(*message));
	message->done = done;
	message->owner = owner;
	message->memory = memory;
	message->dir = dir;
	message->fd = message->write_fd = -1;
	smtp_stuff_init(&message->stuff, form, SMTP_FORM_OCTETS);
	spool_reader_add(spool, &message->reader, ready);
}

void local_message_stop(struct local_message *message)
{
	if (message->done == NULL)
		return;
	spool_reader_remove(&message->reader);
	close_fd(&message->fd);
	close_fd(&message->write_fd);
}
