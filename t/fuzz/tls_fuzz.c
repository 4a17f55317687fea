/* Bytes from the network to a stream that speaks TLS. The first byte says to
 * which side, whether the handshake is over by then, and in what pieces they
 * come. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/arena.h"
#include "lib/panic.h"
#include "lib/stream.h"
#include "lib/tls/tls.h"
#include "t/fuzz/fuzz.h"
#include "t/pki.h"

enum {
	TO_CLIENT = 1 << 0,
	SECURED = 1 << 1, /* both sides, before the bytes come */
	BY_BYTES = 1 << 2,
};

struct end {
	struct stream *stream;
	bool secured, over;
};

static struct {
	struct loop *loop;
	struct tls_context *server;
	struct tls_peer *peer;
} world;

static void readable(struct stream *stream, void *owner)
{
	struct end *end = owner;
	char buf[100];
	size_t len;

	/* One read only, so that TLS keeps some. */
	if (stream_read(stream, buf, sizeof(buf), &len) >= 0)
		return;
	end->over = true;
	stream_want_read(stream, false);
}

static void broken(struct stream *stream, void *owner)
{
	struct end *end = owner;

	ASSERT(stream_failed(stream) && !end->over);
	ASSERT(strlen(stream_error(stream)) > 0);
	end->over = true;
	stream_want_read(stream, false);
}

static void writable(struct stream *stream, void *owner)
{
	(void)owner;
	ASSERT(stream_pending(stream) == 0);
}

static void secured(struct stream *stream, void *owner)
{
	struct end *end = owner;
	struct tls_info info;

	ASSERT(!end->secured && !end->over);
	ASSERT(stream_tls_info(stream, &info));
	end->secured = true;
	stream_puts(stream, "hello");
}

static const struct stream_handler handler = {
	.readable = readable,
	.writable = writable,
	.broken = broken,
	.secured = secured,
};

static void make_world(void)
{
	struct arena *arena = arena_new(1024);
	struct tls_context *client;
	struct tls_settings settings;
	struct pki_cert cert;
	struct err err;

	pki_make(&cert, &(struct pki_params){ .name = "server" });
	conf_defaults(&tls_settings_table, arena, &settings);
	settings.ssl_cert = str_c(&cert.pem);
	settings.ssl_key = str_c(&cert.key);
	/* So that a client's certificate is read, too. */
	settings.ssl_verify_client_cert = true;
	settings.ssl_require_crl = false;
	settings.ssl_ca = str_c(&cert.pem);
	settings.ssl_client_cert = str_c(&cert.pem);
	settings.ssl_client_key = str_c(&cert.key);
	world.loop = loop_new();
	world.server = tls_context_server(&settings, &err);
	client = tls_context_client(&settings, &err);
	ASSERT(world.server != NULL && client != NULL);
	world.peer = tls_peer_new(client, "mx.example", TLS_ANY_CERT, &err);
	ASSERT(world.peer != NULL);
	tls_context_unref(&client);
	pki_free(&cert);
	arena_free(&arena);
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(world.loop);
}

static void passes(int count)
{
	while (count-- > 0) {
		loop_post(world.loop, stop, NULL);
		loop_run(world.loop);
	}
}

static void start_server(struct end *end)
{
	stream_start_tls(end->stream,
			 tls_accept(world.server, NULL, NULL, NULL));
}

static void start_client(struct end *end)
{
	stream_start_tls(end->stream, tls_connect(world.peer, NULL));
}

static void send_bytes(int fd, const uint8_t *data, size_t size, size_t piece)
{
	while (size > 0) {
		ssize_t sent = send(fd, data, size < piece ? size : piece,
				    MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		data += sent;
		size -= (size_t)sent;
		passes(1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct end victim = { .over = false }, other = { .over = false };
	bool to_client;
	int fds[2];

	if (size == 0)
		return 0;
	if (world.loop == NULL)
		make_world();
	to_client = data[0] & TO_CLIENT;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
		PANIC("no sockets");
	victim.stream = stream_new(world.loop, fds[0], &handler, &victim);
	other.stream = stream_new(world.loop, fds[1], &handler, &other);
	(to_client ? start_client : start_server)(&victim);
	if (data[0] & SECURED) {
		(to_client ? start_server : start_client)(&other);
		passes(10);
		ASSERT(victim.secured && other.secured);
	}
	send_bytes(fds[1], data + 1, size - 1,
		   data[0] & BY_BYTES ? 1 : 65536);
	passes(3);
	stream_shutdown(other.stream);
	passes(3);
	ASSERT(victim.over);
	stream_close(&victim.stream);
	passes(1);
	stream_close(&other.stream);
	return 0;
}
