/* Fields that mean something to the lookup itself: "user", "username" and
 * "domain" change the name; "allow_nets", "allow_real_nets" and "fail" can
 * refuse the user; passwords are dropped; "userdb_*" and others only matter as
 * long as the lookup goes on. */
#ifndef PASSDB_SPECIAL_H
#define PASSDB_SPECIAL_H

#include "lib/err.h"

struct passdb_request;

/* What becomes of a field once that is done. */
enum passdb_special_fate {
	PASSDB_SPECIAL_HIDE, /* keep it until the lookup is over: for
				":protected" and %{passdb:…} */
	PASSDB_SPECIAL_DROP,
};

struct passdb_special {
	const char *name;
	/* Does what the field says, and returns its fate; -1 when the value is
	 * broken. value lives as long as the request's fields. */
	int (*put)(struct passdb_request *request, const char *value,
		   struct err *err);
};

/* The names of all of them, by number from 0; NULL behind the last. One that
 * ends in "_" is what the names of any number of fields begin with. */
const char *passdb_special_name(unsigned number);

/* NULL for an ordinary field. */
const struct passdb_special *passdb_special_find(const char *name);

#endif
