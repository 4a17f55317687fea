#include "passdb/ldap/settings.h"

#include <string.h>

#include "lib/panic.h"
#include "passdb/ext_file.h"

static const struct conf_word cert_words[] = {
	{ "demand", LDAP_CERT_VERIFY },
	{ "hard", LDAP_CERT_VERIFY },
	{ "try", LDAP_CERT_VERIFY }, /* every server shows one */
	{ "allow", LDAP_CERT_ANY },
	{ "never", LDAP_CERT_ANY },
	{ NULL, 0 },
};

static const struct conf_word scope_words[] = {
	{ "base", LDAP_BASE },
	{ "onelevel", LDAP_ONELEVEL },
	{ "subtree", LDAP_SUBTREE },
	{ NULL, 0 },
};

static const struct conf_word deref_words[] = {
	{ "never", LDAP_NEVER },
	{ "searching", LDAP_SEARCHING },
	{ "finding", LDAP_FINDING },
	{ "always", LDAP_ALWAYS },
	{ NULL, 0 },
};

#define S struct ldap_settings
static const struct conf_def ldap_defs[] = {
	CONF_DEF_STRING(S, hosts, "hosts", "",
		"servers, host or host:port"),
	CONF_DEF_STRING(S, uris, "uris", "",
		"servers, as ldap://, ldaps:// or ldapi:// URLs"),
	CONF_DEF_STRING(S, dn, "dn", "",
		"who binds; empty: nobody in particular"),
	CONF_DEF_SECRET(S, dnpass, "dnpass", "", "password of dn"),
	CONF_DEF_BOOL(S, sasl_bind, "sasl_bind", "no",
		"bind by SASL instead"),
	CONF_DEF_STRING(S, sasl_mech, "sasl_mech", "", "EXTERNAL"),
	CONF_DEF_STRING(S, sasl_authz_id, "sasl_authz_id", "",
		"who to be after a SASL bind"),
	CONF_DEF_BOOL(S, tls, "tls", "no", "StartTLS"),
	CONF_DEF_STRING(S, tls_ca_cert_file, "tls_ca_cert_file", "",
		"file of the CAs of the servers"),
	CONF_DEF_STRING(S, tls_ca_cert_dir, "tls_ca_cert_dir", "",
		"directory of these CAs"),
	CONF_DEF_STRING(S, tls_cert_file, "tls_cert_file", "",
		"certificate to show"),
	CONF_DEF_STRING(S, tls_key_file, "tls_key_file", "",
		"its private key"),
	CONF_DEF_STRING(S, tls_cipher_suite, "tls_cipher_suite", "",
		"ciphers up to TLS 1.2"),
	CONF_DEF_ENUM(S, tls_require_cert, cert_words, "tls_require_cert",
		"demand", "whether the server's certificate must verify"),
	CONF_DEF_UINT(S, ldap_version, "ldap_version", "3",
		"version of the protocol"),
	CONF_DEF_STRING(S, base, "base", "", "DN to search below"),
	CONF_DEF_ENUM(S, deref, deref_words, "deref", "never",
		"when to follow aliases"),
	CONF_DEF_ENUM(S, scope, scope_words, "scope", "subtree",
		"how far below base"),
	CONF_DEF_STRING(S, pass_attrs, "pass_attrs",
		"uid=user,userPassword=password",
		"which attributes become which fields"),
	CONF_DEF_STRING(S, pass_filter, "pass_filter",
		"(&(objectClass=posixAccount)(uid=%u))",
		"how a passdb finds a user"),
	CONF_DEF_STRING(S, user_attrs, "user_attrs",
		"homeDirectory=home,uidNumber=uid,gidNumber=gid",
		"which attributes become which fields of a userdb"),
	CONF_DEF_STRING(S, user_filter, "user_filter",
		"(&(objectClass=posixAccount)(uid=%u))",
		"how a userdb finds a user"),
	CONF_DEF_TIME(S, connect_timeout, "connect_timeout", "3 secs",
		"how long until a server is ready for searches"),
	CONF_DEF_UINT(S, max_connections, "max_connections", "2",
		"connections of each worker thread"),
	CONF_DEF_UINT(S, max_outstanding, "max_outstanding", "64",
		"searches under way on one connection"),
	CONF_DEF_END
};
#undef S

const struct conf_table ldap_settings_table = { ldap_defs, 0 };

const char *const ldap_settings_ignored[] = {
	"auth_bind", "auth_bind_userdn", "blocking", "debug_level",
	"default_pass_scheme", "iterate_attrs", "iterate_filter",
	"ldaprc_path", "sasl_realm", "userdb_warning_disable", NULL,
};

static const struct ext_file_kind kind = {
	.table = &ldap_settings_table,
	.ignored = ldap_settings_ignored,
	.plain = true,
};

static void need(struct ext_file *file, bool ok, const char *name,
		 const char *why)
{
	if (!ok)
		conf_error(file->errors, file->path,
			   ext_file_line(file, name), "%s", why);
}

static void check_bind(struct ext_file *file,
		       const struct ldap_settings *settings)
{
	/* A server may take a name without password for anonymous, and say
	 * that all is well. */
	need(file, settings->sasl_bind || settings->dn[0] == '\0' ||
	     settings->dnpass[0] != '\0', "dn", "dn needs dnpass");
	need(file, settings->sasl_bind || settings->dnpass[0] == '\0' ||
	     settings->dn[0] != '\0', "dnpass", "dnpass needs dn");
	need(file, !settings->sasl_bind ||
	     strcmp(settings->sasl_mech, "EXTERNAL") == 0,
	     settings->sasl_mech[0] != '\0' ? "sasl_mech" : "sasl_bind",
	     "the only sasl_mech that is supported is EXTERNAL");
	need(file, (settings->tls_cert_file[0] == '\0') ==
	     (settings->tls_key_file[0] == '\0'),
	     settings->tls_cert_file[0] != '\0' ? "tls_cert_file" :
	     "tls_key_file", "tls_cert_file and tls_key_file need each other");
}

/* Files of Dovecot's have it empty until somebody fills it in. */
static void check_base(struct ext_file *file,
		       const struct ldap_settings *settings)
{
	unsigned line = ext_file_line(file, "base");

	need(file, line > 0, "base", "base is not set");
	if (line > 0 && settings->base[0] == '\0')
		conf_warning(file->errors, file->path, line, "base is empty: "
			     "few servers let all that they have be searched");
}

static void check(struct ext_file *file, const struct ldap_settings *settings)
{
	need(file, settings->uris[0] != '\0' || settings->hosts[0] != '\0',
	     "uris", "neither uris nor hosts is set");
	if (settings->uris[0] != '\0' && settings->hosts[0] != '\0')
		conf_warning(file->errors, file->path,
			     ext_file_line(file, "hosts"),
			     "hosts has no effect beside uris");
	need(file, settings->ldap_version == 3, "ldap_version",
	     "the only ldap_version that is supported is 3");
	check_base(file, settings);
	need(file, settings->pass_filter[0] != '\0', "pass_filter",
	     "pass_filter is empty");
	need(file, settings->connect_timeout > 0, "connect_timeout",
	     "connect_timeout must not be 0");
	need(file, settings->max_connections >= 1 &&
	     settings->max_connections <= 64, "max_connections",
	     "max_connections must be from 1 to 64");
	/* OpenLDAP closes the connection at 100 of nobody in particular. */
	need(file, settings->max_outstanding >= 1 &&
	     settings->max_outstanding <= 512, "max_outstanding",
	     "max_outstanding must be from 1 to 512");
	check_bind(file, settings);
}

static void note_lines(const struct ext_file *file,
		       struct ldap_settings *settings)
{
	unsigned i;

	ASSERT(sizeof(ldap_defs) / sizeof(*ldap_defs) <= LDAP_SETTINGS_MAX);
	for (i = 0; ldap_defs[i].name != NULL; i++)
		settings->lines[i] = ext_file_line(file, ldap_defs[i].name);
}

int ldap_settings_read(struct ldap_settings *settings, struct arena *arena,
		       const char *path, const char *text,
		       struct conf_errors *errors)
{
	struct ext_file file;
	bool broken;

	memset(settings, 0, sizeof(*settings));
	settings->file = arena_strdup(arena, path);
	(void)ext_file_open(&file, &kind, settings->file, text, NULL, errors);
	ext_file_apply(&file, arena, settings);
	note_lines(&file, settings);
	if (!ext_file_is_broken(&file))
		check(&file, settings);
	broken = ext_file_is_broken(&file);
	ext_file_close(&file);
	return broken ? -1 : 0;
}

unsigned ldap_settings_line(const struct ldap_settings *settings,
			    const char *name)
{
	unsigned i;

	for (i = 0; ldap_defs[i].name != NULL; i++) {
		if (strcmp(ldap_defs[i].name, name) == 0)
			return settings->lines[i];
	}
	return 0;
}
