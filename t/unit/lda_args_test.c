#include "backends/local/lda/args.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/str.h"

static struct arena *arena;
static struct lda_args args;
static struct err err;

static void setup(void)
{
	arena = arena_new(512);
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(lda_args, .init = setup, .fini = teardown);

/* %x is the context's text; %{bad} has none. */
static const char *expand(struct arena *out, const void *context,
			  const char *word, struct err *why)
{
	const char *at = strstr(word, "%x");

	if (strstr(word, "%{bad}") != NULL) {
		err_put(why, "unknown variable");
		return NULL;
	}
	if (at == NULL)
		return arena_strdup(out, word);
	return arena_concat(out, arena_strndup(out, word, (size_t)(at - word)),
			    context, at + 2);
}

static int make(const char *text, const char *value)
{
	err.text[0] = '\0';
	return lda_args_make(&args, arena, text, expand, value, &err);
}

/* Separated by |. */
static void expect(const char *text, const char *value, const char *wanted)
{
	struct str got = STR_INIT;
	size_t i;

	cr_assert_eq(make(text, value), 0, "%s: %s", text, err.text);
	cr_assert_null(args.list[args.count]);
	for (i = 0; i < args.count; i++)
		str_printf(&got, "%s%s", i > 0 ? "|" : "", args.list[i]);
	cr_expect_str_eq(str_c(&got), wanted);
	str_free(&got);
}

static void refused(const char *text, const char *value, const char *why)
{
	cr_expect_eq(make(text, value), -1, "%s with %s", text, value);
	cr_expect(strstr(err.text, why) != NULL, "%s: %s", text, err.text);
}

Test(lda_args, values_stay_in_their_words)
{
	expect("/bin/lda -d %x", "joe", "/bin/lda|-d|joe");
	expect("  /bin/lda \t-d   %x ", "a b; c $(d) '", "/bin/lda|-d|a b; c $(d) '");
	expect("/bin/lda -d%x", "-x", "/bin/lda|-d-x");
	expect("/bin/lda --user=%x", "-x", "/bin/lda|--user=-x");
	expect("/bin/lda -f<%x>", "", "/bin/lda|-f<>");
	expect("/bin/lda -f %x", "", "/bin/lda|-f|");
	expect("/bin/lda 'a b'", "", "/bin/lda|'a|b'");
}

Test(lda_args, blanks_within_braces_are_none)
{
	expect("/x %{if;%{u};eq;a b;c;d} e", "",
	       "/x|%{if;%{u};eq;a b;c;d}|e");
	expect("/x %{a\\} b} c", "", "/x|%{a\\} b}|c");
	expect("/x %{a b", "", "/x|%{a b");
	expect("/x {a b}", "", "/x|{a|b}");
}

Test(lda_args, no_value_is_an_option)
{
	refused("/bin/lda %x", "-x", "would be the option");
	refused("/bin/lda -d %x", "-", "would be the option");
	refused("/bin/lda %x --", "-x", "would be the option");
	refused("/bin/lda %x@d", "-x", "would be the option");
	expect("/bin/lda -- %x", "-x", "/bin/lda|--|-x");
	expect("/bin/lda %%%x", "-x", "/bin/lda|%%-x");
	expect("/bin/lda -x", "-x", "/bin/lda|-x");
}

Test(lda_args, no_option_takes_the_next_argument)
{
	refused("/bin/lda -d%x -k", "", "is empty");
	expect("/bin/lda --d%x -k", "", "/bin/lda|--d|-k");
	expect("/bin/lda -- -d%x", "", "/bin/lda|--|-d");
}

Test(lda_args, what_cannot_be_expanded)
{
	refused("/bin/lda %{bad}", "", "unknown variable");
}

Test(lda_args, not_too_many)
{
	struct str text = STR_INIT;
	int i;

	str_puts(&text, "/x");
	for (i = 1; i < LDA_ARGS_MAX; i++)
		str_puts(&text, " a");
	cr_assert_eq(make(str_c(&text), ""), 0);
	cr_assert_eq(args.count, LDA_ARGS_MAX);
	cr_assert_eq(lda_args_check(str_c(&text), &err), 0);
	str_puts(&text, " a");
	refused(str_c(&text), "", "more than 63 arguments");
	cr_assert_eq(lda_args_check(str_c(&text), &err), -1);
	str_free(&text);
}

static void check(const char *text, const char *why)
{
	int status = lda_args_check(text, &err);

	cr_expect_eq(status, why == NULL ? 0 : -1, "%s", text);
	if (why != NULL && status < 0)
		cr_expect(strstr(err.text, why) != NULL, "%s: %s", text,
			  err.text);
}

Test(lda_args, what_may_be_set)
{
	check("/usr/lib/dovecot/dovecot-lda -d%u -f<%{from_envelope}>", NULL);
	check(" /x", NULL);
	check("", "absolute path");
	check("  ", "absolute path");
	check("dovecot-lda -d %u", "absolute path");
	check("./x", "absolute path");
	check("/home/%u/x", "without variables");
	check("/x -%u", "makes an option of a value");
	check("/x --%{detail}", "makes an option of a value");
	check("/x -%%", NULL);
	check("/x - %u", NULL);
}
