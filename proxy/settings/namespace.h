/* The namespace of INBOX, which Dovecot has in a section namespace { inbox = yes }: where
 * its mailboxes are, and what they are called. */
#ifndef PROXY_SETTINGS_NAMESPACE_H
#define PROXY_SETTINGS_NAMESPACE_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/conf/schema.h"
#include "lib/conf/tree.h"

struct namespace_settings {
	bool inbox; /* it is there */
	const char *location;  /* variables; "": none of its own */
	const char *prefix;
	const char *separator; /* "": that of the layout */
};

extern const struct conf_table settings_namespace_table;

/* Binds the last section of root with inbox = yes; or, if there is none, nothing but
 * defaults. Strings live in arena. */
void settings_namespace_bind(struct arena *arena, const struct conf_node *root,
			     struct namespace_settings *inbox_r);

/* Reports what is wrong with it. */
void settings_namespace_check(const struct conf_node *root,
			      const struct namespace_settings *inbox,
			      struct conf_errors *errors);

#endif
