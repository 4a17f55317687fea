/* The fields uid and gid of userdbs: numbers, or names of users and groups of
 * the system. */
#ifndef PASSDB_USERDB_IDS_H
#define PASSDB_USERDB_IDS_H

#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "passdb/template.h"

enum userdb_id { USERDB_UID, USERDB_GID };

/* Reads a decimal number that can be an id: up to 4294967294. */
int userdb_id_parse(enum userdb_id which, const char *text, uint32_t *id_r,
		    struct err *err);

/* The same, where text may also be a name. Asks NSS, which may take its time:
 * never on a worker's loop. -1 when there is nobody of that name, and when NSS
 * cannot say. */
int userdb_id_resolve(enum userdb_id which, const char *text, uint32_t *id_r,
		      struct err *err);

/* Puts numbers for the names in the fields uid and gid of a template that a
 * configuration gives, as far as they have no variables; strings live in arena.
 * Asks NSS. */
int userdb_template_settle(struct passdb_template *template,
			   struct arena *arena, struct err *err);

#endif
