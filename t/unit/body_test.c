/* A body on its way to one peer, as far as sessions do not show it. */
#include "backends/remote/body.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/mem.h"

TestSuite(body, .timeout = 60);

#define PAGE 65536 /* of the spool's file */

static void nothing(struct stream *stream, void *owner)
{
	(void)stream;
	(void)owner;
}

static void not_ready(struct spool_reader *reader)
{
	(void)reader;
}

static void not_writable(void *owner)
{
	(void)owner;
}

static const struct stream_handler handler = {
	.readable = nothing,
	.writable = nothing,
	.broken = nothing,
};

static size_t drain(int fd, char *last, size_t size)
{
	size_t total = 0;
	ssize_t got;

	while ((got = recv(fd, last, size - 1, MSG_DONTWAIT)) > 0) {
		last[got] = '\0';
		total += (size_t)got;
	}
	return total;
}

/* What is left of the file is nothing but a dot that is taken out. */
Test(body, dot_alone_at_the_end_of_the_file)
{
	struct loop *loop = loop_new();
	const struct spool_settings settings = { .window = 4096,
						 .dir = "/tmp" };
	struct spool *spool = spool_new(loop, &settings, not_writable, NULL);
	struct remote_body body;
	struct spool_reader other;
	struct stream *stream;
	char *text = mem_alloc(PAGE + 1), last[PAGE + 100];
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
		     0);
	stream = stream_new(loop, fds[0], &handler, NULL);
	remote_body_start(&body, spool, SMTP_FORM_DOTS, true, not_ready);
	spool_reader_add(spool, &other, not_ready);
	memset(text, 'x', PAGE + 1);
	memcpy(text + PAGE - 2, "\r\n.", 3);
	spool_append(spool, text, PAGE + 1);
	spool_advance(&other, PAGE + 1);
	spool_append(spool, "..\r\n", 4);
	spool_finish(spool);
	cr_assert_eq(remote_body_send(&body, stream), REMOTE_BODY_WAITS);
	cr_assert_eq(drain(fds[1], last, sizeof(last)),
		     strlen("BDAT 65536\r\n") + PAGE);
	body.chunk_owed = false;
	cr_assert_eq(remote_body_send(&body, stream), REMOTE_BODY_SENT);
	drain(fds[1], last, sizeof(last));
	cr_assert_str_eq(last, "BDAT 4 LAST\r\n..\r\n");
	remote_body_stop(&body);
	spool_reader_remove(&other);
	spool_free(&spool);
	stream_close(&stream);
	close(fds[1]);
	mem_free(&text);
	loop_free(&loop);
}

/* A pair of sockets between which there is room for little. */
static void open_narrow(int fds[2])
{
	const int least = 1;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
		     0);
	cr_assert_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &least,
				sizeof(least)), 0);
}

/* How much of a large message leaves at a time. */
static size_t narrow_room(const char *text, size_t len)
{
	int fds[2];
	ssize_t sent;

	open_narrow(fds);
	sent = send(fds[0], text, len, MSG_DONTWAIT);
	cr_assert(sent > 2 && (size_t)sent < len);
	close(fds[0]);
	close(fds[1]);
	return (size_t)sent;
}

/* Sends text, which ends with CRLF, and compares what arrives. */
static void assert_arrives(const char *text, size_t len)
{
	struct loop *loop = loop_new();
	const struct spool_settings settings = { .window = PAGE, .dir = "/tmp" };
	struct spool *spool = spool_new(loop, &settings, not_writable, NULL);
	struct stream *stream;
	struct remote_body body;
	struct str all = STR_INIT;
	char got[PAGE];
	int fds[2], calls = 0;
	bool sent = false;

	open_narrow(fds);
	stream = stream_new(loop, fds[0], &handler, NULL);
	remote_body_start(&body, spool, SMTP_FORM_DOTS, false, not_ready);
	spool_append(spool, text, len);
	spool_finish(spool);
	while (!sent && calls++ < 100) {
		sent = remote_body_send(&body, stream) == REMOTE_BODY_SENT;
		str_append(&all, got, drain(fds[1], got, sizeof(got)));
	}
	cr_assert(sent);
	cr_assert_gt(calls, 1);
	cr_assert_eq(all.len, len + 3, "%zu of %zu bytes", all.len, len + 3);
	cr_assert_eq(memcmp(all.data, text, len), 0);
	cr_assert_eq(memcmp(all.data + len, ".\r\n", 3), 0);
	str_free(&all);
	remote_body_stop(&body);
	spool_free(&spool);
	stream_close(&stream);
	close(fds[1]);
	loop_free(&loop);
}

Test(body, end_in_pieces)
{
	char *text = mem_alloc(PAGE);
	size_t room, left;

	memset(text, 'x', PAGE);
	room = narrow_room(text, PAGE);
	cr_assert_leq(room, PAGE / 2);
	for (left = 1; left <= 3; left++) {
		size_t len = room + left - 3;

		memcpy(text + len - 2, "\r\n", 2);
		assert_arrives(text, len);
		memset(text, 'x', PAGE);
	}
	mem_free(&text);
}
