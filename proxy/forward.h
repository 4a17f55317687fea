/* XRCPTFORWARD=: forward_* fields that a proxy before us sends with a recipient,
 * and that backends are sent. */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/smtp/params.h"
#include "passdb/fields.h"

/* Makes forward_* fields, for the lookup to start with, of what came with RCPT.
 * -1 when it is malformed: *err has the text for a reply 501 5.5.4. */
int forward_read(struct arena *arena, const struct smtp_rcpt_params *params,
		 struct passdb_fields *fields_r, struct err *err);

/* Sets what backends are sent with RCPT: the lookup's forward_* fields. -1 when
 * they are too long, or are none: *err names the trouble. */
int forward_write(struct arena *arena, const struct passdb_fields *fields,
		  struct smtp_rcpt_params *params, struct err *err);

#endif
