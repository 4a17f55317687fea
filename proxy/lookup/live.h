/* What lookups work with in a running process: its settings, databases and
 * director as they were when it was made. Reference-counted; on the control
 * loop. */
#ifndef PROXY_LOOKUP_LIVE_H
#define PROXY_LOOKUP_LIVE_H

#include <stdbool.h>

#include "lib/err.h"
#include "proxy/control/control.h"
#include "proxy/lookup/lookup.h"

struct lookup_live {
	struct lookup_env env; /* for lookup_start() */

	unsigned refs;
	struct passdb_shared *shared;
	struct director *director; /* NULL: none */
};

/* With a resolver and a chain of passdbs of its own. control outlives it. NULL when
 * the resolver cannot be set up. */
struct lookup_live *lookup_live_new(const struct control_env *control,
				    struct err *err);

struct lookup_live *lookup_live_ref(struct lookup_live *live);

/* Clears the pointer; NULL is fine. No lookup may work with the last reference. */
void lookup_live_unref(struct lookup_live **live);

/* Whether settings, certificates, databases or the director's servers are other
 * ones by now. */
bool lookup_live_is_old(const struct lookup_live *live,
			const struct control_env *control);

#endif
