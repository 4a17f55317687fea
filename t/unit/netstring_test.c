#include "lib/netstring.h"

#include <criterion/criterion.h>

#define MAX 20

static const struct {
	const char *data;
	int got;
	const char *text;
	size_t size;
} cases[] = {
	{ "0:,", 1, "", 3 },
	{ "5:hello,", 1, "hello", 8 },
	{ "5:hello,5:", 1, "hello", 8 },
	{ "3:,:,,", 1, ",:,", 6 },
	{ "20:12345678901234567890,", 1, "12345678901234567890", 24 },
	{ "", 0, NULL, 0 },
	{ "2", 0, NULL, 0 },
	{ "20", 0, NULL, 0 },
	{ "0:", 0, NULL, 0 },
	{ "5:hell", 0, NULL, 0 },
	{ "5:hello", 0, NULL, 0 },
	{ "21", -1, NULL, 0 },
	{ "21:", -1, NULL, 0 },
	{ "100000:", -1, NULL, 0 },
	{ "99999999999999999999999999999999999", -1, NULL, 0 },
	{ "00:,", -1, NULL, 0 },
	{ "05:hello,", -1, NULL, 0 },
	{ ":,", -1, NULL, 0 },
	{ ",", -1, NULL, 0 },
	{ "-1:,", -1, NULL, 0 },
	{ "+1:a,", -1, NULL, 0 },
	{ " 1:a,", -1, NULL, 0 },
	{ "1 :a,", -1, NULL, 0 },
	{ "0x1:a,", -1, NULL, 0 },
	{ "1:ab,", -1, NULL, 0 },
	{ "1:a;", -1, NULL, 0 },
	{ "get a\n", -1, NULL, 0 },
};

Test(netstring, parse)
{
	struct netstring netstring;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *data = cases[i].data;

		cr_assert_eq(netstring_parse(data, strlen(data), MAX,
					     &netstring), cases[i].got, "%s",
			     data);
		if (cases[i].got <= 0)
			continue;
		cr_expect_eq(netstring.size, cases[i].size, "%s", data);
		cr_expect_eq(netstring.len, strlen(cases[i].text), "%s", data);
		cr_expect_eq(memcmp(netstring.text, cases[i].text,
				    netstring.len), 0, "%s", data);
	}
}

/* Whatever stands in it, and wherever it is cut. */
Test(netstring, what_is_written_is_read)
{
	static const char text[] = "a\0b,1:\n";
	struct netstring netstring;
	struct str out = STR_INIT;
	size_t len;

	netstring_write(&out, text, sizeof(text));
	netstring_write(&out, NULL, 0);
	cr_assert_eq(out.len, 2 + sizeof(text) + 1 + 3);
	for (len = 0; len < 2 + sizeof(text) + 1; len++)
		cr_expect_eq(netstring_parse(out.data, len, MAX, &netstring),
			     0);
	cr_assert_eq(netstring_parse(out.data, out.len, MAX, &netstring), 1);
	cr_expect_eq(netstring.len, sizeof(text));
	cr_expect_eq(memcmp(netstring.text, text, sizeof(text)), 0);
	cr_expect_str_eq(out.data + netstring.size, "0:,");
	str_free(&out);
}
