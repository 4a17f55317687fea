#include "proxy/settings/check.h"

#include <string.h>
#include <strings.h>

#include "lib/dns.h"
#include "lib/log/log.h"
#include "passdb/passdb.h"
#include "proxy/rawlog_dir.h"
#include "proxy/session/greeting.h"
#include "proxy/settings/dovecot_names.h"
#include "proxy/settings/tables.h"
#include "proxy/settings/tls.h"

/* One before node that is named the same way. */
static const struct conf_node *find_namesake(const struct conf_node *section,
					     const struct conf_node *node)
{
	const struct conf_node *other = section->children;

	while (other != node &&
	       (!other->section || strcmp(other->key, node->key) != 0 ||
		strcasecmp(other->value, node->value) != 0))
		other = other->next;
	return other != node ? other : NULL;
}

/* In each filter, as in Dovecot; the setting name is free. */
static void check_block_names(const struct conf_node *section,
			      struct conf_errors *errors)
{
	const struct conf_node *node, *other;

	for (node = section->children; node != NULL; node = node->next) {
		if (!node->section)
			continue;
		if (conf_is_filter(node->key))
			check_block_names(node, errors);
		if (*node->value == '\0' || (strcmp(node->key, "passdb") != 0 &&
					     strcmp(node->key, "userdb") != 0))
			continue;
		other = find_namesake(section, node);
		if (other != NULL)
			conf_error(errors, node->file, node->line,
				   "%s %s: the one in %s:%u has the same name: "
				   "give this one another, or none", node->key,
				   node->value, other->file, other->line);
	}
}

static void check_passdbs(const struct passdb_settings *passdb, bool needed,
			  struct conf_errors *errors)
{
	passdb_check(passdb, errors);
	if (passdb->count == 0 && needed)
		conf_error(errors, NULL, 0, "there is no passdb: nothing says "
			   "where recipients live");
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

static bool is_loopback(const char *address)
{
	return strpbrk(address, " ,") == NULL &&
	       (strncmp(address, "127.", 4) == 0 ||
		strcmp(address, "::1") == 0 ||
		strcmp(address, "localhost") == 0);
}

static void check_http(const struct settings *settings,
		       struct conf_errors *errors)
{
	const bool has_token = *settings->http_token != '\0';
	const struct inet_listener_settings *inet;
	unsigned i;

	for (i = 0; i < settings->http.inet_listener_count; i++) {
		inet = &settings->http.inet_listeners[i];
		if (inet->haproxy)
			conf_error(errors, inet->file, inet->line,
				   "inet_listener %s: service http does not "
				   "know haproxy", inet->name);
		if (inet->port != 0 && !has_token &&
		    settings->http_allow_changes)
			conf_error(errors, inet->file, inet->line,
				   "inet_listener %s: http_allow_changes "
				   "needs http_token", inet->name);
		if (inet->port != 0 && has_token && !inet->ssl &&
		    !is_loopback(inet->address))
			conf_warning(errors, inet->file, inet->line,
				     "inet_listener %s: without ssl = yes "
				     "anybody on the way can read http_token",
				     inet->name);
	}
}

/* Postfix speaks neither TLS nor PROXY there, and shows nothing of who it is. */
static void check_socketmap(const struct service_settings *service,
			    struct conf_errors *errors)
{
	const struct inet_listener_settings *inet = service->inet_listeners;
	unsigned i;

	for (i = 0; i < service->inet_listener_count; i++) {
		if (inet[i].ssl || inet[i].haproxy)
			conf_error(errors, inet[i].file, inet[i].line,
				   "inet_listener %s: service socketmap knows "
				   "neither ssl nor haproxy", inet[i].name);
		if (inet[i].port != 0 && *inet[i].address == '\0')
			conf_error(errors, inet[i].file, inet[i].line,
				   "inet_listener %s: service socketmap needs "
				   "an address, since it answers everybody who "
				   "gets there", inet[i].name);
	}
}

static void check_haproxy(const struct settings *settings,
			  struct conf_errors *errors)
{
	const struct service_settings *service = &settings->service;
	const struct inet_listener_settings *inet;
	unsigned i;

	if (*settings->haproxy_trusted_networks != '\0')
		return;
	for (i = 0; i < service->inet_listener_count; i++) {
		inet = &service->inet_listeners[i];
		if (inet->haproxy && inet->port != 0)
			conf_warning(errors, inet->file, inet->line,
				     "inet_listener %s: haproxy = yes lets "
				     "nobody in without "
				     "haproxy_trusted_networks", inet->name);
	}
}

static const struct conf_node *find_in_filters(const struct conf_node *section,
					       const char *name)
{
	const struct conf_node *found = NULL, *node;

	for (node = section->children; found == NULL && node != NULL;
	     node = node->next) {
		if (!node->section || !conf_is_filter(node->key))
			continue;
		found = conf_node_setting(node, name);
		if (found == NULL)
			found = find_in_filters(node, name);
	}
	return found;
}

/* NULL: the default, which stands nowhere. */
static void at_node(struct conf_errors *errors, const struct conf_node *node,
		    const char *text)
{
	conf_error(errors, node != NULL ? node->file : NULL,
		   node != NULL ? node->line : 0, "%s", text);
}

static const struct conf_node *find_setting(const struct conf_node *section,
					    const char *name)
{
	const struct conf_node *node = conf_node_setting(section, name);

	return node != NULL ? node : find_in_filters(section, name);
}

void settings_error(struct conf_errors *errors, const struct conf_node *section,
		    const char *name, const char *text)
{
	at_node(errors, find_setting(section, name), text);
}

void settings_warning(struct conf_errors *errors,
		      const struct conf_node *section, const char *name,
		      const char *text)
{
	const struct conf_node *node = find_setting(section, name);

	conf_warning(errors, node != NULL ? node->file : NULL,
		     node != NULL ? node->line : 0, "%s", text);
}

/* "name problem", where the setting stands. */
static void at_setting(struct conf_errors *errors,
		       const struct conf_node *section, const char *name,
		       const char *problem)
{
	struct err text;

	err_put(&text, "%s %s", name, problem);
	settings_error(errors, section, name, text.text);
}

static void check_path(const struct conf_node *root, const char *name,
		       const char *value, struct conf_errors *errors)
{
	if (strchr(value, '\n') != NULL)
		at_setting(errors, root, name, "is the path, and not what is in "
			   "the file: write it without \"<\"");
	else if (*value != '/')
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
		{ "lmtp_proxy_ttl", lmtp->lmtp_proxy_ttl },
	};
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].value == 0)
			at_setting(errors, root, fields[i].name,
				   "cannot be 0");
	}
}

static void check_greeting(const char *greeting,
			   const struct conf_node *section,
			   struct conf_errors *errors)
{
	struct err why, text;

	if (has_control(greeting))
		at_setting(errors, section, "login_greeting",
			   "must be one line of text");
	if (greeting_check(greeting, &why) == 0)
		return;
	err_put(&text, "login_greeting: %.400s", why.text);
	settings_error(errors, section, "login_greeting", text.text);
}

static void check_networks(const struct conf_node *section, const char *name,
			   const char *value, struct arena *scratch,
			   struct conf_errors *errors)
{
	struct networks networks;
	struct err why, text;

	if (networks_parse(scratch, value, &networks, &why) == 0)
		return;
	err_put(&text, "%s: %.400s", name, why.text);
	settings_error(errors, section, name, text.text);
}

/* It may begin with a variable. */
static void check_optional_path(const struct conf_node *section,
				const char *name, const char *value,
				struct conf_errors *errors)
{
	if (*value != '\0' && *value != '%')
		check_path(section, name, value, errors);
}

static void check_rawlog_dir(const struct conf_node *section, const char *name,
			     const char *value, struct conf_errors *errors)
{
	struct err why, text;

	check_optional_path(section, name, value, errors);
	if (rawlog_dir_check(value, &why) == 0)
		return;
	err_put(&text, "%s: %.400s", name, why.text);
	settings_error(errors, section, name, text.text);
}

/* What one section sets; the defaults are fine. */
static void check_section(const struct conf_node *section, struct arena *arena,
			  struct conf_errors *errors)
{
	struct lmtp_settings lmtp;
	struct tls_settings tls;

	conf_defaults(&settings_lmtp_table, arena, &lmtp);
	conf_apply(&settings_lmtp_table, arena, section, &lmtp);
	conf_defaults(&tls_settings_table, arena, &tls);
	conf_apply(&tls_settings_table, arena, section, &tls);
	if (has_control(lmtp.hostname) || strchr(lmtp.hostname, ' ') != NULL)
		at_setting(errors, section, "hostname", "is no host name");
	check_greeting(lmtp.login_greeting, section, errors);
	check_path(section, "mail_temp_dir", lmtp.mail_temp_dir, errors);
	check_rawlog_dir(section, "lmtp_rawlog_dir", lmtp.lmtp_rawlog_dir,
			 errors);
	check_rawlog_dir(section, "lmtp_proxy_rawlog_dir",
			 lmtp.lmtp_proxy_rawlog_dir, errors);
	check_optional_path(section, "ssl_client_ca_file",
			    tls.ssl_client_ca_file, errors);
	check_optional_path(section, "ssl_client_ca_dir",
			    tls.ssl_client_ca_dir, errors);
	check_networks(section, "login_trusted_networks",
		       lmtp.login_trusted_networks, arena, errors);
	check_positive(&lmtp, section, errors);
}

/* Whether a section is a filter that some session of ours can match. */
static bool can_match(const struct conf_node *node)
{
	const struct conf_filter filter = { .protocol = node->value };

	if (!node->section || !conf_is_filter(node->key))
		return false;
	return strcmp(node->key, "protocol") != 0 ||
	       conf_filter_protocol(&filter, "lmtp");
}

static void check_sections(const struct conf_node *section,
			   struct arena *arena, struct conf_errors *errors)
{
	const struct conf_node *node;

	check_section(section, arena, errors);
	for (node = section->children; node != NULL; node = node->next) {
		if (can_match(node))
			check_sections(node, arena, errors);
	}
}

/* Whatever filters apply to a session, it is a proxy's, unless mail can be
 * delivered here. */
static void check_proxy(const struct settings *settings,
			const struct conf_node *root,
			struct conf_errors *errors)
{
	static const char problem[] =
		"lmtp_proxy must be yes, or there have to be mail_location or "
		"lda_command, and a userdb, for local delivery";
	unsigned i = 0;

	if (settings->local.enabled)
		return;
	if (!settings->lmtp.lmtp_proxy) {
		settings_error(errors, root, "lmtp_proxy", problem);
		return;
	}
	while (i < settings->variant_count &&
	       settings_variant(settings, i)->lmtp_proxy)
		i++;
	if (i < settings->variant_count)
		at_node(errors, find_in_filters(root, "lmtp_proxy"), problem);
}

static bool has_name(const char *const *names, const char *name)
{
	while (*names != NULL && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

/* names has those that may be meant. */
static void warn_of_name(const struct conf_node *node, const char *name,
			 const char *const *names, struct conf_errors *errors)
{
	const char *nearest = conf_nearest(name, names);
	struct str text = STR_INIT;

	str_printf(&text, "there is no %s \"%s\"", node->key, name);
	if (nearest != NULL)
		str_printf(&text, " (did you mean \"%s\"?)", nearest);
	conf_warning(errors, node->file, node->line, "%s", str_c(&text));
	str_free(&text);
}

/* Dovecot accepts any name. One that is not its own is mistyped, unless an
 * executable shows that somebody meant to add a service. */
static bool adds_service(const struct conf_node *service)
{
	const struct conf_node *node = conf_node_setting(service, "executable");

	return node != NULL && *node->value != '\0';
}

static void check_services(const struct conf_node *root,
			   struct conf_errors *errors)
{
	const struct conf_node *node;

	for (node = root->children; node != NULL; node = node->next) {
		if (node->section && strcmp(node->key, "service") == 0 &&
		    !has_name(dovecot_names_services, node->value) &&
		    !adds_service(node))
			warn_of_name(node, node->value, dovecot_names_services,
				     errors);
	}
}

/* Programs read their settings under the name of their service. */
static void check_protocol(const struct conf_node *root,
			   const struct conf_node *node,
			   struct conf_errors *errors)
{
	const char *name = node->value + (*node->value == '!');
	const struct conf_node *service =
		conf_node_section(root, "service", name);

	if (!has_name(dovecot_names_protocols, name) &&
	    !has_name(dovecot_names_services, name) &&
	    (service == NULL || !adds_service(service)))
		warn_of_name(node, name, dovecot_names_protocols, errors);
}

static void check_protocols(const struct conf_node *root,
			    const struct conf_node *section,
			    struct conf_errors *errors)
{
	const struct conf_node *node;

	for (node = section->children; node != NULL; node = node->next) {
		if (!node->section || !conf_is_filter(node->key))
			continue;
		if (strcmp(node->key, "protocol") == 0)
			check_protocol(root, node, errors);
		check_protocols(root, node, errors);
	}
}

static void check_texts(const struct settings *settings,
			const struct conf_node *root,
			struct conf_errors *errors)
{
	struct err why, text;

	if (log_check_facility(settings->syslog_facility, &why) < 0)
		settings_error(errors, root, "syslog_facility", why.text);
	if (passdb_check_format(settings->passdb.username_format, &why) < 0) {
		err_put(&text, "auth_username_format: %.400s", why.text);
		settings_error(errors, root, "auth_username_format", text.text);
	}
	if (director_check_format(settings->director_settings.username_hash,
				  &why) < 0) {
		err_put(&text, "director_username_hash: %.400s", why.text);
		settings_error(errors, root, "director_username_hash",
			       text.text);
	}
}

static void check_director(const struct settings *settings,
			   struct conf_errors *errors)
{
	const struct director_settings *director = &settings->director_settings;
	unsigned i;

	for (i = 0; i < director->backend_count; i++) {
		const struct director_backend_settings *backend =
			&director->backends[i];

		if (backend->port > 65535)
			conf_error(errors, backend->file, backend->line,
				   "director_backend %s: port: %u is beyond "
				   "65535", backend->name, backend->port);
		if (backend->weight > DIRECTOR_MAX_WEIGHT)
			conf_error(errors, backend->file, backend->line,
				   "director_backend %s: weight: %u is beyond "
				   "%d", backend->name, backend->weight,
				   DIRECTOR_MAX_WEIGHT);
	}
}

static void check_port(const struct conf_node *root, const char *name,
		       unsigned port, struct conf_errors *errors)
{
	struct err text;

	if (port > 0 && port <= 65535)
		return;
	err_put(&text, "%s: not a port: %u", name, port);
	settings_error(errors, root, name, text.text);
}

static void check_global(const struct settings *settings,
			 const struct conf_node *root,
			 struct conf_errors *errors)
{
	struct err err;

	check_path(root, "base_dir", settings->base_dir, errors);
	check_port(root, "auth_http_imap_port", settings->auth_http_imap_port,
		   errors);
	check_port(root, "auth_http_pop3_port", settings->auth_http_pop3_port,
		   errors);
	check_port(root, "auth_http_smtp_port", settings->auth_http_smtp_port,
		   errors);
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
	if (settings->default_process_limit == 0)
		at_setting(errors, root, "default_process_limit",
			   "cannot be 0");
	if (settings->haproxy_timeout == 0)
		at_setting(errors, root, "haproxy_timeout", "cannot be 0");
	if (settings->dns_timeout == 0)
		at_setting(errors, root, "lmtp_proxy_dns_timeout",
			   "cannot be 0");
	if (dns_check_servers(settings->dns_servers, &err) < 0)
		at_setting(errors, root, "lmtp_proxy_dns_servers", err.text);
	if (settings->passdb.lookup_timeout_ms == 0)
		at_setting(errors, root, "auth_lookup_timeout", "cannot be 0");
	if (settings->passdb.cache_size > 0 &&
	    settings->passdb.cache_size < 1024)
		at_setting(errors, root, "auth_cache_size",
			   "is less than 1 kB; 0 is for no cache");
	if (!settings->lmtp_enabled)
		conf_warning(errors, NULL, 0, "protocols does not name lmtp: "
			     "its listeners are ignored");
}

void settings_check(const struct settings *settings,
		    const struct conf_node *root, struct conf_errors *errors)
{
	struct arena *scratch = arena_new(1024); /* has copies of keys */

	check_global(settings, root, errors);
	check_director(settings, errors);
	check_networks(root, "haproxy_trusted_networks",
		       settings->haproxy_trusted_networks, scratch, errors);
	check_networks(root, "auth_proxy_self", settings->passdb.proxy_self,
		       scratch, errors);
	check_texts(settings, root, errors);
	check_proxy(settings, root, errors);
	check_sections(root, scratch, errors);
	check_services(root, errors);
	check_protocols(root, root, errors);
	check_block_names(root, errors);
	check_passdbs(&settings->passdb,
		      settings->lmtp.lmtp_proxy || !settings->local.enabled,
		      errors);
	settings_tls_check(settings, root, errors);
	check_unix_listeners(&settings->service, errors);
	check_unix_listeners(&settings->ctl, errors);
	check_unix_listeners(&settings->socketmap, errors);
	check_http(settings, errors);
	check_socketmap(&settings->socketmap, errors);
	check_haproxy(settings, errors);
	arena_wipe(&scratch);
}
