#include "lib/smtp/xtext.h"

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

TestSuite(smtp_xtext, .init = setup, .fini = teardown);

Test(smtp_xtext, every_byte_comes_back)
{
	struct str out = STR_INIT;
	char all[256], *back;
	size_t i, len;

	for (i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	smtp_xtext_write(&out, all, sizeof(all));
	for (i = 0; i < out.len; i++)
		cr_assert(out.data[i] > ' ' && out.data[i] < 0x7f &&
			  out.data[i] != '=');
	back = smtp_xtext_parse(arena, out.data, out.len, &len);
	cr_assert_not_null(back);
	cr_assert_eq(len, sizeof(all));
	cr_assert(memcmp(back, all, sizeof(all)) == 0);
	str_free(&out);
}

Test(smtp_xtext, written_form)
{
	struct str out = STR_INIT;

	smtp_xtext_write(&out, "a+b=c d~!\t\xff", 11);
	cr_assert_str_eq(str_c(&out), "a+2Bb+3Dc+20d~!+09+FF");
	str_free(&out);
}

Test(smtp_xtext, parsed)
{
	size_t len;

	cr_assert_str_eq(smtp_xtext_parse(arena, "", 0, &len), "");
	cr_assert_eq(len, 0);
	cr_assert_str_eq(smtp_xtext_parse(arena, "a+2B+3d", 7, &len), "a+=");
	cr_assert_eq(len, 3);
	smtp_xtext_parse(arena, "+00x", 4, &len);
	cr_assert_eq(len, 2);
}

Test(smtp_xtext, what_is_none)
{
	static const char *const bad[] = { "+", "a+", "+4", "+4g", "+g4", "+ 4",
					   "a b", "a=b", "a\tb", "a\x7f",
					   "a\xc3\xa4", "++41" };
	size_t i, len;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_null(smtp_xtext_parse(arena, bad[i], strlen(bad[i]),
						&len),
			       "\"%s\"", bad[i]);
	/* The length ends it, whatever follows. */
	cr_assert_null(smtp_xtext_parse(arena, "+41", 2, &len));
	cr_assert_str_eq(smtp_xtext_parse_utf8(arena, "a\xc3\xa4+41", 6, &len),
			 "a\xc3\xa4" "A");
}
