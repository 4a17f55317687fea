/* The trace header that waypost puts on top of a message (RFC 5321 4.4). */
#ifndef PROXY_SESSION_RECEIVED_H
#define PROXY_SESSION_RECEIVED_H

#include <time.h>

#include "lib/addr.h"
#include "lib/str.h"
#include "lib/tls/tls.h"

struct received {
	const char *helo;	  /* NULL: none given */
	const struct addr *remote;
	const struct tls_info *tls; /* NULL: it came in clear */
	const char *hostname;	  /* ours */
	const char *id;		  /* of the transaction */
	const char *mail_from;	  /* between < and > */
	const char *rcpt;	  /* NULL: not to be told */
	time_t now;
};

/* Appends the header with its folds and line ends. Text from the client is
 * stripped of everything but printable ASCII and UTF-8. */
void received_write(struct str *out, const struct received *received);

#endif
