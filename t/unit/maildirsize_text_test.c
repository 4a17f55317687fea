/* Whether a file is broken is what Dovecot 2.3.19 takes it for, unless said. */
#include "backends/local/quota/maildirsize_text.h"

#include <criterion/criterion.h>
#include <string.h>

#define LIMIT "10000S\n"

static struct maildirsize_text text;

static int parse(const char *file)
{
	return maildirsize_text_parse(file, strlen(file), &text);
}

Test(maildirsize_text, sums)
{
	static const struct {
		const char *file;
		uint64_t bytes, messages;
		unsigned lines;
	} rows[] = {
		{ LIMIT, 0, 0, 0 },
		{ LIMIT "1 1\n", 1, 1, 1 },
		{ LIMIT "1 1 junk\n", 1, 1, 1 },
		{ LIMIT "  1 \t  1\n", 1, 1, 1 },
		{ LIMIT "1 1\n2 3\n-1 -2\n", 2, 2, 3 },
		{ LIMIT "1 +1\n", 1, 1, 1 },
		{ LIMIT "-5 -1\n10 2\n", 5, 1, 2 },
		{ LIMIT "5 1\n-5 -1\n", 0, 0, 2 },
		{ LIMIT "9223372036854775807 9223372036854775807\n",
		  INT64_MAX, INT64_MAX, 1 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(parse(rows[i].file), 0, "%s", rows[i].file);
		cr_expect_eq(text.used.bytes, rows[i].bytes, "%s", rows[i].file);
		cr_expect_eq(text.used.messages, rows[i].messages);
		cr_expect_eq(text.lines, rows[i].lines);
		cr_expect_eq(text.limit.bytes, 10000);
	}
}

Test(maildirsize_text, broken)
{
	static const char *const rows[] = {
		"", "10000S", LIMIT "x\n", LIMIT "1 1\n\n2 2\n", LIMIT "-5 1\n",
		LIMIT "5 -1\n", LIMIT "1\n", LIMIT "1.5 1\n", LIMIT "0x5 1\n",
		LIMIT "\n", LIMIT "- 1 1\n", LIMIT "1 1\nx",
		/* Dovecot takes the largest number for these: */
		LIMIT "99999999999999999999 1\n",
		LIMIT "9223372036854775807 1\n1 1\n",
		/* and goes on behind this, as "1 12 2": */
		LIMIT "1 1",
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(parse(rows[i]), -1, "%s", rows[i]);
	cr_expect_eq(maildirsize_text_parse("1S\n1 1\0\n", 8, &text), -1);
	cr_expect_eq(maildirsize_text_parse("1S\n1 1\n\0", 8, &text), -1);
}

Test(maildirsize_text, limits)
{
	static const struct {
		const char *file;
		uint64_t bytes, messages;
		bool has;
	} rows[] = {
		{ "10000S\n", 10000, 0, true },
		{ "10000S,12C\n", 10000, 12, true },
		{ "12C,10000S\n", 10000, 12, true },
		{ "12C\n", 0, 12, true },
		{ "0S\n", 0, 0, true },
		{ "0C,0S\n", 0, 0, true },
		{ "010000S\n", 10000, 0, true },
		{ "5S,10000S\n", 10000, 0, true },
		{ "10000S,\n", 10000, 0, true },
		{ "10000S,5X\n", 10000, 0, true },
		{ "10000\n", 0, 0, false },
		{ "10000s\n", 0, 0, false },
		{ "10000S \n", 0, 0, false },
		{ "+10000S\n", 0, 0, false },
		{ "10000S\r\n", 0, 0, false },
		{ "99999999999999999999S\n", 0, 0, false },
		{ "\n", 0, 0, false },
		{ "\n1 1\n", 0, 0, false },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(parse(rows[i].file), 0, "%s", rows[i].file);
		cr_expect_eq(text.limit.bytes, rows[i].bytes, "%s", rows[i].file);
		cr_expect_eq(text.limit.messages, rows[i].messages, "%s",
			     rows[i].file);
		cr_expect_eq(text.has_limit, rows[i].has, "%s", rows[i].file);
	}
	/* also of a file that is broken further down */
	cr_expect_eq(parse("5S\nx\n"), -1);
	cr_expect(text.has_limit);
	cr_expect_eq(text.limit.bytes, 5);
	cr_expect_eq(parse("5S"), -1);
	cr_expect_not(text.has_limit);
}

Test(maildirsize_text, written)
{
	static const struct {
		struct quota_amount limit;
		const char *want;
	} rows[] = {
		{ { 1000, 0 }, "1000S\n7 2\n" },
		{ { 1000, 5 }, "1000S,5C\n7 2\n" },
		{ { 0, 5 }, "5C\n7 2\n" },
		{ { 0, 0 }, "0S\n7 2\n" },
	};
	const struct quota_amount used = { 7, 2 };
	struct str out = STR_INIT;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		str_clear(&out);
		maildirsize_text_write(&rows[i].limit, &used, &out);
		cr_expect_str_eq(str_c(&out), rows[i].want);
	}
	str_clear(&out);
	maildirsize_text_line(-5, -1, &out);
	cr_expect_str_eq(str_c(&out), "-5 -1\n");
	str_free(&out);
}

Test(maildirsize_text, names)
{
	static const struct {
		const char *name;
		int64_t size;
	} rows[] = {
		{ "1.M2P3.host,S=1000,W=1003", 1000 },
		{ "1.M2P3.host,S=1000:2,S", 1000 },
		{ "1.M2P3.host,S=1000", 1000 },
		{ "1.M2P3.host,W=5,S=7:2,", 7 },
		{ "1.M2P3.host,S=:2,", 0 },
		{ "1.M2P3.host", -1 },
		{ "1.M2P3.host:2,S", -1 },
		{ "1.M2P3.host,S=10x", -1 },
		{ "1.M2P3.host,S=-1", -1 },
		{ "1.M2P3.host,S=99999999999999999999", -1 },
		{ "1,S=x,S=5", -1 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(maildirsize_of_name(rows[i].name), rows[i].size,
			     "%s", rows[i].name);
}
