#include "passdb/driver.h"

#include <string.h>

#include "lib/str.h"

static const struct passdb_driver *const drivers[] = {
	&passdb_bsdauth,
	&passdb_checkpassword,
	&passdb_http_sql,
	&passdb_imap,
	&passdb_ldap,
	&passdb_oauth2,
	&passdb_pam,
	&passdb_passwd,
	&passdb_passwd_file,
	&passdb_shadow,
	&passdb_static,
};
#define DRIVERS (sizeof(drivers) / sizeof(*drivers))

/* Dovecot's other ones. */
static const char *const unsupported[] = {
	"dict", "lua", "sql",
};
#define UNSUPPORTED (sizeof(unsupported) / sizeof(*unsupported))

const struct passdb_driver *passdb_driver_at(unsigned number)
{
	return number < DRIVERS ? drivers[number] : NULL;
}

const char *passdb_driver_unsupported(unsigned number)
{
	return number < UNSUPPORTED ? unsupported[number] : NULL;
}

/* Names those that can look a user up. */
static void put_unknown(struct err *err, const char *name)
{
	struct str text = STR_INIT;
	size_t i;

	for (i = 0; i < DRIVERS; i++) {
		if (drivers[i]->warning == NULL)
			str_printf(&text, "%s%s", text.len > 0 ? ", " : "",
				   drivers[i]->name);
	}
	err_put(err, "unknown passdb driver %.100s (there are %s)", name,
		str_c(&text));
	str_free(&text);
}

const struct passdb_driver *passdb_driver_find(const char *name,
					       struct err *err)
{
	size_t i;

	for (i = 0; i < DRIVERS; i++) {
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	}
	for (i = 0; i < UNSUPPORTED; i++) {
		if (strcmp(unsupported[i], name) != 0)
			continue;
		err_put(err, "passdb driver %s is not supported in this "
			"version", name);
		return NULL;
	}
	if (name[0] == '\0')
		err_put(err, "the passdb has no driver");
	else
		put_unknown(err, name);
	return NULL;
}
