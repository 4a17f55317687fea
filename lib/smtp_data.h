/* The body behind DATA (RFC 5321 4.5.2): finding its end, and keeping SMTP
 * smuggling out. Works on the wire form, in place: dot-stuffing is left as it
 * is, since the next hop wants it just so. */
#ifndef LIB_SMTP_DATA_H
#define LIB_SMTP_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"

/* What to do with CR without LF, LF without CR, and NUL. Whatever the policy,
 * only CRLF.CRLF ends the data, and nothing leaves that a lax reader could
 * take for an end: see smtp_data_scan(). */
enum smtp_data_policy {
	SMTP_DATA_NORMALIZE, /* bare CR and LF become CRLF, NUL is dropped */
	SMTP_DATA_REJECT,    /* the message is refused at its end */
	SMTP_DATA_PASS,	     /* bytes stay as they are */
};

struct smtp_data {
	enum smtp_data_policy policy;
	unsigned char last, before; /* the two last bytes seen */
	bool line_dot;		    /* the line so far is "." */
	bool bad;		    /* REJECT: a bare CR, LF or NUL was seen */
	uint64_t size;		    /* of the data seen, its end excluded */
	/* the implementer adds what else it needs */
};

void smtp_data_init(struct smtp_data *data, enum smtp_data_policy policy);

/* Looks at the next len bytes of the stream at buf. Returns 1 when the end of
 * data (CRLF.CRLF, or .CRLF at the start) was found, 0 when not yet.
 * *used_r bytes of the input are consumed (all of them when 0).
 *
 * What is to be stored is either the first *keep_r bytes of buf (*out
 * untouched; the common case, no copy), or, when something had to change,
 * what was appended to *out (*keep_r is 0). What is stored never contains the
 * final ".CRLF". Bytes that may be its start are held back in the state and
 * come with a later call. */
int smtp_data_scan(struct smtp_data *data, const char *buf, size_t len,
		   size_t *used_r, size_t *keep_r, struct str *out);

#endif
