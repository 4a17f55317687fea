/* waypost -t, behind reading the configuration: what a start would find wrong
 * with it, as far as that can be told without starting. */
#ifndef PROXY_CHECK_H
#define PROXY_CHECK_H

#include "lib/str.h"
#include "proxy/settings.h"

/* Appends a line for every problem. path is the configuration's, for problems
 * that concern no line in particular. Returns how many there are. */
unsigned check_settings(const struct settings *settings, const char *path,
			struct str *problems);

#endif
