#include "passdb/special.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/networks.h"
#include "passdb/request.h"

/* Dovecot waits in delay_until, for this long; a lookup does not. */
#define DELAY_UNTIL_MAX_SECS 300

static int rename_to(struct passdb_request *request, const char *name,
		     struct err *err)
{
	if (name[0] == '\0')
		return err_set(err, "the user's name would become empty");
	if (strcmp(name, request->username) != 0)
		passdb_request_debug(request, "name changes to %s", name);
	request->username = name;
	return PASSDB_SPECIAL_HIDE;
}

static int put_user(struct passdb_request *request, const char *value,
		    struct err *err)
{
	return rename_to(request, value, err);
}

/* Only the part before the @, unless it has one. */
static int put_username(struct passdb_request *request, const char *value,
			struct err *err)
{
	const char *domain = strchr(request->username, '@');

	if (domain == NULL || strchr(value, '@') != NULL)
		return put_user(request, value, err);
	return rename_to(request, arena_printf(request->arena, "%s%s", value,
					       domain), err);
}

static int put_domain(struct passdb_request *request, const char *value,
		      struct err *err)
{
	int local = (int)strcspn(request->username, "@");

	return rename_to(request, arena_printf(request->arena, "%.*s@%s",
					       local, request->username,
					       value), err);
}

/* Broken entries matter only when no other one matches. */
static int check_nets(struct passdb_request *request, const char *value,
		      const struct addr *remote, struct err *err)
{
	struct networks networks;
	int ret = networks_parse(request->arena, value, &networks, err);

	if (networks_contain(&networks, remote))
		return PASSDB_SPECIAL_HIDE;
	if (ret < 0)
		return -1;
	passdb_request_info(request, "refused: the client is in none of "
			    "allow_nets");
	request->refused = true;
	return PASSDB_SPECIAL_HIDE;
}

static int put_allow_nets(struct passdb_request *request, const char *value,
			  struct err *err)
{
	return check_nets(request, value, &request->client->remote, err);
}

static int put_allow_real_nets(struct passdb_request *request,
			       const char *value, struct err *err)
{
	return check_nets(request, value, &request->client->real_remote, err);
}

static int put_fail(struct passdb_request *request, const char *value,
		    struct err *err)
{
	(void)value;
	(void)err;
	request->refused = true;
	return PASSDB_SPECIAL_HIDE;
}

static int put_delay_until(struct passdb_request *request, const char *value,
			   struct err *err)
{
	size_t len = strspn(value, "0123456789");
	size_t extra = value[len] == '+' ?
		       strspn(value + len + 1, "0123456789") + 1 : 0;
	char *end;

	(void)request;
	if (len == 0 || len > 15 || extra == 1 || value[len + extra] != '\0')
		return err_set(err, "'%s' is not a time", value);
	if (strtoll(value, &end, 10) > time(NULL) + DELAY_UNTIL_MAX_SECS)
		return err_set(err, "'%s' is too far in the future", value);
	return PASSDB_SPECIAL_HIDE;
}

static int put_password(struct passdb_request *request, const char *value,
			struct err *err)
{
	(void)request;
	(void)value;
	(void)err;
	return PASSDB_SPECIAL_DROP;
}

static int put_hidden(struct passdb_request *request, const char *value,
		      struct err *err)
{
	(void)request;
	(void)value;
	(void)err;
	return PASSDB_SPECIAL_HIDE;
}

/* Several fields in one, separated by tabs. */
static int put_import(struct passdb_request *request, const char *value,
		      struct err *err)
{
	char *text = arena_strdup(request->arena, value), *field, *equals;
	struct passdb_key key;

	while ((field = strsep(&text, "\t")) != NULL) {
		if (*field == '\0')
			continue;
		equals = strchrnul(field, '=');
		if (*equals != '\0')
			*equals++ = '\0';
		key = passdb_key_parse(request->arena, field);
		if (passdb_request_put(request, &key, equals, err) < 0)
			return -1;
	}
	return PASSDB_SPECIAL_DROP;
}

#define BOTH(put) { put, put }
#define PASS(put) { put, NULL }
static const struct passdb_special special_fields[] = {
	{ "user", BOTH(put_user) },
	{ "username", BOTH(put_username) },
	{ "domain", BOTH(put_domain) },
	{ "allow_nets", PASS(put_allow_nets) },
	{ "allow_real_nets", PASS(put_allow_real_nets) },
	{ "fail", PASS(put_fail) },
	{ "delay_until", PASS(put_delay_until) },
	{ "password", BOTH(put_password) },
	{ "password_noscheme", PASS(put_password) },
	{ "nopassword", PASS(put_hidden) },
	{ "noauthenticate", PASS(put_hidden) },
	{ "passdb_import", PASS(put_import) },
	{ "userdb_import", { put_hidden, put_import } },
	/* last, since others begin so: what it stands for is a part */
	{ PASSDB_USERDB_PREFIX, PASS(put_hidden) },
};
#undef BOTH
#undef PASS

#define SPECIAL_FIELDS (sizeof(special_fields) / sizeof(*special_fields))

passdb_special_fn *passdb_special_put(const struct passdb_special *special,
				      enum passdb_kind kind)
{
	return special != NULL ? special->put[kind] : NULL;
}

bool passdb_special_only_hides(const struct passdb_special *special,
			       enum passdb_kind kind)
{
	return passdb_special_put(special, kind) == put_hidden;
}

const char *passdb_special_name(enum passdb_kind kind, unsigned number)
{
	size_t i;

	for (i = 0; i < SPECIAL_FIELDS; i++) {
		if (special_fields[i].put[kind] != NULL && number-- == 0)
			return special_fields[i].name;
	}
	return NULL;
}

const struct passdb_special *passdb_special_find(const char *name)
{
	const struct passdb_special *prefix =
		&special_fields[SPECIAL_FIELDS - 1];
	size_t i;

	for (i = 0; i < SPECIAL_FIELDS - 1; i++) {
		const struct passdb_special *special = &special_fields[i];

		if (special->name[0] == name[0] &&
		    special->name[1] == name[1] &&
		    strcmp(special->name, name) == 0)
			return special;
	}
	if (prefix->name[0] == name[0] &&
	    strncmp(name, prefix->name, strlen(prefix->name)) == 0)
		return prefix;
	return NULL;
}
