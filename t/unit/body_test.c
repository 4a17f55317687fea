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
