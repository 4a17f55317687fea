#include "passdb/driver.h"

#include <string.h>

#include "lib/str.h"
#include "passdb/shared.h"

static const struct passdb_driver *const passdb_drivers[] = {
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
	NULL,
};

static const struct passdb_driver *const userdb_drivers[] = {
	&userdb_checkpassword,
	&userdb_dict,
	&passdb_http_sql,
	&passdb_ldap,
	&userdb_lua,
	&userdb_passwd,
	&passdb_passwd_file,
	&userdb_prefetch,
	&userdb_sql,
	&userdb_static,
	NULL,
};

/* Dovecot's other ones. */
static const char *const passdb_unsupported[] = {
	"dict", "lua", "sql", NULL,
};
static const char *const userdb_unsupported[] = {
	NULL,
};

static const struct {
	const struct passdb_driver *const *drivers;
	const char *const *unsupported;
} kinds[PASSDB_KINDS] = {
	[PASSDB_KIND_PASS] = { passdb_drivers, passdb_unsupported },
	[PASSDB_KIND_USER] = { userdb_drivers, userdb_unsupported },
};

const struct passdb_driver *passdb_driver_at(enum passdb_kind kind,
					     unsigned number)
{
	return kinds[kind].drivers[number];
}

const char *passdb_driver_unsupported(enum passdb_kind kind, unsigned number)
{
	return kinds[kind].unsupported[number];
}

/* Names those that can look a user up. */
static void put_unknown(struct err *err, enum passdb_kind kind,
			const char *name)
{
	const struct passdb_driver *const *driver = kinds[kind].drivers;
	struct str text = STR_INIT;

	for (; *driver != NULL; driver++) {
		if ((*driver)->warning == NULL)
			str_printf(&text, "%s%s", text.len > 0 ? ", " : "",
				   (*driver)->name);
	}
	err_put(err, "unknown %s driver %.100s (there are %s)",
		passdb_kind_name(kind), name, str_c(&text));
	str_free(&text);
}

const struct passdb_driver *passdb_driver_find(enum passdb_kind kind,
					       const char *name,
					       struct err *err)
{
	const struct passdb_driver *const *driver = kinds[kind].drivers;
	const char *const *other = kinds[kind].unsupported;

	for (; *driver != NULL; driver++) {
		if (strcmp((*driver)->name, name) == 0)
			return *driver;
	}
	for (; *other != NULL; other++) {
		if (strcmp(*other, name) != 0)
			continue;
		err_put(err, "%s driver %s is not supported in this version%s",
			passdb_kind_name(kind), name,
			strcmp(name, "sql") == 0 ? ": http-sql asks databases that "
			"answer over HTTP, see waypost-http-sql(5)" : "");
		return NULL;
	}
	if (name[0] == '\0')
		err_put(err, "the %s has no driver", passdb_kind_name(kind));
	else
		put_unknown(err, kind, name);
	return NULL;
}
