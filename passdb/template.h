/* "proxy=y host=%d.example nopassword": fields that a configuration gives, with
 * variables, read once. */
#ifndef PASSDB_TEMPLATE_H
#define PASSDB_TEMPLATE_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "passdb/key.h"
#include "passdb/var/var.h"

struct passdb_template_field {
	struct passdb_key key;
	const char *value; /* "" when there is none */
	bool has_vars;
};

struct passdb_template {
	struct passdb_template_field *fields;
	unsigned count;
};

/* Reads text: fields separated by blanks. The strings live in arena. Variables
 * are checked against vars. Returns 0, or -1 for an empty key or a variable
 * that does not work. */
int passdb_template_parse(struct passdb_template *template,
			  struct arena *arena, const char *text,
			  const struct var_source *vars, struct err *err);

#endif
