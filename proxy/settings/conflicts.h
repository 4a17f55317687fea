/* Settings that several filters have for the same connections, where Dovecot does
 * not say which of them counts, and refuses to choose. */
#ifndef PROXY_SETTINGS_CONFLICTS_H
#define PROXY_SETTINGS_CONFLICTS_H

#include "lib/conf/schema.h"

/* Start with only errors set. */
struct settings_conflicts {
	struct conf_errors *errors;
	const struct conf_node *seen[CONF_MAX_MESSAGES]; /* were reported */
	unsigned count;
};

/* Reports the conflicts between filters that match the same connection, in the
 * order of conf_filters(): each setting once, as an error where it stands. */
void settings_conflicts_find(struct settings_conflicts *conflicts,
			     const struct conf_filter *const *filters,
			     unsigned count);

#endif
