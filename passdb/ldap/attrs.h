/* pass_attrs: which attributes of an entry become which fields.
 *
 * Separated by commas (none inside braces counts):
 *   attr=field           the attribute's (first) value, if there is one
 *   =field=template      always
 *   attr=field=template  only if the entry has the attribute; %$ is its value, which
 *                        comes behind a template without any "%"
 *   @name=attr           attr holds the DN of another entry, whose attributes
 *                        are then "other@name" (also: @name=%{ldap:attr})
 *   !attr                asked for, for %{ldap_ptr:…}
 * Fields may end in ":protected" or ":remove". Templates know the variables of
 * a lookup, %{ldap_dn}, %{ldap:attr:default}, %{ldap_ptr:attr:default} (the
 * value of the attribute that attr, or else default, names) and
 * %{ldap_multi:attr:separator:default}. */
#ifndef PASSDB_LDAP_ATTRS_H
#define PASSDB_LDAP_ATTRS_H

#include "lib/arena.h"
#include "lib/err.h"
#include "passdb/key.h"
#include "passdb/ldap/entry.h"
#include "passdb/request.h"

#define LDAP_MAX_POINTERS 8

struct ldap_field {
	struct passdb_key key;
	const char *attribute; /* NULL: none is needed */
	const char *template;  /* NULL: the attribute's value */
};

/* Another entry. */
struct ldap_pointer {
	const char *name;      /* "" for the user's own */
	const char *attribute; /* of an entry before: its DN */
	const char *const *wanted; /* what to ask of it; NULL at the end */
};

struct ldap_attrs {
	struct ldap_field *fields;
	unsigned field_count;
	struct ldap_pointer entries[LDAP_MAX_POINTERS + 1]; /* the first: the
							       user's own */
	unsigned entry_count;
};

/* Reads pass_attrs; vars: the variables of a lookup, to check templates with.
 * What only becomes a password is left out, and so is not asked for. Strings
 * live in arena. */
int ldap_attrs_parse(struct ldap_attrs *attrs, struct arena *arena,
		     const char *text, const struct var_source *vars,
		     struct err *err);

/* The entries that were found for one user, as many as attrs has (NULL: it is
 * not there). */
struct ldap_found {
	const struct ldap_attrs *attrs;
	const struct ldap_entry *entries[LDAP_MAX_POINTERS + 1];
};

/* The values of "attr" or "attr@name" (len bytes); NULL: there are none. */
const char *const *ldap_found_values(const struct ldap_found *found,
				     const char *name, size_t len);

/* Appends what of the lookup the fields depend on, beside the entries: the values
 * of its variables in templates, which may not be in an %{if} (of which it could
 * depend on the entries whether they matter). -1: one has none. */
int ldap_attrs_put_key(const struct ldap_attrs *attrs,
		       const struct passdb_request *request, struct str *key);

/* Sets the request's fields. */
int ldap_attrs_put(const struct ldap_attrs *attrs,
		   const struct ldap_found *found,
		   struct passdb_request *request, struct err *err);

#endif
