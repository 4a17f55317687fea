/* The settings of sessions as the filters of a configuration make them: a
 * variant for each combination of local_name, local and remote, bound when the
 * configuration is read. */
#ifndef PROXY_SETTINGS_VARIANTS_H
#define PROXY_SETTINGS_VARIANTS_H

#include "lib/conf/schema.h"
#include "proxy/settings/settings.h"

/* Whether a filter holds for every connection, as protocol does. */
bool settings_variants_is_general(const struct conf_filter *filter);

/* Sets settings->lmtp and all variants from the merged tree below root and its
 * filters. An error when there would be too many; what is wrong with values,
 * settings_check() says. */
void settings_variants_bind(struct settings *settings,
			    const struct conf_node *root,
			    const struct conf_filter *filters, unsigned count,
			    struct conf_errors *errors);

#endif
