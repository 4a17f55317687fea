#include <criterion/criterion.h>
#include <string.h>

#include "lib/wildcard.h"
#include "passdb/username.h"

static const char *clean(const struct passdb_settings *settings,
			 const char *user)
{
	static struct str out;
	struct username_rules rules;
	struct err err = { "" };
	bool is_clean;

	username_rules_init(&rules, settings);
	is_clean = username_is_clean(&rules, user);
	str_clear(&out);
	if (username_clean(&rules, user, &out, &err) < 0) {
		cr_expect_neq(err.text[0], '\0');
		cr_expect_not(is_clean);
		return NULL;
	}
	cr_expect_eq(is_clean, strcmp(str_c(&out), user) == 0);
	return str_c(&out);
}

Test(username, characters)
{
	struct passdb_settings settings = {
		.username_chars = "abc@.", .username_translation = "",
		.default_realm = "", .username_format = "",
	};

	cr_assert_str_eq(clean(&settings, "a.b@c"), "a.b@c");
	cr_assert_null(clean(&settings, "a+b@c"));
	cr_assert_null(clean(&settings, "A@c"));
	cr_assert_null(clean(&settings, "a@c\xc3\xa4"));
	settings.username_chars = ""; /* every one */
	cr_assert_str_eq(clean(&settings, "\xc3\xa4+/'"), "\xc3\xa4+/'");
	cr_assert_str_eq(clean(&settings, ""), "");
}

Test(username, translation_comes_before_the_check)
{
	struct passdb_settings settings = {
		.username_chars = "ab@", .username_translation = "#@%@cax",
		.default_realm = "", .username_format = "",
	};

	cr_assert_str_eq(clean(&settings, "a#b"), "a@b");
	cr_assert_str_eq(clean(&settings, "a%b"), "a@b");
	cr_assert_str_eq(clean(&settings, "cb"), "ab");
	/* the odd last character translates nothing */
	cr_assert_null(clean(&settings, "x"));
}

Test(username, default_realm)
{
	struct passdb_settings settings = {
		.username_chars = "", .username_translation = "#@",
		.default_realm = "example.org", .username_format = "",
	};

	cr_assert_str_eq(clean(&settings, "jane"), "jane@example.org");
	cr_assert_str_eq(clean(&settings, "jane@x"), "jane@x");
	/* Dovecot looks for the domain before it translates */
	cr_assert_str_eq(clean(&settings, "jane#x"), "jane@x@example.org");
}

Test(wildcard, matches)
{
	static const struct {
		const char *text, *pattern;
		bool match;
	} rows[] = {
		{ "", "", true }, { "", "*", true }, { "", "**", true },
		{ "", "?", false }, { "a", "", false }, { "a", "?", true },
		{ "a", "a", true }, { "a", "A", false }, { "ab", "?", false },
		{ "abc", "a*c", true }, { "abc", "a*b", false },
		{ "abc", "*", true }, { "abc", "*c", true },
		{ "abc", "abc*", true }, { "abc", "*b*", true },
		{ "abcabc", "*abc", true }, { "abab", "*ab?", false },
		{ "aXbXc", "a*X?", true }, { "a*b", "a*b", true },
		{ "aaaaaaaaaaaaaaaaaaaaaaaa", "*a*a*a*a*a*a*a*b", false },
		{ "jane@example.org", "*@example.org", true },
		{ "jane@example.org", "*@example.com", false },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_eq(wildcard_match(rows[i].text, rows[i].pattern),
			     rows[i].match, "'%s' with '%s'", rows[i].text,
			     rows[i].pattern);
}

Test(wildcard, any_case)
{
	cr_expect(wildcard_match_any_case("Jane@Example.ORG", "JANE@*.org"));
	cr_expect_not(wildcard_match_any_case("Jane@Example.ORG", "j?ane@*"));
	cr_expect_not(wildcard_match("Jane@Example.ORG", "JANE@*.org"));
}

/* Only a format that says more than that is left to do. */
Test(username, lower_case_comes_after_the_check)
{
	struct passdb_settings settings = {
		.username_chars = "aB", .username_translation = "cB",
		.default_realm = "", .username_format = "%Lu",
	};
	struct username_rules rules;

	cr_assert_str_eq(clean(&settings, "aBc"), "abb");
	cr_assert_null(clean(&settings, "A"));
	cr_assert_null(clean(&settings, "b"));
	settings.username_chars = "";
	cr_assert_str_eq(clean(&settings, "AZ[@`az{\xc3\x84"),
			 "az[@`az{\xc3\x84");
	username_rules_init(&rules, &settings);
	cr_assert_null(rules.format);
	settings.username_format = "%Un";
	cr_assert_str_eq(clean(&settings, "AZ"), "AZ");
	username_rules_init(&rules, &settings);
	cr_assert_str_eq(rules.format, "%Un");
}
