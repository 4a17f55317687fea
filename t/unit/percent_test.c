#include "lib/percent.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
	const char *text;
	bool plus_is_space;
	const char *want;
} cases[] = {
	{ "", false, "" },
	{ "joe@example.org", false, "joe@example.org" },
	{ "a+b", false, "a+b" },
	{ "a+b%2B", true, "a b+" },
	{ "%41%7a%c3%B6", false, "Az\xc3\xb6" },
	{ "100%25", false, "100%" },
	{ "%2541", false, "%41" },
	{ "%", false, NULL },
	{ "%4", false, NULL },
	{ "a%", false, NULL },
	{ "%4g", false, NULL },
	{ "%g4", false, NULL },
	{ "%%41", false, NULL },
	{ "% 1", false, NULL },
	{ "%00", false, NULL },
};

Test(percent, decode)
{
	struct arena *arena = arena_new(64);
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text = cases[i].text;
		char *got = percent_decode(arena, text, strlen(text),
					   cases[i].plus_is_space);

		if (cases[i].want == NULL)
			cr_expect_null(got, "%s: %s", text, got);
		else
			cr_expect_str_eq(got, cases[i].want, "%s", text);
	}
	cr_expect_null(percent_decode(arena, "a\0b", 3, false));
	/* What stands behind the end does not count. */
	cr_expect_null(percent_decode(arena, "a%41", 3, false));
	arena_free(&arena);
}

Test(percent, encode)
{
	struct str out = STR_INIT;

	percent_encode(&out, "aZ0-._~ %&=+?#/\xc3\"\n");
	cr_expect_str_eq(str_c(&out),
			 "aZ0-._~%20%25%26%3D%2B%3F%23%2F%C3%22%0A");
	str_free(&out);
}
