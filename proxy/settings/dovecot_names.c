#include "proxy/settings/dovecot_names.h"

#include <string.h>

#include "proxy/settings/namespace.h"
#include "proxy/settings/quota.h"

const char *const dovecot_names_top[] = {
	"auth_anonymous_username",
	"auth_cache_verify_password_with_worker", "auth_debug_passwords",
	"auth_failure_delay", "auth_gssapi_hostname", "auth_krb5_keytab",
	"auth_master_user_separator", "auth_mechanisms",
	"auth_policy_check_after_auth", "auth_policy_check_before_auth",
	"auth_policy_hash_mech", "auth_policy_hash_nonce",
	"auth_policy_hash_truncate", "auth_policy_log_only",
	"auth_policy_reject_on_fail", "auth_policy_report_after_auth",
	"auth_policy_request_attributes", "auth_policy_server_api_header",
	"auth_policy_server_timeout_msecs", "auth_policy_server_url",
	"auth_realms", "auth_socket_path", "auth_ssl_require_client_cert",
	"auth_ssl_username_from_cert", "auth_stats", "auth_use_winbind",
	"auth_verbose", "auth_verbose_passwords", "auth_winbind_helper_path",
	"auth_worker_max_count", "config_cache_size", "default_idle_kill",
	"default_login_user", "default_vsz_limit",
	"dict_db_config", "director_flush_socket",
	"director_max_parallel_kicks", "director_max_parallel_moves",
	"director_output_buffer_size", "director_ping_idle_timeout",
	"director_ping_max_timeout", "director_servers",
	"director_user_kick_delay",
	"disable_plaintext_auth", "dotlock_use_excl",
	"doveadm_allowed_commands", "doveadm_api_key",
	"doveadm_http_rawlog_dir", "doveadm_password", "doveadm_port",
	"doveadm_proxy_port", "doveadm_socket_path", "doveadm_ssl",
	"doveadm_username", "doveadm_worker_count", "dsync_alt_char",
	"dsync_commit_msgs_interval", "dsync_features", "dsync_hashed_headers",
	"dsync_remote_cmd",
	"imap_capability", "imap_client_workarounds", "imap_fetch_failure",
	"imap_hibernate_timeout", "imap_id_log", "imap_id_retain",
	"imap_id_send", "imap_idle_notify_interval", "imap_literal_minus",
	"imap_logout_format", "imap_max_line_length", "imap_metadata",
	"imap_urlauth_host", "imap_urlauth_logout_format", "imap_urlauth_port",
	"imap_urlauth_stream_user", "imap_urlauth_submit_user",
	"imapc_cmd_timeout", "imapc_connection_retry_count",
	"imapc_connection_retry_interval", "imapc_features", "imapc_host",
	"imapc_list_prefix", "imapc_master_user", "imapc_max_idle_time",
	"imapc_max_line_length", "imapc_password", "imapc_port",
	"imapc_rawlog_dir", "imapc_sasl_mechanisms", "imapc_ssl",
	"imapc_ssl_verify", "imapc_user", "import_environment",
	"libexec_dir",
	"lock_method", "log_core_filter",
	"log_debug", "login_access_sockets", "login_log_format",
	"login_log_format_elements", "login_plugin_dir", "login_plugins",
	"login_proxy_max_disconnect_delay", "login_proxy_max_reconnects",
	"login_proxy_notify_path", "login_proxy_rawlog_dir",
	"login_proxy_timeout", "login_source_ips",
	"mail_always_cache_fields", "mail_attachment_detection_options",
	"mail_attachment_dir", "mail_attachment_fs", "mail_attachment_hash",
	"mail_attachment_min_size", "mail_attribute_dict", "mail_cache_fields",
	"mail_cache_max_size", "mail_cache_min_mail_count",
	"mail_cache_purge_continued_percentage",
	"mail_cache_purge_delete_percentage",
	"mail_cache_purge_header_continue_count", "mail_cache_purge_min_size",
	"mail_cache_record_max_size", "mail_cache_unaccessed_field_drop",
	"mail_chroot", "mail_full_filesystem_access",
	"mail_index_log2_max_age",
	"mail_index_log_rotate_max_size", "mail_index_log_rotate_min_age",
	"mail_index_log_rotate_min_size", "mail_index_rewrite_max_log_bytes",
	"mail_index_rewrite_min_log_bytes", "mail_log_prefix",
	"mail_max_keyword_length", "mail_max_lock_timeout",
	"mail_max_userip_connections", "mail_never_cache_fields",
	"mail_nfs_index", "mail_nfs_storage", "mail_plugin_dir",
	"mail_plugins", "mail_prefetch_count",
	"mail_save_crlf", "mail_server_admin", "mail_server_comment",
	"mail_shared_explicit_inbox", "mail_sort_max_read_count",
	"mail_temp_scan_interval", "mail_vsize_bg_after_count",
	"mailbox_idle_check_interval", "mailbox_list_index",
	"mailbox_list_index_include_inbox",
	"mailbox_list_index_very_dirty_syncs", "maildir_broken_filename_sizes",
	"maildir_empty_new", "maildir_stat_dirs", "maildir_very_dirty_syncs",
	"managesieve_client_workarounds", "managesieve_implementation_string",
	"managesieve_logout_format", "managesieve_max_compile_errors",
	"managesieve_max_line_length", "managesieve_notify_capability",
	"managesieve_sieve_capability", "master_user_separator",
	"mbox_dirty_syncs", "mbox_dotlock_change_timeout", "mbox_lazy_writes",
	"mbox_lock_timeout", "mbox_md5", "mbox_min_index_size",
	"mbox_read_locks", "mbox_very_dirty_syncs", "mbox_write_locks",
	"mdbox_preallocate_space", "mdbox_rotate_interval",
	"mdbox_rotate_size", "mmap_disable", "old_stats_carbon_interval",
	"old_stats_carbon_name", "old_stats_carbon_server",
	"old_stats_command_min_time", "old_stats_domain_min_time",
	"old_stats_ip_min_time", "old_stats_memory_limit",
	"old_stats_session_min_time", "old_stats_user_min_time",
	"pop3_client_workarounds", "pop3_delete_type", "pop3_deleted_flag",
	"pop3_enable_last", "pop3_fast_size_lookups", "pop3_lock_session",
	"pop3_logout_format", "pop3_no_flag_updates", "pop3_reuse_xuidl",
	"pop3_save_uidl", "pop3_uidl_duplicates", "pop3_uidl_format",
	"pop3c_features", "pop3c_host", "pop3c_master_user", "pop3c_password",
	"pop3c_port", "pop3c_quick_received_date", "pop3c_rawlog_dir",
	"pop3c_ssl", "pop3c_ssl_verify", "pop3c_user", "postmaster_address",
	"process_shutdown_filter", "rawlog_dir",
	"rejection_reason", "rejection_subject",
	"replication_dsync_parameters", "replication_full_sync_interval",
	"replication_max_conns", "replicator_host", "replicator_port",
	"sendmail_path", "shutdown_clients", "ssl_cert_username_field",
	"ssl_crypto_device", "state_dir", "stats_http_rawlog_dir",
	"stats_writer_socket_path", "submission_backend_capabilities",
	"submission_client_workarounds", "submission_host",
	"submission_logout_format", "submission_max_mail_size",
	"submission_max_recipients", "submission_relay_command_timeout",
	"submission_relay_connect_timeout", "submission_relay_host",
	"submission_relay_master_user", "submission_relay_max_idle_time",
	"submission_relay_password", "submission_relay_port",
	"submission_relay_rawlog_dir", "submission_relay_ssl",
	"submission_relay_ssl_verify", "submission_relay_trusted",
	"submission_relay_user", "submission_ssl", "submission_timeout",
	"verbose_proctitle", "version_ignore",
	NULL,
};

const struct conf_old_name dovecot_names_old[] = {
	{ "auth_count", "has been removed" },
	{ "auth_executable", "has become service auth { executable }" },
	{ "auth_process_size", "has become service auth { vsz_limit }" },
	{ "auth_user", "has become service auth { user }" },
	{ "dbox_rotate_days", "has become mdbox_rotate_interval" },
	{ "dbox_rotate_min_size", "has been removed" },
	{ "dbox_rotate_size", "has become mdbox_rotate_size" },
	{ "director_consistent_hashing", "has been removed: it is always on" },
	{ "director_doveadm_port", "has become an inet_listener" },
	{ "dovecot_config_version", "is of Dovecot 2.4: here, settings are "
	  "those of 2.3" },
	{ "dovecot_storage_version", "is of Dovecot 2.4: here, settings are "
	  "those of 2.3" },
	{ "fsync_disable", "has become mail_fsync" },
	{ "imap_zlib_compress_level", "has become a setting of the plugin" },
	{ "login_chroot", "has become service imap-login { chroot }" },
	{ "login_dir", "has been removed" },
	{ "login_executable", "has become service imap-login { executable }" },
	{ "login_max_connections", "has become service { client_limit }" },
	{ "login_max_processes_count", "has become service { process_limit }" },
	{ "login_process_per_connection", "has become service { service_count }" },
	{ "login_process_size", "has become service { vsz_limit }" },
	{ "login_processes_count", "has become service { process_min_avail }" },
	{ "mail_drop_priv_before_exec",
	  "has become service { drop_priv_before_exec }" },
	{ "mail_executable", "has become service imap { executable }" },
	{ "mail_log_max_lines_per_sec", "has been removed" },
	{ "mail_process_size", "has become service imap { vsz_limit }" },
	{ "maildir_copy_preserve_filename", "has been removed" },
	{ "max_mail_processes", "has become service imap { process_limit }" },
	{ "sieve", "has moved into plugin { }" },
	{ "sieve_storage", "has become plugin { sieve_dir }" },
	{ "ssl_ca_file", "has become ssl_ca" },
	{ "ssl_cert_file", "has become ssl_cert" },
	{ "ssl_dh_parameters_length", "has been removed: see ssl_dh" },
	{ "ssl_disable", "has become ssl" },
	{ "ssl_key_file", "has become ssl_key" },
	{ "ssl_listen", "has become an inet_listener" },
	{ "ssl_parameters_regenerate", "has been removed: see ssl_dh" },
	{ "ssl_protocols", "has become ssl_min_protocol" },
	{ "umask", "has been removed" },
	{ NULL, NULL },
};

const char *const dovecot_names_services[] = {
	"aggregator", "anvil", "auth", "auth-worker", "config", "ctl", "dict",
	"dict-async", "director", "dns-client", "doveadm", "health-check", "http",
	"imap", "imap-hibernate", "imap-login", "imap-urlauth",
	"imap-urlauth-login", "imap-urlauth-worker", "indexer",
	"indexer-worker", "ipc", "lmtp", "log", "managesieve",
	"managesieve-login", "old-stats", "pop3", "pop3-login",
	"quota-status", "replicator", "socketmap", "ssl-params", "stats",
	"submission",
	"submission-login", "tcpwrap", NULL,
};

const char *const dovecot_names_protocols[] = {
	"auth", "doveadm", "dsync", "imap", "indexer-worker", "lda", "lmtp",
	"pop3", "sieve", "submission", NULL,
};

const char *const dovecot_names_service_lmtp[] = {
	"chroot", "drop_priv_before_exec", "idle_kill", "privileged_group",
	"protocol", "type", "vsz_limit", NULL,
};

static const char *const service_names[] = {
	"chroot", "client_limit", "drop_priv_before_exec", "executable",
	"extra_groups", "group", "idle_kill", "privileged_group",
	"process_limit", "process_min_avail", "protocol", "service_count",
	"type", "user", "vsz_limit", NULL,
};

static const char *const inet_listener_names[] = {
	"address", "haproxy", "name", "port", "reuse_port", "ssl", NULL,
};

static const char *const file_listener_names[] = {
	"group", "mode", "path", "user", NULL,
};

static const struct conf_schema inet_listener = {
	.key = "inet_listener",
	.others = inet_listener_names,
};

static const struct conf_schema unix_listener = {
	.key = "unix_listener",
	.others = file_listener_names,
};

const struct conf_schema dovecot_names_fifo_listener = {
	.key = "fifo_listener",
	.others = file_listener_names,
};

static const struct conf_schema *const listeners[] = {
	&inet_listener, &unix_listener, &dovecot_names_fifo_listener, NULL,
};

const struct conf_schema dovecot_names_service = {
	.key = "service",
	.others = service_names,
	.sections = listeners,
};

static const char *const mailbox_names[] = {
	"auto", "autoexpunge", "autoexpunge_max_mails", "comment", "driver",
	"name", "special_use", NULL,
};

static const struct conf_schema mailbox = {
	.key = "mailbox",
	.others = mailbox_names,
};

static const struct conf_schema *const mailboxes[] = { &mailbox, NULL };

static const char *const namespace_names[] = {
	"alias_for", "disabled", "hidden", "ignore_on_failure", "list", "name",
	"order", "subscriptions", "type", NULL,
};

static const struct conf_table *const namespace_tables[] = {
	&settings_namespace_table, NULL,
};

const struct conf_schema dovecot_names_namespace = {
	.key = "namespace",
	.tables = namespace_tables,
	.others = namespace_names,
	.sections = mailboxes,
};

static const struct conf_table *const plugin_tables[] = {
	&settings_quota_table, NULL,
};

const struct conf_schema dovecot_names_plugin = {
	.key = "plugin",
	.flags = CONF_ANY_SETTING | CONF_IN_PROTOCOL,
	.tables = plugin_tables,
	.has_effect = settings_quota_has_effect,
};

const struct conf_schema dovecot_names_dict = {
	.key = "dict",
	.flags = CONF_ANY_SETTING,
};

static const char *const metric_names[] = {
	"categories", "description", "event_name", "exporter",
	"exporter_include", "fields", "filter", "group_by", "metric_name",
	"name", "source_location", NULL,
};

static const struct conf_schema metric_filter = {
	.key = "filter",
	.flags = CONF_ANY_SETTING,
};

static const struct conf_schema *const metric_sections[] = {
	&metric_filter, NULL,
};

const struct conf_schema dovecot_names_metric = {
	.key = "metric",
	.others = metric_names,
	.sections = metric_sections,
};

static const char *const event_exporter_names[] = {
	"format", "format_args", "name", "transport", "transport_args",
	"transport_timeout", NULL,
};

const struct conf_schema dovecot_names_event_exporter = {
	.key = "event_exporter",
	.others = event_exporter_names,
};

bool dovecot_names_is_auth(const char *key)
{
	static const char *const others[] = {
		"base_dir", "first_valid_gid", "first_valid_uid",
		"last_valid_gid", "last_valid_uid", "passdb", "userdb",
		"verbose_proctitle",
	};
	size_t i;

	if (strncmp(key, "auth_", 5) == 0)
		return strcmp(key, "auth_socket_path") != 0;
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(key, others[i]) == 0)
			return true;
	}
	return false;
}
