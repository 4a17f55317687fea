#include "lib/smtp/address.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena *arena;

static void setup(void)
{
	arena = arena_new(1024);
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(smtp_address, .init = setup, .fini = teardown);

enum {
	NULL_PATH = SMTP_PATH_ALLOW_NULL,
	NO_DOMAIN = SMTP_PATH_DOMAIN_OPTIONAL,
	SPACE = SMTP_PATH_SPACE_BEFORE,
	BARE = SMTP_PATH_WITHOUT_BRACKETS,
	BROKEN = SMTP_PATH_ALLOW_BROKEN,
	DOTS = SMTP_PATH_ALLOW_DOTS,
};

static const struct {
	const char *text;
	unsigned flags;
	const char *localpart, *domain, *raw, *rest;
} paths[] = {
	{ "<a@b>", 0, "a", "b", "a@b", "" },
	{ "<a@b> SIZE=1", 0, "a", "b", "a@b", " SIZE=1" },
	{ "<>", NULL_PATH, "", NULL, "", "" },
	{ "<> BODY=7BIT", NULL_PATH, "", NULL, "", " BODY=7BIT" },
	{ "<postmaster>", NO_DOMAIN, "postmaster", NULL, "postmaster", "" },
	{ "<a.b.c@sub.Example.ORG>", 0, "a.b.c", "sub.Example.ORG",
	  "a.b.c@sub.Example.ORG", "" },
	{ "<!#$%&'*+-/=?^_`{|}~@b>", 0, "!#$%&'*+-/=?^_`{|}~", "b",
	  "!#$%&'*+-/=?^_`{|}~@b", "" },
	/* dots where none may be */
	{ "<a..b@c> X", DOTS, "a..b", "c", "\"a..b\"@c", " X" },
	{ "<.a@c>", DOTS, ".a", "c", "\".a\"@c", "" },
	{ "<a.@c>", DOTS, "a.", "c", "\"a.\"@c", "" },
	{ "<a..>", DOTS | NO_DOMAIN, "a..", NULL, "\"a..\"", "" },
	{ "<a.b@c>", DOTS, "a.b", "c", "a.b@c", "" },
	{ "<\"a\"@c>", DOTS, "a", "c", "\"a\"@c", "" },
	/* quoted strings */
	{ "<\"a b\"@c>", 0, "a b", "c", "\"a b\"@c", "" },
	{ "<\"a\\\"b\\\\c\"@d>", 0, "a\"b\\c", "d", "\"a\\\"b\\\\c\"@d", "" },
	{ "<\"a>b@c\"@d> X", 0, "a>b@c", "d", "\"a>b@c\"@d", " X" },
	{ "<\"plain\"@d>", 0, "plain", "d", "\"plain\"@d", "" },
	{ "<\"\"@d>", 0, "", "d", "\"\"@d", "" },
	{ "<\"a b\">", NO_DOMAIN, "a b", NULL, "\"a b\"", "" },
	/* source routes */
	{ "<@r:a@b>", 0, "a", "b", "a@b", "" },
	{ "<@r.x,@[1.2.3.4],@s:\"a b\"@c> X", 0, "a b", "c", "\"a b\"@c",
	  " X" },
	/* literals */
	{ "<a@[1.2.3.4]>", 0, "a", "[1.2.3.4]", "a@[1.2.3.4]", "" },
	{ "<a@[IPv6:::1]>", 0, "a", "[IPv6:::1]", "a@[IPv6:::1]", "" },
	{ "<a@[ipv6:2001:db8::1.2.3.4]>", 0, "a", "[ipv6:2001:db8::1.2.3.4]",
	  "a@[ipv6:2001:db8::1.2.3.4]", "" },
	{ "<a@[x-tag:some@thing>]> Y", 0, "a", "[x-tag:some@thing>]",
	  "a@[x-tag:some@thing>]", " Y" },
	/* licences */
	{ "<a@-b_c-.d>", 0, "a", "-b_c-.d", "a@-b_c-.d", "" },
	/* UTF-8 */
	{ "<\xc3\xa4@\xc3\xb6.example>", 0, "\xc3\xa4", "\xc3\xb6.example",
	  "\xc3\xa4@\xc3\xb6.example", "" },
	{ "<\"\xe2\x82\xac x\"@b>", 0, "\xe2\x82\xac x", "b",
	  "\"\xe2\x82\xac x\"@b", "" },
	/* workarounds */
	{ " \t<a@b>", SPACE, "a", "b", "a@b", "" },
	{ "a@b SIZE=1", BARE, "a", "b", "a@b", " SIZE=1" },
	{ "a", BARE | NO_DOMAIN, "a", NULL, "a", "" },
	{ "<a@b>", BARE, "a", "b", "a@b", "" },
	{ " a@b", BARE | SPACE, "a", "b", "a@b", "" },
	/* broken ones */
	{ "<a..b@c> X", BROKEN, "", NULL, "a..b@c", " X" },
	{ "<a@b@c>", BROKEN, "", NULL, "a@b@c", "" },
	{ "<@>", BROKEN, "", NULL, "@", "" },
	{ "<a>", BROKEN, "", NULL, "a", "" },
	{ "<a@b>", BROKEN, "a", "b", "a@b", "" },
	{ "<>", BROKEN | NULL_PATH, "", NULL, "", "" },
};

static const struct {
	const char *text;
	unsigned flags;
} bad_paths[] = {
	{ "", 0 }, { "<", 0 }, { ">", 0 }, { "a@b", 0 }, { "<a@b", 0 },
	{ "a@b>", 0 }, { "a@b>", BARE }, { "<>", 0 }, { "<>", NO_DOMAIN },
	{ "", NULL_PATH }, { "", BARE | NULL_PATH | NO_DOMAIN },
	{ "<a>", 0 }, { " <a@b>", 0 }, { "a@b", SPACE },
	{ "< a@b>", SPACE }, { "<a@b >", 0 }, { "<a @b>", 0 },
	{ "<a@b>x", 0 }, { "<a@b>\tx", 0 }, { "<a@b><c@d>", 0 },
	{ "<@b>", 0 }, { "<a@>", 0 }, { "<@>", NO_DOMAIN }, { "<a@b@c>", 0 },
	{ "<.a@b>", 0 }, { "<a.@b>", 0 }, { "<a..b@c>", 0 },
	{ "<a(b)@c>", 0 }, { "<a,b@c>", 0 }, { "<a\\b@c>", 0 },
	{ "<a@.b>", 0 }, { "<a@b.>", 0 }, { "<a@b..c>", 0 }, { "<a@b!c>", 0 },
	{ "<\"a@b>", 0 }, { "<\"a\"b@c>", 0 }, { "<a\"b\"@c>", 0 },
	{ "<\"a\"\"b\"@c>", 0 }, { "<\"a\\", 0 }, { "<\"a\\\"@b>", 0 },
	{ "<\"a\001\"@b>", 0 }, { "<\"a\t\"@b>", 0 }, { "<\"a\x7f\"@b>", 0 },
	{ "<\"\\\xc3\xa4\"@b>", 0 }, { "<\"\">", NO_DOMAIN },
	{ "<@r a@b>", 0 }, { "<@r,a@b>", 0 }, { "<@r,:a@b>", 0 },
	{ "<@:a@b>", 0 }, { "<@r:>", NULL_PATH }, { "<@r:@s:a@b>", 0 },
	{ "<a@[1.2.3]>", 0 }, { "<a@[1.2.3.256]>", 0 }, { "<a@[]>", 0 },
	{ "<a@[1.2.3.4>", 0 }, { "<a@[IPv6:1.2.3.4]>", 0 },
	{ "<a@[IPv6:]>", 0 }, { "<a@[::1]>", 0 }, { "<a@[tag:]>", 0 },
	{ "<a@[:x]>", 0 }, { "<a@[tag-:x]>", 0 }, { "<a@[t_g:x]>", 0 },
	{ "<a@[tag:a b]>", 0 }, { "<a@[tag:a[b]>", 0 },
	{ "<a@[1.2.3.4].b>", 0 }, { "<a@[tag:\xc3\xa4]>", 0 },
	{ "<a\xff@b>", 0 }, { "<a@\xc3>", 0 }, { "<a\xc0\x80@b>", 0 },
	{ "<a\xed\xa0\x80@b>", 0 }, { "<\"\xff\"@b>", 0 },
	{ "<>", BROKEN }, { "<a b@c>", BROKEN }, { "<a\001@c>", BROKEN },
	{ "<a\xff@c>", BROKEN }, { "<a@b@c", BROKEN }, { "a@b@c", BROKEN },
	{ "<a@b@c>x", BROKEN }, { "a@b@c", BROKEN | BARE },
};

static int parse(const char *text, unsigned flags, struct smtp_address *address,
		 size_t *rest)
{
	struct err err = { "" };
	int ret = smtp_path_parse(arena, text, strlen(text), flags, address,
				  rest, &err);

	cr_assert((ret == 0) == (err.text[0] == '\0'), "\"%s\": \"%s\"", text,
		  err.text);
	return ret;
}

static void check_str(const char *got, const char *want, const char *text)
{
	cr_assert((got == NULL) == (want == NULL), "\"%s\"", text);
	if (want != NULL)
		cr_assert_str_eq(got, want, "\"%s\": \"%s\" is not \"%s\"",
				 text, got, want);
}

Test(smtp_address, paths)
{
	size_t i, rest;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		const char *text = paths[i].text;
		struct smtp_address address;

		cr_assert_eq(parse(text, paths[i].flags, &address, &rest), 0,
			     "\"%s\"", text);
		check_str(address.localpart, paths[i].localpart, text);
		check_str(address.domain, paths[i].domain, text);
		check_str(address.raw, paths[i].raw, text);
		check_str(text + rest, paths[i].rest, text);
		cr_assert_eq(address.utf8,
			     strpbrk(paths[i].raw, "\xc3\xe2") != NULL,
			     "\"%s\"", text);
	}
}

Test(smtp_address, bad_paths)
{
	struct smtp_address address;
	size_t i, rest;

	for (i = 0; i < sizeof(bad_paths) / sizeof(bad_paths[0]); i++)
		cr_assert_eq(parse(bad_paths[i].text, bad_paths[i].flags,
				   &address, &rest),
			     -1, "row %zu: \"%s\"", i, bad_paths[i].text);
}

Test(smtp_address, nul_is_no_part_of_a_path)
{
	struct smtp_address address;
	struct err err;
	size_t rest;

	cr_assert_eq(smtp_path_parse(arena, "<a\0@b>", 6, 0, &address, &rest,
				     &err),
		     -1);
	cr_assert_eq(smtp_path_parse(arena, "<\"a\0\"@b>", 8, 0, &address,
				     &rest, &err),
		     -1);
	cr_assert_eq(smtp_path_parse(arena, "<a@b\0>", 6, BROKEN, &address,
				     &rest, &err),
		     -1);
	cr_assert_eq(smtp_path_parse(arena, "<a@b>", 4, 0, &address, &rest,
				     &err),
		     -1);
}

/* "<@" domain of a given length ":a@b>" */
static int parse_long_route(size_t len)
{
	struct smtp_address address;
	struct str text = STR_INIT;
	size_t rest;
	int ret;

	str_puts(&text, "<@");
	while (text.len < 2 + len)
		str_putc(&text, 'd');
	str_puts(&text, ":a@b>");
	ret = parse(str_c(&text), 0, &address, &rest);
	str_free(&text);
	return ret;
}

/* "<" local part of a given length "@" domain of a given length ">" */
static int parse_long(size_t local, size_t domain)
{
	struct smtp_address address;
	struct str text = STR_INIT;
	size_t i, rest;
	int ret;

	str_putc(&text, '<');
	for (i = 0; i < local; i++)
		str_putc(&text, 'l');
	str_putc(&text, '@');
	for (i = 0; i < domain; i++)
		str_putc(&text, i % 50 == 49 ? '.' : 'd');
	str_putc(&text, '>');
	ret = parse(str_c(&text), 0, &address, &rest);
	str_free(&text);
	return ret;
}

Test(smtp_address, lengths)
{
	cr_assert_eq(parse_long(64, 189), 0);
	cr_assert_eq(parse_long(64, 190), -1);
	cr_assert_eq(parse_long(252, 1), 0);
	cr_assert_eq(parse_long(253, 1), -1);
	cr_assert_eq(parse_long(1, 252), 0);
	cr_assert_eq(parse_long(1, 253), -1);
	cr_assert_eq(parse_long(1, 3000), -1);
	cr_assert_eq(parse_long(3000, 1), -1);
	/* a source route does not count, its domains do, each */
	cr_assert_eq(parse_long_route(255), 0);
	cr_assert_eq(parse_long_route(256), -1);
}

/* What counts is the form with no more quoting than needed. */
Test(smtp_address, length_counts_the_plain_form)
{
	struct smtp_address address;
	struct str text = STR_INIT;
	struct err err;
	size_t i, rest;

	str_puts(&text, "<\"");
	for (i = 0; i < 200; i++)
		str_puts(&text, "\\a");
	str_puts(&text, "\"@b>");
	cr_assert_eq(parse(str_c(&text), 0, &address, &rest), 0);
	cr_assert_eq(strlen(address.localpart), 200);
	str_clear(&text);
	for (i = 0; i < 130; i++)
		str_puts(&text, "\"");
	cr_assert_eq(smtp_address_parse(arena, str_c(&text), &address, &err),
		     -1);
	str_clear(&text);
	for (i = 0; i < 130; i++)
		str_puts(&text, "x\\");
	cr_assert_eq(smtp_address_parse(arena, str_c(&text), &address, &err),
		     -1);
	str_free(&text);
}

static const struct {
	const char *text, *localpart, *domain, *raw;
} addresses[] = {
	{ "a@b", "a", "b", "a@b" },
	{ "a", "a", NULL, "a" },
	{ "a b@c", "a b", "c", "\"a b\"@c" },
	{ "a@b@c", "a@b", "c", "\"a@b\"@c" },
	{ "a..b@c", "a..b", "c", "\"a..b\"@c" },
	{ "o'neil+x@c", "o'neil+x", "c", "o'neil+x@c" },
	{ "a\\b\"@c", "a\\b\"", "c", "\"a\\\\b\\\"\"@c" },
	{ "\"a b\"@c", "a b", "c", "\"a b\"@c" },
	{ "\"a\"@c", "a", "c", "a@c" },
	{ "\"a@b\"", "a@b", NULL, "\"a@b\"" },
	{ "a@[1.2.3.4]", "a", "[1.2.3.4]", "a@[1.2.3.4]" },
	{ "a@b@[x-tag:c@d]", "a@b", "[x-tag:c@d]", "\"a@b\"@[x-tag:c@d]" },
	{ "a[b]@c", "a[b]", "c", "\"a[b]\"@c" },
	{ "\xc3\xa4 @\xc3\xb6", "\xc3\xa4 ", "\xc3\xb6",
	  "\"\xc3\xa4 \"@\xc3\xb6" },
};

static const char *const bad_addresses[] = {
	"", "@", "@b", "a@", "a@b c", "a@b.", "a@[1.2.3]", "a\tb@c", "a\nb@c",
	"a\x7f@c", "\"a@b", "\"a\"x@b", "\"a\"@b c", "\"\"", "a\xff@b",
	"a@\xff", "<a@b>", "a@[b", "@[1.2.3.4]", "a@[1.2.3.4]]",
};

Test(smtp_address, without_brackets)
{
	size_t i;

	for (i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		const char *text = addresses[i].text;
		struct smtp_address address;
		struct err err;

		cr_assert_eq(smtp_address_parse(arena, text, &address, &err), 0,
			     "\"%s\": %s", text, err.text);
		check_str(address.localpart, addresses[i].localpart, text);
		check_str(address.domain, addresses[i].domain, text);
		check_str(address.raw, addresses[i].raw, text);
	}
}

Test(smtp_address, bad_without_brackets)
{
	struct smtp_address address;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(bad_addresses) / sizeof(bad_addresses[0]); i++)
		cr_assert_eq(smtp_address_parse(arena, bad_addresses[i],
						&address, &err),
			     -1, "\"%s\"", bad_addresses[i]);
}

static void check_written(const char *localpart, const char *domain,
			  const char *want)
{
	struct str out = STR_INIT;

	smtp_address_write(&out, localpart, domain);
	cr_assert_str_eq(str_c(&out), want);
	str_free(&out);
}

Test(smtp_address, written)
{
	check_written("", NULL, "");
	check_written("a", NULL, "a");
	check_written("a.b", "c", "a.b@c");
	check_written("", "c", "\"\"@c");
	check_written(".a", "c", "\".a\"@c");
	check_written("a.", "c", "\"a.\"@c");
	check_written("a b", "c", "\"a b\"@c");
	check_written("a\"b\\c", "[::]", "\"a\\\"b\\\\c\"@[::]");
}

static void check_detail(const char *localpart, const char *delimiters,
			 size_t user_len, const char *want)
{
	const char *detail;

	cr_assert_eq(smtp_address_split_detail(localpart, delimiters, &detail),
		     user_len, "\"%s\"", localpart);
	check_str(detail, want, localpart);
}

Test(smtp_address, detail)
{
	check_detail("user+box", "+", 4, "box");
	check_detail("user", "+", 4, NULL);
	check_detail("user+", "+", 4, "");
	check_detail("user-a+b", "+-", 4, "a+b");
	check_detail("user+a+b", "+", 4, "a+b");
	check_detail("+box", "+", 4, NULL);
	check_detail("+a+b", "+", 4, NULL);
	check_detail("user+box", "", 8, NULL);
	check_detail("", "+", 0, NULL);
}
