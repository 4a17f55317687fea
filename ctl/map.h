/* Where the users of a list are. */
#ifndef CTL_MAP_H
#define CTL_MAP_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/str.h"

/* Asks the waypost at the socket about each user that the file has a line for, and
 * appends {"users":[...]}, of those who are, or would go, to host (NULL: all).
 * Returns EX_OK, or another exit status and err. */
int map_of_file(const char *socket_path, const char *file, const char *host,
		struct str *out, struct err *err);

#endif
