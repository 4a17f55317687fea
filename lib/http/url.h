/* The address of an HTTP server: http://host[:port][/path] or https. */
#ifndef LIB_HTTP_URL_H
#define LIB_HTTP_URL_H

#include <stdbool.h>

#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/err.h"

struct http_url {
	const char *text; /* without slashes at the end */
	const char *host; /* a name, or a literal without brackets */
	unsigned port;
	bool tls;
	bool literal;	  /* then addr is the address, with port */
	struct addr addr;
};

/* Reads text; the strings live in arena. -1 for what is no such URL: another
 * scheme, a user or a password in it, a query, a fragment, bytes that may not
 * stand in a URL. The message does not hold the text: that may have a password
 * in it. */
int http_url_parse(struct http_url *url, struct arena *arena, const char *text,
		   struct err *err);

#endif
