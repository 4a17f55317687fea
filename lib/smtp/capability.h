/* What a server says it can do in its LHLO or EHLO reply. */
#ifndef LIB_SMTP_CAPABILITY_H
#define LIB_SMTP_CAPABILITY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"

enum smtp_capability {
	SMTP_CAP_8BITMIME = 1 << 0,	       /* RFC 6152 */
	SMTP_CAP_BINARYMIME = 1 << 1,	       /* RFC 3030 */
	SMTP_CAP_CHUNKING = 1 << 2,	       /* RFC 3030 */
	SMTP_CAP_DSN = 1 << 3,		       /* RFC 3461 */
	SMTP_CAP_ENHANCEDSTATUSCODES = 1 << 4, /* RFC 2034 */
	SMTP_CAP_PIPELINING = 1 << 5,	       /* RFC 2920 */
	SMTP_CAP_SIZE = 1 << 6,		       /* RFC 1870 */
	SMTP_CAP_SMTPUTF8 = 1 << 7,	       /* RFC 6531 */
	SMTP_CAP_STARTTLS = 1 << 8,	       /* RFC 3207 */
	SMTP_CAP_XCLIENT = 1 << 9,	       /* Postfix's */
	SMTP_CAP_XRCPTFORWARD = 1 << 10,       /* Dovecot's, for LMTP */
};

struct smtp_capabilities {
	unsigned flags;	  /* enum smtp_capability */
	unsigned xclient; /* XCLIENT's list: enum smtp_xclient_attr */
	uint64_t size;	  /* SIZE's number; 0: none given */
};

/* Reads one text line of the reply (after "250-" or "250 "), other than the
 * first, and adds what it offers. Keywords match in any case; unknown ones are
 * passed over, and so are unknown attributes of XCLIENT. A SIZE that is no
 * number of 64 bits counts as none given. */
void smtp_capability_parse(struct smtp_capabilities *caps, const char *line,
			   size_t len);

/* Appends the reply lines "250-KEYWORD…CRLF", the last one with "250 ", in
 * alphabetical order behind a first line with hostname. XCLIENT is followed by
 * the attributes in caps->xclient, SIZE by caps->size unless that is 0. */
void smtp_capability_write(struct str *out, const char *hostname,
			   const struct smtp_capabilities *caps);

#endif
