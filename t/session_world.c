#include "t/session_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/smtp/data.h"
#include "lib/stream.h"
#include "proxy/listener.h"
#include "proxy/session/session.h"
#include "proxy/worker/worker.h"

/* One connection of the backend. */
struct conn {
	struct list node;
	struct world *world;
	struct stream *stream;
	struct str in;
	struct str held; /* answers behind one that is still to come */
	bool holding;
	bool mail, body;
	unsigned accepted;
	struct str message, told;
	size_t chunk_left;
	bool chunk, chunk_last; /* a chunk is coming in */
};

/* Passes without traffic until world_settle() believes it. */
#define QUIET_PASSES 5

static const struct stream_handler conn_handler;

/* --- backend --- */

const char *world_good_answer(struct world *world, enum world_stage stage)
{
	static const char lhlo_chunking[] =
		"250-backend\r\n250-PIPELINING\r\n250-BINARYMIME\r\n"
		"250-CHUNKING\r\n250 8BITMIME\r\n";
	static const char *const good[] = {
		[WORLD_GREETING] = "220 backend ready\r\n",
		[WORLD_LHLO] = ("250-backend\r\n250-PIPELINING\r\n"
				"250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"),
		[WORLD_MAIL] = "250 2.1.0 sender ok\r\n",
		[WORLD_RCPT] = "250 2.1.5 recipient ok\r\n",
		[WORLD_DATA] = "354 go on\r\n",
		[WORLD_CHUNK] = "250 2.0.0 more\r\n",
		[WORLD_DOT] = "250 2.0.0 delivered\r\n",
		[WORLD_RSET] = "250 2.0.0 reset\r\n",
		[WORLD_QUIT] = "221 2.0.0 bye\r\n",
		[WORLD_XCLIENT] = "220 backend ready again\r\n",
	};

	if (stage == WORLD_LHLO && world->lhlo != NULL)
		return world->lhlo;
	if (stage == WORLD_LHLO && world->chunking)
		return lhlo_chunking;
	return good[stage];
}

static void conn_close(struct conn *conn)
{
	list_remove(&conn->node);
	stream_close(&conn->stream);
	str_free(&conn->in);
	str_free(&conn->held);
	str_free(&conn->message);
	str_free(&conn->told);
	mem_free(&conn);
}

static void conn_say(struct conn *conn, const char *text)
{
	if (conn->holding)
		str_puts(&conn->held, text);
	else
		stream_puts(conn->stream, text);
	if (text[0] == '\0')
		conn->holding = true;
}

/* A good answer only where it makes sense. */
static const char *conn_sensible(const struct conn *conn,
				 enum world_stage stage, const char *text)
{
	if (text != world_good_answer(conn->world, stage))
		return text;
	if (stage == WORLD_MAIL && conn->mail)
		return "503 5.5.1 MAIL already given\r\n";
	if (stage == WORLD_RCPT && !conn->mail)
		return "503 5.5.1 MAIL first\r\n";
	if (stage == WORLD_DATA && conn->accepted == 0)
		return "503 5.5.1 nobody was accepted\r\n";
	return text;
}

/* Returns the first digit of the answer's code; 0 when there is none, -1 when
 * the connection was closed. */
static int conn_answer(struct conn *conn, enum world_stage stage)
{
	const char *text = conn->world->answer(conn->world, stage);

	if (text == NULL) {
		conn_close(conn);
		return -1;
	}
	text = conn_sensible(conn, stage, text);
	conn_say(conn, text);
	return text[0] != '\0' ? text[0] - '0' : 0;
}

static enum world_stage conn_stage(const char *line)
{
	static const char *const verbs[] = {
		[WORLD_LHLO] = "LHLO", [WORLD_MAIL] = "MAIL",
		[WORLD_RCPT] = "RCPT", [WORLD_DATA] = "DATA",
		[WORLD_RSET] = "RSET", [WORLD_QUIT] = "QUIT",
		[WORLD_XCLIENT] = "XCLIENT",
	};
	unsigned i;

	for (i = 0; i < WORLD_STAGES; i++)
		if (i < sizeof(verbs) / sizeof(verbs[0]) &&
		    verbs[i] != NULL && strncmp(line, verbs[i], 4) == 0)
			return (enum world_stage)i;
	PANIC("the backend was sent \"%s\"", line);
}

/* Returns false when the connection is gone. */
static bool conn_command(struct conn *conn, const char *line)
{
	enum world_stage stage = conn_stage(line);
	int digit = conn_answer(conn, stage);

	if (digit < 0)
		return false;
	if (stage == WORLD_MAIL || stage == WORLD_RSET) {
		conn->accepted = 0;
		conn->mail = stage == WORLD_MAIL && (digit == 2 || digit == 0);
	} else if (stage == WORLD_RCPT && (digit == 2 || digit == 0)) {
		conn->accepted++;
	} else if (stage == WORLD_DATA) {
		conn->body = digit == 3;
	} else if (stage == WORLD_XCLIENT && digit == 2) {
		str_clear(&conn->told);
		str_puts(&conn->told, line);
	}
	return true;
}

static bool conn_dot(struct conn *conn)
{
	unsigned i, accepted = conn->accepted;
	int digit;

	conn->body = conn->mail = false;
	conn->accepted = 0;
	str_clear(&conn->world->message);
	str_append(&conn->world->message, conn->message.data,
		   conn->message.len);
	str_clear(&conn->message);
	str_clear(&conn->world->told);
	str_puts(&conn->world->told, str_c(&conn->told));
	for (i = 0; i < accepted; i++) {
		digit = conn_answer(conn, WORLD_DOT);
		if (digit < 0)
			return false;
		if (digit == 2)
			conn->world->delivered++;
	}
	return true;
}

static void conn_start_chunk(struct conn *conn, const char *args)
{
	char *end;

	conn->chunk_left = strtoul(args, &end, 10);
	conn->chunk_last = strcmp(end, " LAST") == 0;
	conn->chunk = true;
	conn->world->chunks++;
}

/* Returns false when the connection is gone. */
static bool conn_take_chunk(struct conn *conn)
{
	size_t len = conn->in.len < conn->chunk_left ? conn->in.len
						     : conn->chunk_left;

	str_append(&conn->message, conn->in.data, len);
	str_consume(&conn->in, len);
	conn->chunk_left -= len;
	if (conn->chunk_left > 0)
		return true;
	conn->chunk = false;
	return conn->chunk_last ? conn_dot(conn)
				: conn_answer(conn, WORLD_CHUNK) >= 0;
}

/* Takes a line of len bytes, without CRLF. */
static bool conn_line(struct conn *conn, const char *line, size_t len)
{
	if (!conn->body && strncmp(line, "BDAT ", 5) == 0) {
		conn_start_chunk(conn, line + 5);
		return true;
	}
	if (!conn->body)
		return conn_command(conn, line);
	if (strcmp(line, ".") == 0 && len == 1)
		return conn_dot(conn);
	str_append(&conn->message, line + (line[0] == '.'),
		   len - (line[0] == '.'));
	str_puts(&conn->message, "\r\n");
	return true;
}

static void conn_take_lines(struct conn *conn)
{
	char *end, *line;
	size_t len;
	bool there = true;

	while (there) {
		if (conn->chunk)
			there = conn_take_chunk(conn);
		if (!there || conn->chunk)
			return;
		end = memchr(str_c(&conn->in), '\n', conn->in.len);
		if (end == NULL)
			return;
		len = (size_t)(end - conn->in.data);
		ASSERT(len > 0 && end[-1] == '\r');
		line = mem_strndup(conn->in.data, len - 1);
		str_consume(&conn->in, len + 1);
		there = conn_line(conn, line, len - 1);
		mem_free(&line);
	}
}

static void conn_readable(struct stream *stream, void *owner)
{
	struct conn *conn = owner;
	char buf[65536];
	size_t len;
	int ret = stream_read(stream, buf, sizeof(buf), &len);

	if (ret < 0)
		conn_close(conn);
	if (ret <= 0)
		return;
	str_append(&conn->world->received, buf, len);
	str_append(&conn->in, buf, len);
	conn_take_lines(conn);
}

static void nothing(struct stream *stream, void *owner)
{
	(void)stream;
	(void)owner;
}

static const struct stream_handler conn_handler = {
	.readable = conn_readable,
	.writable = nothing,
	.broken = nothing,
};

void world_backend_says(struct world *world, struct list *node,
			const char *text)
{
	struct conn *conn = container_of(node, struct conn, node);

	ASSERT(node != &world->conns);
	conn->holding = false;
	conn_say(conn, text);
	conn_say(conn, str_c(&conn->held));
	conn->holding = false;
	str_clear(&conn->held);
}

void world_backend_takes_body(struct world *world, struct list *node)
{
	world_backend_says(world, node, world_good_answer(world, WORLD_DATA));
	container_of(node, struct conn, node)->body = true;
}

void world_backend_leaves(struct list *node)
{
	conn_close(container_of(node, struct conn, node));
}

/* The other end is in this process, too. */
static int conn_other_fd(const struct conn *conn)
{
	struct sockaddr_in own, peer;
	socklen_t len = sizeof(own);
	int fd;

	if (getsockname(stream_fd(conn->stream), (struct sockaddr *)&own,
			&len) < 0)
		PANIC("getsockname failed");
	for (fd = 3; fd < 256; fd++) {
		len = sizeof(peer);
		if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
		    peer.sin_family == AF_INET &&
		    peer.sin_port == own.sin_port)
			return fd;
	}
	PANIC("no other end");
}

void world_backend_stops_reading(struct list *node)
{
	struct conn *conn = container_of(node, struct conn, node);
	const int least = 1;

	stream_want_read(conn->stream, false);
	setsockopt(conn_other_fd(conn), SOL_SOCKET, SO_SNDBUF, &least,
		   sizeof(least));
}

static void world_accept(struct loop_io *io, unsigned events)
{
	struct world *world = container_of(io, struct world, listen_io);
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	const int on = 1;
	struct conn *conn;

	(void)events;
	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn = mem_new(struct conn);
	conn->world = world;
	conn->stream = stream_new(world->loop, fd, &conn_handler, conn);
	list_append(&world->conns, &conn->node);
	world->connections++;
	conn_answer(conn, WORLD_GREETING);
}

static uint16_t world_listen(struct world *world)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	world->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(world->listen_fd, (struct sockaddr *)&in, len) < 0 ||
	    listen(world->listen_fd, 64) < 0 ||
	    getsockname(world->listen_fd, (struct sockaddr *)&in, &len) < 0)
		PANIC("cannot listen");
	return ntohs(in.sin_port);
}

/* --- settings --- */

static struct passdb_block world_block(const char *driver, const char *args,
				       const char *username_filter)
{
	return (struct passdb_block){
		.driver = driver,
		.args = args,
		.name = "",
		.default_fields = "",
		.override_fields = "",
		.mechanisms = "",
		.username_filter = username_filter,
		.result_success = PASSDB_RETURN_OK,
		.result_failure = PASSDB_CONTINUE,
		.result_internalfail = PASSDB_CONTINUE,
		.file = "world",
	};
}

/* users_fd: a file without the users whom nobody knows. */
static void world_set_passdb(struct settings *settings, uint16_t port,
			     int users_fd)
{
	struct passdb_block *blocks =
		arena_alloc(settings->arena, 2 * sizeof(*blocks));

	blocks[0] = world_block(
		"static",
		arena_printf(settings->arena,
			     "nopassword=y proxy=y host=127.0.0.1 port=%u",
			     port),
		"!nobody*");
	blocks[1] = world_block("passwd-file",
				arena_printf(settings->arena,
					     "/proc/self/fd/%d", users_fd),
				"");
	settings->passdb.blocks = blocks;
	settings->passdb.count = 2;
	settings->passdb.username_chars = "";
	settings->passdb.username_translation = "";
	settings->passdb.username_format = "%Lu";
	settings->passdb.default_realm = "";
	settings->passdb.proxy_self = "";
	settings->passdb.hostname = "proxy.test";
	settings->passdb.lookup_timeout_ms = 5000;
}

/* The one of them who is at the backend all the same. */
static void world_put_user(int users_fd, uint16_t port)
{
	dprintf(users_fd, "nobody.else@x:::::::proxy=y host=127.0.0.1 "
		"source_ip=127.0.0.1 port=%u destuser=else@x\n", (unsigned)port);
}

static struct settings *world_settings(uint16_t port, int users_fd)
{
	struct arena *arena = arena_new(2048);
	struct settings *settings = mem_new(struct settings);
	struct lmtp_settings *lmtp = &settings->lmtp;

	settings->arena = arena;
	settings->refs = 1;
	world_set_passdb(settings, port, users_fd);
	settings->dns_servers = "";
	settings->dns_timeout = 1000;
	settings->variant_count = 1;
	conf_defaults(&tls_settings_table, arena, &lmtp->tls);
	settings->haproxy_timeout = 5000;
	lmtp->hostname = "proxy.test";
	lmtp->login_greeting = "ready.";
	lmtp->lmtp_proxy = true;
	lmtp->lmtp_add_received_header = true;
	lmtp->lmtp_hdr_delivery_address = DELIVERY_FINAL;
	lmtp->recipient_delimiter = "+";
	lmtp->mail_temp_dir = "/tmp";
	lmtp->lmtp_max_recipients = 50;
	lmtp->lmtp_bare_newlines = SMTP_DATA_NORMALIZE;
	lmtp->lmtp_client_timeout = 5000;
	lmtp->lmtp_max_bad_commands = 10;
	lmtp->lmtp_spool_memory = 128 * 1024;
	lmtp->lmtp_proxy_connect_timeout = 5000;
	lmtp->lmtp_proxy_command_timeout = 5000;
	lmtp->lmtp_proxy_data_timeout = 5000;
	lmtp->lmtp_proxy_pool_max_age = 60000;
	lmtp->lmtp_proxy_pool_max_idle = 30000;
	lmtp->lmtp_proxy_pool_wait_timeout = 5000;
	lmtp->lmtp_proxy_chunking = true;
	lmtp->lmtp_proxy_xclient = true;
	lmtp->lmtp_proxy_ttl = 5;
	lmtp->lmtp_rawlog_dir = lmtp->lmtp_proxy_rawlog_dir = "";
	return settings;
}

/* --- client --- */

static void client_check(struct world *world)
{
	if (world->until != NULL &&
	    strstr(str_c(&world->replies), world->until) != NULL)
		loop_stop(world->loop);
}

static void client_readable(struct stream *stream, void *owner)
{
	struct world *world = owner;
	char buf[65536];
	size_t len;
	int ret = stream_read(stream, buf, sizeof(buf), &len);

	if (ret > 0)
		str_append(&world->replies, buf, len);
	if (ret < 0) {
		world->closed = true;
		stream_close(&world->client);
		loop_stop(world->loop);
		return;
	}
	client_check(world);
}

static const struct stream_handler client_handler = {
	.readable = client_readable,
	.writable = nothing,
	.broken = nothing,
};

static void world_timeout(struct loop_timer *timer)
{
	struct world *world = container_of(timer, struct world, timer);

	world->timed_out = true;
	loop_stop(world->loop);
}

void world_connect(struct world *world)
{
	struct addr local, remote;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
		PANIC("socketpair failed");
	if (world->send_buffer > 0)
		setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &world->send_buffer,
			   sizeof(world->send_buffer));
	world->closed = false;
	world->client =
		stream_new(world->loop, fds[0], &client_handler, world);
	addr_parse_ip(&local, "192.0.2.1", 24);
	addr_parse_ip(&remote, world->remote, 50000);
	session_start(world->worker, fds[1], &local, &remote, world->flags);
}

void world_send(struct world *world, const char *data, size_t len)
{
	if (world->client != NULL)
		stream_write(world->client, data, len);
}

bool world_run(struct world *world, const char *text, unsigned ms)
{
	world->until = text;
	world->timed_out = false;
	if (text != NULL && strstr(str_c(&world->replies), text) != NULL)
		return true;
	loop_timer_set(&world->timer, ms);
	if (!world->closed)
		loop_run(world->loop);
	loop_timer_clear(&world->timer);
	if (text == NULL)
		return world->closed;
	return strstr(str_c(&world->replies), text) != NULL;
}

/* All that can be seen of what goes on. */
static size_t world_traffic(const struct world *world)
{
	return world->received.len + world->replies.len + world->connections +
	       world->closed;
}

/* Once in each pass, which does not wait: everything is on this loop and this
 * machine, so what is under way shows up in the next one or two. */
static void world_passed(struct loop_timer *timer)
{
	struct world *world = container_of(timer, struct world, pass);
	size_t traffic = world_traffic(world);

	world->quiet = traffic == world->traffic ? world->quiet + 1 : 0;
	world->traffic = traffic;
	if (world->quiet < QUIET_PASSES)
		loop_timer_set(timer, 0);
	else
		loop_stop(world->loop);
}

void world_settle(struct world *world)
{
	world->until = NULL;
	world->quiet = 0;
	loop_timer_set(&world->pass, 0);
	while (world->quiet < QUIET_PASSES)
		loop_run(world->loop);
}

void world_half_close(struct world *world)
{
	if (world->client != NULL)
		stream_shutdown(world->client);
}

void world_disconnect(struct world *world)
{
	stream_close(&world->client);
	world->closed = true;
}

/* --- life --- */

static void world_open_worker(struct world *world)
{
	struct worker_source source;
	struct err err;

	world->control = loop_new();
	world->shared = passdb_shared_new(world->control,
					  &world->settings->passdb, &err);
	if (world->shared == NULL)
		PANIC("%s", err.text);
	world->set.limits = remote_limits_new();
	world->set.control = world->control;
	source.settings = world->settings;
	source.shared = world->shared;
	source.tls = tls_set_new(world->settings, &err);
	if (source.tls == NULL)
		PANIC("%s", err.text);
	world->worker = worker_new(&world->set, 0, &source, &err);
	if (world->worker == NULL)
		PANIC("%s", err.text);
	tls_set_unref(&source.tls);
	world->loop = world->worker->loop;
}

void world_open(struct world *world)
{
	uint16_t port;

	memset(world, 0, sizeof(*world));
	world->answer = world_good_answer;
	world->remote = "192.0.2.99";
	list_init(&world->conns);
	port = world_listen(world);
	world->users_fd = memfd_create("users", MFD_CLOEXEC);
	world_put_user(world->users_fd, port);
	/* Nobody waits for users who are still to come. */
	futimens(world->users_fd, (const struct timespec[2]){ { .tv_sec = 1 },
							      { .tv_sec = 1 } });
	world->settings = world_settings(port, world->users_fd);
	world_open_worker(world);
	loop_io_open(&world->listen_io, world->loop, world->listen_fd,
		     world_accept);
	loop_io_want(&world->listen_io, LOOP_READ);
	loop_timer_open(&world->timer, world->loop, world_timeout);
	loop_timer_open(&world->pass, world->loop, world_passed);
}

static void world_set_networks(struct world *world, const char *text,
			       struct networks *networks)
{
	struct err err;

	if (networks_parse(world->settings->arena, text, networks, &err) < 0)
		PANIC("%s", err.text);
}

void world_trust(struct world *world, const char *networks)
{
	world_set_networks(world, networks, &world->settings->lmtp.trusted);
}

void world_trust_balancers(struct world *world, const char *networks)
{
	world_set_networks(world, networks,
			   &world->settings->haproxy_trusted);
	world->flags = LISTENER_HAPROXY;
}

static void world_end_sessions(struct world *world)
{
	struct list *node, *tmp;

	list_each(&world->worker->sessions, node, tmp)
		session_abort((struct session *)node);
}

static void control_stop(void *arg)
{
	loop_stop(arg);
}

void world_close(struct world *world)
{
	struct list *node, *tmp;

	world_disconnect(world);
	world_end_sessions(world);
	list_each(&world->conns, node, tmp)
		conn_close(container_of(node, struct conn, node));
	loop_io_close(&world->listen_io);
	loop_timer_close(&world->timer);
	loop_timer_close(&world->pass);
	close(world->listen_fd);
	close(world->users_fd);
	worker_free(&world->worker);
	passdb_shared_unref(&world->shared);
	settings_unref(&world->settings);
	loop_post(world->control, control_stop, world->control);
	loop_run(world->control);
	remote_limits_free(&world->set.limits);
	loop_free(&world->control);
	str_free(&world->received);
	str_free(&world->message);
	str_free(&world->told);
	str_free(&world->replies);
}
