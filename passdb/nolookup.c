/* Drivers that cannot say where a user lives. Some can only check a password
 * that a client gave, and there is none in a lookup for mail; others know the
 * users of this machine, whose mail has no backend. */
#include "passdb/driver.h"

static void *nolookup_open(const struct passdb_open *open, struct err *err)
{
	(void)err;
	return (void *)open->block; /* something that is not NULL */
}

static void nolookup_close(void *shared)
{
	(void)shared;
}

static enum passdb_answer nolookup_lookup(void *state,
					  struct passdb_request *request)
{
	(void)state;
	request->reason = "Configured passdbs don't support credentials "
			  "lookups";
	return PASSDB_ANSWER_FAIL;
}

#define NOLOOKUP_DRIVER(driver_name, problem) \
	{ \
		.name = driver_name, \
		.warning = problem ": here it fails internally for every user", \
		.open = nolookup_open, \
		.close = nolookup_close, \
		.lookup = nolookup_lookup, \
	}
#define PASSWORD_DRIVER(driver_name) \
	NOLOOKUP_DRIVER(driver_name, \
			"cannot look up a user without a password")
#define LOCAL_DRIVER(driver_name) \
	NOLOOKUP_DRIVER(driver_name, \
			"knows only local users, who have no backend")

/* Dovecot's userdbs that we do not have. A site that only passes mail on needs
 * none, and may have one in its configuration. */
static enum passdb_answer unsupported_lookup(void *state,
					     struct passdb_request *request)
{
	(void)state;
	passdb_request_error(request, "this driver is not supported");
	return PASSDB_ANSWER_FAIL;
}

#define UNSUPPORTED_DRIVER(driver_name) \
	{ \
		.name = driver_name, \
		.warning = "is not supported in this version: here it fails " \
			   "internally for every user", \
		.open = nolookup_open, \
		.close = nolookup_close, \
		.lookup = unsupported_lookup, \
	}

const struct passdb_driver userdb_checkpassword =
	UNSUPPORTED_DRIVER("checkpassword");
const struct passdb_driver userdb_dict = UNSUPPORTED_DRIVER("dict");
const struct passdb_driver userdb_lua = UNSUPPORTED_DRIVER("lua");
const struct passdb_driver userdb_sql = UNSUPPORTED_DRIVER("sql");

const struct passdb_driver passdb_bsdauth = PASSWORD_DRIVER("bsdauth");
const struct passdb_driver passdb_checkpassword =
	PASSWORD_DRIVER("checkpassword");
const struct passdb_driver passdb_imap = PASSWORD_DRIVER("imap");
const struct passdb_driver passdb_oauth2 = PASSWORD_DRIVER("oauth2");
const struct passdb_driver passdb_pam = PASSWORD_DRIVER("pam");
const struct passdb_driver passdb_passwd = LOCAL_DRIVER("passwd");
const struct passdb_driver passdb_shadow = LOCAL_DRIVER("shadow");
