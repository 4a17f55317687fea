#include "passdb/ldap_settings.h"

#include <string.h>

#include "lib/conf_line.h"
#include "lib/mem.h"
#include "lib/panic.h"

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
		"how to find a user"),
	CONF_DEF_TIME(S, connect_timeout, "connect_timeout", "3 secs",
		"how long until a server is ready for searches"),
	CONF_DEF_UINT(S, max_connections, "max_connections", "2",
		"connections of each worker thread"),
	CONF_DEF_UINT(S, max_outstanding, "max_outstanding", "32",
		"searches under way on one connection"),
	CONF_DEF_END
};
#undef S

const struct conf_table ldap_settings_table = { ldap_defs, 0 };

const char *const ldap_settings_ignored[] = {
	"auth_bind", "auth_bind_userdn", "blocking", "debug_level",
	"default_pass_scheme", "iterate_attrs", "iterate_filter",
	"ldaprc_path", "sasl_realm", "user_attrs", "user_filter",
	"userdb_warning_disable", NULL,
};

/* A file being read. */
struct reader {
	struct ldap_settings *settings;
	struct arena *arena;
	struct conf_errors *errors;
	unsigned line;
	struct str ignored; /* ", name, name" */
};

static bool is_ignored(const char *name)
{
	const char *const *other = ldap_settings_ignored;

	while (*other != NULL && strcmp(*other, name) != 0)
		other++;
	return *other != NULL;
}

static void unknown_name(struct reader *reader, const char *name)
{
	const char *names[LDAP_SETTINGS_MAX + 1], *nearest;
	const struct conf_def *def;
	unsigned i, count = 0;

	for (def = ldap_defs; def->name != NULL; def++)
		names[count++] = def->name;
	for (i = 0; ldap_settings_ignored[i] != NULL; i++)
		names[count++] = ldap_settings_ignored[i];
	ASSERT(count <= LDAP_SETTINGS_MAX);
	names[count] = NULL;
	nearest = conf_nearest(name, names);
	conf_error(reader->errors, reader->settings->file, reader->line,
		   nearest != NULL ? "unknown setting %s (did you mean %s?)" :
		   "unknown setting %s", name, nearest);
}

static void read_setting(struct reader *reader, const char *name,
			 const char *value)
{
	struct ldap_settings *settings = reader->settings;
	const struct conf_def *def = ldap_defs;
	struct err why;

	while (def->name != NULL && strcmp(def->name, name) != 0)
		def++;
	if (def->name != NULL) {
		settings->lines[def - ldap_defs] = reader->line;
		if (conf_value_parse(def->type, def->words, reader->arena,
				     value, (char *)settings + def->offset,
				     &why) < 0)
			conf_error(reader->errors, settings->file,
				   reader->line, "%s: %s", name, why.text);
	} else if (is_ignored(name)) {
		str_printf(&reader->ignored, ", %s", name);
	} else {
		unknown_name(reader, name);
	}
}

/* Takes a whole line, continued ones put together. */
static void read_line(struct reader *reader, char *text)
{
	struct conf_line line;
	struct err why;

	if (conf_line_parse(text, &line, &why) < 0) {
		conf_error(reader->errors, reader->settings->file,
			   reader->line, "%s", why.text);
		return;
	}
	if (line.type == CONF_LINE_EMPTY)
		return;
	if (line.type != CONF_LINE_SETTING) {
		conf_error(reader->errors, reader->settings->file,
			   reader->line, "only \"name = value\" may stand in "
			   "this file");
		return;
	}
	/* "<" means nothing here. */
	if (line.value_type == CONF_LINE_FILE) {
		while (*line.value != '<')
			line.value--;
	}
	read_setting(reader, line.key, line.value);
}

static void read_lines(struct reader *reader, const char *text)
{
	struct str line = STR_INIT;
	unsigned number = 0;
	bool ambiguous, more;
	char *copy, *part;

	while (*text != '\0' || line.len > 0) {
		size_t len = strcspn(text, "\n");

		number++;
		if (line.len == 0)
			reader->line = number;
		copy = mem_strndup(text, len);
		part = conf_line_strip(copy, &ambiguous);
		if (ambiguous)
			conf_warning(reader->errors, reader->settings->file,
				     number, "# starts a comment here, "
				     "although no white space is before it");
		more = conf_line_continues(part) && text[len] != '\0';
		str_puts(&line, part);
		str_puts(&line, more ? " " : "");
		if (!more && line.len > 0)
			read_line(reader, line.data);
		if (!more)
			str_clear(&line);
		mem_free(&copy);
		text += len + (text[len] == '\n');
	}
	str_wipe(&line);
}

static void need(struct reader *reader, bool ok, const char *name,
		 const char *why)
{
	if (!ok)
		conf_error(reader->errors, reader->settings->file,
			   ldap_settings_line(reader->settings, name),
			   "%s", why);
}

static void check_bind(struct reader *reader)
{
	const struct ldap_settings *settings = reader->settings;

	/* A server may take a name without password for anonymous, and say
	 * that all is well. */
	need(reader, settings->sasl_bind || settings->dn[0] == '\0' ||
	     settings->dnpass[0] != '\0', "dn", "dn needs dnpass");
	need(reader, settings->sasl_bind || settings->dnpass[0] == '\0' ||
	     settings->dn[0] != '\0', "dnpass", "dnpass needs dn");
	need(reader, !settings->sasl_bind ||
	     strcmp(settings->sasl_mech, "EXTERNAL") == 0,
	     settings->sasl_mech[0] != '\0' ? "sasl_mech" : "sasl_bind",
	     "the only sasl_mech that is supported is EXTERNAL");
	need(reader, (settings->tls_cert_file[0] == '\0') ==
	     (settings->tls_key_file[0] == '\0'),
	     settings->tls_cert_file[0] != '\0' ? "tls_cert_file" :
	     "tls_key_file", "tls_cert_file and tls_key_file need each other");
}

static void check(struct reader *reader)
{
	const struct ldap_settings *settings = reader->settings;

	need(reader, settings->uris[0] != '\0' || settings->hosts[0] != '\0',
	     "uris", "neither uris nor hosts is set");
	if (settings->uris[0] != '\0' && settings->hosts[0] != '\0')
		conf_warning(reader->errors, settings->file,
			     ldap_settings_line(settings, "hosts"),
			     "hosts has no effect beside uris");
	need(reader, settings->ldap_version == 3, "ldap_version",
	     "the only ldap_version that is supported is 3");
	need(reader, settings->base[0] != '\0', "base", "base is not set");
	need(reader, settings->pass_filter[0] != '\0', "pass_filter",
	     "pass_filter is empty");
	need(reader, settings->connect_timeout > 0, "connect_timeout",
	     "connect_timeout must not be 0");
	need(reader, settings->max_connections >= 1 &&
	     settings->max_connections <= 64, "max_connections",
	     "max_connections must be from 1 to 64");
	/* OpenLDAP closes the connection at 100 of nobody in particular. */
	need(reader, settings->max_outstanding >= 1 &&
	     settings->max_outstanding <= 512, "max_outstanding",
	     "max_outstanding must be from 1 to 512");
	check_bind(reader);
}

int ldap_settings_read(struct ldap_settings *settings, struct arena *arena,
		       const char *file, const char *text,
		       struct conf_errors *errors)
{
	struct reader reader = { settings, arena, errors, 0, STR_INIT };
	unsigned before = errors->errors;

	memset(settings, 0, sizeof(*settings));
	conf_defaults(&ldap_settings_table, arena, settings);
	settings->file = arena_strdup(arena, file);
	read_lines(&reader, text);
	if (reader.ignored.len > 0)
		conf_warning(errors, file, 0, "without effect here: %s",
			     str_c(&reader.ignored) + 2);
	str_free(&reader.ignored);
	if (errors->errors == before)
		check(&reader);
	return errors->errors == before ? 0 : -1;
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
