/* Whom director_mail_servers means, by the settings. */
#include <criterion/criterion.h>

#include <string.h>

#include "backends/director/map.h"
#include "proxy/director/director.h"

static struct arena *arena;
static struct director_settings settings;
static struct director_choice choice;
static const struct director_backend_settings *bad;
static struct err err;

static void start(void)
{
	arena = arena_new(1024);
	settings = (struct director_settings){
		.mail_servers = "10.0.0.1-10.0.0.9 10.1.0.1-10.1.0.9@x "
				"10.2.0.1*0@off",
		.username_hash = "%Lu",
	};
}

static void end(void)
{
	arena_free(&arena);
}

TestSuite(director, .init = start, .fini = end);

static int choose(const char *user, const char *tag)
{
	const struct director *director =
		director_new(arena, &settings, &bad, &err);

	cr_assert_not_null(director, "%s", err.text);
	return director_choose(director, arena, user, tag, &choice, &err);
}

Test(director, what_is_hashed)
{
	static const char *const cases[][3] = {
		{ "%Lu", "Joe@Example.org", "joe@example.org" },
		{ "%u", "Joe@Example.org", "Joe@Example.org" },
		{ "%Ln", "Joe@Example.org", "joe" },
		{ "%Ld", "Joe@Example.org", "example.org" },
		{ "%{username}/%{domain}/%{user}", "a@b@c", "a/b@c/a@b@c" },
		{ "%n|%d", "joe", "joe|" },
		{ "all", "joe", "all" },
		{ "", "joe", "" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		settings.username_hash = cases[i][0];
		cr_assert_eq(choose(cases[i][1], ""), 0);
		cr_expect_str_eq(choice.text, cases[i][2]);
	}
}

Test(director, says_why)
{
	const struct director_server *server;

	cr_assert_eq(choose("Joe", ""), 0);
	server = choice.server;
	cr_expect_str_eq(server->tag, "");
	cr_expect_str_eq(choice.method, "md5-ring");
	cr_expect_str_eq(choice.tag, "");
	/* md5("joe") */
	cr_expect_eq(choice.hash, 0x8ff32489f92f3341);
	cr_assert_eq(choose("jOE", ""), 0);
	cr_expect_str_eq(choice.server->ip, server->ip);
	settings.hash = DIRECTOR_RENDEZVOUS;
	cr_assert_eq(choose("Joe", "x"), 0);
	cr_expect_str_eq(choice.method, "rendezvous");
	cr_expect_str_eq(choice.server->tag, "x");
	cr_expect_str_eq(choice.tag, "x");
}

Test(director, both_ways_are_at_hand)
{
	unsigned i, same = 0;

	for (i = 0; i < 100; i++) {
		const char *user = arena_printf(arena, "u%u", i), *ip;

		settings.hash = DIRECTOR_MD5_RING;
		cr_assert_eq(choose(user, ""), 0);
		ip = choice.server->ip;
		settings.hash = DIRECTOR_RENDEZVOUS;
		cr_assert_eq(choose(user, ""), 0);
		same += strcmp(choice.server->ip, ip) == 0;
	}
	cr_expect(same > 0 && same < 50, "%u", same);
}

Test(director, nobody_left)
{
	cr_expect_lt(choose("joe", "y"), 0);
	cr_expect(strstr(err.text, "director_tag=y: ") != NULL, "%s", err.text);
	cr_expect_lt(choose("joe", "off"), 0);
	cr_expect(strstr(err.text, "director_tag=off: ") != NULL, "%s",
		  err.text);
	settings.mail_servers = "10.0.0.1@x";
	cr_expect_lt(choose("joe", ""), 0);
	cr_expect(strstr(err.text, "no server without a tag") != NULL, "%s",
		  err.text);
}

Test(director, formats)
{
	cr_expect_eq(director_check_format("%Ln-%{domain}", &err), 0);
	cr_expect_lt(director_check_format("%q", &err), 0);
	cr_expect_lt(director_check_format("%{tag}", &err), 0);
}

Test(director, names_are_those_of_the_hosts_file)
{
	settings.mail_servers = "localhost";
	cr_assert_eq(choose("joe", ""), 0);
	cr_expect_str_eq(choice.server->name, "localhost");
	settings.mail_servers = "no-such-host.invalid";
	cr_expect_null(director_new(arena, &settings, &bad, &err));
	cr_expect_null(bad);
	cr_expect(strstr(err.text, "'no-such-host.invalid'") != NULL, "%s",
		  err.text);
}

Test(director, sections_add_to_the_list)
{
	const struct director_backend_settings backends[] = {
		{ .servers = "10.3.0.1 10.3.0.2*0", .weight = 7, .tag = "y" },
		{ .servers = "10.3.0.1@z 10.0.0.1", .weight = 100, .tag = "" },
	};
	const struct director_servers *servers;
	struct director *director;

	settings.backends = backends;
	settings.backend_count = 2;
	director = director_new(arena, &settings, &bad, &err);
	cr_assert_not_null(director, "%s", err.text);
	servers = director_configured(director);
	cr_expect_eq(servers->count, 9 + 9 + 1 + 3);
	cr_expect_str_eq(servers->list[20].ip, "10.3.0.1");
	cr_expect_str_eq(servers->list[20].tag, "z");
	cr_expect_eq(choose("joe", "y"), 0);
	cr_expect_str_eq(choice.server->ip, "10.3.0.1");
	cr_expect_eq(choice.server->weight, 7);
}

Test(director, sections_that_are_wrong)
{
	struct director_backend_settings backends[] = {
		{ .servers = "10.3.0.1", .weight = 100, .tag = "" },
		{ .servers = "10.0.0.1", .weight = 100, .tag = "",
		  .port = 2424 },
	};

	settings.backends = backends;
	settings.backend_count = 2;
	cr_expect_null(director_new(arena, &settings, &bad, &err));
	cr_expect_eq(bad, &backends[1]);
	cr_expect_not_null(strstr(err.text, "10.0.0.1 is there twice"));
	backends[0].servers = "10.0.0.x";
	cr_expect_null(director_new(arena, &settings, &bad, &err));
	cr_expect_eq(bad, &backends[0]);
	backends[0].servers = backends[1].servers = settings.mail_servers = "";
	cr_expect_null(director_new(arena, &settings, &bad, &err));
	cr_expect_str_eq(err.text, "there is no server");
}
