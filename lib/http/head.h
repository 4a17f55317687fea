/* The head of an HTTP/1.1 request (RFC 9112), as bytes to value. Strict, since
 * no browser of the last century asks here: lines end with CRLF, the target is
 * a path, nothing is folded, and a body has a Content-Length. */
#ifndef LIB_HTTP_HEAD_H
#define LIB_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"

#define HTTP_HEAD_MAX 8192
#define HTTP_HEAD_FIELDS 64

struct http_field {
	const char *name, *value;
};

struct http_head {
	const char *method;
	const char *path;  /* decoded; begins with "/" */
	const char *query; /* as it came, without "?"; "" when there is none */
	struct http_field fields[HTTP_HEAD_FIELDS];
	unsigned field_count;
	bool keep_alive;     /* the connection can be used again */
	bool wants_continue; /* Expect: 100-continue */
	uint64_t body_len;
	size_t size; /* of the head itself, in bytes */
};

/* Reads a head at data; what it points to lives in arena. 1: *head is complete;
 * 0: the head is not, so far; else the negated status to refuse it with: -400,
 * -417, -431, -501 or -505. */
int http_head_parse(struct http_head *head, struct arena *arena,
		    const char *data, size_t len);

/* A field's value, by name in any case; NULL when there is none. */
const char *http_head_field(const struct http_head *head, const char *name);

/* A parameter of the query (name=value, separated by "&", %-encoded), decoded
 * into arena; "" for a name without value, NULL when there is none, or when it
 * is not encoded well. */
const char *http_head_param(const struct http_head *head, struct arena *arena,
			    const char *name);

#endif
