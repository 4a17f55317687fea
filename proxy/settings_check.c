#include "proxy/settings_check.h"

#include "lib/addr.h"

#include <string.h>

/* What becomes of a passdb's driver. */
struct driver {
	const char *name;
	enum { DRIVER_WORKS, DRIVER_NO_LOOKUP, DRIVER_LOCAL, DRIVER_LATER } kind;
};

static const struct driver drivers[] = {
	{ "static", DRIVER_WORKS },
	{ "passwd-file", DRIVER_WORKS },
	{ "pam", DRIVER_NO_LOOKUP },
	{ "bsdauth", DRIVER_NO_LOOKUP },
	{ "checkpassword", DRIVER_NO_LOOKUP },
	{ "oauth2", DRIVER_NO_LOOKUP },
	{ "imap", DRIVER_NO_LOOKUP },
	{ "passwd", DRIVER_LOCAL },
	{ "shadow", DRIVER_LOCAL },
	{ "ldap", DRIVER_LATER },
	{ "sql", DRIVER_LATER },
	{ "http-sql", DRIVER_LATER },
	{ "dict", DRIVER_LATER },
	{ "lua", DRIVER_LATER },
};

static const struct driver *find_driver(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		if (strcmp(drivers[i].name, name) == 0)
			return &drivers[i];
	}
	return NULL;
}

static void check_known_driver(const struct passdb_block *block,
			       const struct driver *driver,
			       struct conf_errors *errors)
{
	switch (driver->kind) {
	case DRIVER_WORKS:
		break;
	case DRIVER_NO_LOOKUP:
		conf_warning(errors, block->file, block->line,
			     "passdb driver %s cannot look up a user without "
			     "a password: here it fails internally for every "
			     "user", block->driver);
		break;
	case DRIVER_LOCAL:
		conf_warning(errors, block->file, block->line,
			     "passdb driver %s knows only local users, who "
			     "have no backend: here it fails internally for "
			     "every user", block->driver);
		break;
	case DRIVER_LATER:
		conf_error(errors, block->file, block->line,
			   "passdb driver %s is not supported in this version",
			   block->driver);
		break;
	}
}

static void check_driver(const struct passdb_block *block,
			 struct conf_errors *errors)
{
	const struct driver *driver = find_driver(block->driver);

	if (*block->driver == '\0')
		conf_error(errors, block->file, block->line,
			   "the passdb has no driver");
	else if (driver == NULL)
		conf_error(errors, block->file, block->line,
			   "unknown passdb driver %s", block->driver);
	else
		check_known_driver(block, driver, errors);
}

static void check_passdbs(const struct settings *settings,
			  struct conf_errors *errors)
{
	const struct passdb_settings *passdb = &settings->passdb;
	unsigned i;

	for (i = 0; i < passdb->count; i++) {
		const struct passdb_block *block = &passdb->blocks[i];

		check_driver(block, errors);
		if (block->pass && block->deny)
			conf_error(errors, block->file, block->line,
				   "a passdb cannot both deny and pass");
		/* pass is the old way to write result_success. */
		if (block->pass && block->result_success != PASSDB_RETURN_OK)
			conf_error(errors, block->file, block->line,
				   "pass and result_success contradict");
	}
	if (passdb->count == 0)
		conf_error(errors, NULL, 0, "there is no passdb: nothing says "
			   "where recipients live");
}

static void check_inet_listeners(const struct service_settings *service,
				 struct conf_errors *errors)
{
	unsigned i;

	for (i = 0; i < service->inet_listener_count; i++) {
		const struct inet_listener_settings *listener =
			&service->inet_listeners[i];

		if (listener->ssl)
			conf_error(errors, listener->file, listener->line,
				   "inet_listener %s: ssl = yes is not "
				   "supported in this version",
				   listener->name);
		if (listener->haproxy)
			conf_error(errors, listener->file, listener->line,
				   "inet_listener %s: haproxy = yes is not "
				   "supported in this version",
				   listener->name);
	}
}

static void check_unix_listeners(const struct service_settings *service,
				 struct conf_errors *errors)
{
	const struct unix_listener_settings *list = service->unix_listeners;
	unsigned i, j;

	for (i = 0; i < service->unix_listener_count; i++) {
		if (*list[i].path == '\0')
			conf_error(errors, list[i].file, list[i].line,
				   "the unix_listener has no path");
		for (j = 0; j < i; j++) {
			if (strcmp(list[i].path, list[j].path) == 0)
				conf_error(errors, list[i].file, list[i].line,
					   "the unix_listener %s is there "
					   "twice", list[i].path);
		}
	}
}

/* Where the setting was last set: at the top, or else in a filter. */
static const struct conf_node *find_setting(const struct conf_node *section,
					    const char *name)
{
	const struct conf_node *found = conf_node_setting(section, name);
	const struct conf_node *node;

	for (node = section->children; found == NULL && node != NULL;
	     node = node->next) {
		if (node->section && conf_is_filter(node->key))
			found = find_setting(node, name);
	}
	return found;
}

static void at_setting(struct conf_errors *errors,
		       const struct conf_node *root, const char *name,
		       const char *problem)
{
	const struct conf_node *node = find_setting(root, name);

	conf_error(errors, node != NULL ? node->file : NULL,
		   node != NULL ? node->line : 0, "%s %s", name, problem);
}

static void check_path(const struct conf_node *root, const char *name,
		       const char *value, struct conf_errors *errors)
{
	if (*value != '/')
		at_setting(errors, root, name, "must be an absolute path");
}

static void check_log_path(const struct conf_node *root, const char *name,
			   const char *value, struct conf_errors *errors)
{
	if (strcmp(value, "syslog") != 0)
		check_path(root, name, value, errors);
}

static bool has_control(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	}
	return false;
}

/* These cannot be zero. */
static void check_positive(const struct lmtp_settings *lmtp,
			   const struct conf_node *root,
			   struct conf_errors *errors)
{
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{ "lmtp_client_timeout", lmtp->lmtp_client_timeout },
		{ "lmtp_max_bad_commands", lmtp->lmtp_max_bad_commands },
		{ "lmtp_spool_memory", lmtp->lmtp_spool_memory },
		{ "lmtp_proxy_connect_timeout",
		  lmtp->lmtp_proxy_connect_timeout },
		{ "lmtp_proxy_command_timeout",
		  lmtp->lmtp_proxy_command_timeout },
		{ "lmtp_proxy_data_timeout", lmtp->lmtp_proxy_data_timeout },
	};
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].value == 0)
			at_setting(errors, root, fields[i].name,
				   "cannot be 0");
	}
}

static void check_lmtp(const struct lmtp_settings *lmtp,
		       const struct conf_node *root,
		       struct conf_errors *errors)
{
	if (!lmtp->lmtp_proxy)
		at_setting(errors, root, "lmtp_proxy", "must be yes: there is "
			   "no local delivery in this version");
	if (has_control(lmtp->hostname) || strchr(lmtp->hostname, ' ') != NULL)
		at_setting(errors, root, "hostname", "is no host name");
	if (has_control(lmtp->login_greeting))
		at_setting(errors, root, "login_greeting",
			   "must be one line of text");
	check_path(root, "mail_temp_dir", lmtp->mail_temp_dir, errors);
	check_positive(lmtp, root, errors);
}

static void check_global(const struct settings *settings,
			 const struct conf_node *root,
			 struct conf_errors *errors)
{
	check_path(root, "base_dir", settings->base_dir, errors);
	check_log_path(root, "log_path", settings->log_path, errors);
	if (*settings->info_log_path != '\0')
		check_log_path(root, "info_log_path", settings->info_log_path,
			       errors);
	if (*settings->debug_log_path != '\0')
		check_log_path(root, "debug_log_path",
			       settings->debug_log_path, errors);
	if (settings->default_client_limit == 0)
		at_setting(errors, root, "default_client_limit",
			   "cannot be 0");
	if (settings->dns_timeout == 0)
		at_setting(errors, root, "lmtp_proxy_dns_timeout",
			   "cannot be 0");
	if (settings->passdb.lookup_timeout_ms == 0)
		at_setting(errors, root, "auth_lookup_timeout", "cannot be 0");
	if (!settings->lmtp_enabled)
		conf_warning(errors, NULL, 0, "protocols does not name lmtp: "
			     "its listeners are ignored");
}

void settings_check(const struct settings *settings,
		    const struct conf_node *root, struct conf_errors *errors)
{
	unsigned i, errors_before;

	check_global(settings, root, errors);
	errors_before = errors->errors;
	check_lmtp(&settings->lmtp, root, errors);
	/* The first combination that is wrong is enough: others inherit it. */
	for (i = 0; i < settings->choice_count &&
		    errors->errors == errors_before; i++)
		check_lmtp(&settings->choices[i].settings, root, errors);
	check_passdbs(settings, errors);
	check_inet_listeners(&settings->service, errors);
	check_unix_listeners(&settings->service, errors);
}
