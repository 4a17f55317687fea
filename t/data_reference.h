/* What smtp_data_scan() must do, said another way: over the whole stream at
 * once, by looking around each byte. For the unit test and the fuzz target. */
#ifndef T_DATA_REFERENCE_H
#define T_DATA_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/smtp/data.h"
#include "lib/str.h"

/* Where the end (".CRLF" after CRLF, or at the start) begins in in[0..len);
 * -1: nowhere. */
long data_reference_end(const char *in, size_t len);

/* Appends what is stored of in[0..len), which is followed by the end. Returns
 * whether REJECT refuses it. */
bool data_reference_store(enum smtp_data_policy policy, const char *in,
			  size_t len, struct str *out);

/* The same for octets of chunks, which are not stuffed and not followed by an
 * end. */
bool data_reference_store_octets(enum smtp_data_policy policy, const char *in,
				 size_t len, struct str *out);

/* Whether a reader that takes CR, LF and CRLF each for the end of a line, and
 * does not see NULs, finds a line "." in it. */
bool data_reference_lax_end(const char *in, size_t len);

#endif
