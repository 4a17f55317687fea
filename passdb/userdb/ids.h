/* The fields uid and gid of userdbs: numbers, or names of users and groups of
 * the system. */
#ifndef PASSDB_USERDB_IDS_H
#define PASSDB_USERDB_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/nss.h"
#include "passdb/template.h"

/* Whether text is no decimal number. */
bool userdb_id_is_name(const char *text);

/* Reads a decimal number that can be an id: up to 4294967294. */
int userdb_id_parse(enum nss_what what, const char *text, uint32_t *id_r,
		    struct err *err);

/* The id in what NSS says of name; -1 when it says that there is nobody, or
 * cannot say. */
int userdb_id_of(enum nss_what what, const char *name, int status,
		 const struct nss_entry *entry, uint32_t *id_r,
		 struct err *err);

/* The id that text is, or that NSS says the name has: asked in the calling thread,
 * never on a worker's loop. */
int userdb_id_find(enum nss_what what, const char *text, uint32_t *id_r,
		   struct err *err);

/* Puts numbers for the names in the fields uid and gid of a template that a
 * configuration gives, as far as they have no variables, as userdb_id_find() does;
 * strings live in arena. */
int userdb_template_settle(struct passdb_template *template,
			   struct arena *arena, struct err *err);

#endif
