/* The settings that waypost implements, as the code reads them: bound from the
 * configuration once, immutable afterwards. */
#ifndef PROXY_SETTINGS_SETTINGS_H
#define PROXY_SETTINGS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/director/health.h"
#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/conf/dump.h"
#include "lib/conf/schema.h"
#include "lib/conf/tree.h"
#include "lib/networks.h"
#include "lib/tls/settings.h"
#include "passdb/passdb_settings.h"
#include "proxy/director/director.h"
#include "proxy/settings/cluster.h"
#include "proxy/settings/local.h"

enum settings_delivery_address { DELIVERY_NONE, DELIVERY_FINAL, DELIVERY_ORIGINAL };

/* What may differ between sessions, through the filters protocol lmtp, local,
 * remote, and local_name once TLS is up. Times are in ms. */
struct lmtp_settings {
	const char *hostname;	    /* never empty */
	const char *login_greeting; /* variables */
	bool mail_debug;

	bool lmtp_proxy;
	bool lmtp_verbose_replies;
	bool lmtp_add_received_header;
	int lmtp_hdr_delivery_address; /* enum settings_delivery_address */
	unsigned lmtp_client_workarounds; /* enum smtp_path_flag */
	const char *recipient_delimiter;
	const char *mail_temp_dir;
	const char *login_trusted_networks;
	const char *lmtp_rawlog_dir, *lmtp_proxy_rawlog_dir; /* variables */

	/* waypost's own: */
	uint64_t lmtp_max_message_size; /* bytes; 0: no limit */
	unsigned lmtp_max_recipients;	/* 1000 per transaction; 0: no limit */
	bool lmtp_dsn;			/* no: announce DSN (all backends must) */
	bool lmtp_binarymime;		/* no: announce BINARYMIME (the same) */
	int lmtp_bare_newlines;		/* enum smtp_data_policy */
	unsigned lmtp_client_timeout;	/* 5 min: silence from the client */
	uint64_t lmtp_client_min_rate;	/* 500 bytes/s of a message; 0: none */
	unsigned lmtp_max_bad_commands; /* 10 */
	uint64_t lmtp_spool_memory;	/* 128 KiB: window per transaction */

	unsigned lmtp_proxy_connect_timeout; /* 30 s */
	unsigned lmtp_proxy_command_timeout; /* 5 min */
	unsigned lmtp_proxy_data_timeout;    /* 125 s, Dovecot's proxy_timeout */
	unsigned lmtp_proxy_pool_max_age;    /* 5 min from connect */
	unsigned lmtp_proxy_pool_max_idle;   /* 30 s; 0: never reuse */
	unsigned lmtp_proxy_pool_max_connections; /* per backend, all workers;
						     0: no limit */
	bool lmtp_proxy_chunking; /* yes: BDAT to backends that offer it */
	unsigned lmtp_proxy_pool_wait_timeout;	  /* 30 s for a free one */
	bool lmtp_proxy_xclient; /* tell backends that ask for it */
	unsigned lmtp_proxy_ttl; /* 5: of mail that comes without one */

	struct tls_settings tls; /* the ssl_ settings */

	/* What follows from these: */
	struct networks trusted; /* login_trusted_networks */
	unsigned variant;	 /* its number: see settings_variant() */
};

struct inet_listener_settings {
	const char *name;
	const char *address; /* space-separated; "": listen */
	unsigned port;	     /* 0: off */
	bool ssl, reuse_port, haproxy;
	bool control;	/* of service http or socketmap */
	bool socketmap; /* of the latter */
	const char *file;
	unsigned line;
};

struct unix_listener_settings {
	const char *path; /* relative to base_dir */
	unsigned mode;	  /* 0: off */
	const char *user, *group;
	bool control;	/* of service ctl or socketmap */
	bool socketmap; /* of the latter */
	const char *file;
	unsigned line;
};

struct service_settings {
	const char *user, *group, *extra_groups;
	unsigned process_min_avail; /* worker threads; 0: number of CPUs */
	unsigned process_limit;	    /* 0: default_process_limit */
	unsigned client_limit;	    /* 0: default_client_limit */
	unsigned service_count;	    /* accepted, no effect */
	const char *executable;
	const struct inet_listener_settings *inet_listeners;
	unsigned inet_listener_count;
	const struct unix_listener_settings *unix_listeners;
	unsigned unix_listener_count;
};

/* The networks of some filters, longer prefixes behind shorter ones. */
struct settings_nets {
	struct addr_net *list;
	unsigned count;
};

/* The names of some filters: patterns first, then the others, sorted. */
struct settings_names {
	const char **list;
	unsigned count, patterns;
};

/* Everything bound from one reading of the configuration. Immutable;
 * reference-counted across threads. */
struct settings {
	struct arena *arena;
	_Atomic unsigned refs;
	struct conf_tree *tree;

	const char *base_dir, *instance_name, *listen, *protocols;
	const char *default_internal_user, *default_internal_group;
	unsigned default_process_limit, default_client_limit;
	bool lmtp_enabled; /* protocols names lmtp */

	const char *log_path, *info_log_path, *debug_log_path;
	const char *log_timestamp, *syslog_facility;
	int log_format;		   /* enum log_format */
	int log_stderr_priorities; /* enum log_priorities */
	unsigned log_error_burst;  /* 50 in ten seconds; 0: no limit */
	bool mail_debug, auth_debug;

	unsigned shutdown_timeout;	    /* lmtp_shutdown_timeout: 60 s */
	struct networks proxy_self;	    /* auth_proxy_self */
	const char *haproxy_trusted_networks;
	struct networks haproxy_trusted; /* the same */
	unsigned haproxy_timeout;	    /* 3 s */
	unsigned dns_timeout;		    /* lmtp_proxy_dns_timeout: 10 s */
	const char *dns_servers;	    /* lmtp_proxy_dns_servers: "" */

	struct service_settings service; /* service lmtp */
	struct service_settings ctl, http, socketmap; /* only listeners */
	const char *http_token;
	bool http_allow_changes;
	/* Of the servers that users are sent to: 143, 110, 587. */
	unsigned auth_http_imap_port, auth_http_pop3_port, auth_http_smtp_port;
	struct passdb_settings passdb;
	struct local_settings local; /* without filters */
	struct director_settings director_settings;
	struct director_health_settings director_health;
	struct cluster_settings cluster;
	const struct director *director; /* NULL: no director_mail_servers */
	struct lmtp_settings lmtp; /* without filters: variant 0 */
	const struct lmtp_settings *variants; /* the others */
	unsigned variant_count;		      /* with variant 0 */
	struct settings_nets locals, remotes; /* where variants differ */
	struct settings_names names;
};

/* Reads a configuration file with everything that it includes, as
 * conf_tree_read() does; $name knows the defaults of waypost's settings. */
struct conf_tree *settings_read(const char *path, struct conf_errors *errors);

/* Binds and checks a configuration. Returns NULL with every error found in
 * errors; warnings go there too. Takes over tree when it succeeds. When hostname is
 * not set, it is the system's name, completed from the hosts file. */
struct settings *settings_new(struct conf_tree *tree,
			      struct conf_errors *errors);

/* Looks for errors in settings, which may have others. root is the merged tree
 * that they are from. */
typedef void settings_check_fn(const struct settings *settings,
			       const struct conf_node *root,
			       struct conf_errors *errors);

/* As settings_new(), with one more check (NULL: none), whose errors come with
 * all the others. */
struct settings *settings_new_checked(struct conf_tree *tree,
				      settings_check_fn *check,
				      struct conf_errors *errors);

/* Appends the configuration in canonical form (waypost -n, -N, -a, -d). With
 * CONF_DUMP_DEFAULTS, tree may be NULL. */
void settings_dump(const struct conf_tree *tree, enum conf_dump_mode mode,
		   struct str *out);
struct settings *settings_ref(struct settings *settings);
void settings_unref(struct settings **settings);

/* The settings for a connection from remote to local, whose client has said
 * whom it wants to speak to (SNI; NULL: nobody in particular), for local_name.
 * When several names of filters fit, those that say less than the best one count
 * too, but not those that merely overlap with it. They are one of the variants,
 * and live as long as settings. */
const struct lmtp_settings *settings_for_name(const struct settings *settings,
					      const struct addr *local,
					      const struct addr *remote,
					      const char *name);

/* All that this can return: number is below settings->variant_count, and
 * becomes the variant's member variant. What has to be made once for each of
 * them (a TLS context) can so be kept in an array. */
const struct lmtp_settings *settings_variant(const struct settings *settings,
					     unsigned number);

#endif
