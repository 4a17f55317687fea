/* Drivers that can only check a password that a client gave. There is none in
 * a lookup for mail, so they cannot say whether a user exists. */
#include "lib/log.h"
#include "passdb/driver.h"

static void *nolookup_open(const struct passdb_open *open, struct err *err)
{
	const struct passdb_block *block = open->block;

	(void)err;
	log_warning(NULL, "%s:%u: passdb %s cannot look users up without "
		    "their password: it counts as an internal failure, and "
		    "users that no other passdb finds are deferred",
		    block->file, block->line, block->driver);
	return (void *)block; /* something that is not NULL */
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

#define NOLOOKUP_DRIVER(driver_name) \
	{ \
		.name = driver_name, \
		.open = nolookup_open, \
		.close = nolookup_close, \
		.lookup = nolookup_lookup, \
	}

const struct passdb_driver passdb_pam = NOLOOKUP_DRIVER("pam");
const struct passdb_driver passdb_bsdauth = NOLOOKUP_DRIVER("bsdauth");
const struct passdb_driver passdb_imap = NOLOOKUP_DRIVER("imap");
const struct passdb_driver passdb_oauth2 = NOLOOKUP_DRIVER("oauth2");
