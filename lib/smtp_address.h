/* Mailbox addresses of the envelope (RFC 5321 4.1.2, 4.1.3; RFC 6531). */
#ifndef LIB_SMTP_ADDRESS_H
#define LIB_SMTP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"

struct smtp_address {
	const char *localpart; /* unquoted; "" with domain NULL: null path */
	const char *domain;    /* NULL: none given (allowed in RCPT) */
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
};

/* Parses the path at the start of text (after "FROM:" or "TO:"), with source
 * route ("@a,@b:") dropped and quoted local parts unquoted. *rest_r is what
 * follows it (parameters with their leading space, or ""). Strings of the
 * result live in arena. Returns -1 and says what is wrong. */
int smtp_path_parse(struct arena *arena, const char *text, size_t len,
		    unsigned flags, struct smtp_address *address_r,
		    size_t *rest_r, struct err *err);

/* Parses user[@domain] without brackets, as a passdb may return it (destuser),
 * local part quoted or not. */
int smtp_address_parse(struct arena *arena, const char *text,
		       struct smtp_address *address_r, struct err *err);

/* Appends local part (quoted where it must be), "@" and domain. What this
 * writes reads back as the same address. */
void smtp_address_write(struct str *out, const char *localpart,
			const char *domain);

/* Splits localpart at the first of the bytes in delimiters (Dovecot's
 * recipient_delimiter). Returns the length of the user; *detail_r points
 * behind the delimiter, or is NULL. A delimiter in first place splits
 * nothing. */
size_t smtp_address_split_detail(const char *localpart, const char *delimiters,
				 const char **detail_r);

#endif
