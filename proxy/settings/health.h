/* The settings of the health of the director's backends. */
#ifndef PROXY_SETTINGS_HEALTH_H
#define PROXY_SETTINGS_HEALTH_H

#include "backends/director/health.h"
#include "lib/conf/schema.h"

/* Over struct director_health_settings. */
extern const struct conf_table settings_health_table;

/* Reports what cannot work. root is the merged tree that health was bound
 * from. */
void settings_health_check(const struct director_health_settings *health,
			   const struct conf_node *root,
			   struct conf_errors *errors);

#endif
