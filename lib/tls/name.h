/* The names of the filter local_name. */
#ifndef LIB_TLS_NAME_H
#define LIB_TLS_NAME_H

#include <stdbool.h>

/* Whether host (a name from SNI) is one of names, which are separated by
 * spaces, as Dovecot compares them: case does not matter, "?" is any one
 * character, and "*", in front of a dot, the rest of one label:
 * "*.example.org" is "mx.example.org", but not "a.mx.example.org" and not
 * "example.org".
 *
 * host may also be such a pattern (one, without spaces): then it is asked
 * whether all that it is, the names are. */
bool tls_name_match(const char *names, const char *host);

#endif
