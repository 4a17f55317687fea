#include "lib/networks.h"

#include <string.h>

#define SEPARATORS " \t,"
/* The longest address, in brackets and with a prefix, is far shorter. */
#define ENTRY_MAX 64

static const char *networks_next(const char *text, size_t *len_r)
{
	text += strspn(text, SEPARATORS);
	*len_r = strcspn(text, SEPARATORS);
	return text;
}

static size_t networks_count(const char *text)
{
	size_t count = 0, len;

	for (text = networks_next(text, &len); len > 0;
	     text = networks_next(text + len, &len))
		count++;
	return count;
}

static int networks_parse_one(struct addr_net *net, const char *text,
			      size_t len)
{
	char copy[ENTRY_MAX] = "";

	if (len >= sizeof(copy))
		return -1;
	memcpy(copy, text, len);
	return addr_net_parse(net, copy);
}

int networks_parse(struct arena *arena, const char *text,
		   struct networks *networks_r, struct err *err)
{
	size_t count = networks_count(text), len;
	struct addr_net *nets = arena_alloc(arena, count * sizeof(*nets));
	int ret = 0;

	*networks_r = (struct networks){ .nets = nets };
	for (text = networks_next(text, &len); len > 0;
	     text = networks_next(text + len, &len)) {
		if (len == 5 && memcmp(text, "local", 5) == 0)
			networks_r->local = true;
		else if (networks_parse_one(&nets[networks_r->count], text,
					    len) == 0)
			networks_r->count++;
		else if (ret == 0)
			ret = err_set(err, "'%.*s' is not a network: write an "
				      "address, or address/bits; names are not "
				      "looked up", (int)len, text);
	}
	return ret;
}

bool networks_contain(const struct networks *networks, const struct addr *addr)
{
	size_t i;

	if (addr->len == 0 || addr->sa.sa_family == AF_UNIX)
		return networks->local;
	for (i = 0; i < networks->count; i++)
		if (addr_net_contains(&networks->nets[i], addr))
			return true;
	return false;
}
