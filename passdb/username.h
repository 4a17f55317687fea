/* The name of a user before it is looked up: auth_default_realm,
 * auth_username_translation, auth_username_chars, auth_username_format. */
#ifndef PASSDB_USERNAME_H
#define PASSDB_USERNAME_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/str.h"
#include "passdb/passdb_settings.h"

/* The settings, prepared. */
struct username_rules {
	const char *default_realm;
	unsigned char translation[256]; /* each byte's replacement */
	bool allowed[256];
};

/* default_realm stays the settings'. */
void username_rules_init(struct username_rules *rules,
			 const struct passdb_settings *settings);

/* Appends user with the realm, if it has no domain, and with its characters
 * translated. Returns -1 when one of them is not allowed: such a user does not
 * exist. auth_username_format comes after this; it is a text with variables. */
int username_clean(const struct username_rules *rules, const char *user,
		   struct str *out, struct err *err);

#endif
