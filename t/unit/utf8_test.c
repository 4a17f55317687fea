#include "lib/utf8.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const valid[] = {
	"", "plain ASCII \x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
	"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
	"\xf4\x8f\xbf\xbf", "a\xc3\xa4z",
};

static const char *const invalid[] = {
	"\x80",			/* continuation alone */
	"a\xbf",
	"\xc3",			/* cut short */
	"\xe2\x82",
	"\xf0\x9f\x98",
	"\xc3z",		/* continuation missing */
	"\xe2\x82z",
	"\xc0\x80",		/* overlong */
	"\xc1\xbf",
	"\xe0\x9f\xbf",
	"\xf0\x8f\xbf\xbf",
	"\xed\xa0\x80",		/* surrogates */
	"\xed\xbf\xbf",
	"\xf4\x90\x80\x80",	/* past U+10FFFF */
	"\xf8\x88\x80\x80\x80", /* no such form */
	"\xff",
};

Test(utf8, valid)
{
	size_t i;

	for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		cr_assert(utf8_is_valid(valid[i], strlen(valid[i])), "row %zu",
			  i);
	cr_assert(utf8_is_valid("a\0b", 3));
}

Test(utf8, invalid)
{
	size_t i;

	for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		cr_assert_not(utf8_is_valid(invalid[i], strlen(invalid[i])),
			      "row %zu", i);
}

Test(utf8, length_is_honoured)
{
	cr_assert_not(utf8_is_valid("\xc3\xa4", 1));
	cr_assert(utf8_is_valid("a\xff", 1));
}

static void expect_put(uint32_t point, const char *text)
{
	struct str out = STR_INIT;

	utf8_put(&out, point);
	cr_expect_str_eq(str_c(&out), text, "U+%04X", (unsigned)point);
	str_free(&out);
}

Test(utf8, put)
{
	expect_put('a', "a");
	expect_put(0x7f, "\x7f");
	expect_put(0x80, "\xc2\x80");
	expect_put(0x7ff, "\xdf\xbf");
	expect_put(0x800, "\xe0\xa0\x80");
	expect_put(0xffff, "\xef\xbf\xbf");
	expect_put(0x10000, "\xf0\x90\x80\x80");
	expect_put(0x10ffff, "\xf4\x8f\xbf\xbf");
}

/* All that there are: valid, and no two the same. */
Test(utf8, put_all)
{
	struct str out = STR_INIT, before = STR_INIT;
	uint32_t point;

	for (point = 1; point <= 0x10ffff; point++) {
		if (point >= 0xd800 && point < 0xe000)
			continue;
		str_clear(&out);
		utf8_put(&out, point);
		cr_assert_eq(utf8_char_len(out.data, out.len), out.len);
		cr_assert_gt(strcmp(str_c(&out), str_c(&before)), 0);
		str_clear(&before);
		str_append(&before, out.data, out.len);
	}
	str_free(&out);
	str_free(&before);
}
