/* A configuration on its way to another process: packed, in memory that has a
 * descriptor. */
#ifndef PROXY_CONF_MEMFD_H
#define PROXY_CONF_MEMFD_H

#include <stdint.h>

#include "lib/conf/tree.h"
#include "lib/err.h"
#include "proxy/settings/settings.h"

/* A packed configuration: its text, its files (each CONF_MAX_BYTES at most),
 * and where everything stands. */
#define CONF_MEMFD_MAX (64u * 1024 * 1024)

/* Writes tree to a new memfd (close-on-exec), which is the caller's. */
int conf_memfd_write(const struct conf_tree *tree, int *fd_r, uint32_t *size_r,
		     struct err *err);

/* Reads and binds it. fd stays the caller's. NULL when it is damaged, or not a
 * configuration that this program could have written. */
struct settings *conf_memfd_read(int fd, uint32_t size, struct err *err);

#endif
