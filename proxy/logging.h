/* What the configuration says about logs, for lib/log/log.h. */
#ifndef PROXY_LOGGING_H
#define PROXY_LOGGING_H

#include <stdbool.h>

#include "lib/log/log.h"
#include "proxy/settings/settings.h"

/* Fills out, whose strings belong to settings and the caller's prefix. In the
 * foreground logs go to stderr unless log_path is set. */
void logging_settings(struct log_settings *out, const struct settings *settings,
		      bool foreground, const char *prefix);

/* Whether stderr is a log. */
bool logging_to_stderr(const struct settings *settings);

/* Logs what a reading of the configuration found, line by line. */
void logging_conf_errors(const struct conf_errors *errors);

#endif
