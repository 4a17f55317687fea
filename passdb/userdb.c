#include "passdb/userdb.h"

#include <limits.h>
#include <string.h>

#include "passdb/request.h"
#include "passdb/userdb_ids.h"

/* --- fields --- */

typedef int take_fn(struct userdb_user *user, const char *value,
		    struct err *err);

static int take_uid(struct userdb_user *user, const char *value,
		    struct err *err)
{
	uint32_t id;

	if (userdb_id_parse(USERDB_UID, value, &id, err) < 0)
		return -1;
	user->uid = id;
	user->has_uid = true;
	return 0;
}

static int take_gid(struct userdb_user *user, const char *value,
		    struct err *err)
{
	uint32_t id;

	if (userdb_id_parse(USERDB_GID, value, &id, err) < 0)
		return -1;
	user->gid = id;
	user->has_gid = true;
	return 0;
}

/* What a user's name could have made of a path, or broken data. The parts of text
 * are separated by what stands in separators. */
static int check_path(const char *text, const char *separators,
		      struct err *err)
{
	const char *at, *part = text;
	size_t len;

	if (strlen(text) >= PATH_MAX)
		return err_set(err, "it is longer than a path can be");
	for (at = text; *at != '\0'; at++) {
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return err_set(err, "a control character is in it");
	}
	for (;; part += len + 1) {
		len = strcspn(part, separators);
		if (len == 2 && part[0] == '.' && part[1] == '.')
			return err_set(err, "'%.400s' has a '..' in it", text);
		if (part[len] == '\0')
			return 0;
	}
}

static int take_path(const char **member, const char *value, struct err *err)
{
	if (value[0] != '/')
		return err_set(err, "'%.400s' is not an absolute path", value);
	*member = value;
	return check_path(value, "/", err);
}

/* An empty field is how some stores say that there is none. */
static int take_home(struct userdb_user *user, const char *value,
		     struct err *err)
{
	return *value != '\0' ? take_path(&user->home, value, err) : 0;
}

static int take_chroot(struct userdb_user *user, const char *value,
		       struct err *err)
{
	return *value != '\0' ? take_path(&user->chroot, value, err) : 0;
}

static int take_mail(struct userdb_user *user, const char *value,
		     struct err *err)
{
	if (*value == '\0')
		return 0;
	user->mail = value;
	return check_path(value, "/:", err);
}

static int take_groups_user(struct userdb_user *user, const char *value,
			    struct err *err)
{
	(void)err;
	user->system_groups_user = *value != '\0' ? value : NULL;
	return 0;
}

static int take_access_groups(struct userdb_user *user, const char *value,
			      struct err *err)
{
	(void)err;
	user->mail_access_groups = *value != '\0' ? value : NULL;
	return 0;
}

/* To go on without it would be to deliver as somebody else. */
static int refuse(struct userdb_user *user, const char *value, struct err *err)
{
	(void)user;
	(void)value;
	return err_set(err, "it is not supported: set uid and gid");
}

static const struct {
	const char *name;
	take_fn *take;
} fields[] = {
	{ "uid", take_uid },
	{ "gid", take_gid },
	{ "home", take_home },
	{ "chroot", take_chroot },
	{ "mail", take_mail },
	{ "system_groups_user", take_groups_user },
	{ "system_user", take_groups_user },
	{ "mail_access_groups", take_access_groups },
	{ "uidgid_file", refuse },
	/* those that finish() looks for */
	{ "tempfail", NULL },
	{ "reason", NULL },
	/* those that are gathered */
	{ "quota_rule", NULL },
};
#define FIELDS (sizeof(fields) / sizeof(*fields))

const char *userdb_field_name(unsigned number)
{
	return number < FIELDS ? fields[number].name : NULL;
}

static take_fn *find_take(const char *name)
{
	size_t i;

	for (i = 0; i < FIELDS; i++) {
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].take;
	}
	return NULL;
}

/* quota_rule, quota_rule2, ... */
static bool is_quota_rule(const char *name)
{
	static const char start[] = "quota_rule";
	const size_t len = sizeof(start) - 1;

	return strncmp(name, start, len) == 0 &&
	       name[len + strspn(name + len, "0123456789")] == '\0';
}

static int take_field(struct userdb_request *request,
		      const struct passdb_field *field, struct err *err)
{
	struct userdb_user *user = &request->found;
	take_fn *take = find_take(field->key);
	struct err why;

	if (take != NULL) {
		if (take(user, field->value, &why) == 0)
			return 0;
		return err_set(err, "field %s: %s", field->key, why.text);
	}
	passdb_fields_put(is_quota_rule(field->key) ? &user->quota_rules
						    : &user->others,
			  request->arena, field->key, field->value, false);
	return 0;
}

static int take_fields(struct userdb_request *request, struct err *err)
{
	const struct passdb_fields *said = &request->chain.fields;
	unsigned i;

	for (i = 0; i < said->count; i++) {
		if (take_field(request, &said->list[i], err) < 0)
			return -1;
	}
	return 0;
}

/* --- lookup --- */

static enum passdb_result finish(struct userdb_request *request)
{
	const struct passdb_fields *said = &request->chain.fields;
	struct err err;

	if (passdb_fields_get(said, "tempfail") != NULL) {
		request->reason = passdb_fields_get(said, "reason");
		passdb_lookup_info(&request->chain, "tempfail is set");
		return PASSDB_FAIL;
	}
	if (take_fields(request, &err) == 0)
		return PASSDB_OK;
	request->malformed = true;
	passdb_lookup_error(&request->chain, "%s", err.text);
	return PASSDB_FAIL;
}

static void chain_done(struct passdb_request *chain)
{
	struct userdb_request *request =
		container_of(chain, struct userdb_request, chain);

	request->result = chain->result;
	request->reason = chain->reason;
	request->malformed = chain->malformed;
	request->timed_out = chain->timed_out;
	request->asked = chain->asked;
	request->found = (struct userdb_user){ .name = chain->username };
	if (chain->result == PASSDB_OK)
		request->result = finish(request);
	request->done(request);
}

void userdb_lookup(struct passdb *passdb, struct userdb_request *request)
{
	struct passdb_request *chain = &request->chain;

	chain->arena = request->arena;
	chain->user = request->user;
	chain->client = request->client;
	chain->log = request->log;
	chain->pass = request->pass;
	chain->observer = request->observer;
	chain->given = (struct passdb_fields){ .list = NULL };
	chain->done = chain_done;
	passdb_request_start(passdb, chain, PASSDB_KIND_USER);
}

void userdb_cancel(struct userdb_request *request)
{
	passdb_cancel(&request->chain);
}
