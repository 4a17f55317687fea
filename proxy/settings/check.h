/* What no single value shows to be wrong. */
#ifndef PROXY_SETTINGS_CHECK_H
#define PROXY_SETTINGS_CHECK_H

#include "lib/conf/tree.h"
#include "proxy/settings/settings.h"

/* Reports what cannot work, or not in this version. root is the merged tree
 * that settings were bound from: it says where things stand. */
void settings_check(const struct settings *settings,
		    const struct conf_node *root, struct conf_errors *errors);

/* Reports text where section, or else a filter in it, sets name; in no place
 * when that is nowhere set. */
void settings_error(struct conf_errors *errors, const struct conf_node *section,
		    const char *name, const char *text);

/* The same, as a warning. */
void settings_warning(struct conf_errors *errors,
		      const struct conf_node *section, const char *name,
		      const char *text);

#endif
