/* xtext, the form in which a parameter's value holds any byte (RFC 3461 4). */
#ifndef LIB_SMTP_XTEXT_H
#define LIB_SMTP_XTEXT_H

#include <stddef.h>

#include "lib/arena.h"
#include "lib/str.h"

/* Appends text in xtext (RFC 3461 4): bytes other than "!" to "~", and "+" and
 * "=", become +HH. */
void smtp_xtext_write(struct str *out, const char *text, size_t len);

/* Decodes xtext into arena (terminated by a NUL that *len_r does not count, so
 * +00 is for the caller to look for); NULL when it is none. The digits behind
 * "+" are in upper case (RFC 3461 4), or in lower case. */
char *smtp_xtext_parse(struct arena *arena, const char *text, size_t len,
		       size_t *len_r);

/* The same, with bytes past ASCII standing for themselves as well, as ORCPT of
 * type utf-8 has them (RFC 6533 3). */
char *smtp_xtext_parse_utf8(struct arena *arena, const char *text, size_t len,
			    size_t *len_r);

#endif
