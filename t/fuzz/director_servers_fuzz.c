/* director_mail_servers. Whatever it is, it is read, and each server is there
 * once, in order, and can be read again. */
#include <string.h>

#include "backends/director/servers.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

/* Some names have two addresses, of servers that may be in the list, too. */
static unsigned resolve(const char *name, struct addr *addrs, unsigned max)
{
	ASSERT(max >= 2);
	if (name[0] != 'h')
		return 0;
	addr_parse_ip(&addrs[0], "192.0.2.1", 0);
	addr_parse_ip(&addrs[1], "2001:db8::1", 0);
	return 2;
}

static void check(const struct director_servers *servers)
{
	const struct director_server *server = servers->list, *last = NULL;
	struct addr addr;

	ASSERT(servers->count > 0 && servers->count <= DIRECTOR_MAX_SERVERS);
	for (; server < servers->list + servers->count; server++) {
		ASSERT(addr_parse_ip(&addr, server->ip, 0) == 0);
		ASSERT(addr_equal(&addr, &server->addr));
		ASSERT(server->weight <= DIRECTOR_MAX_WEIGHT);
		ASSERT(strpbrk(server->tag, " \t\r\n") == NULL);
		ASSERT(last == NULL || strcmp(last->ip, server->ip) != 0 ||
		       strcmp(last->tag, server->tag) < 0);
		last = server;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(256);
	const char *text = arena_strndup(arena, (const char *)data, size);
	struct director_servers servers;
	struct err err = { "" };
	int ret = director_servers_parse(arena, text, resolve, &servers, &err);

	ASSERT((ret < 0) == (err.text[0] != '\0'));
	if (ret == 0)
		check(&servers);
	arena_free(&arena);
	return 0;
}
