/* What an LDAP server says about one object. All of it lives in an arena. */
#ifndef PASSDB_LDAP_ENTRY_H
#define PASSDB_LDAP_ENTRY_H

#include <stddef.h>

/* An entry that holds more (names and values of the attributes that were asked
 * for) is not kept. */
#define LDAP_ENTRY_MAX_BYTES (64 * 1024)

struct ldap_attribute {
	const char *name;
	const char *const *values; /* NULL at the end; at least one */
};

struct ldap_entry {
	const char *dn;
	const struct ldap_attribute *attributes;
	unsigned count;
	const char *problem; /* why it cannot be used; NULL: it can */
};

/* The values of an attribute, whatever the case of its name; NULL when it is
 * not there. */
const char *const *ldap_entry_values(const struct ldap_entry *entry,
				     const char *name, size_t len);

#endif
