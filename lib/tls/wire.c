#include "lib/tls/wire.h"

#include <errno.h>
#include <sys/socket.h>

#include "lib/panic.h"

/* Bytes that are sent with one system call. */
#define OUT_GOAL 65536
/* One record goes beyond the goal. More can only be answers to a peer that
 * asks (for new keys) and never reads. */
#define OUT_MAX (OUT_GOAL + 32768)
/* Memory that an idle connection may keep. */
#define OUT_KEPT 1024
#define RECEIVES_MAX 16

static int on_read(BIO *bio, char *buf, int len)
{
	struct tls_wire *wire = BIO_get_data(bio);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (wire->receives == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	wire->receives--;
	do
		got = recv(wire->fd, buf, (size_t)len, 0);
	while (got < 0 && errno == EINTR);
	wire->dry = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
	if (wire->dry)
		BIO_set_retry_read(bio);
	else if (got < 0)
		wire->error = errno;
	else if (got == 0)
		wire->end = true;
	return (int)got;
}

static int on_write(BIO *bio, const char *data, int len)
{
	struct tls_wire *wire = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (tls_wire_unsent(wire) + (size_t)len > OUT_MAX) {
		wire->flooded = true;
		return -1;
	}
	str_append(&wire->out, data, (size_t)len);
	return len;
}

static long on_ctrl(BIO *bio, int cmd, long number, void *arg)
{
	(void)bio;
	(void)number;
	(void)arg;
	return cmd == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_wire_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

	if (method == NULL || !BIO_meth_set_read(method, on_read) ||
	    !BIO_meth_set_write(method, on_write) ||
	    !BIO_meth_set_ctrl(method, on_ctrl))
		PANIC("out of memory (TLS)");
	return method;
}

BIO *tls_wire_open(struct tls_wire *wire, BIO_METHOD *method)
{
	BIO *bio = BIO_new(method);

	if (bio == NULL)
		PANIC("out of memory (TLS)");
	BIO_set_data(bio, wire);
	BIO_set_init(bio, 1);
	wire->fd = -1;
	wire->flags = MSG_NOSIGNAL;
	return bio;
}

void tls_wire_close(struct tls_wire *wire)
{
	str_free(&wire->out);
}

void tls_wire_begin(struct tls_wire *wire)
{
	wire->receives = RECEIVES_MAX;
}

size_t tls_wire_unsent(const struct tls_wire *wire)
{
	return wire->out.len - wire->out_sent;
}

bool tls_wire_is_full(const struct tls_wire *wire)
{
	return tls_wire_unsent(wire) >= OUT_GOAL;
}

static void drop(struct tls_wire *wire)
{
	wire->out_sent = 0;
	if (wire->out.cap > OUT_KEPT)
		str_free(&wire->out);
	else
		str_clear(&wire->out);
}

int tls_wire_flush(struct tls_wire *wire)
{
	ssize_t sent;

	if (tls_wire_unsent(wire) == 0)
		return 1;
	do
		sent = send(wire->fd, wire->out.data + wire->out_sent,
			    tls_wire_unsent(wire), wire->flags);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (sent < 0) {
		wire->error = errno;
		drop(wire);
		return -1;
	}
	wire->out_sent += (size_t)sent;
	if (tls_wire_unsent(wire) > 0)
		return 0;
	drop(wire);
	return 1;
}
