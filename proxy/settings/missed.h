/* Settings of Dovecot that waypost lacks, where they would change where mail goes. */
#ifndef PROXY_SETTINGS_MISSED_H
#define PROXY_SETTINGS_MISSED_H

#include "lib/conf/schema.h"
#include "proxy/settings/settings.h"

/* Warns of those that are set and would be of use to what is configured. Reports an error
 * for a namespace whose mail would be saved where its user does not look. root is the
 * merged tree that settings were bound from, and filters are its filters. */
void settings_missed_check(const struct settings *settings,
			   const struct conf_node *root,
			   const struct conf_filter *filters, unsigned count,
			   struct conf_errors *errors);

#endif
