/* One request to a running waypost, over its control socket. Blocks. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include "lib/err.h"
#include "lib/str.h"

/* Sends method and path (with query) to the socket. Returns the status of the
 * answer, whose body is appended to body; -1 when there is none. Gives up after
 * a minute of silence. */
int client_request(const char *socket_path, const char *method,
		   const char *path, struct str *body, struct err *err);

/* Appends text %-encoded, as a part of a query. */
void client_put_param(struct str *out, const char *text);

#endif
