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
