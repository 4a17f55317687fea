/* Fields of the header of a mail (RFC 5322 2.2). */
#ifndef BACKENDS_LOCAL_MAIL_FIELD_H
#define BACKENDS_LOCAL_MAIL_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/str.h"

/* Appends the first field of that name (its case does not matter) in the header that
 * text begins with: unfolded, without blanks in front, NULs and tabs as blanks. Lines end with LF
 * or CRLF; a last one without an end does not count: there is more of it elsewhere.
 * False: there is no such field. */
bool mail_field_find(struct str *out, const char *text, size_t len,
		     const char *name);

#endif
