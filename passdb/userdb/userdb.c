#include "passdb/userdb/userdb.h"

#include <limits.h>
#include <string.h>

#include "lib/nss.h"
#include "lib/panic.h"
#include "passdb/request.h"
#include "passdb/shared.h"
#include "passdb/userdb/ids.h"

/* --- fields --- */

typedef int take_fn(struct userdb_user *user, const char *value,
		    struct err *err);

static int take_uid(struct userdb_user *user, const char *value,
		    struct err *err)
{
	uint32_t id;

	if (userdb_id_parse(NSS_USER, value, &id, err) < 0)
		return -1;
	user->uid = id;
	user->has_uid = true;
	return 0;
}

static int take_gid(struct userdb_user *user, const char *value,
		    struct err *err)
{
	uint32_t id;

	if (userdb_id_parse(NSS_GROUP, value, &id, err) < 0)
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
	/* those that chain_done() looks for */
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

/* --- names of users and groups --- */

static void request_over(struct userdb_request *request)
{
	loop_timer_close(&request->timer);
	request->passdb = NULL;
	request->done(request);
}

static void request_fail(struct userdb_request *request, const char *why)
{
	request->result = PASSDB_FAIL;
	passdb_lookup_error(&request->chain, "%s", why);
	request_over(request);
}

static void take_all(struct userdb_request *request)
{
	struct err err;

	if (take_fields(request, &err) == 0) {
		request_over(request);
		return;
	}
	request->malformed = true;
	request_fail(request, err.text);
}

static void naming_expired(struct loop_timer *timer)
{
	struct userdb_request *request =
		container_of(timer, struct userdb_request, timer);

	nss_cancel(&request->job);
	request->timed_out = true;
	request_fail(request, "the system does not say who uid and gid are "
		     "within auth_lookup_timeout");
}

static const struct {
	const char *field;
	enum nss_what what;
} names[] = {
	{ "uid", NSS_USER },
	{ "gid", NSS_GROUP },
};
#define NAMES (sizeof(names) / sizeof(*names))

static void name_next(struct userdb_request *request);

static void name_known(void *arg, int status, const struct nss_entry *entry)
{
	struct userdb_request *request = arg;
	struct passdb_fields *said = &request->chain.fields;
	const char *field = names[request->naming].field;
	struct err err, why;
	uint32_t id;

	request->job = NULL;
	if (userdb_id_of(names[request->naming].what,
			 passdb_fields_get(said, field), status, entry, &id,
			 &why) < 0) {
		request->malformed = status == 0;
		err_put(&err, "field %s: %s", field, why.text);
		request_fail(request, err.text);
		return;
	}
	passdb_fields_put(said, request->arena, field,
			  arena_printf(request->arena, "%lu",
				       (unsigned long)id), false);
	name_next(request);
}

/* Has the next name made a number; when none is left, the fields are taken. */
static void name_next(struct userdb_request *request)
{
	const struct passdb_shared *shared = request->passdb->shared;
	const char *name;

	for (; request->naming < NAMES; request->naming++) {
		name = passdb_fields_get(&request->chain.fields,
					 names[request->naming].field);
		if (name == NULL || !userdb_id_is_name(name))
			continue;
		request->job = nss_start(shared->nss, request->passdb->loop,
					 names[request->naming].what, name,
					 name_known, request);
		return;
	}
	take_all(request);
}

static void name_all(struct userdb_request *request)
{
	struct passdb *passdb = request->passdb;

	request->naming = 0;
	loop_timer_open(&request->timer, passdb->loop, naming_expired);
	loop_timer_set(&request->timer,
		       passdb->shared->settings->lookup_timeout_ms);
	name_next(request);
}

/* --- lookup --- */

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
	if (chain->result != PASSDB_OK) {
		request_over(request);
	} else if (passdb_fields_get(&chain->fields, "tempfail") != NULL) {
		request->reason = passdb_fields_get(&chain->fields, "reason");
		request_fail(request, "tempfail is set");
	} else {
		name_all(request);
	}
}

void userdb_lookup(struct passdb *passdb, struct userdb_request *request)
{
	struct passdb_request *chain = &request->chain;

	ASSERT(request->passdb == NULL);
	request->passdb = passdb;
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
	nss_cancel(&request->job);
	loop_timer_close(&request->timer);
	request->passdb = NULL;
}
