/* The definition tables behind proxy/settings/settings.h. */
#ifndef PROXY_SETTINGS_TABLES_H
#define PROXY_SETTINGS_TABLES_H

#include "lib/conf/schema.h"

/* Over struct settings, struct lmtp_settings, struct passdb_settings. */
extern const struct conf_table settings_global_table, settings_lmtp_table,
	settings_auth_table;

/* Over struct director_settings. */
extern const struct conf_table settings_director_table;

/* Over struct director_backend_settings. */
extern const struct conf_table settings_director_backend_table;

/* Over struct service_settings and its listeners, and struct passdb_block. */
extern const struct conf_table settings_service_table,
	settings_inet_listener_table, settings_unix_listener_table,
	settings_passdb_table, settings_userdb_table;

/* Everything that may stand in a configuration. */
extern const struct conf_schema settings_schema;

#endif
