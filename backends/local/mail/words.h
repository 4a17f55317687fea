/* Encoded words in the header of a mail (RFC 2047). */
#ifndef BACKENDS_LOCAL_MAIL_WORDS_H
#define BACKENDS_LOCAL_MAIL_WORDS_H

#include <stddef.h>

#include "lib/str.h"

/* Appends the text of an unstructured field, in UTF-8, as Dovecot logs it: encoded words
 * are decoded, wherever they stand, and blanks between two of them are left out; a run
 * of bytes that are no text becomes U+FFFD, and a NUL a blank. Words stay encoded whose
 * charset is none of UTF-8, US-ASCII, ISO-8859-1, ISO-8859-15 and windows-1252: to know
 * all others is iconv's, which strangers would then tell what code to load. */
void mail_words_decode(struct str *out, const char *text, size_t len);

#endif
