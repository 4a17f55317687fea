/* One TLS connection. Made here, given to stream_start_tls(), used through the
 * stream from then on.
 *
 * Errors are texts for the log: "TLS handshake failed: certificate verify
 * failed: hostname mismatch". */
#ifndef LIB_TLS_TLS_H
#define LIB_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "lib/log/log.h"
#include "lib/str.h"
#include "lib/tls/context.h"
#include "lib/tls/peer.h"

struct tls;

/* The server's side. pick (NULL: none) is called in the handshake with the name
 * that the client wants to speak to (SNI; letters, digits and ".-_" only, at
 * most 255), and again if the client has to send a second hello. It returns the
 * context to go on with (NULL: this one) and must not touch the stream. log
 * speaks when verbose_ssl is set; it and arg must live as long as the
 * connection. */
struct tls *tls_accept(struct tls_context *context,
		       struct tls_context *(*pick)(void *arg, const char *name),
		       void *arg, const struct log_ctx *log);

/* The client's side: offers a session of the peer's for resumption (one of
 * TLS 1.3 only once) and keeps those that it gets. */
struct tls *tls_connect(struct tls_peer *peer, const struct log_ctx *log);

/* Strings belong to the connection. */
struct tls_info {
	const char *protocol; /* "TLSv1.3" */
	const char *cipher;   /* "TLS_AES_256_GCM_SHA384" */
	int bits, cipher_bits; /* secret, and of the algorithm */
	const char *server_name; /* SNI, from or to the server; NULL: none */
	const char *peer_subject; /* of the peer's certificate (RFC 2253);
				     NULL: it showed none */
	bool verified; /* that certificate is valid, and for the host */
	bool resumed;
};

/* Appends "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)". */
void tls_info_write(struct str *out, const struct tls_info *info);

/* --- for lib/stream.c --- */

/* Takes the socket, and bytes that are to leave in clear first. */
void tls_attach(struct tls *tls, int fd, const void *clear, size_t len);

/* Frees everything but the socket; sends nothing. NULL is fine. */
void tls_free(struct tls **tls);

/* Goes on with the handshake. 1: over; 0: waits for the socket; -1: failed. */
int tls_handshake(struct tls *tls);

/* Whether the handshake is not over yet. */
bool tls_is_handshaking(const struct tls *tls);

/* As stream_read(). -1 after close_notify, too: tls_failed() tells. */
int tls_read(struct tls *tls, void *buf, size_t len, size_t *len_r);

/* Whether tls_read() may have something to say without the socket's help; not
 * after it returned 0. */
bool tls_is_readable(const struct tls *tls);

/* Encrypts and sends as much as fits, the bytes that wait already first (with
 * count 0 only these). Returns how many bytes of iov were taken: less than all
 * of them when the socket is full, and none before the handshake is over. */
size_t tls_write(struct tls *tls, const struct iovec *iov, int count);

/* Bytes that are encrypted and wait for the socket. */
size_t tls_unsent(const struct tls *tls);

/* Whether tls_write() can go on only after the peer has said more (the rest of
 * a handshake message). */
bool tls_write_needs_input(const struct tls *tls);

/* What is sent from now on is the last: the kernel may hold it back for FIN. */
void tls_finish(struct tls *tls);

/* Sends close_notify once, as far as one try goes. */
void tls_shutdown(struct tls *tls);

/* Whether it failed, other than by close_notify: nothing can be sent. What the
 * peer said before may still be readable. */
bool tls_failed(const struct tls *tls);

/* Why; NULL: it has not. */
const char *tls_error(const struct tls *tls);

/* Whether it failed because of the peer's certificate, or for want of one. */
bool tls_is_untrusted(const struct tls *tls);

/* Fills *info; false while the handshake is not over. */
bool tls_get_info(const struct tls *tls, struct tls_info *info);

#endif
