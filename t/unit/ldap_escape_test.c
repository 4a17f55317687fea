#include <criterion/criterion.h>

#include "passdb/ldap/conn.h"
#include "passdb/ldap/escape.h"

static const char *escaped(int (*escape)(struct str *out, size_t from,
					 struct err *err),
			   const char *value, size_t len)
{
	static struct str out;
	struct err err;

	str_clear(&out);
	str_puts(&out, "(a*=");
	str_append(&out, value, len);
	cr_assert_eq(escape(&out, 4, &err), 0);
	cr_assert_eq(strncmp(out.data, "(a*=", 4), 0);
	return out.data + 4;
}

Test(ldap_escape, filter)
{
	static const struct {
		const char *value, *expected;
	} rows[] = {
		{ "", "" },
		{ "joe@example.org", "joe@example.org" },
		{ "a*b(c)d\\e", "a\\2ab\\28c\\29d\\5ce" },
		{ "a=b,c+d", "a=b,c+d" },
		{ "&|!<>~", "\\26\\7c\\21\\3c\\3e\\7e" },
		{ "\xc3\xa4", "\\c3\\a4" },
		{ "\r\n\x7f", "\\0d\\0a\\7f" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_str_eq(escaped(ldap_escape_filter, rows[i].value,
					 strlen(rows[i].value)),
				 rows[i].expected);
	cr_expect_str_eq(escaped(ldap_escape_filter, "a\0b", 3), "a\\00b");
}

Test(ldap_escape, dn)
{
	static const struct {
		const char *value, *expected;
	} rows[] = {
		{ "", "" },
		{ "joe@example.org", "joe@example.org" },
		{ " #a ", "\\20\\23a\\20" },
		{ "a,b=c+d", "a\\2cb\\3dc\\2bd" },
		{ "\"<>;\\", "\\22\\3c\\3e\\3b\\5c" },
		{ "\xc3\xa4", "\\c3\\a4" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_str_eq(escaped(ldap_escape_dn, rows[i].value,
					 strlen(rows[i].value)),
				 rows[i].expected);
	cr_expect_str_eq(escaped(ldap_escape_dn, "a\0b", 3), "a\\00b");
}

/* Every byte, at every place, leaves filter and DN what they were. */
Test(ldap_escape, any_byte)
{
	struct str filter = STR_INIT, dn = STR_INIT;
	struct err err = { "" };
	unsigned c;

	for (c = 0; c < 256; c++) {
		const char value[] = { (char)c, 'x', (char)c };

		str_clear(&filter);
		str_puts(&filter, "(&(uid=");
		str_puts(&filter, escaped(ldap_escape_filter, value, 3));
		str_puts(&filter, ")(a=b))");
		cr_expect_eq(ldap_conn_check_filter(filter.data, &err), 0,
			     "%s: %s", filter.data, err.text);
		str_clear(&dn);
		str_puts(&dn, "uid=");
		str_puts(&dn, escaped(ldap_escape_dn, value, 3));
		str_puts(&dn, ",dc=org");
		cr_expect_eq(ldap_conn_check_dn(dn.data, &err), 0, "%s",
			     err.text);
	}
	str_free(&filter);
	str_free(&dn);
}
