/* Values for where they stand in what an LDAP server is asked. Both are as
 * var_source.escape wants them: they rewrite what is behind the first from
 * bytes of out, whatever it is, and never fail. */
#ifndef PASSDB_LDAP_ESCAPE_H
#define PASSDB_LDAP_ESCAPE_H

#include "lib/err.h"
#include "lib/str.h"

/* A value in a search filter (RFC 4515 3). */
int ldap_escape_filter(struct str *out, size_t from, struct err *err);

/* A value, or a part of one, in a DN (RFC 4514 2.4). */
int ldap_escape_dn(struct str *out, size_t from, struct err *err);

#endif
