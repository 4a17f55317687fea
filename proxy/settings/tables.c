#include "proxy/settings/tables.h"

#include "lib/log/log.h"
#include "lib/smtp/address.h"
#include "lib/smtp/data.h"
#include "proxy/settings/cluster.h"
#include "proxy/settings/dovecot_names.h"
#include "proxy/settings/health.h"
#include "proxy/settings/local.h"
#include "proxy/settings/settings.h"

static const struct conf_word log_format_words[] = {
	{ "text", LOG_FORMAT_TEXT },
	{ "json", LOG_FORMAT_JSON },
	{ NULL, 0 },
};

static const struct conf_word log_priorities_words[] = {
	{ "auto", LOG_PRIORITIES_AUTO },
	{ "yes", LOG_PRIORITIES_YES },
	{ "no", LOG_PRIORITIES_NO },
	{ NULL, 0 },
};

#define S struct settings
static const struct conf_def global_defs[] = {
	CONF_DEF_STRING(S, protocols, "protocols", "lmtp",
		"what is served: without lmtp its listeners stay closed"),
	CONF_DEF_STRING(S, listen, "listen", "*, ::",
		"addresses of inet_listeners that name none"),
	CONF_DEF_STRING(S, base_dir, "base_dir", "/run/waypost",
		"directory of sockets and run-time data"),
	CONF_DEF_STRING(S, instance_name, "instance_name", "waypost",
		"name of this instance towards syslog and in process titles"),
	CONF_DEF_STRING(S, default_internal_user, "default_internal_user",
		"dovecot", "user that the network-facing process runs as"),
	CONF_DEF_STRING(S, default_internal_group, "default_internal_group",
		"", "group of default_internal_user"),
	CONF_DEF_UINT(S, default_process_limit, "default_process_limit",
		"100", "process_limit of a service that sets none"),
	CONF_DEF_UINT(S, default_client_limit, "default_client_limit",
		"1000", "client_limit of a service that sets none"),
	CONF_DEF_STRING(S, log_path, "log_path", "syslog",
		"where errors go: syslog, /dev/stderr, or a file"),
	CONF_DEF_STRING(S, info_log_path, "info_log_path", "",
		"where informational lines go; empty: log_path"),
	CONF_DEF_STRING(S, debug_log_path, "debug_log_path", "",
		"where debug lines go; empty: info_log_path"),
	CONF_DEF_STRING(S, log_timestamp, "log_timestamp",
		"%b %d %H:%M:%S ", "strftime format in front of log lines"),
	CONF_DEF_STRING(S, syslog_facility, "syslog_facility", "mail",
		"facility of lines that go to syslog"),
	CONF_DEF_ENUM(S, log_format, log_format_words, "log_format", "text",
		"lines of text, or of JSON"),
	CONF_DEF_ENUM(S, log_stderr_priorities, log_priorities_words,
		"log_stderr_priorities", "auto",
		"whether lines on stderr are for the journal"),
	CONF_DEF_UINT(S, log_error_burst, "log_error_burst", "50",
		"errors of one kind in ten seconds that are written"),
	CONF_DEF_BOOL(S, auth_debug, "auth_debug", "no",
		"log each passdb lookup in detail"),
	CONF_DEF_TIME(S, shutdown_timeout, "lmtp_shutdown_timeout", "60 secs",
		"how long transactions may take to end after TERM"),
	CONF_DEF_STRING(S, haproxy_trusted_networks,
		"haproxy_trusted_networks", "",
		"who may send a PROXY protocol header"),
	CONF_DEF_TIME(S, haproxy_timeout, "haproxy_timeout", "3 secs",
		"how long a PROXY protocol header may take"),
	CONF_DEF_TIME(S, dns_timeout, "lmtp_proxy_dns_timeout", "10 secs",
		"how long a DNS lookup of a backend may take"),
	CONF_DEF_STRING(S, dns_servers, "lmtp_proxy_dns_servers", "",
		"name servers to ask; empty: those of the system"),
	CONF_DEF_SECRET(S, http_token, "http_token", "",
		"what clients of service http have to show"),
	CONF_DEF_BOOL(S, http_allow_changes, "http_allow_changes", "no",
		"let them change things, too"),
	CONF_DEF_UINT(S, auth_http_imap_port, "auth_http_imap_port", "143",
		"where nginx finds IMAP on the servers of users"),
	CONF_DEF_UINT(S, auth_http_pop3_port, "auth_http_pop3_port", "110",
		"where it finds POP3"),
	CONF_DEF_UINT(S, auth_http_smtp_port, "auth_http_smtp_port", "587",
		"where it finds submission"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_global_table = {
	global_defs, CONF_TABLE_GLOBAL,
};

static const struct conf_word delivery_address_words[] = {
	{ "none", DELIVERY_NONE },
	{ "final", DELIVERY_FINAL },
	{ "original", DELIVERY_ORIGINAL },
	{ NULL, 0 },
};

static const struct conf_word workaround_words[] = {
	{ "whitespace-before-path", SMTP_PATH_SPACE_BEFORE },
	{ "mailbox-for-path", SMTP_PATH_WITHOUT_BRACKETS },
	{ NULL, 0 },
};

static const struct conf_word newline_words[] = {
	{ "normalize", SMTP_DATA_NORMALIZE },
	{ "reject", SMTP_DATA_REJECT },
	{ "pass", SMTP_DATA_PASS },
	{ NULL, 0 },
};

#define S struct lmtp_settings
static const struct conf_def lmtp_defs[] = {
	CONF_DEF_STRING(S, hostname, "hostname", "",
		"name in greetings and headers; empty: the system's"),
	CONF_DEF_STRING(S, login_greeting, "login_greeting", "Waypost ready.",
		"text behind the host name in the greeting"),
	CONF_DEF_BOOL(S, mail_debug, "mail_debug", "no",
		"log sessions and deliveries in detail"),
	CONF_DEF_BOOL(S, lmtp_proxy, "lmtp_proxy", "no",
		"pass recipients on to where the passdb says they live"),
	CONF_DEF_BOOL(S, lmtp_verbose_replies, "lmtp_verbose_replies", "no",
		"tell the client why a backend could not be reached"),
	CONF_DEF_BOOL(S, lmtp_add_received_header, "lmtp_add_received_header",
		"yes", "put a Received: header in front of each message"),
	CONF_DEF_ENUM(S, lmtp_hdr_delivery_address, delivery_address_words,
		"lmtp_hdr_delivery_address", "final",
		"recipient address that the Received: header shows"),
	CONF_DEF_WORDS(S, lmtp_client_workarounds, workaround_words,
		"lmtp_client_workarounds", "",
		"deviations from the syntax to accept from clients"),
	CONF_DEF_STRING(S, recipient_delimiter, "recipient_delimiter", "+",
		"characters that separate user and detail in an address"),
	CONF_DEF_STRING(S, mail_temp_dir, "mail_temp_dir", "/tmp",
		"directory of messages that do not fit in memory"),
	CONF_DEF_STRING(S, login_trusted_networks, "login_trusted_networks",
		"", "clients that are believed: XCLIENT, XRCPTFORWARD"),
	CONF_DEF_STRING(S, lmtp_rawlog_dir, "lmtp_rawlog_dir", "",
		"directory for all that clients say and are told"),
	CONF_DEF_STRING(S, lmtp_proxy_rawlog_dir, "lmtp_proxy_rawlog_dir", "",
		"directory for all that backends say and are told"),
	CONF_DEF_SIZE(S, lmtp_max_message_size, "lmtp_max_message_size", "0",
		"largest message taken; 0: any size"),
	CONF_DEF_UINT(S, lmtp_max_recipients, "lmtp_max_recipients", "1000",
		"most recipients of one transaction; 0: any number"),
	CONF_DEF_BOOL(S, lmtp_dsn, "lmtp_dsn", "no",
		"announce DSN; for when all backends offer it"),
	CONF_DEF_BOOL(S, lmtp_binarymime, "lmtp_binarymime", "no",
		"announce BINARYMIME; for when all backends offer it"),
	CONF_DEF_ENUM(S, lmtp_bare_newlines, newline_words,
		"lmtp_bare_newlines", "normalize",
		"what to do with bare CR, bare LF and NUL in a message"),
	CONF_DEF_TIME(S, lmtp_client_timeout, "lmtp_client_timeout", "5 mins",
		"how long a client may be silent"),
	CONF_DEF_SIZE(S, lmtp_client_min_rate, "lmtp_client_min_rate", "500",
		"bytes of a message that a client must send in a second"),
	CONF_DEF_UINT(S, lmtp_max_bad_commands, "lmtp_max_bad_commands", "10",
		"bad commands in a row that end a session"),
	CONF_DEF_SIZE(S, lmtp_spool_memory, "lmtp_spool_memory", "128 k",
		"memory that the body of one transaction may take"),
	CONF_DEF_TIME(S, lmtp_proxy_connect_timeout,
		"lmtp_proxy_connect_timeout", "30 secs",
		"how long connecting to a backend may take"),
	CONF_DEF_TIME(S, lmtp_proxy_command_timeout,
		"lmtp_proxy_command_timeout", "5 mins",
		"how long a backend may take to answer a command"),
	CONF_DEF_TIME(S, lmtp_proxy_data_timeout, "lmtp_proxy_data_timeout",
		"125 secs",
		"how long a backend may take to answer for a message"),
	CONF_DEF_TIME(S, lmtp_proxy_pool_max_age, "lmtp_proxy_pool_max_age",
		"5 mins", "age at which a backend connection is not reused"),
	CONF_DEF_TIME(S, lmtp_proxy_pool_max_idle, "lmtp_proxy_pool_max_idle",
		"30 secs", "how long a backend connection waits for reuse"),
	CONF_DEF_UINT(S, lmtp_proxy_pool_max_connections,
		"lmtp_proxy_pool_max_connections", "0",
		"most connections to one backend; 0: any number"),
	CONF_DEF_BOOL(S, lmtp_proxy_chunking, "lmtp_proxy_chunking", "yes",
		"send messages with BDAT to backends that offer CHUNKING"),
	CONF_DEF_TIME(S, lmtp_proxy_pool_wait_timeout,
		"lmtp_proxy_pool_wait_timeout", "30 secs",
		"how long to wait for one of these connections"),
	CONF_DEF_BOOL(S, lmtp_proxy_xclient, "lmtp_proxy_xclient", "yes",
		"tell backends that offer XCLIENT who the client is"),
	CONF_DEF_UINT(S, lmtp_proxy_ttl, "lmtp_proxy_ttl", "5",
		"most proxies that mail may pass, from here on"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_lmtp_table = { lmtp_defs, 0 };

#define S struct passdb_settings
static const struct conf_def auth_defs[] = {
	CONF_DEF_STRING(S, username_chars, "auth_username_chars",
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"01234567890.-_@",
		"characters that a user name may hold; empty: all"),
	CONF_DEF_STRING(S, username_translation, "auth_username_translation",
		"", "pairs of characters to replace in a user name"),
	CONF_DEF_STRING(S, username_format, "auth_username_format", "%Lu",
		"how a user name is written before it is looked up"),
	CONF_DEF_STRING(S, default_realm, "auth_default_realm", "",
		"domain of user names that have none"),
	CONF_DEF_STRING(S, proxy_self, "auth_proxy_self", "",
		"more addresses that are this host, for proxy_maybe"),
	CONF_DEF_TIME(S, lookup_timeout_ms, "auth_lookup_timeout", "10 secs",
		"how long a passdb lookup may take"),
	CONF_DEF_SIZE(S, cache_size, "auth_cache_size", "0",
		"memory for answers of passdbs to be kept; 0: none are"),
	CONF_DEF_TIME(S, cache_ttl_ms, "auth_cache_ttl", "1 hour",
		"how long an answer counts"),
	CONF_DEF_TIME(S, cache_negative_ttl_ms, "auth_cache_negative_ttl",
		"1 hour", "the same for users who do not exist; 0: not kept"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_auth_table = { auth_defs, CONF_TABLE_GLOBAL };

static const struct conf_word skip_words[] = {
	{ "never", 0 },
	{ "authenticated", 1 },
	{ "unauthenticated", 2 },
	{ NULL, 0 },
};

static const struct conf_word userdb_skip_words[] = {
	{ "never", 0 },
	{ "found", 1 },
	{ "notfound", 2 },
	{ NULL, 0 },
};

static const struct conf_word next_words[] = {
	{ "return-ok", PASSDB_RETURN_OK },
	{ "return", PASSDB_RETURN },
	{ "return-fail", PASSDB_RETURN_FAIL },
	{ "continue", PASSDB_CONTINUE },
	{ "continue-ok", PASSDB_CONTINUE_OK },
	{ "continue-fail", PASSDB_CONTINUE_FAIL },
	{ NULL, 0 },
};

static const struct conf_word verbose_words[] = {
	{ "default", 0 },
	{ "yes", 1 },
	{ "no", 2 },
	{ NULL, 0 },
};

#define S struct passdb_block
static const struct conf_def passdb_defs[] = {
	CONF_DEF_STRING(S, name, "name", "",
		"name in log lines; empty: the driver"),
	CONF_DEF_STRING(S, driver, "driver", "",
		"where to look: static, passwd-file, ldap or http-sql"),
	CONF_DEF_STRING(S, args, "args", "",
		"what the driver needs to know"),
	CONF_DEF_STRING(S, default_fields, "default_fields", "",
		"fields that the passdb may replace"),
	CONF_DEF_STRING(S, override_fields, "override_fields", "",
		"fields that replace those of the passdb"),
	CONF_DEF_STRING(S, mechanisms, "mechanisms", "",
		"only for these; \"none\" is a lookup, as LMTP does it"),
	CONF_DEF_STRING(S, username_filter, "username_filter", "",
		"only for users that match; \"!\" in front: do not match"),
	CONF_DEF_ENUM(S, skip, skip_words, "skip", "never",
		"skip it when an earlier passdb found the user, or did not"),
	CONF_DEF_ENUM(S, result_success, next_words, "result_success",
		"return-ok", "what to do when the user was found"),
	CONF_DEF_ENUM(S, result_failure, next_words, "result_failure",
		"continue", "what to do when the user was not found"),
	CONF_DEF_ENUM(S, result_internalfail, next_words,
		"result_internalfail", "continue",
		"what to do when the passdb failed"),
	CONF_DEF_BOOL(S, deny, "deny", "no",
		"a user that is found here does not exist"),
	CONF_DEF_BOOL(S, pass, "pass", "no",
		"as result_success = continue"),
	CONF_DEF_BOOL(S, master, "master", "no",
		"for master users, whom LMTP does not know: never asked"),
	CONF_DEF_ENUM(S, auth_verbose, verbose_words, "auth_verbose",
		"default", "no effect here"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_passdb_table = { passdb_defs, 0 };

#define S struct passdb_block
static const struct conf_def userdb_defs[] = {
	CONF_DEF_STRING(S, name, "name", "",
		"name in log lines; empty: the driver"),
	CONF_DEF_STRING(S, driver, "driver", "",
		"static, passwd, passwd-file, ldap, http-sql or prefetch"),
	CONF_DEF_STRING(S, args, "args", "",
		"what the driver needs to know"),
	CONF_DEF_STRING(S, default_fields, "default_fields", "",
		"fields that the userdb may replace"),
	CONF_DEF_STRING(S, override_fields, "override_fields", "",
		"fields that replace those of the userdb"),
	CONF_DEF_ENUM(S, skip, userdb_skip_words, "skip", "never",
		"skip it when an earlier userdb found the user, or did not"),
	CONF_DEF_ENUM(S, result_success, next_words, "result_success",
		"return-ok", "what to do when the user was found"),
	CONF_DEF_ENUM(S, result_failure, next_words, "result_failure",
		"continue", "what to do when the user was not found"),
	CONF_DEF_ENUM(S, result_internalfail, next_words,
		"result_internalfail", "continue",
		"what to do when the userdb failed"),
	CONF_DEF_ENUM(S, auth_verbose, verbose_words, "auth_verbose",
		"default", "no effect here"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_userdb_table = { userdb_defs, 0 };

#define S struct service_settings
static const struct conf_def service_defs[] = {
	CONF_DEF_STRING(S, user, "user", "",
		"user to run as; empty: default_internal_user"),
	CONF_DEF_STRING(S, group, "group", "",
		"group to run as; empty: that of the user"),
	CONF_DEF_STRING(S, extra_groups, "extra_groups", "",
		"more groups of the process"),
	CONF_DEF_UINT(S, process_min_avail, "process_min_avail", "0",
		"number of worker threads; 0: one for each CPU"),
	CONF_DEF_UINT(S, process_limit, "process_limit", "0",
		"processes in Dovecot; 0: default_process_limit"),
	CONF_DEF_UINT(S, client_limit, "client_limit", "0",
		"times process_limit: connections at a time"),
	CONF_DEF_UINT(S, service_count, "service_count", "0",
		"connections of one process in Dovecot; no effect here"),
	CONF_DEF_STRING(S, executable, "executable", "lmtp",
		"program in Dovecot; no effect here"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_service_table = { service_defs, 0 };

#define S struct inet_listener_settings
static const struct conf_def inet_listener_defs[] = {
	CONF_DEF_STRING(S, name, "name", "",
		"name in messages; empty: that of the section"),
	CONF_DEF_STRING(S, address, "address", "",
		"addresses, separated by spaces; empty: listen"),
	CONF_DEF_PORT(S, port, "port", "0", "TCP port; 0: none"),
	CONF_DEF_BOOL(S, ssl, "ssl", "no", "TLS from the first byte"),
	CONF_DEF_BOOL(S, reuse_port, "reuse_port", "no",
		"let other processes bind the same port"),
	CONF_DEF_BOOL(S, haproxy, "haproxy", "no",
		"expect a PROXY protocol header"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_inet_listener_table = {
	inet_listener_defs, 0,
};

#define S struct unix_listener_settings
static const struct conf_def unix_listener_defs[] = {
	CONF_DEF_STRING(S, path, "path", "",
		"path, from base_dir; empty: the name of the section"),
	CONF_DEF_OCTAL(S, mode, "mode", "0600",
		"permissions of the socket; 0: none"),
	CONF_DEF_STRING(S, user, "user", "", "owner; empty: the starter"),
	CONF_DEF_STRING(S, group, "group", "", "group; empty: the starter's"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_unix_listener_table = {
	unix_listener_defs, 0,
};

static const struct conf_table *const inet_listener_tables[] = {
	&settings_inet_listener_table, NULL,
};

static const struct conf_schema inet_listener_schema = {
	.key = "inet_listener",
	.flags = CONF_EXISTS,
	.tables = inet_listener_tables,
};

static const struct conf_table *const unix_listener_tables[] = {
	&settings_unix_listener_table, NULL,
};

static const struct conf_schema unix_listener_schema = {
	.key = "unix_listener",
	.flags = CONF_EXISTS,
	.tables = unix_listener_tables,
};

static const struct conf_schema *const service_sections[] = {
	&inet_listener_schema, &unix_listener_schema,
	&dovecot_names_fifo_listener, NULL,
};

static const struct conf_table *const service_tables[] = {
	&settings_service_table, NULL,
};

static const struct conf_schema service_lmtp_schema = {
	.key = "service",
	.name = "lmtp",
	.tables = service_tables,
	.sections = service_sections,
	.others = dovecot_names_service_lmtp,
};

static const struct conf_schema *const ctl_sections[] = {
	&unix_listener_schema, NULL,
};

/* These services have nothing but listeners. */
static const struct conf_table *const no_tables[] = { NULL };

static const struct conf_schema service_ctl_schema = {
	.key = "service",
	.name = "ctl",
	.tables = no_tables,
	.sections = ctl_sections,
};

static const struct conf_schema *const http_sections[] = {
	&inet_listener_schema, NULL,
};

static const struct conf_schema service_http_schema = {
	.key = "service",
	.name = "http",
	.tables = no_tables,
	.sections = http_sections,
};

static const struct conf_schema *const socketmap_sections[] = {
	&inet_listener_schema, &unix_listener_schema, NULL,
};

static const struct conf_schema service_socketmap_schema = {
	.key = "service",
	.name = "socketmap",
	.tables = no_tables,
	.sections = socketmap_sections,
};

static const struct conf_table *const passdb_tables[] = {
	&settings_passdb_table, NULL,
};

static const struct conf_schema passdb_schema = {
	.key = "passdb",
	.flags = CONF_REPEATS | CONF_EXISTS | CONF_IN_PROTOCOL,
	.tables = passdb_tables,
};

static const struct conf_table *const userdb_tables[] = {
	&settings_userdb_table, NULL,
};

static const struct conf_schema userdb_schema = {
	.key = "userdb",
	.flags = CONF_REPEATS | CONF_EXISTS | CONF_IN_PROTOCOL,
	.tables = userdb_tables,
};

static const struct conf_table *const director_backend_tables[] = {
	&settings_director_backend_table, NULL,
};

static const struct conf_schema director_backend_schema = {
	.key = "director_backend",
	.flags = CONF_EXISTS,
	.tables = director_backend_tables,
};

static const struct conf_schema *const top_sections[] = {
	&service_lmtp_schema, &service_ctl_schema, &service_http_schema,
	&service_socketmap_schema, &passdb_schema, &userdb_schema,
	&director_backend_schema, &dovecot_names_service,
	&dovecot_names_namespace,
	&dovecot_names_plugin, &dovecot_names_dict, &dovecot_names_metric,
	&dovecot_names_event_exporter, NULL,
};

static const struct conf_table *const top_tables[] = {
	&settings_global_table, &settings_lmtp_table, &tls_settings_table,
	&settings_auth_table, &settings_director_table,
	&settings_health_table, &settings_cluster_table, &settings_local_table,
	NULL,
};

const struct conf_schema settings_schema = {
	.tables = top_tables,
	.sections = top_sections,
	.others = dovecot_names_top,
	.old = dovecot_names_old,
	.protocol = "lmtp",
	.is_general = dovecot_names_is_auth,
	.builtin = "service lmtp {\n"
		   "unix_listener lmtp {\n"
		   "mode = 0666\n"
		   "}\n"
		   "}\n"
		   "service ctl {\n"
		   "unix_listener ctl {\n"
		   "mode = 0600\n"
		   "}\n"
		   "}\n",
};
