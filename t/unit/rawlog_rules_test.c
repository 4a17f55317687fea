#include "proxy/rawlog_rules.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct rawlog_rules rules, other;
static struct str bytes;

static void setup(void)
{
	rawlog_rules_init(&rules);
	rawlog_rules_init(&other);
}

static void teardown(void)
{
	rawlog_rules_free(&rules);
	rawlog_rules_free(&other);
	str_free(&bytes);
}

TestSuite(rawlog_rules, .init = setup, .fini = teardown);

static int order(const char *pattern, const char *dir, uint64_t until_us)
{
	str_clear(&bytes);
	rawlog_order_encode(&bytes, pattern, dir, until_us);
	return rawlog_rules_obey(&rules, bytes.data, bytes.len);
}

static void expect_dir(struct rawlog_rules *of, const char *text,
		       const char *dir)
{
	const char *found = rawlog_rules_find(of, 0, text);

	cr_expect_str_eq(found != NULL ? found : "none", dir, "%s", text);
}

Test(rawlog_rules, orders_are_obeyed)
{
	cr_expect_eq(order("ann@*", "/a", 9), 1);
	cr_expect_eq(order("10.0.0.?", "/b", 9), 1);
	expect_dir(&rules, "Ann@example.org", "/a");
	expect_dir(&rules, "10.0.0.7", "/b");
	cr_expect_eq(order("ANN@*", "/c", 9), 1);
	expect_dir(&rules, "ann@example.org", "/c");
	cr_expect_eq(rules.count, 2);
	cr_expect_eq(order("Ann@*", "", 0), 1);
	expect_dir(&rules, "ann@example.org", "none");
	cr_expect_eq(order("", "", 0), 1);
	cr_expect_eq(rules.count, 0);
	cr_expect_eq(rules.size, 0);
}

Test(rawlog_rules, no_orders)
{
	cr_expect_eq(order("", "/a", 9), -1);
	cr_expect_eq(order("x", "/a", 9), 1);
	cr_expect_eq(rawlog_rules_obey(&rules, bytes.data, bytes.len - 1), -1);
	cr_expect_eq(rawlog_rules_obey(&rules, bytes.data, 8), -1);
	cr_expect_eq(rawlog_rules_obey(&rules, bytes.data, 7), -1);
	cr_expect_eq(rawlog_rules_obey(&rules, "", 0), -1);
	str_putc(&bytes, '\0');
	cr_expect_eq(rawlog_rules_obey(&rules, bytes.data, bytes.len), -1);
	cr_expect_eq(rules.count, 1);
}

Test(rawlog_rules, they_come_back_as_they_were)
{
	str_clear(&bytes);
	rawlog_rules_encode(&bytes, &rules);
	cr_expect_eq(bytes.len, 0);
	(void)order("ann@*", "/a", 0x0102030405060708);
	(void)order("joe", "/var/tmp/joe", UINT64_MAX);
	str_clear(&bytes);
	rawlog_rules_encode(&bytes, &rules);
	cr_expect_eq(bytes.len, rules.size);
	cr_expect_eq(memcmp(bytes.data, "\x08\7\6\5\4\3\2\1ann@*\0/a\0", 17), 0);
	cr_expect_eq(rawlog_rules_decode(&other, bytes.data, bytes.len), 0);
	cr_expect_eq(other.count, 2);
	expect_dir(&other, "joe", "/var/tmp/joe");
	cr_expect_not_null(rawlog_rules_find(&other, UINT64_MAX - 1, "joe"));
	cr_expect_eq(other.count, 1);
	rawlog_rules_copy(&other, &rules);
	cr_expect_eq(other.count, 2);
	cr_expect_eq(other.size, rules.size);
	expect_dir(&other, "ann@", "/a");
}

static void expect_bad(const char *data, size_t len)
{
	(void)rawlog_rules_set(&other, "x", "/x", 9);
	cr_expect_eq(rawlog_rules_decode(&other, data, len), -1);
	cr_expect_eq(other.count, 0);
}

Test(rawlog_rules, anything_else_is_refused)
{
	expect_bad("x", 1);
	expect_bad("\0\0\0\0\0\0\0\0", 8);
	expect_bad("\0\0\0\0\0\0\0\0a", 9);
	expect_bad("\0\0\0\0\0\0\0\0a\0/", 11);
	expect_bad("\0\0\0\0\0\0\0\0\0/\0", 11);
	expect_bad("\0\0\0\0\0\0\0\0a\0\0", 11);
	/* One that comes twice. */
	expect_bad("\0\0\0\0\0\0\0\0a\0/\0\0\0\0\0\0\0\0\0A\0/\0", 24);
}

Test(rawlog_rules, limits_hold)
{
	char text[RAWLOG_RULES_MAX_SIZE];
	unsigned i;

	for (i = 0; i < RAWLOG_RULES_MAX; i++) {
		snprintf(text, sizeof(text), "%u", i);
		cr_assert_eq(order(text, "/", 9), 1);
	}
	cr_expect_eq(order("more", "/", 9), 0);
	cr_expect_eq(order("7", "/more", 9), 1);
	(void)order("", "", 0);
	memset(text, 'x', sizeof(text));
	text[RAWLOG_RULES_MAX_SIZE - 8 - 2 - 1] = '\0';
	cr_expect_eq(order(text, "/", 9), 1);
	cr_expect_eq(rules.size, RAWLOG_RULES_MAX_SIZE);
	cr_expect_eq(order("x", "/", 9), 0);
	(void)order("", "", 0);
	text[RAWLOG_RULES_MAX_SIZE - 8 - 2 - 1] = 'x';
	text[RAWLOG_RULES_MAX_SIZE - 8 - 2] = '\0';
	cr_expect_eq(order(text, "/", 9), 0);
}
