/* Between var/var.c, var/modifier.c, var/hash.c and var/if.c. */
#ifndef PASSDB_VAR_PRIVATE_H
#define PASSDB_VAR_PRIVATE_H

#include <stdbool.h>

#include "passdb/var/var.h"

/* One expansion. */
struct var_job {
	const struct var_source *source;
	struct err *err;
	bool checking; /* values mean nothing: var_check() */
	bool raw;      /* values are compared or hashed: not escaped */
	unsigned depth;
};

/* What stands between the % and the variable. */
struct var_spec {
	int offset, width;
	bool zero_padding;
	const char *modifiers; /* modifier_count letters */
	unsigned modifier_count;
};

int var_job_expand(struct var_job *job, struct str *out, const char *text);

/* Appends the raw value of the variable with a long name: the name_len bytes
 * at name, as they stand between the braces. */
int var_job_long(struct var_job *job, struct str *out, const char *name,
		 size_t name_len);

/* Whether c is a modifier. */
bool var_is_modifier(char c);

/* Modifies what stands behind the first from bytes of out. */
int var_modify(struct str *out, size_t from, struct var_spec *spec,
	       struct err *err);

/* The modifier D: "." becomes ",dc=" behind the first from bytes of out. */
void var_modify_dn(struct str *out, size_t from);

/* %{if;…}: args is what follows the "if". The branch taken is appended,
 * already escaped. */
int var_if(struct var_job *job, struct str *out, const char *args);

/* The comparisons that it knows, by number from 0; NULL behind the last. */
const char *var_if_operator(unsigned number);

/* %{md5;options:field}: 1 when algo_len bytes at name name a hash and its
 * value was appended, 0 when they do not, -1 on failure. options and field
 * come without separators. */
int var_hash(struct var_job *job, struct str *out, const char *algo,
	     const char *options, const char *field);

#endif
