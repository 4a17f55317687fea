/* What a start would find wrong with a configuration on this machine (users,
 * groups, host names, certificates), as far as that can be told without starting. */
#ifndef PROXY_CHECK_H
#define PROXY_CHECK_H

#include "proxy/settings/settings.h"

/* Reports every problem where it stands: a settings_check_fn. */
void check_settings(const struct settings *settings,
		    const struct conf_node *root, struct conf_errors *errors);

#endif
