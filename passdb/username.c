#include "passdb/username.h"

#include <string.h>

/* How an allowed byte is written: the usual formats need no variables. */
static unsigned char written_byte(unsigned char c, bool lower)
{
	return (unsigned char)(lower && c >= 'A' && c <= 'Z' ? c - 'A' + 'a'
							     : c);
}

void username_rules_init(struct username_rules *rules,
			 const struct passdb_settings *settings)
{
	const char *chars = settings->username_chars;
	const char *format = settings->username_format, *c;
	bool lower = strcmp(format, "%Lu") == 0;
	unsigned i;

	*rules = (struct username_rules){
		.default_realm = settings->default_realm,
		.format = lower || format[0] == '\0' ? NULL : format,
	};
	for (i = 1; i < 256; i++) {
		rules->translation[i] = (unsigned char)i;
		if (chars[0] == '\0' || strchr(chars, (int)i) != NULL)
			rules->written[i] = written_byte((unsigned char)i,
							 lower);
	}
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
	if (rules->default_realm[0] != '\0' && strchr(user, '@') == NULL) {
		str_putc(out, '@');
		str_puts(out, rules->default_realm);
	}
	for (i = from; i < out->len; i++) {
		unsigned char c =
			rules->translation[(unsigned char)out->data[i]];

		if (rules->written[c] == '\0')
			return err_set(err, "character 0x%02x is not in "
				       "auth_username_chars", c);
		out->data[i] = (char)rules->written[c];
	}
	return 0;
}
