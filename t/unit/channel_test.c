#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/channel.h"

static int ends[2];
static struct channel_packet packet;
static struct err err;

static void setup(void)
{
	cr_assert_eq(channel_pair(ends, &err), 0);
}

static void teardown(void)
{
	close(ends[0]);
	close(ends[1]);
}

TestSuite(channel, .init = setup, .fini = teardown, .timeout = 20);

static int send_text(const char *text)
{
	return channel_send(ends[0], text, strlen(text), NULL, 0, &err);
}

Test(channel, keeps_packets_apart)
{
	cr_assert_eq(channel_recv(ends[1], &packet, &err), 0);
	cr_assert_eq(send_text("one"), 0);
	cr_assert_eq(send_text("two!"), 0);
	cr_assert_eq(channel_recv(ends[1], &packet, &err), 1);
	cr_assert_eq(packet.len, 3);
	cr_assert_eq(memcmp(packet.data, "one", 3), 0);
	cr_assert_eq(channel_recv(ends[1], &packet, &err), 1);
	cr_assert_eq(packet.len, 4);
	cr_assert_eq(packet.fd_count, 0);
	cr_assert_eq(channel_recv(ends[1], &packet, &err), 0);
}

Test(channel, the_ends_do_not_survive_an_exec)
{
	cr_assert_eq(fcntl(ends[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_assert_eq(fcntl(ends[1], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

Test(channel, carries_descriptors)
{
	int fds[2], i;
	char c;

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(channel_send(ends[0], "x", 1, fds, 2, &err), 0);
	cr_assert_eq(channel_recv(ends[1], &packet, &err), 1);
	cr_assert_eq(packet.fd_count, 2);
	for (i = 0; i < 2; i++)
		cr_assert_eq(fcntl(packet.fds[i], F_GETFD) & FD_CLOEXEC,
			     FD_CLOEXEC);
	cr_assert_eq(write(packet.fds[1], "y", 1), 1);
	cr_assert_eq(read(fds[0], &c, 1), 1);
	cr_assert_eq(c, 'y');
	close(fds[0]);
	close(fds[1]);
	i = packet.fds[0];
	packet.fds[1] = (close(packet.fds[1]), -1);
	channel_packet_close(&packet);
	cr_assert_eq(packet.fd_count, 0);
	cr_assert_eq(fcntl(i, F_GETFD), -1, "descriptor left open");
}

Test(channel, carries_as_much_as_it_promises)
{
	char data[CHANNEL_MAX_DATA];
	int fds[CHANNEL_MAX_FDS], i;

	memset(data, 'x', sizeof(data));
	for (i = 0; i < CHANNEL_MAX_FDS; i++)
		fds[i] = ends[0];
	cr_assert_eq(channel_send(ends[0], data, sizeof(data), fds,
				  CHANNEL_MAX_FDS, &err), 0, "%s", err.text);
	cr_assert_eq(channel_recv(ends[1], &packet, &err), 1);
	cr_assert_eq(packet.len, sizeof(data));
	cr_assert_eq(packet.fd_count, CHANNEL_MAX_FDS);
	channel_packet_close(&packet);
}

/* More than the interface lets us send, from a peer that is not ours. */
Test(channel, refuses_what_is_too_large_without_leaking)
{
	char data[CHANNEL_MAX_DATA + 1] = { 0 };
	int spare;

	cr_assert_eq(send(ends[0], data, sizeof(data), 0), sizeof(data));
	cr_assert_eq(channel_recv(ends[1], &packet, &err), -1);
	cr_assert_str_eq(err.text, "packet too large");
	spare = dup(ends[0]);
	close(spare);
	cr_assert_eq(channel_send(ends[0], "x", 1, ends, 1, &err), 0);
	cr_assert_eq(channel_recv(ends[1], &packet, &err), 1);
	cr_assert_eq(packet.fds[0], spare, "a descriptor leaked");
	channel_packet_close(&packet);
}

Test(channel, tells_that_the_other_side_is_gone)
{
	cr_assert_eq(send_text("last"), 0);
	close(ends[0]);
	cr_assert_eq(channel_recv(ends[1], &packet, &err), 1);
	cr_assert_eq(channel_recv(ends[1], &packet, &err), -1);
	cr_assert_str_eq(err.text, "closed by the other side");
	cr_assert_eq(channel_send(ends[1], "x", 1, NULL, 0, &err), -1);
	ends[0] = ends[1];
}

Test(channel, does_not_wait_for_a_reader)
{
	int sent = 0;

	while (send_text("x") == 0)
		cr_assert_lt(++sent, 100000, "never full");
	cr_assert_gt(sent, 8);
}

static int take(int channel, struct channel_packet *taken, struct err *why)
{
	channel_await(channel);
	return channel_take(channel, taken, why);
}

Test(channel, who_waits_takes_nothing)
{
	cr_assert_eq(channel_block(ends[1], &err), 0);
	cr_assert_eq(send_text("one"), 0);
	channel_await(ends[1]);
	channel_await(ends[1]);
	cr_assert_eq(channel_take(ends[1], &packet, &err), 1);
	cr_assert_eq(channel_take(ends[1], &packet, &err), -1);
	cr_assert_eq(errno, EAGAIN);
}

Test(channel, a_packet_of_no_bytes_is_not_the_end)
{
	cr_assert_eq(channel_block(ends[1], &err), 0);
	cr_assert_eq(send(ends[0], "", 0, 0), 0);
	cr_assert_eq(take(ends[1], &packet, &err), -1);
	cr_assert_str_eq(err.text, "empty packet");
	cr_assert_eq(send_text("one"), 0);
	cr_assert_eq(take(ends[1], &packet, &err), 1);
	close(ends[0]);
	cr_assert_eq(take(ends[1], &packet, &err), 0);
}
