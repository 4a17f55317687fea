#include "passdb/username.h"

#include <string.h>

void username_rules_init(struct username_rules *rules,
			 const struct passdb_settings *settings)
{
	const char *c;
	unsigned i;

	rules->default_realm = settings->default_realm;
	for (i = 0; i < 256; i++) {
		rules->translation[i] = (unsigned char)i;
		rules->allowed[i] = settings->username_chars[0] == '\0';
	}
	for (c = settings->username_chars; *c != '\0'; c++)
		rules->allowed[(unsigned char)*c] = true;
	/* Pairs; the last of an odd number means nothing. */
	for (c = settings->username_translation; c[0] != '\0' && c[1] != '\0';
	     c += 2)
		rules->translation[(unsigned char)c[0]] = (unsigned char)c[1];
}

int username_clean(const struct username_rules *rules, const char *user,
		   struct str *out, struct err *err)
{
	size_t i, from = out->len;

	str_puts(out, user);
	if (rules->default_realm[0] != '\0' && strchr(user, '@') == NULL)
		str_printf(out, "@%s", rules->default_realm);
	for (i = from; i < out->len; i++) {
		unsigned char c =
			rules->translation[(unsigned char)out->data[i]];

		if (!rules->allowed[c])
			return err_set(err, "character 0x%02x is not in "
				       "auth_username_chars", c);
		out->data[i] = (char)c;
	}
	return 0;
}
