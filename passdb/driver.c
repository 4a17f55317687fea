#include "passdb/driver.h"

#include <string.h>

#include "lib/str.h"

static const struct passdb_driver *const drivers[] = {
	&passdb_bsdauth,
	&passdb_imap,
	&passdb_oauth2,
	&passdb_pam,
	&passdb_passwd_file,
	&passdb_static,
};

/* Dovecot's other ones. */
static const char *const unsupported[] = {
	"checkpassword", "dict", "ldap", "lua", "passwd", "shadow", "sql",
};

const struct passdb_driver *passdb_driver_find(const char *name,
					       struct err *err)
{
	size_t i;

	for (i = 0; i < sizeof(drivers) / sizeof(*drivers); i++) {
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	}
	for (i = 0; i < sizeof(unsupported) / sizeof(*unsupported); i++) {
		if (strcmp(unsupported[i], name) != 0)
			continue;
		err_put(err, "driver '%s' is not supported in this version",
			name);
		return NULL;
	}
	err_put(err, "unknown driver '%s'", name);
	return NULL;
}
