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
	unsigned char written[256]; /* how that is; 0: it is not allowed */
	const char *format; /* what is left to do: auth_username_format, to be
			       expanded; NULL: nothing */
};

/* default_realm and format stay the settings'. */
void username_rules_init(struct username_rules *rules,
			 const struct passdb_settings *settings);

/* Whether username_clean() would leave user as it is. */
bool username_is_clean(const struct username_rules *rules, const char *user);

/* Appends user with the realm, if it has no domain, and with its characters
 * translated, and in lower case if that is all that auth_username_format wants.
 * Returns -1 when one of them is not allowed: such a user does not exist.
 * rules->format comes after this; it is a text with variables. */
int username_clean(const struct username_rules *rules, const char *user,
		   struct str *out, struct err *err);

#endif
