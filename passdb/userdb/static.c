/* userdb { driver = static  args = uid=vmail gid=vmail home=/srv/mail/%d/%n }:
 * everybody whom the passdbs know or, with allow_all_users=yes, everybody. */
#include <string.h>
#include <strings.h>

#include "lib/arena.h"
#include "lib/mem.h"
#include "passdb/driver.h"
#include "passdb/observer.h"
#include "passdb/userdb/ids.h"

struct userdb_static {
	struct arena *arena;
	struct passdb_template fields;
	bool allow_all_users;
};

static void userdb_static_close(void *shared)
{
	struct userdb_static *db = shared;

	arena_free(&db->arena);
	mem_release(db);
}

/* Takes allow_all_users out, which is no field. */
static void take_option(struct userdb_static *db)
{
	struct passdb_template *template = &db->fields;
	unsigned i, kept = 0;

	for (i = 0; i < template->count; i++) {
		const struct passdb_template_field *field =
			&template->fields[i];

		if (strcmp(field->key.text, "allow_all_users") != 0)
			template->fields[kept++] = *field;
		else
			db->allow_all_users = field->value[0] == '\0' ||
				strcasecmp(field->value, "yes") == 0;
	}
	template->count = kept;
}

static void *userdb_static_open(const struct passdb_open *open,
				struct err *err)
{
	struct userdb_static *db = mem_new(struct userdb_static);
	struct err why;

	db->arena = arena_new(256);
	if (passdb_template_parse(&db->fields, db->arena, open->block->args,
				  open->vars, &why) == 0 &&
	    userdb_template_settle(&db->fields, db->arena, &why) == 0) {
		take_option(db);
		return db;
	}
	err_put(err, "args: %s", why.text);
	userdb_static_close(db);
	return NULL;
}

static enum passdb_answer put_fields(const struct userdb_static *db,
				     struct passdb_request *request)
{
	struct err err;

	if (passdb_request_put_template(request, &db->fields, &err) == 0)
		return PASSDB_ANSWER_FOUND;
	passdb_request_error(request, "args: %s", err.text);
	return PASSDB_ANSWER_FAIL;
}

static enum passdb_answer userdb_static_lookup(void *state,
					       struct passdb_request *request)
{
	const struct userdb_static *db = state;

	if (db->allow_all_users)
		return put_fields(db, request);
	if (request->pass == NULL || request->pass->result == PASSDB_FAIL) {
		passdb_request_error(request, "the passdbs do not say whether "
				     "the user exists (see allow_all_users)");
		return PASSDB_ANSWER_FAIL;
	}
	if (request->pass->result == PASSDB_OK)
		return put_fields(db, request);
	passdb_observe(request, PASSDB_EVENT_NOTE, NULL,
		       "the passdbs have no such user");
	return PASSDB_ANSWER_NOT_FOUND;
}

const struct passdb_driver userdb_static = {
	.name = "static",
	.open = userdb_static_open,
	.close = userdb_static_close,
	.lookup = userdb_static_lookup,
};
