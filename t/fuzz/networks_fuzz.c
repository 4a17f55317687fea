/* A list of networks. Whatever it is, it is read, and asked. */
#include <string.h>

#include "lib/networks.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(256);
	const char *text = arena_strndup(arena, (const char *)data, size);
	struct networks networks;
	struct addr addr;
	struct err err = { "" };
	size_t i;
	int ret = networks_parse(arena, text, &networks, &err);

	ASSERT((ret < 0) == (err.text[0] != '\0'));
	ASSERT(networks.count <= size);
	/* Each network holds its own address. Mapped ones are taken as IPv4,
	 * and not to be in an IPv6 network around them. */
	for (i = 0; i < networks.count; i++) {
		addr = networks.nets[i].addr;
		addr_unmap(&addr);
		ASSERT(addr.sa.sa_family != networks.nets[i].addr.sa.sa_family ||
		       networks_contain(&networks, &addr));
	}
	addr_parse_ip(&addr, "192.0.2.1", 0);
	if (networks_contain(&networks, &addr))
		ASSERT(networks.count > 0);
	arena_free(&arena);
	return 0;
}
