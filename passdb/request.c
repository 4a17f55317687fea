#include "passdb/request.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "passdb/shared.h"

/* Dovecot waits in delay_until, for this long; a lookup does not. */
#define DELAY_UNTIL_MAX_SECS 300

enum put_result {
	PUT_BROKEN = -1,
	PUT_HIDDEN, /* keep it until the lookup is over: for ":protected" and
		       %{passdb:…} */
	PUT_DROP,
};

struct special_field {
	const char *name;
	enum put_result (*put)(struct passdb_request *request,
			       const char *value, struct err *err);
};

static const struct passdb_entry *
request_entry(const struct passdb_request *request)
{
	return &request->passdb->shared->entries[request->step];
}

/* --- fields that mean something --- */

static enum put_result rename_to(struct passdb_request *request,
				 const char *name, struct err *err)
{
	if (name[0] == '\0')
		return (enum put_result)err_set(err, "the user's name would "
						"become empty");
	if (strcmp(name, request->username) != 0)
		passdb_request_debug(request, "name changes to %s", name);
	request->username = name;
	return PUT_HIDDEN;
}

static enum put_result put_user(struct passdb_request *request,
				const char *value, struct err *err)
{
	return rename_to(request, arena_strdup(request->arena, value), err);
}

/* Only the part before the @, unless it has one. */
static enum put_result put_username(struct passdb_request *request,
				    const char *value, struct err *err)
{
	const char *domain = strchr(request->username, '@');

	if (domain == NULL || strchr(value, '@') != NULL)
		return put_user(request, value, err);
	return rename_to(request, arena_printf(request->arena, "%s%s", value,
					       domain), err);
}

static enum put_result put_domain(struct passdb_request *request,
				  const char *value, struct err *err)
{
	int local = (int)strcspn(request->username, "@");

	return rename_to(request, arena_printf(request->arena, "%.*s@%s",
					       local, request->username,
					       value), err);
}

/* Whether remote is in the network of len bytes at text; -1: it is none. */
static int net_matches(const char *text, size_t len, const struct addr *remote,
		       struct err *err)
{
	struct addr_net net;
	char copy[64] = "";

	if (len == 5 && memcmp(text, "local", 5) == 0)
		return remote->len == 0 || remote->sa.sa_family == AF_UNIX;
	if (len < sizeof(copy))
		memcpy(copy, text, len);
	if (addr_net_parse(&net, copy) < 0)
		return err_set(err, "'%.*s' is not a network", (int)len, text);
	return addr_net_contains(&net, remote);
}

/* Broken entries matter only when no other one matches. */
static enum put_result put_allow_nets(struct passdb_request *request,
				      const char *value, struct err *err)
{
	const struct addr *remote = &request->client->remote;
	int result = 0;

	for (value += strspn(value, ", "); *value != '\0';
	     value += strspn(value, ", ")) {
		size_t len = strcspn(value, ", ");
		int matches = net_matches(value, len, remote, err);

		if (matches > 0)
			return PUT_HIDDEN;
		if (matches < 0)
			result = -1;
		value += len;
	}
	if (result < 0)
		return PUT_BROKEN;
	passdb_request_info(request, "refused: the client is in none of "
			    "allow_nets");
	request->refused = true;
	return PUT_HIDDEN;
}

static enum put_result put_fail(struct passdb_request *request,
				const char *value, struct err *err)
{
	(void)value;
	(void)err;
	request->refused = true;
	return PUT_HIDDEN;
}

static enum put_result put_delay_until(struct passdb_request *request,
				       const char *value, struct err *err)
{
	size_t len = strspn(value, "0123456789");
	size_t extra = value[len] == '+' ?
		       strspn(value + len + 1, "0123456789") + 1 : 0;
	char *end;

	(void)request;
	if (len == 0 || len > 15 || extra == 1 || value[len + extra] != '\0')
		return (enum put_result)err_set(err, "'%s' is not a time",
						value);
	if (strtoll(value, &end, 10) > time(NULL) + DELAY_UNTIL_MAX_SECS)
		return (enum put_result)err_set(err, "'%s' is too far in the "
						"future", value);
	return PUT_HIDDEN;
}

static enum put_result put_password(struct passdb_request *request,
				    const char *value, struct err *err)
{
	(void)request;
	(void)value;
	(void)err;
	return PUT_DROP;
}

static enum put_result put_hidden(struct passdb_request *request,
				  const char *value, struct err *err)
{
	(void)request;
	(void)value;
	(void)err;
	return PUT_HIDDEN;
}

/* Several fields in one, separated by tabs. */
static enum put_result put_import(struct passdb_request *request,
				  const char *value, struct err *err)
{
	while (*value != '\0') {
		size_t len = strcspn(value, "\t");
		const char *equals = memchr(value, '=', len);
		size_t key_len = equals ? (size_t)(equals - value) : len;
		size_t value_len = equals ? len - key_len - 1 : 0;

		if (len > 0 &&
		    passdb_request_put(request, value, key_len,
				       value + len - value_len, value_len,
				       err) < 0)
			return PUT_BROKEN;
		value += len;
		value += *value == '\t';
	}
	return PUT_DROP;
}

static const struct special_field special_fields[] = {
	{ "user", put_user },
	{ "username", put_username },
	{ "domain", put_domain },
	{ "allow_nets", put_allow_nets },
	{ "allow_real_nets", put_allow_nets },
	{ "fail", put_fail },
	{ "delay_until", put_delay_until },
	{ "password", put_password },
	{ "password_noscheme", put_password },
	{ "nopassword", put_hidden },
	{ "noauthenticate", put_hidden },
	{ "passdb_import", put_import },
};

static const struct special_field userdb_field = { "userdb_", put_hidden };

/* NULL for an ordinary field. */
static const struct special_field *special_find(const char *key, size_t len)
{
	const size_t count = sizeof(special_fields) / sizeof(*special_fields);
	size_t i;

	for (i = 0; i < count; i++) {
		const char *name = special_fields[i].name;

		if (name[0] == key[0] && strncmp(name, key, len) == 0 &&
		    name[len] == '\0')
			return &special_fields[i];
	}
	if (len >= 7 && memcmp(key, userdb_field.name, 7) == 0)
		return &userdb_field;
	return NULL;
}

int passdb_request_put(struct passdb_request *request, const char *key,
		       size_t key_len, const char *value, size_t value_len,
		       struct err *err)
{
	const struct special_field *special;
	struct err why;

	if (key_len == 0)
		return err_set(err, "a field has no name");
	key_len = passdb_fields_suffix(&request->fields, key, key_len);
	if (key_len == 0)
		return 0;
	special = special_find(key, key_len);
	if (special != NULL) {
		char *copy = arena_strndup(request->arena, value, value_len);
		enum put_result result = special->put(request, copy, &why);

		if (result == PUT_BROKEN) {
			request->malformed = true;
			return err_set(err, "field %s: %s", special->name,
				       why.text);
		}
		if (result == PUT_DROP)
			return 0;
	}
	passdb_fields_put(&request->fields, request->arena, key, key_len,
			  value, value_len);
	return 0;
}

/* --- with variables --- */

int passdb_request_expand(struct passdb_request *request, const char *key,
			  size_t key_len, const char *value, struct err *err)
{
	struct passdb *passdb = request->passdb;
	struct var_source vars = passdb_request_vars(
		request, passdb->shared->settings->hostname);
	struct err why;

	str_clear(&passdb->scratch);
	if (var_expand(&passdb->scratch, value, &vars, &why) < 0)
		return err_set(err, "field %.*s: %s", (int)key_len, key,
			       why.text);
	return passdb_request_put(request, key, key_len,
				  str_c(&passdb->scratch),
				  passdb->scratch.len, err);
}

int passdb_request_put_template(struct passdb_request *request,
				const struct passdb_template *template,
				struct err *err)
{
	const struct passdb_template_field *field = template->fields;
	unsigned i;
	int ret = 0;

	for (i = 0; i < template->count && ret == 0; i++, field++) {
		if (field->has_vars)
			ret = passdb_request_expand(request, field->key,
						    field->key_len,
						    field->value, err);
		else
			ret = passdb_request_put(request, field->key,
						 field->key_len, field->value,
						 field->value_len, err);
	}
	return ret;
}

void passdb_request_drop_hidden(struct passdb_request *request)
{
	struct passdb_fields *fields = &request->fields;
	unsigned i, kept = 0;

	for (i = 0; i < fields->count; i++) {
		const char *key = fields->list[i].key;

		if (special_find(key, strlen(key)) == NULL)
			fields->list[kept++] = fields->list[i];
	}
	fields->count = kept;
}

/* --- log lines --- */

/* Passwords for the backend, and what sites may put into fields of their
 * own. */
static bool may_be_secret(const char *key)
{
	return strstr(key, "pass") != NULL || strstr(key, "secret") != NULL ||
	       strstr(key, "token") != NULL || strstr(key, "key") != NULL;
}

void passdb_request_describe(const struct passdb_request *request,
			     struct str *out)
{
	unsigned i;

	for (i = 0; i < request->fields.count; i++) {
		const struct passdb_field *field = &request->fields.list[i];

		str_printf(out, " %s", field->key);
		if (field->value[0] != '\0')
			str_printf(out, "=%s", may_be_secret(field->key) ?
				   "<hidden>" : field->value);
	}
}

static void request_log(const struct passdb_request *request,
			void (*write)(const struct log_ctx *ctx,
				      const char *fmt, ...),
			const char *fmt, va_list ap)
{
	struct str text = STR_INIT;

	str_vprintf(&text, fmt, ap);
	write(request->log, "passdb %s: user %s: %s",
	      request_entry(request)->name, request->username, str_c(&text));
	str_free(&text);
}

void passdb_request_debug(const struct passdb_request *request,
			  const char *fmt, ...)
{
	va_list ap;

	if (!request->passdb->shared->settings->debug)
		return;
	va_start(ap, fmt);
	request_log(request, log_debug, fmt, ap);
	va_end(ap);
}

void passdb_request_error(const struct passdb_request *request,
			  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	request_log(request, log_error, fmt, ap);
	va_end(ap);
}

void passdb_request_info(const struct passdb_request *request,
			 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	request_log(request, log_info, fmt, ap);
	va_end(ap);
}
