/* A configuration in canonical form, as waypost -n, -N, -a and -d print it. */
#ifndef LIB_CONF_DUMP_H
#define LIB_CONF_DUMP_H

#include "lib/conf/schema.h"
#include "lib/conf/tree.h"
#include "lib/str.h"

enum conf_dump_mode {
	CONF_DUMP_CHANGED,  /* -n: what differs from the defaults */
	CONF_DUMP_SET,	    /* -N: also what was set to the default */
	CONF_DUMP_ALL,	    /* -a: every setting */
	CONF_DUMP_DEFAULTS, /* -d: every setting, as if nothing was set */
	CONF_DUMP_ORIGINS,  /* as -N, with file and line of each setting */
};

/* Appends the settings of a tree that conf_check() has nothing against. What
 * is written can be read as a configuration, and dumps as the same text. All
 * but -d end with comment lines that name the settings that were accepted
 * without effect. Contents of files are never printed, only their names; for
 * the value of a secret setting there stands "# hidden". */
void conf_dump(const struct conf_schema *top, const struct conf_tree *tree,
	       enum conf_dump_mode mode, struct str *out);

#endif
