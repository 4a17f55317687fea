#include "passdb/ldap/entry.h"

#include <string.h>
#include <strings.h>

const char *const *ldap_entry_values(const struct ldap_entry *entry,
				     const char *name, size_t len)
{
	unsigned i;

	for (i = 0; i < entry->count; i++) {
		const struct ldap_attribute *attribute = &entry->attributes[i];

		if (strncasecmp(attribute->name, name, len) == 0 &&
		    attribute->name[len] == '\0')
			return attribute->values;
	}
	return NULL;
}
