/* dovecot-ldap.conf.ext: "key = value" lines, without sections, includes or
 * variables of the configuration language. */
#ifndef PASSDB_LDAP_SETTINGS_H
#define PASSDB_LDAP_SETTINGS_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/conf/schema.h"
#include "lib/conf/tree.h"

enum ldap_scope { LDAP_BASE, LDAP_ONELEVEL, LDAP_SUBTREE };
enum ldap_deref { LDAP_NEVER, LDAP_SEARCHING, LDAP_FINDING, LDAP_ALWAYS };
enum ldap_cert { LDAP_CERT_ANY, LDAP_CERT_VERIFY };

#define LDAP_SETTINGS_MAX 64

/* Each member is the setting of that name. Strings are never NULL. */
struct ldap_settings {
	const char *hosts, *uris; /* separated by spaces; uris counts */
	const char *dn, *dnpass;  /* "": anonymous */
	bool sasl_bind;
	const char *sasl_mech, *sasl_authz_id;
	bool tls; /* StartTLS */
	const char *tls_ca_cert_file, *tls_ca_cert_dir;
	const char *tls_cert_file, *tls_key_file, *tls_cipher_suite;
	int tls_require_cert; /* enum ldap_cert */
	unsigned ldap_version;
	const char *base, *pass_filter; /* variables */
	int deref, scope;
	const char *pass_attrs;
	const char *user_filter, *user_attrs; /* of userdbs */
	/* waypost's own; times in ms: */
	unsigned connect_timeout;
	unsigned max_connections, max_outstanding;

	const char *file;
	unsigned lines[LDAP_SETTINGS_MAX]; /* where the table's settings are;
					      0: nowhere */
};

/* Over struct ldap_settings. */
extern const struct conf_table ldap_settings_table;

/* Names that are accepted without effect: all of Dovecot's that do not concern
 * a lookup for mail. NULL at the end. */
extern const char *const ldap_settings_ignored[];

/* Reads text, which stands in the file path. Everything that is wrong goes to errors,
 * as does a warning that names the settings without effect. Strings live in
 * arena (of path, not text). 0, or -1 if there was an error. */
int ldap_settings_read(struct ldap_settings *settings, struct arena *arena,
		       const char *path, const char *text,
		       struct conf_errors *errors);

/* The line of a setting of the table; 0: it is not set. */
unsigned ldap_settings_line(const struct ldap_settings *settings,
			    const char *name);

#endif
