#include "lib/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/panic.h"

/* Room for the descriptors of one packet, aligned for its header. */
union channel_control {
	struct cmsghdr header;
	char room[CMSG_SPACE(CHANNEL_MAX_FDS * sizeof(int))];
};

int channel_pair(int fds_r[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0, fds_r) < 0)
		return err_set(err, "socketpair: %s", strerror(errno));
	return 0;
}

static void channel_put_fds(struct msghdr *msg, union channel_control *control,
			    const int *fds, unsigned fd_count)
{
	struct cmsghdr *header;

	memset(control, 0, sizeof(*control));
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	header = CMSG_FIRSTHDR(msg);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
}

/* -1: errno says why. */
static int channel_put(int channel, const void *data, size_t len,
		       const int *fds, unsigned fd_count)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union channel_control control;
	ssize_t sent;

	ASSERT(len > 0 && len <= CHANNEL_MAX_DATA);
	ASSERT(fd_count <= CHANNEL_MAX_FDS);
	if (fd_count > 0)
		channel_put_fds(&msg, &control, fds, fd_count);
	do {
		sent = sendmsg(channel, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

int channel_send(int channel, const void *data, size_t len, const int *fds,
		 unsigned fd_count, struct err *err)
{
	if (channel_put(channel, data, len, fds, fd_count) < 0)
		return err_set(err, "sendmsg: %s", strerror(errno));
	return 0;
}

/* Descriptors under way are counted, too: ETOOMANYREFS. */
int channel_offer(int channel, const void *data, size_t len, const int *fds,
		  unsigned fd_count, struct err *err)
{
	if (channel_put(channel, data, len, fds, fd_count) == 0)
		return 1;
	if (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS ||
	    errno == ENOMEM)
		return 0;
	return err_set(err, "sendmsg: %s", strerror(errno));
}

static void channel_take_fds(struct msghdr *msg, struct channel_packet *packet)
{
	struct cmsghdr *header;
	size_t len;

	for (header = CMSG_FIRSTHDR(msg); header != NULL;
	     header = CMSG_NXTHDR(msg, header)) {
		if (header->cmsg_level != SOL_SOCKET ||
		    header->cmsg_type != SCM_RIGHTS)
			continue;
		len = header->cmsg_len - CMSG_LEN(0);
		memcpy(packet->fds + packet->fd_count, CMSG_DATA(header), len);
		packet->fd_count += (unsigned)(len / sizeof(int));
	}
}

/* As recvmsg(), but that a packet that is too large is EBADMSG. */
static ssize_t channel_get(int channel, struct channel_packet *packet,
			    int flags)
{
	struct iovec iov = { packet->data, sizeof(packet->data) };
	union channel_control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got;

	packet->len = packet->fd_count = 0;
	do {
		got = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC | flags);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return got;
	channel_take_fds(&msg, packet);
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		errno = EBADMSG;
		got = -1;
	}
	if (got <= 0)
		channel_packet_close(packet);
	else
		packet->len = (size_t)got;
	return got;
}

static int channel_get_failed(struct err *err)
{
	int error = errno;

	if (error == EBADMSG)
		err_put(err, "packet too large");
	else
		err_put(err, "recvmsg: %s", strerror(error));
	errno = error;
	return -1;
}

int channel_recv(int channel, struct channel_packet *packet, struct err *err)
{
	ssize_t got = channel_get(channel, packet, MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got == 0)
		return err_set(err, "closed by the other side");
	return got < 0 ? channel_get_failed(err) : 1;
}

/* What an empty packet reads as, too. */
static bool channel_is_closed(int channel)
{
	struct pollfd poll_fd = { .fd = channel, .events = POLLRDHUP };

	return poll(&poll_fd, 1, 0) != 0;
}

void channel_await(int channel)
{
	char byte;

	/* What fails here fails again when something is to be taken. */
	(void)recv(channel, &byte, sizeof(byte), MSG_PEEK);
}

int channel_take(int channel, struct channel_packet *packet, struct err *err)
{
	ssize_t got = channel_get(channel, packet, MSG_DONTWAIT);

	if (got < 0)
		return channel_get_failed(err);
	if (got > 0 || channel_is_closed(channel))
		return got > 0 ? 1 : 0;
	err_put(err, "empty packet");
	errno = EBADMSG;
	return -1;
}

int channel_block(int channel, struct err *err)
{
	int flags = fcntl(channel, F_GETFL);

	if (flags < 0 || fcntl(channel, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return err_set(err, "fcntl: %s", strerror(errno));
	return 0;
}

static bool channel_has(int fd, int option, int wanted)
{
	int value;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 &&
	       value == wanted;
}

bool channel_is(int fd)
{
	return channel_has(fd, SO_DOMAIN, AF_UNIX) &&
	       channel_has(fd, SO_TYPE, SOCK_SEQPACKET);
}

void channel_packet_close(struct channel_packet *packet)
{
	unsigned i;

	for (i = 0; i < packet->fd_count; i++) {
		if (packet->fds[i] >= 0)
			close(packet->fds[i]);
	}
	packet->fd_count = 0;
}
