#include "lib/smtp/chunk.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
	const char *args;
	uint64_t size;
	bool last;
} good[] = {
	{ "0", 0, false },
	{ "0 LAST", 0, true },
	{ "1", 1, false },
	{ "86 last", 86, true },
	{ "86  LaSt  ", 86, true },
	{ "86  ", 86, false },
	{ "000000000000000000000000000000086", 86, false },
	{ "9223372036854775807", INT64_MAX, false },
	{ "9223372036854775807 LAST", INT64_MAX, true },
};

Test(smtp_chunk, good)
{
	struct smtp_chunk chunk;
	struct err err = { "" };
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_assert_eq(smtp_chunk_parse(good[i].args,
					      strlen(good[i].args), &chunk,
					      &err), 0, "'%s': %s",
			     good[i].args, err.text);
		cr_assert_eq(chunk.size, good[i].size, "'%s'", good[i].args);
		cr_assert_eq(chunk.last, good[i].last, "'%s'", good[i].args);
		cr_assert(chunk.size_known, "'%s'", good[i].args);
	}
}

static const struct {
	const char *args;
	bool size_known;
	uint64_t size;
	const char *text;
} bad[] = {
	{ "", false, 0, "chunk size" },
	{ " 1", false, 0, "chunk size" },
	{ "-1", false, 0, "chunk size" },
	{ "+1", false, 0, "chunk size" },
	{ "LAST", false, 0, "chunk size" },
	{ "0x10", false, 0, "chunk size" },
	{ "1\tLAST", false, 0, "chunk size" },
	{ "12LAST", false, 0, "chunk size" },
	{ "9223372036854775808", false, 0, "chunk size" },
	{ "18446744073709551617", false, 0, "chunk size" },
	{ "99999999999999999999999999 LAST", false, 0, "chunk size" },
	{ "7 LAS", true, 7, "end marker" },
	{ "7 LASTS", true, 7, "end marker" },
	{ "7 LAST LAST", true, 7, "end marker" },
	{ "7 8", true, 7, "end marker" },
	{ "7 \tLAST", true, 7, "end marker" },
};

Test(smtp_chunk, bad)
{
	struct smtp_chunk chunk;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = { "" };

		cr_assert_eq(smtp_chunk_parse(bad[i].args, strlen(bad[i].args),
					      &chunk, &err), -1, "'%s'",
			     bad[i].args);
		cr_assert_not_null(strstr(err.text, bad[i].text), "'%s': %s",
				   bad[i].args, err.text);
		cr_assert_eq(chunk.size_known, bad[i].size_known, "'%s'",
			     bad[i].args);
		if (chunk.size_known)
			cr_assert_eq(chunk.size, bad[i].size, "'%s'",
				     bad[i].args);
		cr_assert_not(chunk.last, "'%s'", bad[i].args);
	}
}

Test(smtp_chunk, only_len_bytes_count)
{
	struct smtp_chunk chunk;
	struct err err;

	cr_assert_eq(smtp_chunk_parse("12 LAST", 1, &chunk, &err), 0);
	cr_assert_eq(chunk.size, 1);
	cr_assert_not(chunk.last);
}
