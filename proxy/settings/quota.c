#include "proxy/settings/quota.h"

#include <ctype.h>
#include <string.h>

#include "backends/local/quota/command.h"
#include "lib/mem.h"
#include "lib/str.h"

#define S struct quota_plugin_settings
static const struct conf_def quota_defs[] = {
	CONF_DEF_STRING(S, quota, "quota", "",
		"what keeps count: maildir or fs, a name, parameters"),
	CONF_DEF_STRING(S, rule, "quota_rule", "",
		"how much a mailbox, or all, may have"),
	CONF_DEF_STRING(S, warning, "quota_warning", "",
		"a limit, and what to run when it is reached"),
	CONF_DEF_STRING(S, grace, "quota_grace", "10%%",
		"how far past the limit a last mail may go"),
	CONF_DEF_STRING(S, max_mail_size, "quota_max_mail_size", "0",
		"largest mail; 0: any"),
	CONF_DEF_STRING(S, exceeded_message, "quota_exceeded_message",
		QUOTA_EXCEEDED_MESSAGE, "what the sender is told then"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_quota_table = { quota_defs, 0 };

const char *const settings_quota_ignored[] = {
	"quota_clone_dict", "quota_clone_unset", "quota_over_flag",
	"quota_over_flag_lazy_check", "quota_over_flag_value",
	"quota_over_script", "quota_set", "quota_status_nouser",
	"quota_status_overquota", "quota_status_success",
	"quota_status_toolarge", "quota_vsizes", NULL,
};

static const char *const with_effect[] = {
	"quota", "quota_exceeded_message", "quota_grace", "quota_max_mail_size",
	"quota_rule", "quota_warning", NULL,
};

static bool is_quota(const struct conf_node *node)
{
	return !node->section && strncmp(node->key, "quota", 5) == 0;
}

static bool is_plugin(const struct conf_node *node)
{
	return node->section && strcmp(node->key, "plugin") == 0;
}

/* --- what is set --- */

static void collect_plugin(struct arena *arena, const struct conf_node *plugin,
			   struct settings_quota *quota)
{
	const struct conf_node *node;
	struct quota_setting *list;
	size_t more = 0;

	for (node = plugin->children; node != NULL; node = node->next)
		more += is_quota(node);
	list = arena_alloc(arena, (quota->count + more) * sizeof(*list));
	if (quota->count > 0)
		memcpy(list, quota->list, quota->count * sizeof(*list));
	for (node = plugin->children; node != NULL; node = node->next) {
		if (!is_quota(node))
			continue;
		list[quota->count].name = arena_strdup(arena, node->key);
		list[quota->count++].value = arena_strdup(arena, node->value);
	}
	quota->list = list;
}

void settings_quota_collect(struct arena *arena,
			    const struct conf_node *section,
			    struct settings_quota *quota)
{
	const struct conf_node *node;

	for (node = section->children; node != NULL; node = node->next) {
		if (is_plugin(node))
			collect_plugin(arena, node, quota);
	}
}

bool settings_quota_has_effect(const char *name)
{
	unsigned number;

	return quota_setting_kind(name, &number) != QUOTA_NOT;
}

/* --- what is wrong --- */

/* Puts the value as it is once variables are expanded; false: it has some. */
static bool put_expanded(const char *value, struct str *out)
{
	for (; *value != '\0'; value++) {
		if (*value == '%' && *++value != '%')
			return false;
		str_putc(out, *value);
	}
	return true;
}

/* Whether a percent sign of a number is taken for the start of a variable. */
static bool has_lost_percent(const char *value)
{
	const char *at = value;

	while ((at = strchr(at, '%')) != NULL) {
		if (at[1] != '%' && at > value && isdigit((unsigned char)at[-1]))
			return true;
		at += at[1] == '%' ? 2 : 1;
	}
	return false;
}

/* Whether the root that a setting belongs to ("quota2" of "quota2_rule") is kept in
 * maildirsize. */
static bool of_maildir(const struct conf_node *plugin, const char *name)
{
	char *root = mem_strndup(name, strcspn(name, "_"));
	const struct conf_node *node = conf_node_setting(plugin, root);

	mem_free(&root);
	return node != NULL && strncmp(node->value, "maildir", 7) == 0;
}

/* Dovecot's services are not there to be called. */
static void check_command(const struct conf_node *node,
			  struct conf_errors *errors)
{
	const char *command = strchr(node->value, ' ');
	struct err err;

	if (command != NULL && quota_command_check(command, &err) < 0)
		conf_warning(errors, node->file, node->line, "%s: %s", node->key,
			     err.text);
}

static void check_value(const struct conf_node *plugin,
			const struct conf_node *node,
			enum quota_setting_kind kind, const char *prefix,
			struct conf_errors *errors)
{
	struct str value = STR_INIT;
	struct err err;
	int status = 0;

	if (put_expanded(node->value, &value))
		status = quota_setting_check(kind, str_c(&value),
					     of_maildir(plugin, node->key),
					     prefix, &err);
	else if (kind != QUOTA_MESSAGE && has_lost_percent(node->value))
		conf_warning(errors, node->file, node->line, "%s: a percent sign "
			     "is written %%%%: a single one starts a variable",
			     node->key);
	if (status < 0)
		conf_error(errors, node->file, node->line, "%s: %s", node->key,
			   err.text);
	else if (status > 0)
		conf_warning(errors, node->file, node->line, "%s: %s", node->key,
			     err.text);
	if (status == 0 && kind == QUOTA_WARNING)
		check_command(node, errors);
	str_free(&value);
}

/* The list ends where a number is missing. Only the first rule is often there in the
 * userdb alone. */
static void check_order(const struct conf_node *plugin,
			const struct conf_node *node,
			enum quota_setting_kind kind, unsigned number,
			struct conf_errors *errors)
{
	size_t len = strlen(node->key);
	char *before;

	if (number == 1 || (kind == QUOTA_RULE && number == 2))
		return;
	while (isdigit((unsigned char)node->key[len - 1]))
		len--;
	before = number == 2 ? mem_strndup(node->key, len)
			     : mem_printf("%.*s%u", (int)len, node->key,
					  number - 1);
	if (conf_node_setting(plugin, before) == NULL)
		conf_warning(errors, node->file, node->line, "%s has no effect: "
			     "there is no %s", node->key, before);
	mem_free(&before);
}

static void check_name(const struct conf_node *node, struct conf_errors *errors)
{
	const char *nearest = conf_nearest(node->key, with_effect);
	size_t i;

	for (i = 0; settings_quota_ignored[i] != NULL; i++) {
		if (strcmp(settings_quota_ignored[i], node->key) == 0)
			return;
	}
	conf_warning(errors, node->file, node->line, "%s has no effect%s%s%s",
		     node->key, nearest != NULL ? " (did you mean \"" : "",
		     nearest != NULL ? nearest : "", nearest != NULL ? "\"?)" : "");
}

static void check_plugin(const struct conf_node *plugin, const char *prefix,
			 struct conf_errors *errors)
{
	const struct conf_node *root = conf_node_setting(plugin, "quota"), *node;
	enum quota_setting_kind kind;
	unsigned number;

	if (root == NULL || *root->value == '\0')
		return;
	for (node = plugin->children; node != NULL; node = node->next) {
		if (!is_quota(node))
			continue;
		kind = quota_setting_kind(node->key, &number);
		if (kind == QUOTA_NOT) {
			check_name(node, errors);
			continue;
		}
		if (node->path != NULL)
			conf_error(errors, node->file, node->line, "%s cannot "
				   "come from a file of its own", node->key);
		else
			check_value(plugin, node, kind, prefix, errors);
		check_order(plugin, node, kind, number, errors);
	}
}

void settings_quota_check(const struct conf_node *section, const char *prefix,
			  struct conf_errors *errors)
{
	const struct conf_node *node;

	for (node = section->children; node != NULL; node = node->next) {
		if (is_plugin(node))
			check_plugin(node, prefix, errors);
	}
}
