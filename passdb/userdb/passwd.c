/* userdb { driver = passwd }: the users of the system, by NSS. */
#include <string.h>

#include "lib/arena.h"
#include "lib/mem.h"
#include "lib/nss.h"
#include "passdb/driver.h"
#include "passdb/observer.h"
#include "passdb/shared.h"
#include "passdb/userdb/ids.h"

struct userdb_passwd {
	struct arena *arena;
	struct passdb_template fields; /* an old way to write override_fields */
};

static void userdb_passwd_close(void *shared)
{
	struct userdb_passwd *db = shared;

	arena_free(&db->arena);
	mem_release(db);
}

/* Takes out how Dovecot is told to have another process ask; here a thread
 * does. */
static void drop_blocking(struct passdb_template *template)
{
	unsigned i, kept = 0;

	for (i = 0; i < template->count; i++) {
		if (strcmp(template->fields[i].key.text, "blocking") != 0)
			template->fields[kept++] = template->fields[i];
	}
	template->count = kept;
}

static void *userdb_passwd_open(const struct passdb_open *open,
				struct err *err)
{
	struct userdb_passwd *db = mem_new(struct userdb_passwd);
	struct err why;

	db->arena = arena_new(256);
	if (passdb_template_parse(&db->fields, db->arena, open->block->args,
				  open->vars, &why) == 0 &&
	    userdb_template_settle(&db->fields, db->arena, &why) == 0) {
		drop_blocking(&db->fields);
		return db;
	}
	err_put(err, "args: %s", why.text);
	userdb_passwd_close(db);
	return NULL;
}

/* --- lookup --- */

struct passwd_lookup {
	const struct userdb_passwd *db;
	struct passdb_request *request;
	struct nss_job *job;
};

static int put(struct passdb_request *request, const char *name,
	       const char *value, struct err *err)
{
	const struct passdb_key key = passdb_key_parse(request->arena, name);

	return passdb_request_put(request, &key,
				  arena_strdup(request->arena, value), err);
}

static int put_number(struct passdb_request *request, const char *name,
		      uint32_t number, struct err *err)
{
	return put(request, name,
		   arena_printf(request->arena, "%lu", (unsigned long)number),
		   err);
}

static enum passdb_answer put_entry(const struct passwd_lookup *lookup,
				    const struct nss_entry *entry)
{
	struct passdb_request *request = lookup->request;
	struct err err;

	if (put(request, "user", entry->name, &err) == 0 &&
	    put(request, "system_groups_user", entry->name, &err) == 0 &&
	    put_number(request, "uid", entry->uid, &err) == 0 &&
	    put_number(request, "gid", entry->gid, &err) == 0 &&
	    put(request, "home", entry->home, &err) == 0 &&
	    passdb_request_put_template(request, &lookup->db->fields,
					&err) == 0)
		return PASSDB_ANSWER_FOUND;
	passdb_request_error(request, "%s", err.text);
	return PASSDB_ANSWER_FAIL;
}

static void passwd_answered(void *arg, int status,
			    const struct nss_entry *entry)
{
	struct passwd_lookup *lookup = arg;
	struct passdb_request *request = lookup->request;
	enum passdb_answer answer = PASSDB_ANSWER_NOT_FOUND;

	if (status != 0) {
		passdb_request_error(request, "cannot ask the system: %s",
				     strerror(status));
		answer = PASSDB_ANSWER_FAIL;
	} else if (entry->found) {
		answer = put_entry(lookup, entry);
	}
	passdb_answer(request, answer);
}

static enum passdb_answer userdb_passwd_lookup(void *state,
					       struct passdb_request *request)
{
	struct passwd_lookup *lookup =
		arena_new_struct(request->arena, struct passwd_lookup);

	passdb_observe(request, PASSDB_EVENT_ASKED, "user", request->username);
	lookup->db = state;
	lookup->request = request;
	lookup->job = nss_start(request->passdb->shared->nss,
				request->passdb->loop, NSS_USER,
				request->username, passwd_answered, lookup);
	request->driver_state = lookup;
	return PASSDB_ANSWER_WAIT;
}

static bool userdb_passwd_cache_key(void *state,
				    const struct passdb_request *request,
				    struct str *key)
{
	const struct userdb_passwd *db = state;

	str_puts(key, request->username);
	return db->fields.count == 0;
}

static void userdb_passwd_cancel(struct passdb_request *request)
{
	struct passwd_lookup *lookup = request->driver_state;

	request->driver_state = NULL;
	nss_cancel(&lookup->job);
}

const struct passdb_driver userdb_passwd = {
	.name = "passwd",
	.open = userdb_passwd_open,
	.close = userdb_passwd_close,
	.lookup = userdb_passwd_lookup,
	.cache_key = userdb_passwd_cache_key,
	.cancel = userdb_passwd_cancel,
};
