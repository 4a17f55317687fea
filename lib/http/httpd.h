/* A server for HTTP/1.1 on one loop: for administrators, scripts and
 * monitoring, few of them at a time.
 *
 * Not libevent's evhttp: that can limit neither the number of connections nor
 * the time that a request may take in all, so that one slow client holds a
 * descriptor for ever; and its parser lets through what http_head_parse()
 * refuses. Here everything that a client can make grow, or last, has a limit
 * (lib/clients.h); and TLS is the one that all our connections have. */
#ifndef LIB_HTTP_HTTPD_H
#define LIB_HTTP_HTTPD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/clients.h"
#include "lib/http/head.h"
#include "lib/loop.h"
#include "lib/str.h"
#include "lib/tls/context.h"

#define HTTPD_MAX_BODY (64 * 1024)
#define HTTPD_MAX_FIELDS 8 /* of an answer, besides those of each */

struct httpd;
struct httpd_conn;

/* One request: its fields are in head, at most HTTP_HEAD_FIELDS of them, in a
 * head of at most HTTP_HEAD_MAX bytes. Whoever handles it owns it until
 * httpd_reply(), which may come later; until then nothing more is read from its
 * client. */
struct httpd_request {
	struct arena *arena; /* lives as long as the request */
	struct http_head head;
	const char *body; /* head.body_len bytes, and a NUL */
	const void *door; /* as httpd_take() got it */
	unsigned rights;
	struct httpd_conn *conn; /* NULL: the client is gone */
	struct http_field fields[HTTPD_MAX_FIELDS]; /* of the answer */
	unsigned field_count;
};

struct httpd_settings {
	struct clients_settings clients;
	size_t max_untaken; /* bytes of answers that clients have not taken yet:
			       when there are more, requests are refused (503) */
	void (*handle)(void *arg, struct httpd_request *request);
	void *arg;
};

/* settings are copied. */
struct httpd *httpd_new(struct loop *loop,
			const struct httpd_settings *settings);

/* Closes all connections; requests that are not answered yet stay their
 * handlers'. Clears the pointer; NULL is fine. */
void httpd_free(struct httpd **httpd);

/* Takes over a connection from peer, with TLS if tls is not NULL. door and rights
 * are what its requests show. When there are too many, and none makes room
 * (clients_add()), it is closed. */
void httpd_take(struct httpd *httpd, int fd, struct tls_context *tls,
		const struct addr *peer, const void *door, unsigned rights);

/* Ends its connections, since it is time to connect to another process: those
 * that are idle at once, all others after their next answer. */
void httpd_leave(struct httpd *httpd);

/* Closes the connections that came with that door. */
void httpd_drop(struct httpd *httpd, const void *door);

/* Its client has shown that it belongs here: client_vouch(). */
void httpd_vouch(struct httpd_request *request);

/* Has the answer say "name: value". value is copied; what may not stand in a
 * field (control characters, and what is no ASCII) becomes "?". */
void httpd_field(struct httpd_request *request, const char *name,
		 const char *value);

/* Answers a request, and frees it; clears the pointer. type: of the body, which
 * HEAD is told the length of, and does not get (RFC 9110, 9.3.2). */
void httpd_reply(struct httpd_request **request, unsigned status,
		 const char *type, const struct str *body);

#endif
