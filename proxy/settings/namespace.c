#include "proxy/settings/namespace.h"

#include <string.h>
#include <strings.h>

#define S struct namespace_settings
static const struct conf_def namespace_defs[] = {
	CONF_DEF_BOOL(S, inbox, "inbox", "no",
		"whether this is the namespace of INBOX"),
	CONF_DEF_STRING(S, location, "location", "",
		"where its mail is, in place of mail_location"),
	CONF_DEF_STRING(S, prefix, "prefix", "",
		"what its names begin with, but for INBOX itself"),
	CONF_DEF_STRING(S, separator, "separator", "",
		"what stands between the parts of its names"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_namespace_table = { namespace_defs, 0 };

static bool is_namespace(const struct conf_node *node)
{
	return node->section && strcmp(node->key, "namespace") == 0;
}

void settings_namespace_bind(struct arena *arena, const struct conf_node *root,
			     struct namespace_settings *inbox_r)
{
	const struct conf_node *node;
	struct namespace_settings one;

	conf_defaults(&settings_namespace_table, arena, inbox_r);
	for (node = root->children; node != NULL; node = node->next) {
		if (!is_namespace(node))
			continue;
		conf_defaults(&settings_namespace_table, arena, &one);
		conf_apply(&settings_namespace_table, arena, node, &one);
		if (one.inbox)
			*inbox_r = one;
	}
}

static void check_separator(const struct conf_node *setting,
			    struct conf_errors *errors)
{
	if (setting != NULL && strlen(setting->value) > 1)
		conf_error(errors, setting->file, setting->line,
			   "namespace { separator } has to be one character, "
			   "not \"%s\"", setting->value);
}

/* Dovecot takes these, too, and then fails each delivery, or each to a detail: somebody
 * finds out later what is wrong. */
static void check_prefix(const struct namespace_settings *inbox,
			 const struct conf_node *setting,
			 struct conf_errors *errors)
{
	/* With none it depends on where the user's mail is. */
	const char *ends = *inbox->separator != '\0' ? inbox->separator : "./";
	size_t len = strlen(inbox->prefix);

	if (setting == NULL || len == 0 ||
	    strcmp(setting->value, inbox->prefix) != 0)
		return;
	if (strchr(ends, inbox->prefix[len - 1]) == NULL)
		conf_error(errors, setting->file, setting->line,
			   "namespace { prefix } has to end with the separator, "
			   "unlike \"%s\"", setting->value);
	else if (strncasecmp(setting->value, "INBOX", 5) == 0 &&
		 strncmp(setting->value, "INBOX", 5) != 0 &&
		 strchr(ends, setting->value[5]) != NULL)
		conf_error(errors, setting->file, setting->line,
			   "namespace { prefix } has to have INBOX in capital "
			   "letters, unlike \"%s\"", setting->value);
}

void settings_namespace_check(const struct conf_node *root,
			      const struct namespace_settings *inbox,
			      struct conf_errors *errors)
{
	const struct conf_node *node;
	bool long_separator = strlen(inbox->separator) > 1;

	if (!inbox->inbox)
		return;
	for (node = root->children; node != NULL; node = node->next) {
		if (!is_namespace(node))
			continue;
		if (long_separator)
			check_separator(conf_node_setting(node, "separator"),
					errors);
		else
			check_prefix(inbox, conf_node_setting(node, "prefix"),
				     errors);
	}
}
