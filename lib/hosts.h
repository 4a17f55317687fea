/* The hosts file: names to addresses without asking the network, for those who
 * must not speak with it. */
#ifndef LIB_HOSTS_H
#define LIB_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/addr.h"

#define HOSTS_FILE "/etc/hosts"

/* Fills addrs (port 0) with at most max addresses that the file at path has
 * for name; returns how many. 0 also when the file cannot be read. */
unsigned hosts_addresses(const char *path, const char *name,
			 struct addr *addrs, unsigned max);

/* Copies the first name with a dot that stands in a line with name (hosts(5):
 * the canonical one comes first); false when there is none that fits size. */
bool hosts_full_name(const char *path, const char *name, char *full,
		     size_t size);

#endif
