/* The names of the filter local_name. */
#ifndef LIB_TLS_NAME_H
#define LIB_TLS_NAME_H

#include <stdbool.h>

#include "lib/str.h"

/* Whether host (a name from SNI) is one of names, which are separated by
 * spaces, as Dovecot compares them: case does not matter, "?" is any one
 * character (here, none but a dot), and "*", in front of a dot, the rest of one
 * label: "*.example.org" is "mx.example.org", but not "a.mx.example.org" and not
 * "example.org".
 *
 * host may also be such a pattern (one, without spaces): then it is asked
 * whether all that it is, the names are. */
bool tls_name_match(const char *names, const char *host);

/* What both of two such names or patterns are, as a name or pattern: of "*.example"
 * and "m?.example" the second, of "m*.example" and "?x.example" "mx.example". False:
 * nothing is, and out is of no use. */
bool tls_name_meet(const char *a, const char *b, struct str *out);

#endif
