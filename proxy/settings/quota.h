/* Quota, which Dovecot has in plugin { }: a section of any names, whose values may hold
 * variables of the user. */
#ifndef PROXY_SETTINGS_QUOTA_H
#define PROXY_SETTINGS_QUOTA_H

#include <stdbool.h>
#include <stddef.h>

#include "backends/local/quota/config.h"
#include "lib/arena.h"
#include "lib/conf/schema.h"
#include "lib/conf/tree.h"

/* Values as they are written, with their variables. Of rules and warnings there may be
 * more, which are numbered: quota_rule2. */
struct quota_plugin_settings {
	const char *quota, *rule, *warning, *grace, *max_mail_size;
	const char *exceeded_message;
};

/* Over struct quota_plugin_settings. */
extern const struct conf_table settings_quota_table;

/* What else Dovecot has there of that kind, all without effect; ends with NULL. */
extern const char *const settings_quota_ignored[];

/* All that is set, numbered or not, in the order of the text. */
struct settings_quota {
	struct quota_setting *list;
	size_t count;
};

/* Whether a name is one of quota's, numbered or not. */
bool settings_quota_has_effect(const char *name);

/* Adds the settings of quota in the plugin sections of section, which is the root of a
 * merged tree or a filter in it: filters come after the root, and the userdb's fields
 * after all, since the last one with a name counts. What is not about quota is left
 * out. Strings are copied to arena. */
void settings_quota_collect(struct arena *arena,
			    const struct conf_node *section,
			    struct settings_quota *quota);

/* Reports what is wrong with them whoever the user is: values without variables that do
 * not parse are errors, names and commands that have no effect are warnings. Where no
 * quota is set, nothing is looked at. prefix: of the namespace of INBOX. */
void settings_quota_check(const struct conf_node *section, const char *prefix,
			  struct conf_errors *errors);

#endif
