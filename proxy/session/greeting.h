/* login_greeting with its variables. */
#ifndef PROXY_SESSION_GREETING_H
#define PROXY_SESSION_GREETING_H

#include "lib/addr.h"
#include "lib/err.h"
#include "lib/str.h"

/* What the variables stand for: %l, %r, %{session}, %{hostname}. */
struct greeting_values {
	const struct addr *local, *remote;
	const char *session, *hostname;
};

/* Appends text with its variables expanded. Returns 0, or -1 when one of them
 * has no value; then out holds a part. */
int greeting_expand(struct str *out, const char *text,
		    const struct greeting_values *values, struct err *err);

/* Whether text holds no variable that is unknown or malformed: 0, or -1 and
 * *err names it. */
int greeting_check(const char *text, struct err *err);

#endif
