/* Fields that mean something to the lookup itself: "user", "username" and
 * "domain" change the name; "allow_nets", "allow_real_nets" and "fail" can
 * refuse the user; passwords are dropped; "userdb_*" and others only matter as
 * long as the lookup goes on. */
#ifndef PASSDB_SPECIAL_H
#define PASSDB_SPECIAL_H

#include <stdbool.h>

#include "lib/err.h"
#include "passdb/passdb_settings.h"

struct passdb_request;

/* What becomes of a field once that is done. */
enum passdb_special_fate {
	PASSDB_SPECIAL_HIDE, /* keep it until the lookup is over: for
				":protected" and %{passdb:…} */
	PASSDB_SPECIAL_DROP,
};

/* Does what a field says, and returns its fate; -1 when the value is broken.
 * value lives as long as the request's fields. */
typedef int passdb_special_fn(struct passdb_request *request,
			      const char *value, struct err *err);

struct passdb_special {
	const char *name;
	passdb_special_fn *put[PASSDB_KINDS]; /* NULL: ordinary there */
};

/* What passdbs say for userdbs is in fields whose names begin so. */
#define PASSDB_USERDB_PREFIX "userdb_"

/* What special does in a lookup of that kind; NULL: nothing, as for an ordinary
 * field, which special == NULL is. */
passdb_special_fn *passdb_special_put(const struct passdb_special *special,
				      enum passdb_kind kind);

/* Whether it does nothing but hide its field. */
bool passdb_special_only_hides(const struct passdb_special *special,
			       enum passdb_kind kind);

/* The names of those of that kind, by number from 0; NULL behind the last. One
 * that ends in "_" is what the names of any number of fields begin with. */
const char *passdb_special_name(enum passdb_kind kind, unsigned number);

/* NULL for an ordinary field. */
const struct passdb_special *passdb_special_find(const char *name);

#endif
