/* Dot-stuffing (RFC 5321 4.5.2) put in and taken out on the way from a spool to
 * a peer: nothing is copied, the pieces that go out point into those that came
 * in.
 *
 * What form a spool keeps: the one that the body came in. From DATA that is the
 * wire form of DATA, dots stuffed, as smtp_data_scan() stores it; from BDAT
 * the octets as they are. Thus a body is never rewritten on the way in, nor
 * for peers that take it as it came (DATA to DATA, BDAT to BDAT: the usual
 * cases, and the only ones where the length is known beforehand); each reader
 * whose peer speaks the other way converts for itself. Added header lines do
 * not start with a dot, so they are the same in both forms.
 *
 * A dot is stuffed wherever some reader might see a line begin: at the start
 * of the body, behind CR, behind LF, and behind NULs that follow one of these.
 * In text whose lines end with CRLF that is plain dot-stuffing. With other
 * bytes in it (they come this far by SMTP_DATA_PASS only) it is the rule of
 * lib/smtp/data.h, so that no octets of a chunk can end the data of a peer
 * that takes bare CR or LF for the end of a line. Taking the dots out goes by
 * the same rule, and gives exactly what was put in. */
#ifndef LIB_SMTP_STUFF_H
#define LIB_SMTP_STUFF_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum smtp_form {
	SMTP_FORM_DOTS,	  /* of DATA: stuffed, without the final ".CRLF" */
	SMTP_FORM_OCTETS, /* of BDAT */
};

#define SMTP_STUFF_PIECES 64

/* One body on its way to one peer: what is known of the bytes behind us. */
struct smtp_stuff {
	enum smtp_form from, to;
	bool line_starts; /* with the next byte, for some reader */
	bool dot_sent;	  /* the dot that belongs before the next byte */
	char tail[2];	  /* the last bytes; CRLF at the start */
};

/* What goes out for some of the body. */
struct smtp_stuffed {
	/* There is always room for one more, the caller's. */
	struct iovec iov[SMTP_STUFF_PIECES + 1];
	int count;
	size_t len, limit; /* of all of them */
	/* Where each one starts in the input; at [count]: where they end. */
	size_t at[SMTP_STUFF_PIECES + 1];
};

void smtp_stuff_init(struct smtp_stuff *stuff, enum smtp_form from,
		     enum smtp_form to);

/* Fills *stuffed_r with the form that the peer wants of the next bytes of the
 * body, in[0..count): as far as SMTP_STUFF_PIECES reach, and no more than limit
 * bytes: the rest of a chunk that was announced, or what the socket may take,
 * since all that goes into *stuffed_r is looked at. Changes nothing in *stuff:
 * calls with more and more of the same body give the same bytes. */
void smtp_stuff_map(const struct smtp_stuff *stuff, const struct iovec *in,
		    int count, size_t limit, struct smtp_stuffed *stuffed_r);

/* The first `sent` bytes of *stuffed, which was made from in[0..count), are on
 * their way. Returns how many bytes of the input are done with (for
 * spool_advance()); the next call of smtp_stuff_map() starts behind them. */
size_t smtp_stuff_advance(struct smtp_stuff *stuff, const struct iovec *in,
			  int count, const struct smtp_stuffed *stuffed,
			  size_t sent);

/* What ends the data behind the whole body: ".CRLF", with a CRLF before it when
 * the body does not end with one and is not empty; "" for a peer that takes
 * octets. */
const char *smtp_stuff_end(const struct smtp_stuff *stuff);

#endif
