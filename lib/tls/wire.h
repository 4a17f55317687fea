/* Between OpenSSL and the socket. OpenSSL always succeeds in writing: to a
 * queue, which leaves with few system calls; so it never waits for the socket
 * to write, and no record is ever half written. Reading is direct. For
 * lib/tls/tls.c only. */
#ifndef LIB_TLS_WIRE_H
#define LIB_TLS_WIRE_H

#include <openssl/bio.h>
#include <stdbool.h>

#include "lib/str.h"

struct tls_wire {
	int fd;
	int flags; /* of send() */
	struct str out;
	size_t out_sent;   /* bytes of out that have left */
	unsigned receives; /* system calls left; see tls_wire_begin() */
	bool dry;	   /* the socket had nothing: no record is complete */
	bool end;	   /* the peer's FIN */
	bool flooded;	   /* the peer wants answers, and does not read them */
	int error;	   /* errno of the socket; 0: none */
};

/* How connections read and write; free it with BIO_meth_free(), after them. */
BIO_METHOD *tls_wire_method(void);

/* A BIO over a zeroed wire. */
BIO *tls_wire_open(struct tls_wire *wire, BIO_METHOD *method);

void tls_wire_close(struct tls_wire *wire);

/* To be called before OpenSSL may read: limits how much it does, since it goes
 * on by itself for as long as records come that hold nothing for us. */
void tls_wire_begin(struct tls_wire *wire);

size_t tls_wire_unsent(const struct tls_wire *wire);

/* Whether there is enough to send. */
bool tls_wire_is_full(const struct tls_wire *wire);

/* Sends what is queued. 1: all of it left; 0: some could not; -1: the socket
 * failed, and the queue is dropped. */
int tls_wire_flush(struct tls_wire *wire);

#endif
