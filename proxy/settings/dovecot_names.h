/* The names of Dovecot 2.3's configuration that do not concern waypost: they
 * are accepted, so that a Dovecot tree loads as it stands, and listed by
 * waypost -n. */
#ifndef PROXY_SETTINGS_DOVECOT_NAMES_H
#define PROXY_SETTINGS_DOVECOT_NAMES_H

#include "lib/conf/schema.h"

/* Settings at the top, and those that Dovecot 2.3 itself has given up. End
 * with NULL. */
extern const char *const dovecot_names_top[];
extern const struct conf_old_name dovecot_names_old[];

/* Whether a setting or section is one of Dovecot's process auth, which refuses all of
 * them in local, local_name and remote; or, of waypost's own, an auth_ setting. (But
 * those of TLS: here they are of use there.) */
bool dovecot_names_is_auth(const char *key);

/* What service lmtp and its listeners may hold besides what is bound. */
extern const char *const dovecot_names_service_lmtp[];
extern const struct conf_schema dovecot_names_fifo_listener;

/* Services of Dovecot and Pigeonhole, and what else a filter "protocol" may
 * name: sections of other names have been mistyped. End with NULL. */
extern const char *const dovecot_names_services[];
extern const char *const dovecot_names_protocols[];

/* Sections at the top without effect here. */
extern const struct conf_schema dovecot_names_service, dovecot_names_namespace,
	dovecot_names_plugin, dovecot_names_dict, dovecot_names_metric,
	dovecot_names_event_exporter;

#endif
