#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "passdb/ldap/settings.h"

#define BASE "uris = ldap://x\nbase = dc=x\n"

struct result {
	struct ldap_settings settings;
	struct conf_errors errors;
	struct arena *arena;
	int ret;
};

static void read_text(struct result *result, const char *text)
{
	memset(result, 0, sizeof(*result));
	result->arena = arena_new(1024);
	result->ret = ldap_settings_read(&result->settings, result->arena, "f",
					 text, &result->errors);
	cr_assert_eq(result->ret < 0, result->errors.errors > 0);
}

static void done(struct result *result)
{
	arena_free(&result->arena);
	conf_errors_free(&result->errors);
}

/* Text must be read without a word, or with exactly these. */
static void expect(const char *text, const char *errors)
{
	struct result result;

	read_text(&result, text);
	cr_expect_str_eq(str_c(&result.errors.text), errors, "%s: %s", text,
			 str_c(&result.errors.text));
	done(&result);
}

Test(ldap_settings, defaults)
{
	struct result result;

	read_text(&result, BASE);
	cr_assert_eq(result.ret, 0, "%s", str_c(&result.errors.text));
	cr_expect_str_eq(result.settings.uris, "ldap://x");
	cr_expect_str_eq(result.settings.pass_attrs,
			 "uid=user,userPassword=password");
	cr_expect_str_eq(result.settings.pass_filter,
			 "(&(objectClass=posixAccount)(uid=%u))");
	cr_expect_eq(result.settings.scope, LDAP_SUBTREE);
	cr_expect_eq(result.settings.deref, LDAP_NEVER);
	cr_expect_eq(result.settings.tls_require_cert, LDAP_CERT_VERIFY);
	cr_expect_eq(result.settings.connect_timeout, 3000);
	cr_expect_eq(ldap_settings_line(&result.settings, "base"), 2);
	cr_expect_eq(ldap_settings_line(&result.settings, "scope"), 0);
	cr_expect_str_eq(result.settings.file, "f");
	done(&result);
}

/* Nothing but quotes, backslashes at the end and # means anything. */
Test(ldap_settings, language)
{
	struct result result;

	read_text(&result, "# comment\n\n  uris=ldap://x # more\r\n"
		  "base = \"dc=x\"\ndn = cn=a\ndnpass = \"a#b \\\"c\"\n"
		  "pass_attrs = \\\n  =a=b, \\\n  c=d\n"
		  "pass_filter = <x$y\n");
	cr_assert_eq(result.ret, 0, "%s", str_c(&result.errors.text));
	cr_expect_str_eq(result.settings.uris, "ldap://x");
	cr_expect_str_eq(result.settings.base, "dc=x");
	cr_expect_str_eq(result.settings.dnpass, "a#b \"c");
	cr_expect_str_eq(result.settings.pass_attrs, "=a=b, c=d");
	cr_expect_str_eq(result.settings.pass_filter, "<x$y");
	cr_expect_eq(ldap_settings_line(&result.settings, "pass_attrs"), 7);
	cr_expect_eq(ldap_settings_line(&result.settings, "pass_filter"), 10);
	done(&result);
}

Test(ldap_settings, ignored)
{
	expect(BASE "auth_bind = yes\nblocking = whatever\n",
	       "f: warning: without effect here: auth_bind, blocking\n");
	expect(BASE "hosts = b\n",
	       "f:3: warning: hosts has no effect beside uris\n");
	expect("hosts = x\nbase =\n", "f:2: warning: base is empty: few servers "
	       "let all that they have be searched\n");
	expect(BASE "dn = a\ndnpass = b#c\n", "f:4: warning: # starts a comment "
	       "here, although no white space is before it\n");
}

Test(ldap_settings, errors)
{
	expect("base = dc=x\n", "f: neither uris nor hosts is set\n");
	expect("hosts = x\n", "f: base is not set\n");
	expect(BASE "bas = x\n",
	       "f:3: unknown setting \"bas\" (did you mean \"base\"?)\n");
	expect(BASE "auth_bin = x\n",
	       "f:3: unknown setting \"auth_bin\" (did you mean "
	       "\"auth_bind\"?)\n");
	expect(BASE "xyzzy = x\n", "f:3: unknown setting \"xyzzy\"\n");
	expect(BASE "a {\n}\n", "f:3: only \"name = value\" may stand in this "
	       "file\nf:4: only \"name = value\" may stand in this file\n");
	expect(BASE "!include x\n",
	       "f:3: only \"name = value\" may stand in this file\n");
	expect(BASE "= x\n", "f:3: no name in front of \"=\"\n");
	expect(BASE "pass_filter =\n", "f:3: pass_filter is empty\n");
	expect(BASE "dn = a\n", "f:3: dn needs dnpass\n");
	expect(BASE "dnpass = a\n", "f:3: dnpass needs dn\n");
	expect(BASE "ldap_version = 2\n",
	       "f:3: the only ldap_version that is supported is 3\n");
	expect(BASE "sasl_bind = yes\n",
	       "f:3: the only sasl_mech that is supported is EXTERNAL\n");
	expect(BASE "sasl_bind = yes\nsasl_mech = PLAIN\n",
	       "f:4: the only sasl_mech that is supported is EXTERNAL\n");
	expect(BASE "sasl_bind = yes\nsasl_mech = EXTERNAL\ndn = a\n", "");
	expect(BASE "tls_cert_file = /x\n", "f:3: tls_cert_file and "
	       "tls_key_file need each other\n");
	expect(BASE "tls_key_file = /x\n", "f:3: tls_cert_file and "
	       "tls_key_file need each other\n");
	expect(BASE "connect_timeout = 0\n",
	       "f:3: connect_timeout must not be 0\n");
	expect(BASE "max_connections = 65\n",
	       "f:3: max_connections must be from 1 to 64\n");
	expect(BASE "max_outstanding = 0\n",
	       "f:3: max_outstanding must be from 1 to 512\n");
}

Test(ldap_settings, words)
{
	static const struct {
		const char *text;
		int expected;
	} rows[] = {
		{ "demand", LDAP_CERT_VERIFY }, { "hard", LDAP_CERT_VERIFY },
		{ "try", LDAP_CERT_VERIFY }, { "allow", LDAP_CERT_ANY },
		{ "never", LDAP_CERT_ANY },
	};
	struct result result;
	char text[128];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(text, sizeof(text), BASE "tls_require_cert = %s\n",
			 rows[i].text);
		read_text(&result, text);
		cr_expect_eq(result.ret, 0);
		cr_expect_eq(result.settings.tls_require_cert,
			     rows[i].expected);
		done(&result);
	}
	read_text(&result, BASE "scope = onelevel\nderef = always\n");
	cr_expect_eq(result.settings.scope, LDAP_ONELEVEL);
	cr_expect_eq(result.settings.deref, LDAP_ALWAYS);
	done(&result);
}
