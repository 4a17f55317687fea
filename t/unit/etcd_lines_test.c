#include "lib/etcd/lines.h"

#include <criterion/criterion.h>

static void expect_line(struct etcd_lines *lines, const char *text)
{
	const char *line;
	size_t len;

	cr_assert_eq(etcd_lines_next(lines, &line, &len), 1, "%s", text);
	cr_expect_eq(len, strlen(text));
	cr_expect_eq(memcmp(line, text, len), 0, "%.*s", (int)len, line);
}

static void expect_none(struct etcd_lines *lines, int result)
{
	const char *line;
	size_t len;

	cr_expect_eq(etcd_lines_next(lines, &line, &len), result);
}

static void add(struct etcd_lines *lines, const char *text)
{
	etcd_lines_add(lines, text, strlen(text));
}

Test(etcd_lines, pieces_of_any_size)
{
	static const char text[] = "one\n\ntwo\nthree\n";
	size_t size, at;

	for (size = 1; size < sizeof(text); size++) {
		struct etcd_lines lines;
		const char *line;
		size_t len;
		struct str seen = STR_INIT;

		etcd_lines_init(&lines, 5);
		for (at = 0; at < sizeof(text) - 1; at += size) {
			etcd_lines_add(&lines, text + at,
				       sizeof(text) - 1 - at < size ?
				       sizeof(text) - 1 - at : size);
			while (etcd_lines_next(&lines, &line, &len) == 1)
				str_printf(&seen, "<%.*s>", (int)len, line);
		}
		cr_expect_str_eq(str_c(&seen), "<one><two><three>", "%zu",
				 size);
		cr_expect(!etcd_lines_rest(&lines, &line, &len));
		str_free(&seen);
		etcd_lines_free(&lines);
	}
}

Test(etcd_lines, shutdown_line_without_newline)
{
	struct etcd_lines lines;
	const char *line;
	size_t len;

	etcd_lines_init(&lines, 100);
	add(&lines, "a\n{\"error\"");
	expect_line(&lines, "a");
	expect_none(&lines, 0);
	add(&lines, ":{}}");
	expect_none(&lines, 0);
	cr_assert(etcd_lines_rest(&lines, &line, &len));
	cr_expect_eq(len, strlen("{\"error\":{}}"));
	cr_expect_eq(memcmp(line, "{\"error\":{}}", len), 0);
	cr_expect(!etcd_lines_rest(&lines, &line, &len));
	etcd_lines_free(&lines);
}

Test(etcd_lines, line_that_is_too_long)
{
	struct etcd_lines lines;
	const char *line;
	size_t len;

	etcd_lines_init(&lines, 3);
	add(&lines, "abc\nabc");
	expect_line(&lines, "abc");
	expect_none(&lines, 0);
	add(&lines, "d");
	expect_none(&lines, -1);
	cr_expect(!etcd_lines_rest(&lines, &line, &len));
	etcd_lines_free(&lines);
	add(&lines, "abcd\n");
	expect_none(&lines, -1);
	etcd_lines_free(&lines);
}
