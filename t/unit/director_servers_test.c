/* director_mail_servers. */
#include <criterion/criterion.h>

#include <string.h>

#include "backends/director/servers.h"

static struct arena *arena;

static void start(void)
{
	arena = arena_new(1024);
}

static void end(void)
{
	arena_free(&arena);
}

TestSuite(director_servers, .init = start, .fini = end);

/* "two" has two addresses, "mail-1" has one, nobody else has any. */
static unsigned resolve(const char *name, struct addr *addrs, unsigned max)
{
	unsigned count = strcmp(name, "two") == 0 ? 2
			 : strcmp(name, "mail-1") == 0 ? 1 : 0;

	cr_assert_geq(max, count);
	addr_parse_ip(&addrs[0], count == 2 ? "192.0.2.9" : "192.0.2.1", 0);
	addr_parse_ip(&addrs[1], "2001:db8::9", 0);
	return count;
}

/* "IP(NAME)*WEIGHT@TAG" for each, or the error. */
static const char *parsed(const char *text)
{
	struct director_servers servers;
	struct str out = STR_INIT;
	struct err err;
	const char *copy;
	unsigned i;

	if (director_servers_parse(arena, text, resolve, &servers, &err) < 0)
		return arena_strdup(arena, err.text);
	for (i = 0; i < servers.count; i++) {
		const struct director_server *server = &servers.list[i];

		str_puts(&out, i > 0 ? " " : "");
		addr_write_ip(&out, &server->addr);
		cr_expect(strstr(str_c(&out), server->ip) != NULL);
		if (server->name != NULL)
			str_printf(&out, "(%s)", server->name);
		if (server->weight != DIRECTOR_WEIGHT)
			str_printf(&out, "*%u", server->weight);
		if (server->tag[0] != '\0')
			str_printf(&out, "@%s", server->tag);
	}
	copy = arena_strdup(arena, str_c(&out));
	str_free(&out);
	return copy;
}

Test(director_servers, lists)
{
	static const char *const cases[][2] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "  192.0.2.1\t192.0.2.2 ", "192.0.2.1 192.0.2.2" },
		{ "192.0.2.2 192.0.2.1 192.0.2.10",
		  "192.0.2.1 192.0.2.2 192.0.2.10" },
		{ "[2001:DB8::1] 10.0.0.1", "10.0.0.1 2001:db8::1" },
		{ "192.0.2.1@a 192.0.2.1 192.0.2.1@b@c",
		  "192.0.2.1 192.0.2.1@a 192.0.2.1@b@c" },
		{ "192.0.2.1@", "192.0.2.1" },
		{ "two", "192.0.2.9(two) 2001:db8::9(two)" },
		{ "mail-1@x", "192.0.2.1(mail-1)@x" },
		{ "two 192.0.2.9 192.0.2.9@x",
		  "192.0.2.9(two) 192.0.2.9@x 2001:db8::9(two)" },
		{ "192.0.2.254-192.0.2.255", "192.0.2.254 192.0.2.255" },
		{ "192.0.2.7-192.0.2.7", "192.0.2.7" },
		{ "2001:db8::fffe-2001:db8::ffff@v6",
		  "2001:db8::fffe@v6 2001:db8::ffff@v6" },
		{ "192.0.2.1-192.0.2.3 192.0.2.2",
		  "192.0.2.1 192.0.2.2 192.0.2.3" },
		{ "192.0.2.1*50 mail-1*0@x 192.0.2.8-192.0.2.9*1000",
		  "192.0.2.1*50 192.0.2.1(mail-1)*0@x 192.0.2.8*1000 "
		  "192.0.2.9*1000" },
		{ "192.0.2.1*50 192.0.2.1*70 192.0.2.1*60", "192.0.2.1*70" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect_str_eq(parsed(cases[i][0]), cases[i][1], "[%s]: %s",
				 cases[i][0], parsed(cases[i][0]));
}

Test(director_servers, errors)
{
	static const char *const cases[][2] = {
		{ "", "there is no server" },
		{ "  ", "there is no server" },
		{ "nobody", "'nobody' is no address" },
		{ "192.0.2.1 nobody", "'nobody' is no address" },
		{ "192.0.2.1 one.example. mail-2@x 192.0.2.2",
		  "'one.example.' is no address, and no name that /etc/hosts "
		  "has; DNS is not asked. Write addresses in place of names, "
		  "or add to /etc/hosts what this prints: getent hosts "
		  "one.example. mail-2" },
		{ "192.0.2.1:24", "'192.0.2.1:24' is no address, no range of "
				  "addresses, and no host name" },
		{ "192.0.2.300", "'192.0.2.300' is no address, no range" },
		{ "192.0.2", "'192.0.2' is no address, no range" },
		{ "7", "'7' is no address, no range" },
		{ "one.7.", "'one.7.' is no address, no range" },
		{ "mail7", "getent hosts mail7" },
		{ "$(x) nobody", "'$(x)' is no address, no range" },
		{ "nobody $(x)", "'$(x)' is no address, no range" },
		{ "@tag", "'' is no address" },
		{ "192.0.2.1-192.0.2", "'192.0.2.1-192.0.2' is no address" },
		{ "192.0.2.2-192.0.2.1", "is before the first" },
		{ "192.0.2.1-192.0.3.1", "the last 8 bits only" },
		{ "2001:db8::1-2001:db8::1:1", "the last 16 bits only" },
		{ "192.0.2.1-2001:db8::1", "one end is IPv4" },
		{ "192.0.2.1*", "'*': not a weight" },
		{ "192.0.2.1*1001", "'*1001': not a weight from 0 to 1000" },
		{ "192.0.2.1*-1", "'*-1': not a weight" },
		{ "192.0.2.1*5x", "'*5x': not a weight" },
		{ "192.0.2.1*99999999999", "not a weight" },
		{ "2001:db8::-2001:db8::1000", "more than 4096 servers" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect(strstr(parsed(cases[i][0]), cases[i][1]) != NULL,
			  "[%s]: %s", cases[i][0], parsed(cases[i][0]));
}

Test(director_servers, an_error_has_room_for_so_many_names)
{
	struct str text = STR_INIT;
	const char *error;
	unsigned i;

	for (i = 100; i < 200; i++)
		str_printf(&text, " host-%u.example.org", i);
	error = parsed(str_c(&text));
	cr_expect(strstr(error, "'host-100.example.org' is no") != NULL, "%s",
		  error);
	cr_expect(strstr(error, "getent hosts host-100.example.org host-101."
				"example.org ") != NULL, "%s", error);
	cr_expect(strstr(error, ".org (and further names)") != NULL, "%s",
		  error);
	str_free(&text);
}
