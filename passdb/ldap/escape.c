#include "passdb/ldap/escape.h"

#include "lib/ascii.h"

/* Writes every byte as \HH that is not a letter, a digit, or one of also: a
 * list of what is harmless cannot lack anything. */
static int escape(struct str *out, size_t from, const char *also)
{
	struct str value = STR_INIT;
	size_t i;

	str_append(&value, str_c(out) + from, out->len - from);
	str_truncate(out, from);
	for (i = 0; i < value.len; i++) {
		char c = value.data[i];

		if (ascii_is_alnum(c) || (c != '\0' && strchr(also, c) != NULL))
			str_putc(out, c);
		else
			str_printf(out, "\\%02x", (unsigned char)c);
	}
	str_free(&value);
	return 0;
}

int ldap_escape_filter(struct str *out, size_t from, struct err *err)
{
	(void)err;
	return escape(out, from, "@.-_+=,:;/ ");
}

int ldap_escape_dn(struct str *out, size_t from, struct err *err)
{
	(void)err;
	return escape(out, from, "@.-_:/");
}
