/* What routing follows from, as text: the servers that are there, how much each
 * gets, and the users who were moved. Equal states give equal texts, whatever
 * the order in which they came to be. */
#ifndef BACKENDS_DIRECTOR_VIEW_JSON_H
#define BACKENDS_DIRECTOR_VIEW_JSON_H

#include "backends/director/state.h"
#include "lib/json.h"

/* Appends an object. */
void director_view_put(const struct director_state *state, struct str *out);

/* The same without what follows from health. */
void director_view_put_healthy(const struct director_state *state,
			       struct str *out);

/* Has state, which was cleared, be what an object says: its servers are there by
 * configuration. Those that it had keep their places. 0, or -1 and err with
 * state half made. */
int director_view_read(struct director_state *state, const struct json *object,
		       struct err *err);

#endif
