/* Mailbox addresses of the envelope (RFC 5321 4.1.2, 4.1.3; RFC 6531).
 *
 * The grammar is that of the RFCs, with UTF-8 (checked) wherever RFC 6531 has
 * it, and two licences that Dovecot takes as well: '-' and '_' anywhere in a
 * domain's labels.
 *
 * Limits: a domain has at most 255 bytes; a mailbox, written with no more
 * quoting than it needs, at most 254 (256 for RFC 5321's path, with < and >).
 * There is none of 64 bytes on local parts: those that SRS, VERP and BATV make
 * are longer. */
#ifndef LIB_SMTP_ADDRESS_H
#define LIB_SMTP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"

#define SMTP_MAILBOX_MAX 254

struct smtp_address {
	const char *localpart; /* unquoted; "" with domain NULL: null path */
	const char *domain;    /* as written, a literal with its brackets;
				  NULL: none given */
	const char *raw;       /* as written between < and >, source route
				  dropped */
	bool utf8;	       /* holds bytes past ASCII */
};

enum smtp_path_flag {
	SMTP_PATH_ALLOW_NULL = 1 << 0,	   /* <> */
	SMTP_PATH_DOMAIN_OPTIONAL = 1 << 1,
	/* lmtp_client_workarounds of Dovecot: */
	SMTP_PATH_SPACE_BEFORE = 1 << 2,   /* whitespace-before-path */
	SMTP_PATH_WITHOUT_BRACKETS = 1 << 3, /* mailbox-for-path */
	/* What stands between < and > and is no mailbox (but has no control
	 * bytes, blanks or '>') is taken as a null path whose raw text can be
	 * passed on: Dovecot does so with MAIL. */
	SMTP_PATH_ALLOW_BROKEN = 1 << 4,
	/* Dots anywhere in a local part without quotes, which are put around it
	 * in the raw form ("a..b"@c): Dovecot does so with RCPT. */
	SMTP_PATH_ALLOW_DOTS = 1 << 5,
};

/* Parses the path at the start of text (after "FROM:" or "TO:"), with source
 * route ("@a,@b:") dropped and quoted local parts unquoted. *rest_r is the
 * offset of what follows it (parameters with their leading space, or nothing).
 * Strings of the result live in arena. Returns -1 and says what is wrong, in
 * words that quote nothing. */
int smtp_path_parse(struct arena *arena, const char *text, size_t len,
		    unsigned flags, struct smtp_address *address_r,
		    size_t *rest_r, struct err *err);

/* Parses user[@domain] without brackets, as a passdb may return it (destuser).
 * A local part that starts with '"' is a quoted string; otherwise it is all
 * that stands before the last '@', whatever it holds besides control bytes. raw
 * is the address as smtp_address_write() writes it. */
int smtp_address_parse(struct arena *arena, const char *text,
		       struct smtp_address *address_r, struct err *err);

/* Appends local part (quoted where it must be), "@" and domain (unless NULL).
 * What this writes reads back as the same address. The local part must hold no
 * control bytes, which no parsed one does. Nothing for the null path. */
void smtp_address_write(struct str *out, const char *localpart,
			const char *domain);

/* Splits localpart at the first of the bytes in delimiters (Dovecot's
 * recipient_delimiter). Returns the length of the user; *detail_r points
 * behind the delimiter, or is NULL. A delimiter in first place splits
 * nothing, nor does a later one then. */
size_t smtp_address_split_detail(const char *localpart, const char *delimiters,
				 const char **detail_r);

#endif
