#include "proxy/settings/namespace.h"

#include <string.h>

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

void settings_namespace_check(const struct conf_node *root,
			      const struct namespace_settings *inbox,
			      struct conf_errors *errors)
{
	const struct conf_node *node, *setting;

	if (!inbox->inbox || strlen(inbox->separator) <= 1)
		return;
	for (node = root->children; node != NULL; node = node->next) {
		setting = is_namespace(node)
				  ? conf_node_setting(node, "separator") : NULL;
		if (setting != NULL && strlen(setting->value) > 1)
			conf_error(errors, setting->file, setting->line,
				   "namespace { separator } has to be one "
				   "character, not \"%s\"", setting->value);
	}
}
