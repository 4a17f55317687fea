#include <string.h>
#include <unistd.h>

#include "passdb/request.h"
#include "passdb/shared.h"

enum {
	VAR_USER, VAR_USERNAME, VAR_DOMAIN, VAR_DOMAIN_FIRST, VAR_DOMAIN_LAST,
	VAR_ORIG_USER, VAR_ORIG_USERNAME, VAR_ORIG_DOMAIN,
	VAR_PID, VAR_PASSDB, VAR_SESSION, VAR_SECURED, VAR_CERT, VAR_LOCAL_NAME,
	VAR_LIP, VAR_RIP, VAR_LPORT, VAR_RPORT,
	VAR_REAL_LIP, VAR_REAL_RIP, VAR_REAL_LPORT, VAR_REAL_RPORT,
	VAR_HOME,
};

/* What a lookup for mail does not have (a mechanism, a password) is empty, as in
 * Dovecot. */
static const struct var_entry request_table[] = {
	{ 'u', "user", NULL, VAR_USER },
	{ 'n', "username", NULL, VAR_USERNAME },
	{ 'd', "domain", NULL, VAR_DOMAIN },
	{ 's', "service", "lmtp", 0 },
	{ 'h', "home", NULL, VAR_HOME },
	{ 'l', "lip", NULL, VAR_LIP },
	{ 'r', "rip", NULL, VAR_RIP },
	{ 'p', "pid", NULL, VAR_PID },
	{ 'w', "password", "", 0 },
	{ '!', NULL, NULL, VAR_PASSDB },
	{ 'm', "mech", "", 0 },
	{ 'c', "secured", NULL, VAR_SECURED },
	{ 'a', "lport", NULL, VAR_LPORT },
	{ 'b', "rport", NULL, VAR_RPORT },
	{ 'k', "cert", NULL, VAR_CERT },
	{ 0, "login_user", "", 0 },
	{ 0, "login_username", "", 0 },
	{ 0, "login_domain", "", 0 },
	{ 0, "session", NULL, VAR_SESSION },
	{ 0, "real_lip", NULL, VAR_REAL_LIP },
	{ 0, "real_rip", NULL, VAR_REAL_RIP },
	{ 0, "real_lport", NULL, VAR_REAL_LPORT },
	{ 0, "real_rport", NULL, VAR_REAL_RPORT },
	{ 0, "domain_first", NULL, VAR_DOMAIN_FIRST },
	{ 0, "domain_last", NULL, VAR_DOMAIN_LAST },
	{ 0, "master_user", "", 0 },
	{ 0, "session_pid", "", 0 },
	{ 0, "orig_user", NULL, VAR_ORIG_USER },
	{ 0, "orig_username", NULL, VAR_ORIG_USERNAME },
	{ 0, "orig_domain", NULL, VAR_ORIG_DOMAIN },
	{ 0, "auth_user", NULL, VAR_ORIG_USER },
	{ 0, "auth_username", NULL, VAR_ORIG_USERNAME },
	{ 0, "auth_domain", NULL, VAR_ORIG_DOMAIN },
	{ 0, "local_name", NULL, VAR_LOCAL_NAME },
	{ 0, "client_id", "", 0 },
	{ 0, "local_ip", NULL, VAR_LIP },
	{ 0, "remote_ip", NULL, VAR_RIP },
	{ 0, "local_port", NULL, VAR_LPORT },
	{ 0, "remote_port", NULL, VAR_RPORT },
	{ 0, "real_local_ip", NULL, VAR_REAL_LIP },
	{ 0, "real_remote_ip", NULL, VAR_REAL_RIP },
	{ 0, "real_local_port", NULL, VAR_REAL_LPORT },
	{ 0, "real_remote_port", NULL, VAR_REAL_RPORT },
	{ 0, "mechanism", "", 0 },
	{ 0, "original_user", NULL, VAR_ORIG_USER },
	{ 0, "original_username", NULL, VAR_ORIG_USERNAME },
	{ 0, "original_domain", NULL, VAR_ORIG_DOMAIN },
	{ 0, NULL, NULL, 0 },
};

static void put_local_part(struct str *out, const char *user)
{
	str_append(out, user, strcspn(user, "@"));
}

/* What stands behind the first @. */
static void put_domain(struct str *out, const char *user)
{
	const char *at = strchr(user, '@');

	if (at != NULL)
		str_puts(out, at + 1);
}

static void put_domain_first(struct str *out, const char *user)
{
	const char *at = strchr(user, '@');

	if (at != NULL)
		put_local_part(out, at + 1);
}

static void put_domain_last(struct str *out, const char *user)
{
	const char *at = strrchr(user, '@');

	if (at != NULL)
		str_puts(out, at + 1);
}

static void put_ip(struct str *out, const struct addr *addr)
{
	if (addr->len > 0 && addr->sa.sa_family != AF_UNIX)
		addr_write_ip(out, addr);
}

/* Variables of the name, before (orig_user) or after it was normalized. */
static void put_user_value(const struct passdb_request *request, int id,
			   struct str *out)
{
	const char *user = request->vars_user;

	switch (id) {
	case VAR_USER:
		str_puts(out, user);
		break;
	case VAR_USERNAME:
		put_local_part(out, user);
		break;
	case VAR_DOMAIN:
		put_domain(out, user);
		break;
	case VAR_DOMAIN_FIRST:
		put_domain_first(out, user);
		break;
	case VAR_DOMAIN_LAST:
		put_domain_last(out, user);
		break;
	case VAR_ORIG_USER:
		str_puts(out, request->user);
		break;
	case VAR_ORIG_USERNAME:
		put_local_part(out, request->user);
		break;
	case VAR_ORIG_DOMAIN:
		put_domain(out, request->user);
		break;
	}
}

/* Variables of the connection. */
static void put_client_value(const struct passdb_client *client, int id,
			     struct str *out)
{
	switch (id) {
	case VAR_LIP:
		put_ip(out, &client->local);
		break;
	case VAR_RIP:
		put_ip(out, &client->remote);
		break;
	case VAR_LPORT:
		str_printf(out, "%u", addr_port(&client->local));
		break;
	case VAR_RPORT:
		str_printf(out, "%u", addr_port(&client->remote));
		break;
	case VAR_REAL_LIP:
		put_ip(out, &client->real_local);
		break;
	case VAR_REAL_RIP:
		put_ip(out, &client->real_remote);
		break;
	case VAR_REAL_LPORT:
		str_printf(out, "%u", addr_port(&client->real_local));
		break;
	case VAR_REAL_RPORT:
		str_printf(out, "%u", addr_port(&client->real_remote));
		break;
	case VAR_SESSION:
		str_puts(out, client->session != NULL ? client->session : "");
		break;
	case VAR_SECURED:
		str_puts(out, client->secured ? "secured" : "");
		break;
	case VAR_CERT:
		str_puts(out, client->cert_valid ? "valid" : "");
		break;
	case VAR_LOCAL_NAME:
		str_puts(out, client->local_name != NULL ? client->local_name
							 : "");
		break;
	}
}

/* Only userdbs know it. */
static void put_home(const struct passdb_request *request, struct str *out)
{
	const char *home = NULL;

	if (request->kind == PASSDB_KIND_USER)
		home = passdb_fields_get(&request->fields, "home");
	str_puts(out, home != NULL ? home : "");
}

static void put_value(const struct var_source *source,
		      const struct var_entry *entry, struct str *out)
{
	const struct passdb_request *request = source->context;

	switch (entry->id) {
	case VAR_PID:
		str_printf(out, "%ld", (long)getpid());
		break;
	case VAR_HOME:
		put_home(request, out);
		break;
	case VAR_PASSDB: /* Dovecot numbers them in configuration order */
		str_printf(out, "%u", request->step + 1);
		break;
	default:
		put_user_value(request, entry->id, out);
		put_client_value(request->client, entry->id, out);
		break;
	}
}

/* Of fields, which may be NULL, or what arg has behind its ":". */
static int put_field(const struct passdb_request *request,
		     const struct passdb_fields *fields, const char *prefix,
		     const char *arg, struct str *out)
{
	size_t len = strcspn(arg, ":");
	const char *value = NULL;
	char *key;

	key = arena_printf(request->arena, "%s%.*s", prefix, (int)len, arg);
	if (fields != NULL)
		value = passdb_fields_get(fields, key);
	if (value != NULL)
		str_puts(out, value);
	else if (arg[len] == ':')
		str_puts(out, arg + len + 1);
	return 0;
}

static int put_passdb_field(const struct var_source *source, const char *arg,
			    struct str *out, struct err *err)
{
	const struct passdb_request *request = source->context;
	const struct passdb_fields *fields = &request->fields;

	(void)err;
	if (request->kind == PASSDB_KIND_USER)
		fields = request->pass != NULL ? &request->pass->fields : NULL;
	return put_field(request, fields, "", arg, out);
}

static int put_userdb_field(const struct var_source *source, const char *arg,
			    struct str *out, struct err *err)
{
	const struct passdb_request *request = source->context;
	bool pass = request->kind == PASSDB_KIND_PASS;

	(void)err;
	return put_field(request, &request->fields,
			 pass ? PASSDB_USERDB_PREFIX : "", arg, out);
}

static const struct var_func request_funcs[] = {
	{ "passdb", put_passdb_field },
	{ "userdb", put_userdb_field },
	{ NULL, NULL },
};

struct var_source passdb_request_vars(const struct passdb_request *request,
				      const char *hostname)
{
	return (struct var_source){
		.table = request_table,
		.funcs = request_funcs,
		.value = put_value,
		.hostname = hostname,
		.context = request,
	};
}
