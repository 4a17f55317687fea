#include "passdb/username.h"

#include <string.h>

/* The usual formats need no variables: here is how they have the byte written;
 * 0: it is not allowed. */
static unsigned char written_byte(const char *allowed, unsigned char c,
				  bool lower)
{
	if (c == '\0' || (allowed[0] != '\0' && strchr(allowed, c) == NULL))
		return '\0';
	return (unsigned char)(lower && c >= 'A' && c <= 'Z' ? c - 'A' + 'a'
							     : c);
}

void username_rules_init(struct username_rules *rules,
			 const struct passdb_settings *settings)
{
	const char *format = settings->username_format, *c;
	bool lower = strcmp(format, "%Lu") == 0;
	unsigned i;

	*rules = (struct username_rules){
		.default_realm = settings->default_realm,
		.format = lower || format[0] == '\0' ? NULL : format,
	};
	for (i = 1; i < 256; i++)
		rules->translation[i] = (unsigned char)i;
	/* Pairs; the last of an odd number means nothing. */
	for (c = settings->username_translation; c[0] != '\0' && c[1] != '\0';
	     c += 2)
		rules->translation[(unsigned char)c[0]] = (unsigned char)c[1];
	for (i = 1; i < 256; i++)
		rules->written[i] = written_byte(settings->username_chars,
						 rules->translation[i], lower);
}

static bool lacks_realm(const struct username_rules *rules, const char *user)
{
	return rules->default_realm[0] != '\0' && strchr(user, '@') == NULL;
}

bool username_is_clean(const struct username_rules *rules, const char *user)
{
	const char *at = user;

	while (*at != '\0' &&
	       rules->written[(unsigned char)*at] == (unsigned char)*at)
		at++;
	return *at == '\0' && !lacks_realm(rules, user);
}

int username_clean(const struct username_rules *rules, const char *user,
		   struct str *out, struct err *err)
{
	size_t i, from = out->len;

	str_puts(out, user);
	if (lacks_realm(rules, user)) {
		str_putc(out, '@');
		str_puts(out, rules->default_realm);
	}
	for (i = from; i < out->len; i++) {
		unsigned char c = (unsigned char)out->data[i];

		if (rules->written[c] == '\0')
			return err_set(err, "character 0x%02x is not in "
				       "auth_username_chars",
				       rules->translation[c]);
		out->data[i] = (char)rules->written[c];
	}
	return 0;
}
