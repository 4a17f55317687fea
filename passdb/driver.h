/* What a driver of passdbs or userdbs is. The drivers stand in two tables in
 * driver.c. */
#ifndef PASSDB_DRIVER_H
#define PASSDB_DRIVER_H

#include <stdbool.h>

#include "lib/conf/tree.h"
#include "lib/dns.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "passdb/passdb.h"
#include "passdb/passdb_settings.h"
#include "passdb/request.h"
#include "passdb/var/var.h"

/* What a passdb says about a user. */
enum passdb_answer {
	PASSDB_ANSWER_FOUND,
	PASSDB_ANSWER_NOT_FOUND,
	PASSDB_ANSWER_FAIL, /* cannot say; logged by the driver */
	PASSDB_ANSWER_WAIT, /* comes later, through passdb_answer() */
};

/* What open() works with. */
struct passdb_open {
	struct loop *control; /* NULL: nothing but a check */
	/* Files that are configuration, and may hold secrets, are read through
	 * its tree, so that the worker process gets them; data is not read in a
	 * check. */
	const struct passdb_settings *settings;
	enum passdb_kind kind; /* of the block */
	const struct passdb_block *block;
	const struct var_source *vars; /* to check texts with variables */
	/* What this one takes the place of, to go on with what that has read;
	 * NULL: nothing. */
	const struct passdb_shared *earlier;
	/* Those of the same settings that are opened already. */
	const struct passdb_shared *opened;
	/* For what is wrong in files of the driver's own, and for warnings
	 * (only in a check), where they stand. */
	struct conf_errors *errors;
};

/* What loop_open() works with: the worker's. */
struct passdb_env {
	struct loop *loop;
	struct dns *dns;
};

struct passdb_driver {
	const char *name; /* as in "driver = name" */
	/* What is said, behind the name, to who configures it; NULL: nothing.
	 */
	const char *warning;

	/* Reads the block's args and opens what all threads share. NULL and
	 * *err, empty when all was said in open->errors: it cannot work. On the
	 * control loop's thread. */
	void *(*open)(const struct passdb_open *open, struct err *err);

	/* Releases what open() returned, on the control loop's thread, when no
	 * lookup can be under way any more. */
	void (*close)(void *shared);

	/* What one worker's loop needs of its own (connections); NULL when the
	 * driver needs nothing. */
	void *(*loop_open)(const struct passdb_env *env, void *shared);
	void (*loop_close)(void *own);

	/* Looks request->username up; sets fields with passdb_request_put() as
	 * it finds them. Never blocks. state is loop_open()'s, else open()'s. */
	enum passdb_answer (*lookup)(void *state,
				     struct passdb_request *request);

	/* Appends what the answer to request depends on: the values of the
	 * variables that this passdb's queries use. Returns false when the
	 * answer cannot be kept. NULL: answers are not worth keeping. */
	bool (*cache_key)(void *state, const struct passdb_request *request,
			  struct str *key);

	/* How many lookups of that loop wait for a connection to ask over, now;
	 * NULL: they never have to. */
	unsigned (*waiting)(void *own);

	/* Forgets a lookup that waits (NULL: this driver's never do):
	 * passdb_answer() is not called for it. */
	void (*cancel)(struct passdb_request *request);
};

/* The driver called name for blocks of that kind; NULL and *err when there is
 * none. */
const struct passdb_driver *passdb_driver_find(enum passdb_kind kind,
					       const char *name,
					       struct err *err);

/* The drivers of that kind, by number from 0; NULL behind the last. */
const struct passdb_driver *passdb_driver_at(enum passdb_kind kind,
					     unsigned number);

/* The names of those of Dovecot's that there are not, the same way. */
const char *passdb_driver_unsupported(enum passdb_kind kind, unsigned number);

/* The answer to a lookup that waited; not from within lookup(). */
void passdb_answer(struct passdb_request *request, enum passdb_answer answer);

extern const struct passdb_driver passdb_static;

/* For passdbs and userdbs. */
extern const struct passdb_driver passdb_http_sql, passdb_ldap,
	passdb_passwd_file;

/* Those that only check passwords, and those that know only local users. */
extern const struct passdb_driver passdb_bsdauth, passdb_checkpassword,
	passdb_imap, passdb_oauth2, passdb_pam;
extern const struct passdb_driver passdb_passwd, passdb_shadow;

/* For userdbs alone. */
extern const struct passdb_driver userdb_passwd, userdb_prefetch, userdb_static;
extern const struct passdb_driver userdb_checkpassword, userdb_dict, userdb_lua,
	userdb_sql; /* not supported */

#endif
