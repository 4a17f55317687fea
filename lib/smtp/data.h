/* The body behind DATA (RFC 5321 4.5.2): finding its end, and keeping SMTP
 * smuggling out. Works on the wire form, in place: dot-stuffing is left as it
 * is, since the next hop wants it just so.
 *
 * Smuggling lives on servers that disagree about what ends a line, and so
 * about what ends the data. Hence, whatever the policy:
 *
 * - Only CRLF.CRLF ends the data (or .CRLF as its first bytes), byte for byte:
 *   not LF.LF, LF.CRLF, CR.CR, CRLF.LF, CRLF.CR, nor anything with a NUL in it.
 * - What is stored holds no line "." at all, neither for a strict reader nor
 *   for one that takes a bare CR or a bare LF as the end of a line, or passes
 *   over NULs, or both. For this a dot gets a second one put before it when
 *   (a) it follows a bare CR, a bare LF, or NULs at the start of a line: who
 *   sees a line begin there sees a stuffed one; or
 *   (b) it begins a line and a bare CR, a bare LF or a NUL follows it.
 *   All other dots stay as the client sent them.
 * - What is stored is empty or ends with CRLF, so that ".CRLF" behind it is its
 *   end. */
#ifndef LIB_SMTP_DATA_H
#define LIB_SMTP_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"

/* What happens to CR without LF, LF without CR, and NUL. */
enum smtp_data_policy {
	/* NULs are dropped, then bare CR and bare LF become CRLF (so that CR
	 * NUL LF makes one CRLF). A line that begins only through this and
	 * starts with a dot is stuffed, since the client did not do so: rule
	 * (a). Nothing is left for readers to disagree about. */
	SMTP_DATA_NORMALIZE,
	/* The message is to be refused at its end (struct smtp_data's bad);
	 * until then it is read, and stored, as with PASS. */
	SMTP_DATA_REJECT,
	/* Bytes stay as they are, except for the dots of (a) and (b). Strict
	 * readers see one dot too many in the lines of (a), which are no lines
	 * to them: the price of safety. RFC 5321 2.3.8 forbids clients to send
	 * any of this. */
	SMTP_DATA_PASS,
};

/* Where in a line the next byte stands. */
enum smtp_data_state {
	SMTP_DATA_LINE,	    /* within one */
	SMTP_DATA_START,    /* at the start: behind CRLF or nothing at all */
	SMTP_DATA_LAX_START, /* behind bare CR, bare LF, or NUL after START */
	SMTP_DATA_CR,	    /* behind CR */
	SMTP_DATA_CR_NUL,   /* behind CR and NULs */
	SMTP_DATA_DOT,	    /* behind a dot at START, held back */
	SMTP_DATA_DOT_CR,   /* behind such a dot and CR, both held back */
	SMTP_DATA_END,
};

struct smtp_data {
	enum smtp_data_policy policy;
	enum smtp_data_state state;
	bool octets;   /* chunks: no end to find, dots are like any byte */
	bool bad;      /* REJECT: a bare CR, a bare LF or a NUL was seen */
	uint64_t size; /* bytes consumed; at the end without the final .CRLF */
};

void smtp_data_init(struct smtp_data *data, enum smtp_data_policy policy);

/* The same for a body that comes in chunks (BDAT, RFC 3030), without
 * dot-stuffing and with its length told beforehand: smtp_data_scan() is given
 * the octets of the chunks, one after the other, and never returns 1. The
 * policy deals with bare CR, bare LF and NUL as above; with PASS no byte is
 * changed at all, and that is the one for BODY=BINARYMIME. What is stored is
 * not stuffed: lib/smtp/stuff.h makes it safe for DATA. */
void smtp_data_init_octets(struct smtp_data *data,
			   enum smtp_data_policy policy);

/* The last chunk was scanned: decides about a CR at its end, and appends what
 * is still to be stored to out. Once, and no more scanning after it. */
void smtp_data_finish_octets(struct smtp_data *data, struct str *out);

/* Looks at the next len bytes of the stream at buf. Returns 1 when the end of
 * data was found, 0 when not yet. *used_r bytes of the input are consumed (all
 * of them when 0; what follows the end belongs to the next command). Must not
 * be called again after 1.
 *
 * What is to be stored is either the first *keep_r bytes of buf (out
 * untouched; the common case, no copy), or, when something had to change,
 * what was appended to out (*keep_r is 0). The final ".CRLF" is
 * never in it; a dot, or dot and CR, that may be its start are held back and
 * come with a later call. How the stream is cut into calls makes no difference
 * to the whole, which is at most twice as long as what was consumed. */
int smtp_data_scan(struct smtp_data *data, const char *buf, size_t len,
		   size_t *used_r, size_t *keep_r, struct str *out);

#endif
