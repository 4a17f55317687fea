/* HTTP requests without blocking (libcurl), many at a time over few connections
 * that are kept open. HTTP/1.1; redirects are not followed. */
#ifndef LIB_HTTP_HTTP_H
#define LIB_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/dns.h"
#include "lib/http/url.h"
#include "lib/loop.h"
#include "lib/tls/trust.h"

#define HTTP_MAX_HEADERS (64 * 1024) /* bytes in front of one answer's body */

/* How a client speaks to its servers. Strings are NULL, or "", when not set;
 * headers, user and password are secrets: they appear in no message. */
struct http_settings {
	unsigned max_connections; /* to each server; at least 1 */
	unsigned timeout_ms; /* of one request: waiting for a connection, DNS,
				all addresses tried, the last byte */
	unsigned connect_timeout_ms; /* of one address, TLS included */
	unsigned max_idle_s; /* a connection unused for longer is not used
				again (some servers close it then) */
	size_t max_body;     /* of an answer, in bytes */
	const char *const *headers;   /* "Name: value", NULL at the end */
	const char *user, *password;  /* user: HTTP Basic (RFC 7617) */
	bool verify; /* the server's certificate: that it comes from one of
			trust, and is for the URL's host */
	struct tls_trust *trust; /* NULL: nobody is trusted */
	const char *cert, *key;	 /* of the client, PEM */
	const char *cipher_list; /* up to TLS 1.2 */
};

/* Whether https is possible at all: libcurl needs OpenSSL for it. */
bool http_has_tls(void);

/* The path of the file with the CAs of the system, as libcurl knows it; NULL: it
 * does not. */
const char *http_system_cas(void);

/* Of one loop. settings outlives the client. */
struct http_client;
struct http_client *http_client_new(struct loop *loop, struct dns *dns,
				    const struct http_settings *settings);

/* Clears the pointer; NULL is fine. Its servers are gone already. */
void http_client_free(struct http_client **client);

/* url outlives the server. */
struct http_server;
struct http_server *http_server_new(struct http_client *client,
				    const struct http_url *url);

/* Clears the pointer; NULL is fine. No request may be under way. */
void http_server_free(struct http_server **server);

/* What is asked; it has to live until the request is over. */
struct http_call {
	const char *path; /* with query; comes behind the URL's own path */
	const char *body; /* a POST with that body; NULL: a GET */
	size_t body_len;
	const char *header; /* one more "Name: value", a secret; NULL: none */
	/* NULL: the answer comes as a whole. Else the body of an answer with
	 * status 200 is handed over as it comes in, from the loop; anything
	 * may be called from there, http_cancel() too. timeout_ms is then that
	 * of the first byte, and max_body that of what comes at once; who says
	 * nothing any more is found out by TCP. It has a connection of its own,
	 * one of max_connections. fn is called when the answer ends, without
	 * what was handed over. */
	void (*data)(void *arg, const char *data, size_t len);
};

struct http_answer {
	const char *error; /* why there is no (whole) answer; NULL: there is */
	bool lost; /* error: the server could not be reached, or it broke off,
		      or took too long while it answered nobody else; not that
		      we did not want the answer */
	unsigned status;   /* 0: none came; set also with some errors */
	const char *body;  /* "" when there is none */
	size_t len;
};

/* Asks server. fn is called once, from the loop and not inside this call: the
 * request is over by then, the answer is valid until fn returns. A request that
 * finds no free connection waits for one. A kept connection that turns out to
 * be closed is replaced without notice. */
struct http_request;
struct http_request *http_start(struct http_server *server,
				const struct http_call *call,
				void (*fn)(void *arg,
					   const struct http_answer *answer),
				void *arg);

/* How many requests wait for a connection to server. */
unsigned http_server_waiting(const struct http_server *server);

/* Ends the requests that wait for a connection to server: their fn is called
 * with the error why (which is not copied), from the loop. For when those that
 * had a connection have shown that waiting is no use. */
void http_server_give_up(struct http_server *server, const char *why);

/* Forgets the request (before fn was called); clears the pointer, NULL is
 * fine. */
void http_cancel(struct http_request **request);

#endif
