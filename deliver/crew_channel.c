#include "deliver/crew_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/channel.h"
#include "lib/log/log.h"

/* --- the supervisor's side --- */

static int write_sealed(int fd, const struct str *bytes, struct err *err)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW |
			  F_SEAL_WRITE;

	if (fd >= 0 &&
	    write(fd, bytes->data, bytes->len) == (ssize_t)bytes->len &&
	    fcntl(fd, F_ADD_SEALS, seals) == 0)
		return 0;
	return err_set(err, "memfd: %s", strerror(errno));
}

static int send_file(int channel, int fd, const int files[LOG_FILES],
		     struct err *err)
{
	int fds[1 + LOG_FILES] = { fd }, i;
	unsigned char mask = 0;
	unsigned count = 1;

	for (i = 0; i < LOG_FILES; i++) {
		if (files[i] < 0)
			continue;
		mask |= (unsigned char)(1 << i);
		fds[count++] = files[i];
	}
	return channel_send(channel, &mask, sizeof(mask), fds, count, err);
}

int crew_channel_order(int channel, const struct crew_order *order,
		       const int files[LOG_FILES], struct err *err)
{
	struct str bytes = STR_INIT;
	int fd, status = crew_order_encode(&bytes, order, err);

	if (status == 0) {
		fd = memfd_create("waypost order",
				  MFD_CLOEXEC | MFD_ALLOW_SEALING);
		status = write_sealed(fd, &bytes, err);
		if (status == 0)
			status = send_file(channel, fd, files, err);
		if (fd >= 0)
			close(fd);
	}
	str_free(&bytes);
	return status;
}

int crew_channel_hear(int channel, enum crew_word *word_r)
{
	struct channel_packet packet;
	struct err err;
	int got = channel_recv(channel, &packet, &err);

	if (got <= 0)
		return got;
	*word_r = (enum crew_word)packet.data[0];
	channel_packet_close(&packet);
	return 1;
}

/* --- the crew's side --- */

static int read_file(int fd, struct crew_order *order, struct arena *arena,
		     struct err *err)
{
	struct stat st;
	size_t size;
	char *data;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size > CREW_ORDER_MAX)
		return err_set(err, "the order is no such file");
	size = (size_t)st.st_size;
	data = arena_alloc(arena, size);
	if (pread(fd, data, size, 0) != (ssize_t)size)
		return err_set(err, "the order was cut short");
	return crew_order_decode(order, arena, data, size, err);
}

/* By its mask. -1: they are not as many. */
static int take_files(struct channel_packet *packet, int files_r[LOG_FILES],
		      struct err *err)
{
	unsigned i, next = 1, mask = packet->data[0];

	if (packet->len != 1 || mask >= 1u << LOG_FILES ||
	    packet->fd_count != 1 + (unsigned)__builtin_popcount(mask))
		return err_set(err, "malformed packet");
	for (i = 0; i < LOG_FILES; i++) {
		files_r[i] = -1;
		if ((mask & 1u << i) == 0)
			continue;
		files_r[i] = packet->fds[next];
		packet->fds[next++] = -1;
	}
	return 0;
}

int crew_channel_receive(int channel, struct crew_order *order,
			 struct arena *arena, int files_r[LOG_FILES],
			 struct err *err)
{
	struct channel_packet packet;
	int got = channel_recv(channel, &packet, err);

	if (got <= 0)
		return got;
	if (packet.fd_count == 0)
		got = err_set(err, "packet without an order");
	else if (read_file(packet.fds[0], order, arena, err) < 0 ||
		 take_files(&packet, files_r, err) < 0)
		got = -1;
	channel_packet_close(&packet);
	return got;
}

void crew_channel_say(int channel, enum crew_word word)
{
	const char byte = (char)word;
	struct err err;

	/* Who is gone need not know. */
	if (channel_send(channel, &byte, 1, NULL, 0, &err) < 0 && errno != EPIPE)
		log_error(NULL, "deliveries: supervisor: %s", err.text);
}
