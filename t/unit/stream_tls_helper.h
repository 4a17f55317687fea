/* What tests of streams through TLS share: two streams, or one and a bare
 * OpenSSL, with a relay in between that can be slow, look, and cut. Included by
 * one .c file per program. */
#ifndef STREAM_TLS_HELPER_H
#define STREAM_TLS_HELPER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/mem.h"
#include "lib/stream.h"
#include "lib/tls/tls.h"
#include "t/files.h"
#include "t/pki.h"

/* --- a stream that notes what happens to it --- */

struct end {
	struct stream *stream;
	struct str in;
	size_t piece;	    /* bytes to read at a time, 0: as many as come */
	bool once;	    /* one read for each callback */
	bool toggle;	    /* switches reading off and on in each callback */
	bool close_secured, close_broken, close_readable;
	const char *body;   /* to be sent with stream_sendv() */
	size_t body_len, body_sent;
	int depth, reads, secured, broken, writable;
	bool eof;
	char error[256]; /* at the end */
	bool failed, untrusted;
};

static inline void end_note(struct end *end)
{
	snprintf(end->error, sizeof(end->error), "%s",
		 stream_error(end->stream));
	end->failed = stream_failed(end->stream);
	end->untrusted = stream_is_untrusted(end->stream);
}

static inline void end_readable(struct stream *stream, void *owner)
{
	struct end *end = owner;
	char buf[65536];
	size_t len;
	int ret;

	cr_assert_eq(end->depth++, 0, "readable() inside readable()");
	end->reads++;
	if (end->close_readable) {
		stream_close(&end->stream);
		return;
	}
	do {
		ret = stream_read(stream, buf,
				  end->piece > 0 ? end->piece : sizeof(buf),
				  &len);
		if (ret > 0)
			str_append(&end->in, buf, len);
	} while (ret > 0 && !end->once);
	if (end->toggle) {
		stream_want_read(stream, false);
		stream_want_read(stream, true);
	}
	if (ret < 0) {
		end->eof = true;
		end_note(end);
		stream_want_read(stream, false);
	}
	end->depth--;
}

static inline void end_send(struct end *end)
{
	struct iovec iov = {
		.iov_base = (void *)(end->body + end->body_sent),
		.iov_len = end->body_len - end->body_sent,
	};

	end->body_sent += stream_sendv(end->stream, &iov, 1);
	if (end->body_sent < end->body_len)
		stream_want_write(end->stream);
}

static inline void end_writable(struct stream *stream, void *owner)
{
	struct end *end = owner;

	cr_assert_eq(stream_pending(stream), 0);
	end->writable++;
	if (end->body_sent < end->body_len)
		end_send(end);
}

static inline void end_broken(struct stream *stream, void *owner)
{
	struct end *end = owner;

	(void)stream;
	end->broken++;
	end_note(end);
	if (end->close_broken)
		stream_close(&end->stream);
}

static inline void end_secured(struct stream *stream, void *owner)
{
	struct end *end = owner;

	(void)stream;
	end->secured++;
	if (end->close_secured)
		stream_close(&end->stream);
}

static const struct stream_handler end_handler = {
	.readable = end_readable,
	.writable = end_writable,
	.broken = end_broken,
	.secured = end_secured,
};

/* --- the world: client a, server b, and the relay between them --- */

struct way { /* one direction of the relay */
	int from, to;
	bool hold; /* passes nothing */
	bool ended;
	struct str seen, queue;
};

static struct loop *loop;
static struct end a, b;
static struct way to_b, to_a;
static size_t chunk;
static struct arena *arena;
static struct tls_settings settings;
static struct pki_cert ca, server, client;
static struct tls_context *server_context, *client_context;
static struct tls_peer *peer;
static SSL_CTX *raw_ctx; /* of the bare OpenSSL, kept for its sessions */
static SSL *raw;
static bool raw_done; /* its handshake */
static struct files files;
static struct err err;
static const struct log_ctx log_ctx = { .text = "test" };

static inline void world_setup(void)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	loop = loop_new();
	arena = arena_new(1024);
	files_init(&files);
	conf_defaults(&tls_settings_table, arena, &settings);
	pki_make(&ca, &(struct pki_params){ .name = "CA", .is_ca = true });
	pki_make(&server, &(struct pki_params){
		.issuer = &ca, .name = "server",
		.alt_names = "DNS:mx.example,IP:192.0.2.1,IP:2001:db8::1" });
	pki_make(&client, &(struct pki_params){ .issuer = &ca,
						.name = "client" });
	settings.ssl_cert = str_c(&server.pem);
	settings.ssl_key = str_c(&server.key);
	settings.ssl_client_ca_file = arena_strdup(
		arena, files_write(&files, "ca.pem", str_c(&ca.pem)));
	chunk = 65536;
}

static inline void way_reset(struct way *way)
{
	str_free(&way->seen);
	str_free(&way->queue);
	memset(way, 0, sizeof(*way));
}

/* Two connected pairs: the streams' ends are returned, the others are the
 * relay's. size: of the sockets' buffers; 0: as they are. */
static inline void world_connect(int size, int fds_r[2])
{
	int left[2], right[2], i;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, left),
		     0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				right), 0);
	for (i = 0; size > 0 && i < 2; i++) {
		setsockopt(left[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		setsockopt(right[i], SOL_SOCKET, SO_SNDBUF, &size,
			   sizeof(size));
	}
	way_reset(&to_a);
	way_reset(&to_b);
	fds_r[0] = left[0];
	fds_r[1] = right[0];
	to_b.from = to_a.to = left[1];
	to_b.to = to_a.from = right[1];
}

static inline void world_open(int size)
{
	int fds[2];

	world_connect(size, fds);
	a.stream = stream_new(loop, fds[0], &end_handler, &a);
	b.stream = stream_new(loop, fds[1], &end_handler, &b);
}

static inline void world_close(void)
{
	stream_close(&a.stream);
	stream_close(&b.stream);
	str_free(&a.in);
	str_free(&b.in);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	close(to_b.from);
	close(to_a.from);
	way_reset(&to_a);
	way_reset(&to_b);
}

static inline void world_teardown(void)
{
	SSL_CTX_free(raw_ctx);
	tls_peer_unref(&peer);
	tls_context_unref(&client_context);
	tls_context_unref(&server_context);
	pki_free(&ca);
	pki_free(&server);
	pki_free(&client);
	files_done(&files);
	arena_free(&arena);
	loop_free(&loop);
	cr_assert_eq(ERR_peek_error(), 0, "OpenSSL's error queue: %s",
		     ERR_error_string(ERR_peek_error(), NULL));
}

static inline void way_move(struct way *way)
{
	char buf[65536];
	ssize_t len;

	if (way->hold || way->ended)
		return;
	if (way->queue.len == 0) {
		len = recv(way->from, buf, chunk, 0);
		if (len == 0 || (len < 0 && errno != EAGAIN)) {
			way->ended = true;
			shutdown(way->to, SHUT_WR);
		}
		if (len <= 0)
			return;
		str_append(&way->queue, buf, (size_t)len);
		str_append(&way->seen, buf, (size_t)len);
	}
	len = send(way->to, way->queue.data, way->queue.len, MSG_NOSIGNAL);
	if (len > 0)
		str_consume(&way->queue, (size_t)len);
}

static inline void stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

/* One pass of the loop, and one move of the relay. */
static inline void pass(void)
{
	loop_post(loop, stop, NULL);
	loop_run(loop);
	way_move(&to_b);
	way_move(&to_a);
}

static inline void passes(int count)
{
	while (count-- > 0)
		pass();
}

#define UNTIL(condition) \
	do { \
		int left_ = 200000; \
		bool met_; \
		while (!(met_ = (condition)) && left_-- > 0) \
			pass(); \
		cr_assert(met_, "never: %s (a: %s, b: %s)", #condition, \
			  a.error, b.error); \
	} while (0)

static inline struct tls_context *make_server(void)
{
	struct tls_context *context = tls_context_server(&settings, &err);

	cr_assert_not_null(context, "%s", err.text);
	return context;
}

/* Both contexts and the peer, of the settings as they are now. */
static inline void make_contexts(const char *host, enum tls_verify verify)
{
	tls_peer_unref(&peer);
	tls_context_unref(&server_context);
	tls_context_unref(&client_context);
	server_context = make_server();
	client_context = tls_context_client(&settings, &err);
	cr_assert_not_null(client_context, "%s", err.text);
	peer = tls_peer_new(client_context, host, verify, &err);
	cr_assert_not_null(peer, "%s", err.text);
}

static inline void start_b(void)
{
	stream_start_tls(b.stream,
			 tls_accept(server_context, NULL, NULL, &log_ctx));
}

static inline void start(void)
{
	stream_start_tls(a.stream, tls_connect(peer, &log_ctx));
	start_b();
}

static inline void handshake(void)
{
	start();
	UNTIL(a.secured && b.secured);
	passes(5); /* tickets */
}

static inline void open_secured(const char *host, enum tls_verify verify)
{
	make_contexts(host, verify);
	world_open(0);
	handshake();
}

static inline bool got(const struct end *end, const char *text)
{
	return strcmp(str_c(&end->in), text) == 0;
}

static inline bool over(const struct end *end)
{
	return end->eof || end->broken > 0;
}

#define HAS(text, part) \
	cr_assert_not_null(strstr(text, part), "\"%s\" is not \"%s\"", text, \
			   part)

/* TLS records of application data (also a handshake's, in TLS 1.3). */
static inline int count_records(const struct str *seen, size_t from)
{
	const unsigned char *data = (const void *)seen->data;
	size_t at = 0;
	int count = 0;

	for (; at + 5 <= seen->len; at += 5 + (data[at + 3] << 8 |
					       data[at + 4]))
		count += at >= from && data[at] == 23;
	return count;
}

/* Bytes that differ. */
static inline char *make_body(size_t len, unsigned seed)
{
	char *body = mem_alloc(len);
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		body[i] = (char)(seed >> 16);
	}
	return body;
}

static unsigned passes_seen;

static inline unsigned count_pass(void)
{
	passes_seen++;
	return 0;
}

static inline void stop_timer(struct loop_timer *timer)
{
	loop_stop(timer->loop);
}

/* While nothing comes, neither stream is called, and the loop sleeps. */
static inline void no_calls_without_input(void)
{
	struct loop_timer timer;

	passes(20);
	a.reads = b.reads = 0;
	passes(200);
	cr_assert_eq(b.reads, 0, "%d calls without input", b.reads);
	cr_assert_eq(a.reads, 0, "%d calls without input", a.reads);
	passes_seen = 0;
	loop_set_pass_hook(loop, count_pass);
	loop_timer_open(&timer, loop, stop_timer);
	loop_timer_set(&timer, 20);
	loop_run(loop);
	loop_timer_close(&timer);
	loop_set_pass_hook(loop, NULL);
	cr_assert_lt(passes_seen, 10, "the loop turns");
}

/* --- a bare OpenSSL on one side --- */

/* On fd; does nothing by itself. */
static inline void raw_open(int fd, int max_version)
{
	if (raw_ctx == NULL)
		raw_ctx = SSL_CTX_new(TLS_method());
	raw = SSL_new(raw_ctx);
	SSL_set_max_proto_version(raw, max_version);
	SSL_set_min_proto_version(raw, TLS1_VERSION);
	SSL_set_cipher_list(raw, "ALL:@SECLEVEL=0");
	SSL_set_fd(raw, fd);
	raw_done = false;
}

static inline void raw_close(void)
{
	int fd = SSL_get_fd(raw);

	SSL_free(raw);
	close(fd);
	ERR_clear_error();
}

/* b is a stream and a server, its peer bare. */
static inline void raw_client(int max_version)
{
	int fds[2];

	world_connect(0, fds);
	b.stream = stream_new(loop, fds[1], &end_handler, &b);
	start_b();
	raw_open(fds[0], max_version);
	SSL_set_connect_state(raw);
}

/* Goes on with the handshake. */
static inline bool raw_handshake(void)
{
	if (!raw_done)
		raw_done = SSL_do_handshake(raw) == 1;
	return raw_done;
}

/* Reads what is there; whether text came. */
static inline bool raw_got(const char *text)
{
	char buf[100];
	int len = SSL_read(raw, buf, sizeof(buf));

	return len == (int)strlen(text) && memcmp(buf, text, strlen(text)) == 0;
}

#endif
