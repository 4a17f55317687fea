/* The header that a load balancer puts before a connection that it hands on:
 * HAProxy's PROXY protocol, versions 1 and 2 (its doc/proxy-protocol.txt). For
 * listeners with haproxy = yes, and peers in haproxy_trusted_networks. */
#ifndef LIB_HAPROXY_H
#define LIB_HAPROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/err.h"

#define HAPROXY_MAX_SIZE 8192

/* The TLS that the client speaks with the load balancer. */
struct haproxy_tls {
	bool active;
	bool verified;	     /* it has a client certificate that verified */
	const char *version; /* "TLSv1.3"; NULL: not said, here and below */
	const char *cipher;
	const char *common_name; /* of that certificate; only when verified */
};

struct haproxy_header {
	unsigned version; /* 1 or 2 */
	/* The connection's own: a health check (LOCAL), or a client that the
	 * balancer cannot describe (UNKNOWN, UNSPEC). Nothing but version is
	 * set then, and the addresses of the connection stand. */
	bool local;
	/* The client's, and the one it connected to: IPv4 (mapped ones, too)
	 * and IPv6, or both UNIX, perhaps without a path. */
	struct addr source, dest;
	struct haproxy_tls tls;
	const char *authority; /* domain_is_valid(): what SNI asked for */
	const uint8_t *alpn;
	size_t alpn_len; /* up to 255 bytes */
	const uint8_t *unique_id;
	size_t unique_id_len; /* up to 128 bytes */
};

/* Reads the header that data[0..len), all that was received so far, starts
 * with. 1: it is in *header_r, with its strings in arena, and takes *len_r
 * bytes. 0: more is needed; the header has *len_r bytes or more, so that many
 * can be read without touching what follows it (a TLS handshake, say). -1: this
 * is no header, or a malformed one, and the connection must be closed: *err
 * says why, quoting nothing. It does so as soon as that shows.
 *
 * Malformed are also: addresses in another family than was said; DGRAM; values
 * that stick out of theirs; a CRC32C that is wrong; texts that are not
 * printable UTF-8; an authority that is no host name; headers of more than
 * HAPROXY_MAX_SIZE bytes. Types that are not listed above are passed over. */
int haproxy_parse(struct arena *arena, const void *data, size_t len,
		  struct haproxy_header *header_r, size_t *len_r,
		  struct err *err);

#endif
