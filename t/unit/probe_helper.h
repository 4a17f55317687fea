/* A backend that answers probes as it is told, on the loop of the test.
 * Included by one .c file per program. */
#ifndef PROBE_HELPER_H
#define PROBE_HELPER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/director/probe.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/mem.h"
#include "lib/stream.h"
#include "lib/tls/tls.h"
#include "t/unit/loop_helper.h"

enum stage {
	STAGE_GREETING,
	STAGE_LHLO,
	STAGE_EHLO,
	STAGE_HELO,
	STAGE_STARTTLS,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_RSET,
	STAGE_QUIT,
	STAGES,
};

static const struct {
	const char *verb, *answer;
} stages[STAGES] = {
	[STAGE_GREETING] = { "(greeting)", "220 b.example LMTP\r\n" },
	[STAGE_LHLO] = { "LHLO", "250-b.example\r\n250 STARTTLS\r\n" },
	[STAGE_EHLO] = { "EHLO", "250-b.example\r\n250 STARTTLS\r\n" },
	[STAGE_HELO] = { "HELO", "250 b.example\r\n" },
	[STAGE_STARTTLS] = { "STARTTLS", "220 2.0.0 go on\r\n" },
	[STAGE_MAIL] = { "MAIL", "250 2.1.0 ok\r\n" },
	[STAGE_RCPT] = { "RCPT", "250 2.1.5 ok\r\n" },
	[STAGE_RSET] = { "RSET", "250 2.0.0 ok\r\n" },
	[STAGE_QUIT] = { "QUIT", "221 2.0.0 bye\r\n" },
};

struct backend {
	struct loop *loop;
	int fd; /* -1: closed, connections are refused */
	struct addr addr;
	struct loop_io io;
	const char *answers[STAGES]; /* "": says nothing; NULL: closes */
	bool drip;		     /* a byte at a time */
	bool tls;		     /* from the start */
	struct tls_context *context; /* for TLS; NULL: has none */
	struct list conns;
	unsigned connections, open, most; /* so far, now, at a time */
	struct str heard; /* all lines, with '\n' */
};

struct backend_conn {
	struct list node;
	struct backend *backend;
	struct stream *stream;
	struct str in, out; /* out: yet to drip */
	struct loop_timer drip;
	struct loop_task release;
};

static const struct log_ctx backend_log = { .text = "backend" };

static inline void backend_conn_release(struct loop_task *task)
{
	struct backend_conn *conn =
		container_of(task, struct backend_conn, release);

	str_free(&conn->in);
	str_free(&conn->out);
	mem_free(&conn);
}

static inline void backend_conn_close(struct backend_conn *conn)
{
	if (conn->stream == NULL)
		return;
	stream_close(&conn->stream);
	loop_timer_close(&conn->drip);
	list_remove(&conn->node);
	conn->backend->open--;
	conn->release.fn = backend_conn_release;
	loop_defer(conn->backend->loop, &conn->release);
}

static inline void backend_drip(struct loop_timer *timer)
{
	struct backend_conn *conn =
		container_of(timer, struct backend_conn, drip);

	if (conn->out.len == 0)
		return;
	stream_write(conn->stream, conn->out.data, 1);
	str_consume(&conn->out, 1);
	loop_timer_set(&conn->drip, 1);
}

static inline void backend_answer(struct backend_conn *conn, enum stage stage)
{
	const char *answer = conn->backend->answers[stage];

	if (answer == NULL) {
		backend_conn_close(conn);
		return;
	}
	if (conn->backend->drip) {
		str_puts(&conn->out, answer);
		loop_timer_set(&conn->drip, 1);
		return;
	}
	stream_puts(conn->stream, answer);
	if (stage == STAGE_QUIT && *answer != '\0')
		backend_conn_close(conn);
	else if (stage == STAGE_STARTTLS && *answer == '2' &&
		 conn->backend->context != NULL)
		stream_start_tls(conn->stream,
				 tls_accept(conn->backend->context, NULL, NULL,
					    &backend_log));
}

static inline void backend_line(struct backend_conn *conn, const char *line)
{
	unsigned stage = STAGE_LHLO;

	str_printf(&conn->backend->heard, "%s\n", line);
	while (stage < STAGES && strncmp(line, stages[stage].verb,
					 strlen(stages[stage].verb)) != 0)
		stage++;
	cr_assert_lt(stage, STAGES, "unknown command %s", line);
	backend_answer(conn, (enum stage)stage);
}

static inline void backend_lines(struct backend_conn *conn)
{
	char *end;

	while (conn->stream != NULL && conn->in.len > 0 &&
	       (end = strstr(conn->in.data, "\r\n")) != NULL) {
		char *line = mem_strndup(conn->in.data,
					 (size_t)(end - conn->in.data));

		str_consume(&conn->in, strlen(line) + 2);
		backend_line(conn, line);
		mem_free(&line);
	}
}

static inline void backend_readable(struct stream *stream, void *owner)
{
	struct backend_conn *conn = owner;
	char buf[1024];
	size_t len;
	int ret = stream_read(stream, buf, sizeof(buf), &len);

	if (ret > 0) {
		str_append(&conn->in, buf, len);
		backend_lines(conn);
	} else if (ret < 0) {
		backend_conn_close(conn);
	}
}

static inline void backend_writable(struct stream *stream, void *owner)
{
	(void)stream;
	(void)owner;
}

static inline void backend_broken(struct stream *stream, void *owner)
{
	(void)stream;
	backend_conn_close(owner);
}

static inline void backend_secured(struct stream *stream, void *owner)
{
	struct backend_conn *conn = owner;

	(void)stream;
	str_puts(&conn->backend->heard, "(TLS)\n");
	if (conn->backend->tls)
		backend_answer(conn, STAGE_GREETING);
}

static const struct stream_handler backend_handler = {
	.readable = backend_readable,
	.writable = backend_writable,
	.broken = backend_broken,
	.secured = backend_secured,
};

static inline void backend_accept(struct loop_io *io, unsigned events)
{
	struct backend *backend = container_of(io, struct backend, io);
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct backend_conn *conn;

	(void)events;
	if (fd < 0)
		return;
	conn = mem_new(struct backend_conn);
	conn->backend = backend;
	conn->stream = stream_new(backend->loop, fd, &backend_handler, conn);
	loop_timer_open(&conn->drip, backend->loop, backend_drip);
	list_append(&backend->conns, &conn->node);
	backend->connections++;
	if (++backend->open > backend->most)
		backend->most = backend->open;
	if (backend->tls)
		stream_start_tls(conn->stream,
				 tls_accept(backend->context, NULL, NULL,
					    &backend_log));
	else
		backend_answer(conn, STAGE_GREETING);
}

static inline void backend_listen(struct backend *backend)
{
	int on = 1;

	backend->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(backend->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(bind(backend->fd, &backend->addr.sa, backend->addr.len),
		     0, "%s", strerror(errno));
	cr_assert_eq(listen(backend->fd, 100), 0);
	getsockname(backend->fd, &backend->addr.sa, &backend->addr.len);
	loop_io_open(&backend->io, backend->loop, backend->fd, backend_accept);
	loop_io_want(&backend->io, LOOP_READ);
}

/* One that answers everything well. */
static inline void backend_open(struct backend *backend, struct loop *loop)
{
	unsigned i;

	memset(backend, 0, sizeof(*backend));
	backend->loop = loop;
	list_init(&backend->conns);
	for (i = 0; i < STAGES; i++)
		backend->answers[i] = stages[i].answer;
	cr_assert_eq(addr_parse_ip(&backend->addr, "127.0.0.1", 0), 0);
	backend_listen(backend);
}

/* Connections are refused from now on. The port stays taken, so that nobody
 * else gets it. */
static inline void backend_refuse(struct backend *backend)
{
	int on = 1;

	loop_io_close(&backend->io);
	close(backend->fd);
	backend->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(backend->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(bind(backend->fd, &backend->addr.sa, backend->addr.len),
		     0, "%s", strerror(errno));
}

/* And taken again. */
static inline void backend_return(struct backend *backend)
{
	close(backend->fd);
	backend_listen(backend);
}

static inline void backend_close(struct backend *backend)
{
	struct list *node, *tmp;

	list_each(&backend->conns, node, tmp)
		backend_conn_close(container_of(node, struct backend_conn,
						node));
	loop_io_close(&backend->io);
	close(backend->fd);
	str_free(&backend->heard);
}

static inline struct remote_target backend_target(const struct backend *backend)
{
	return (struct remote_target){
		.protocol = REMOTE_LMTP,
		.host = "127.0.0.1",
		.addr = backend->addr,
		.port = addr_port(&backend->addr),
	};
}

/* The suite's timeout ends it when that never happens. */
#define UNTIL(loop, condition) \
	do { \
		while (!(condition)) \
			pass(loop); \
	} while (0)

#endif
