#include "lib/networks.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena *arena;

static void setup(void)
{
	arena = arena_new(256);
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(networks, .init = setup, .fini = teardown);

static struct addr address(const char *text)
{
	struct addr addr = { .len = 0 };

	if (text[0] == '/')
		cr_assert_eq(addr_set_unix(&addr, text), 0);
	else if (text[0] != '\0')
		cr_assert_eq(addr_parse_ip(&addr, text, 25), 0, "%s", text);
	return addr;
}

static const struct {
	const char *list, *addr;
	bool in;
} matches[] = {
	{ "", "192.0.2.1", false },
	{ "", "/run/lmtp", false },
	{ " , ", "192.0.2.1", false },
	{ "192.0.2.1", "192.0.2.1", true },
	{ "192.0.2.1", "192.0.2.2", false },
	{ "192.0.2.0/24", "192.0.2.255", true },
	{ "192.0.2.0/24", "192.0.3.0", false },
	{ "0.0.0.0/0", "203.0.113.9", true },
	{ "0.0.0.0/0", "2001:db8::1", false },
	{ "10.0.0.0/8 192.0.2.0/24", "192.0.2.7", true },
	{ "10.0.0.0/8,192.0.2.0/24", "192.0.2.7", true },
	{ "10.0.0.0/8\t,  192.0.2.0/24,", "192.0.2.7", true },
	{ "2001:db8::/32", "2001:db8:ffff::1", true },
	{ "2001:db8::/32", "2001:db9::1", false },
	{ "[2001:db8::1]", "2001:db8::1", true },
	{ "::/0", "192.0.2.1", false },
	{ "192.0.2.0/24", "::ffff:192.0.2.1", true },
	{ "::ffff:192.0.2.0/120", "192.0.2.9", true },
	{ "0.0.0.0/0 ::/0", "/run/lmtp", false },
	{ "0.0.0.0/0 ::/0", "", false },
	{ "local", "/run/lmtp", true },
	{ "10.0.0.0/8,local", "", true },
	{ "local", "127.0.0.1", false },
};

Test(networks, matches)
{
	struct networks networks;
	struct err err = { "" };
	size_t i;

	for (i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		struct addr addr = address(matches[i].addr);

		cr_assert_eq(networks_parse(arena, matches[i].list, &networks,
					    &err), 0, "%s: %s",
			     matches[i].list, err.text);
		cr_assert_eq(networks_contain(&networks, &addr),
			     matches[i].in, "'%s' in '%s'", matches[i].addr,
			     matches[i].list);
	}
}

static const struct {
	const char *list, *named;
} broken[] = {
	{ "example.org", "'example.org'" },
	{ "10.0.0.0/33", "'10.0.0.0/33'" },
	{ "10.0.0.0/", "'10.0.0.0/'" },
	{ "10.0.0.0/8x", "'10.0.0.0/8x'" },
	{ "::/129", "'::/129'" },
	{ "10.0.0/8", "'10.0.0/8'" },
	{ "/8", "'/8'" },
	{ "Local", "'Local'" },
	{ "locals", "'locals'" },
	{ "10.0.0.1;10.0.0.2", "'10.0.0.1;10.0.0.2'" },
	{ "192.0.2.1 one two", "'one'" },
	{ "00000000000000000000000000000000000000000000000000000000000000000",
	  "is not a network" },
};

Test(networks, broken_entries_are_named_and_the_others_kept)
{
	struct networks networks;
	size_t i;

	for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct err err = { "" };

		cr_assert_eq(networks_parse(arena, broken[i].list, &networks,
					    &err), -1, "%s", broken[i].list);
		cr_assert_not_null(strstr(err.text, broken[i].named),
				   "%s: %s", broken[i].list, err.text);
	}
}

Test(networks, what_is_right_is_kept)
{
	struct networks networks;
	struct addr addr = address("192.0.2.1"), nowhere = address("");
	struct err err;

	cr_assert_eq(networks_parse(arena, "x 192.0.2.0/24 y local", &networks,
				    &err), -1);
	cr_assert_not_null(strstr(err.text, "'x'"));
	cr_assert(networks_contain(&networks, &addr));
	cr_assert(networks_contain(&networks, &nowhere));
}

Test(networks, zeroed_has_nobody)
{
	struct networks networks = { .count = 0 };
	struct addr addr = address("192.0.2.1"), nowhere = address("");

	cr_assert_not(networks_contain(&networks, &addr));
	cr_assert_not(networks_contain(&networks, &nowhere));
}
