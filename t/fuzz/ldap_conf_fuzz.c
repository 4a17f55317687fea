/* dovecot-ldap.conf.ext, with all that its values are read as; what pass_attrs
 * asks for must be names of attributes. */
#include <string.h>

#include "lib/panic.h"
#include "passdb/ldap/attrs.h"
#include "passdb/ldap/conn.h"
#include "passdb/ldap/server.h"
#include "passdb/ldap/settings.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 4096

static void check_attrs(const struct ldap_attrs *attrs)
{
	const char *const *name;
	unsigned i;

	ASSERT(attrs->entry_count >= 1);
	for (i = 0; i < attrs->entry_count; i++) {
		for (name = attrs->entries[i].wanted; *name != NULL; name++)
			ASSERT(**name != '\0' &&
			       strpbrk(*name, "()*\\ ,@=") == NULL);
	}
	for (i = 0; i < attrs->field_count; i++)
		ASSERT(attrs->fields[i].key.name[0] != '\0');
}

static void use(const struct ldap_settings *settings, struct arena *arena)
{
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	struct ldap_servers servers;
	struct ldap_attrs attrs;
	struct err err;

	(void)ldap_servers_parse_uris(&servers, arena, settings->uris, &err);
	(void)ldap_servers_parse_hosts(&servers, arena, settings->hosts, &err);
	(void)ldap_conn_check_filter(settings->pass_filter, &err);
	(void)ldap_conn_check_filter(settings->user_filter, &err);
	(void)ldap_conn_check_dn(settings->base, &err);
	if (ldap_attrs_parse(&attrs, arena, settings->pass_attrs, &vars,
			     &err) == 0)
		check_attrs(&attrs);
	if (ldap_attrs_parse(&attrs, arena, settings->user_attrs, &vars,
			     &err) == 0)
		check_attrs(&attrs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct arena *arena;
	struct ldap_settings settings;
	struct str text = STR_INIT;
	int ret;

	if (size > MAX_SIZE || memchr(data, '\0', size) != NULL)
		return 0;
	arena = arena_new(1024);
	str_append(&text, data, size);
	ret = ldap_settings_read(&settings, arena, "fuzz", str_c(&text),
				 &errors);
	ASSERT((ret < 0) == (errors.errors > 0));
	use(&settings, arena);
	arena_free(&arena);
	conf_errors_free(&errors);
	str_free(&text);
	return 0;
}
