#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passdb/var/var.h"

enum { ID_ASKED = 7 };

static const struct var_entry table[] = {
	{ 'u', "user", "Jane.Doe@Example.ORG", 0 },
	{ 'n', "username", "Jane.Doe", 0 },
	{ 'd', "domain", "Example.ORG", 0 },
	{ 'a', "lport", "24", 0 },
	{ 'e', "empty", "", 0 },
	{ 'q', "quotes", "o'neil \"x\" \\", 0 },
	{ 'b', "blanks", " trailing \t ", 0 },
	{ 'v', "asked", NULL, ID_ASKED },
	{ 0, "slash", "../etc", 0 },
	{ 0, NULL, NULL, 0 },
};

static void value(const struct var_source *source,
		  const struct var_entry *entry, struct str *out)
{
	cr_assert_eq(entry->id, ID_ASKED);
	str_puts(out, source->context);
}

static int func_double(const struct var_source *source, const char *arg,
		       struct str *out, struct err *err)
{
	(void)source;
	if (strcmp(arg, "bad") == 0)
		return err_set(err, "no value for bad");
	str_printf(out, "%s%s", arg, arg);
	return 0;
}

static const struct var_func funcs[] = {
	{ "double", func_double },
	{ NULL, NULL },
};

static const struct var_source source = {
	.table = table, .funcs = funcs, .value = value,
	.hostname = "mx.example.com", .context = "answer",
};

struct row {
	const char *text, *expected;
};

static void expand_rows(const struct row *row)
{
	for (; row->text != NULL; row++) {
		struct str out = STR_INIT;
		struct err err = { "" };

		cr_expect_eq(var_check(row->text, &source, &err), 0,
			     "check '%s': %s", row->text, err.text);
		cr_expect_eq(var_expand(&out, row->text, &source, &err), 0,
			     "'%s': %s", row->text, err.text);
		cr_expect_str_eq(str_c(&out), row->expected, "'%s'",
				 row->text);
		str_free(&out);
	}
}

Test(var, plain_text_and_names)
{
	static const struct row rows[] = {
		{ "", "" },
		{ "no variables", "no variables" },
		{ "%u", "Jane.Doe@Example.ORG" },
		{ "%{user}", "Jane.Doe@Example.ORG" },
		{ "a%nb%{domain}c", "aJane.DoebExample.ORGc" },
		{ "%%", "%" },
		{ "100%%u", "100%u" },
		{ "50%", "50" },
		{ "50%L", "50" },
		{ "50%5", "50" },
		{ "[%e%{empty}]", "[]" },
		{ "%v%{asked}", "answeranswer" },
		{ "%{hostname}", "mx.example.com" },
		{ "%{double:ab}", "abab" },
		{ "%{double:}", "" },
		{ "%{double}", "" },
		{ "%{double:a:b}", "a:ba:b" },
		{ "{%n}", "{Jane.Doe}" },
		{ NULL, NULL },
	};

	expand_rows(rows);
}

Test(var, environment_and_process)
{
	struct str out = STR_INIT, expected = STR_INIT;
	struct err err;

	setenv("VAR_TEST", "from outside", 1);
	cr_assert_eq(var_expand(&out, "%{env:VAR_TEST}|%{env:VAR_NONE}|%{pid}|"
				"%{uid}|%{gid}", &source, &err), 0);
	str_printf(&expected, "from outside||%ld|%lu|%lu", (long)getpid(),
		   (unsigned long)geteuid(), (unsigned long)getegid());
	cr_assert_str_eq(str_c(&out), str_c(&expected));
	str_free(&out);
	str_free(&expected);
}

Test(var, modifiers)
{
	static const struct row rows[] = {
		{ "%Lu", "jane.doe@example.org" },
		{ "%Ud", "EXAMPLE.ORG" },
		{ "%LUn", "JANE.DOE" },
		{ "%L{user}", "jane.doe@example.org" },
		{ "%Eq", "o\\'neil \\\"x\\\" \\\\" },
		{ "%Xa", "18" },
		{ "%X{double:9}", "63" },
		{ "%Xn", "0" }, /* no number */
		{ "%Xe", "0" },
		{ "%X{double:99999999999999999999}", "0" }, /* too large */
		{ "%Rn", "eoD.enaJ" },
		{ "%Re", "" },
		{ "%Dd", "Example,dc=ORG" },
		{ "%LDd", "example,dc=org" },
		{ "[%Tb]", "[ trailing]" },
		{ "%Mn", "35f5308b6e832df673c98b99dac4559e" },
		{ "%Me", "d41d8cd98f00b204e9800998ecf8427e" },
		{ NULL, NULL },
	};

	expand_rows(rows);
}

Test(var, offset_and_width)
{
	static const struct row rows[] = {
		{ "%4n", "Jane" },
		{ "%1.3n", "ane" },
		{ "%5.n", "Doe" },
		{ "%-3.n", "Doe" },
		{ "%-3.2n", "Do" },
		{ "%-99.2n", "Ja" },
		{ "%99.n", "" },
		{ "%99n", "Jane.Doe" },
		{ "%0.-4n", "Jane" },
		{ "%2.-4n", "ne" },
		{ "%0.-8n", "" },
		{ "%0.-99n", "Jane.Doe" }, /* as Dovecot */
		{ "%05a", "00024" },
		{ "%01a", "24" },
		{ "%1.05a", "00004" },
		{ "%03e", "000" },
		{ "%2Rn", "eo" }, /* cut after the modifiers */
		{ "%3L{domain}", "exa" },
		{ NULL, NULL },
	};

	expand_rows(rows);
}

/* Values as Dovecot 2.3.19 gives them. */
Test(var, hashes)
{
	static const struct row rows[] = {
		{ "%Hn", "8483055" },
		{ "%0.100Hn", "5d" },
		{ "%4.100Hn", "005d" },
		{ "%Nn", "6e832df6" },
		{ "%2.256Nn", "f6" },
		{ "%3.256Nn", "0f6" },
		{ "%1.-2Nn", "6e832df6" },
		{ "%{md5:username}", "35f5308b6e832df673c98b99dac4559e" },
		{ "%{sha1:username}",
		  "136bde435808ede7f4507aa0775e2d088464b411" },
		{ "%{sha256:username}", "4e1486992c69137f7c6836123ff2c06e"
					"80b7ba20bc65aaf1cceed35bbfa60b26" },
		{ "%8{sha384:username}", "13509852" },
		{ "%8{sha512:username}", "17278408" },
		{ "%8{sha3-256:username}", "43bf4064" },
		{ "%8{sha3-512:username}", "c75df32b" },
		{ "%8{sha256;rounds=3,salt=salt%d:username}", "3d5fc9f8" },
		{ "%8{sha256;rounds=3,salt=salt%d,rounds=x,salt=y:username}",
		  "3d5fc9f8" },
		{ "%{sha256;truncate=12:username}", "04e1" },
		{ "%{sha256;truncate=16:username}", "4e14" },
		{ "%{sha256;truncate=1:username}", "00" },
		{ "%8{sha256;truncate=999:username}", "4e148699" },
		{ "%{sha256;format=base64:username}",
		  "ThSGmSxpE398aDYSP/LAboC3uiC8ZarxzO7TW7+mCyY=" },
		{ "%8{sha256;format=hexuc:username}", "4e148699" },
		{ "%16{pkcs5:username}", "c9047c191baa56ce" },
		{ "%16{pkcs5;rounds=10,salt=abc:username}",
		  "b363accbc6e2ebd1" },
		{ "%{pkcs5;truncate=16:username}", "c904" },
		{ "%8{md5:double:a}", "4124bc0a" }, /* of "aa" */
		{ NULL, NULL },
	};

	expand_rows(rows);
}

Test(var, conditionals)
{
	static const struct row rows[] = {
		{ "%{if;1;==;1;yes;no}", "yes" },
		{ "%{if;1;!=;1;yes;no}", "no" },
		{ "%{if;-2;<;1;yes;no}", "yes" },
		{ "%{if;1;<=;1;yes;no}", "yes" },
		{ "%{if;10;>;9;yes;no}", "yes" },
		{ "%{if;8;>=;9;yes;no}", "no" },
		{ "%{if;a;eq;a;yes;no}", "yes" },
		{ "%{if;a;ne;a;yes;no}", "no" },
		{ "%{if;10;lt;9;yes;no}", "yes" },
		{ "%{if;a;le;a;yes;no}", "yes" },
		{ "%{if;b;gt;a;yes;no}", "yes" },
		{ "%{if;a;ge;b;yes;no}", "no" },
		{ "%{if;%d;*;Exam*.OR?;yes;no}", "yes" },
		{ "%{if;%d;!*;Exam*;yes;no}", "no" },
		{ "%{if;%d;~;^Ex.*G$;yes;no}", "yes" },
		{ "%{if;%d;!~;^ex;yes;no}", "yes" },
		{ "%{if;%a;==;24;%Ln;%Un}", "jane.doe" },
		{ "%{if;%{lport};==;25;a;%{domain}}", "Example.ORG" },
		{ "[%{if;1;==;2;yes}]", "[]" },
		{ "[%{if;1;==;1;;no}]", "[]" },
		{ "[%{if;%e;eq;;yes;no}]", "[yes]" },
		{ "%{if;a;eq;a;x\\;y\\:z;no}", "x;y:z" },
		{ "%{IF;a;eq;a;yes;no}", "yes" },
		{ "%U{if;a;eq;a;yes;no}", "YES" },
		{ "%{if;%{if;1;==;1;a;b};eq;a;%{if;1;==;2;c;d};e}", "d" },
		{ NULL, NULL },
	};

	expand_rows(rows);
}

struct bad_row {
	const char *text, *error; /* a part of it */
	bool check_too;
};

Test(var, errors)
{
	static const struct bad_row rows[] = {
		{ "%x", "unknown variable %x", true },
		{ "%{nosuch}", "unknown variable %{nosuch}", true },
		{ "%{nosuch:x}", "unknown variable %{nosuch}", true },
		{ "%{}", "empty variable name", true },
		{ "%{user", "missing }", true },
		{ "%{if;%{user;eq;a;b}", "missing }", true },
		{ "%{double:bad}", "no value for bad", false },
		{ "%99999999999999u", "over 65535", true },
		{ "%1.99999999999999u", "over 65535", true },
		{ "%LLLLLLLLLLLu", "unknown variable %L", true },
		{ "%{if}", "missing parameters", true },
		{ "%{if:a}", "missing parameters", true },
		{ "%{if;a;eq;b}", "four or five", true },
		{ "%{if;a;eq;b;}", "four or five", true },
		{ "%{if;a;eq;b;c;d;e}", "more than five", true },
		{ "%{if;a;=;b;c;d}", "unknown comparison '='", true },
		{ "%{if;a;eq;b;c:d;e}", "write '\\:'", true },
		{ "%{if;%x;eq;b;c;d}", "unknown variable %x", true },
		{ "%{if;a;==;1;c;d}", "'a' is not a number", false },
		{ "%{if;1;==;;c;d}", "'' is not a number", false },
		{ "%{if; 1;==;1;c;d}", "' 1' is not a number", false },
		{ "%{if;99999999999999999999;==;1;c;d}", "is not a number",
		  false },
		{ "%{if;a;~;(;c;d}", "pattern '('", false },
		{ "%{md5:nosuch}", "unknown variable %{nosuch}", true },
		{ "%{md5;rounds=0:user}", "at least 1", true },
		{ "%{md5;rounds=x:user}", "not a number", true },
		{ "%{md5;rounds=99999999999:user}", "not a number", true },
		{ "%{md5;format=oct:user}", "not hex, hexuc or base64", true },
		{ "%{md5;nosuch=1:user}", "unknown option", true },
		{ "%{md5;salt=%x:user}", "unknown variable %x", true },
		{ NULL, NULL, false },
	}, *row;

	for (row = rows; row->text != NULL; row++) {
		struct str out = STR_INIT;
		struct err err = { "" };

		cr_expect_eq(var_expand(&out, row->text, &source, &err), -1,
			     "'%s' became '%s'", row->text, str_c(&out));
		cr_expect(strstr(err.text, row->error) != NULL, "'%s': %s",
			  row->text, err.text);
		cr_expect_eq(var_check(row->text, &source, &err),
			     row->check_too ? -1 : 0, "check '%s': %s",
			     row->text, err.text);
		str_free(&out);
	}
}

/* Both branches, whichever the values would choose. */
Test(var, check_looks_into_both_branches)
{
	struct err err;

	cr_assert_eq(var_check("%{if;1;==;1;%u;%x}", &source, &err), -1);
	cr_assert_eq(var_check("%{if;1;==;1;%x;%u}", &source, &err), -1);
}

Test(var, nesting_is_limited)
{
	struct str text = STR_INIT, out = STR_INIT;
	struct err err;
	unsigned i;

	for (i = 0; i < 1000; i++)
		str_puts(&text, "%{if;1;==;1;");
	for (i = 0; i < 1000; i++)
		str_puts(&text, "}");
	cr_assert_eq(var_expand(&out, str_c(&text), &source, &err), -1);
	cr_assert(strstr(err.text, "too deeply") != NULL, "%s", err.text);
	str_free(&text);
	str_free(&out);
}

/* In the place of an escaping rule: brackets around every value. */
static int bracket(struct str *out, size_t from, struct err *err)
{
	struct str value_copy = STR_INIT;

	if (strchr(str_c(out) + from, '/') != NULL)
		return err_set(err, "slash");
	str_puts(&value_copy, str_c(out) + from);
	str_truncate(out, from);
	str_printf(out, "<%s>", str_c(&value_copy));
	str_free(&value_copy);
	return 0;
}

Test(var, values_are_escaped_after_their_modifiers)
{
	static const struct row rows[] = {
		{ "x%4Lny", "x<jane>y" },
		/* but for a D at the end, which is not of the value */
		{ "dc=%LDd", "dc=<example,dc=org>" },
		{ "%DLd", "<example,dc=org>" },
		{ "%4Dd", "<Exam>" },
		{ "%{double:a}", "<aa>" },
		{ "%%", "<%>" },
		/* compared and hashed as they are; branches are escaped */
		{ "%{if;%d;eq;Example.ORG;(%n);no}", "(<Jane.Doe>)" },
		{ "%{md5:username}", "<35f5308b6e832df673c98b99dac4559e>" },
		{ NULL, NULL },
	}, *row;
	struct var_source escaping = source;
	struct str out = STR_INIT;
	struct err err;

	escaping.escape = bracket;
	for (row = rows; row->text != NULL; row++) {
		str_clear(&out);
		cr_expect_eq(var_expand(&out, row->text, &escaping, &err), 0,
			     "'%s': %s", row->text, err.text);
		cr_expect_str_eq(str_c(&out), row->expected, "'%s'",
				 row->text);
	}
	cr_assert_eq(var_expand(&out, "a%{slash}", &escaping, &err),
		     VAR_REFUSED);
	cr_assert_eq(var_expand(&out, "%{if;a;eq;a;%{slash};b}", &escaping,
				&err), VAR_REFUSED);
	/* It could cut an escape sequence in half. */
	cr_assert_eq(var_expand(&out, "%3{if;a;eq;a;%u;b}", &escaping, &err),
		     -1);
	cr_assert_eq(var_check("%3{if;a;eq;a;%u;b}", &escaping, &err), -1);
	str_free(&out);
}

static int func_more(const struct var_source *more, const char *arg,
		     struct str *out, struct err *err)
{
	(void)err;
	str_printf(out, "%s-%s", (const char *)more->context, arg);
	return 0;
}

static void more_value(const struct var_source *more,
		       const struct var_entry *entry, struct str *out)
{
	(void)entry;
	str_puts(out, more->context);
}

/* Each with the context of the source that knows it; the first counts. */
Test(var, sources_one_behind_the_other)
{
	static const struct var_entry more_table[] = {
		{ '$', "more", NULL, 0 },
		{ 'n', NULL, "mine", 0 },
		{ 0, NULL, NULL, 0 },
	};
	static const struct var_func more_funcs[] = {
		{ "more", func_more },
		{ NULL, NULL },
	};
	static const struct row rows[] = {
		{ "%$ %{more} %n", "top top mine" },
		{ "%v %{asked} %{username}", "answer answer Jane.Doe" },
		{ "%{more:a} %{double:b}", "top-a bb" },
		{ NULL, NULL },
	}, *row;
	const struct var_source more = {
		.table = more_table, .funcs = more_funcs, .value = more_value,
		.context = "top", .next = &source,
	};
	struct str out = STR_INIT;
	struct err err = { "" };

	for (row = rows; row->text != NULL; row++) {
		str_clear(&out);
		cr_expect_eq(var_check(row->text, &more, &err), 0);
		cr_expect_eq(var_expand(&out, row->text, &more, &err), 0,
			     "'%s': %s", row->text, err.text);
		cr_expect_str_eq(str_c(&out), row->expected, "'%s'",
				 row->text);
	}
	cr_expect_eq(var_check("%x", &more, &err), -1);
	cr_expect_eq(var_check("%{nosuch:a}", &more, &err), -1);
	str_free(&out);
}

Test(var, samples)
{
	struct str out = STR_INIT;
	struct err err = { "" };

	cr_expect_eq(var_sample(&out, "a%vb%{double:x}c%u", &source, &err), 0);
	cr_expect_str_eq(str_c(&out), "abcJane.Doe@Example.ORG");
	cr_expect_eq(var_sample(&out, "%x", &source, &err), -1);
	str_free(&out);
}

Test(var, used)
{
	cr_assert(var_used("a%ub"));
	cr_assert(var_used("%%"));
	cr_assert(!var_used("plain"));
}
