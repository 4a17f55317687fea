/* Lists of networks, as login_trusted_networks, haproxy_trusted_networks and
 * the passdb field allow_nets have them. */
#ifndef LIB_NETWORKS_H
#define LIB_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/err.h"

/* A zeroed one has nobody in it. */
struct networks {
	const struct addr_net *nets;
	size_t count;
	bool local;
};

/* Reads networks (see addr_net_parse()) and addresses separated by blanks,
 * tabs or commas, any number of them; "local" stands for clients without an IP
 * address, those of UNIX sockets. Text may be empty. What is kept lives in
 * arena. Returns -1 when an entry is none of these, with the first such in
 * *err; *networks_r then holds the others. */
int networks_parse(struct arena *arena, const char *text,
		   struct networks *networks_r, struct err *err);

/* Whether addr is in one of the networks. IPv4-mapped addresses are taken as
 * IPv4. */
bool networks_contain(const struct networks *networks, const struct addr *addr);

#endif
