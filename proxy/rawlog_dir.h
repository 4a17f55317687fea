/* lmtp_rawlog_dir and lmtp_proxy_rawlog_dir, with their variables. */
#ifndef PROXY_RAWLOG_DIR_H
#define PROXY_RAWLOG_DIR_H

#include "lib/err.h"
#include "lib/str.h"
#include "passdb/passdb.h"

/* Appends the directory for a connection of client's. The variables are those
 * of a lookup that have to do with the connection (%s, %l, %r, %a, %b,
 * %{session}, %p, ...); those of the user are empty, as in Dovecot. In a value
 * no "/" and no leading "." is left. Returns 0, or -1 when one has no value. */
int rawlog_dir_expand(struct str *out, const char *text,
		      const struct passdb_client *client, const char *hostname,
		      struct err *err);

/* Whether text holds no variable that is unknown or malformed: 0, or -1 and
 * *err names it. */
int rawlog_dir_check(const char *text, struct err *err);

#endif
