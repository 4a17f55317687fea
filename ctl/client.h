/* One request to a running waypost, over its control socket. Blocks. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include "lib/err.h"
#include "lib/str.h"

/* Sends method and path (with query) to the socket. Returns the status of the
 * answer, whose body is appended to body. Without one: a negative number, and err
 * says why. Gives up after a minute of silence. */
int client_request(const char *socket_path, const char *method,
		   const char *path, struct str *body, struct err *err);

/* The exit status (sysexits.h) that client_request()'s result means to a script;
 * EX_OK for 200. */
int client_exit(int status);

/* Appends what the answer, which is not 200, says of the reason: its member error,
 * or its text. Control characters are escaped. */
void client_put_reason(struct str *out, const struct str *body);

#endif
