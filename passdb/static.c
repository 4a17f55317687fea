/* passdb { driver = static  args = proxy=y host=... }: everyone exists. */
#include "lib/arena.h"
#include "lib/mem.h"
#include "passdb/driver.h"

struct static_passdb {
	struct arena *arena;
	struct passdb_template fields;
	/* What they come to for whoever has none yet, if that is the same for
	 * all; else empty. */
	struct passdb_fields plain;
};

static void set_plain(struct static_passdb *db)
{
	struct passdb_request anyone = { .arena = db->arena };
	struct err err;
	unsigned i;

	for (i = 0; i < db->fields.count; i++)
		if (db->fields.fields[i].has_vars ||
		    !passdb_key_is_plain(&db->fields.fields[i].key,
					 PASSDB_KIND_PASS))
			return;
	if (passdb_request_put_template(&anyone, &db->fields, &err) == 0)
		db->plain = anyone.fields;
}

static void static_close(void *shared)
{
	struct static_passdb *db = shared;

	arena_free(&db->arena);
	mem_release(db);
}

static void *static_open(const struct passdb_open *open, struct err *err)
{
	struct static_passdb *db = mem_new(struct static_passdb);
	struct err why;

	db->arena = arena_new(256);
	if (passdb_template_parse(&db->fields, db->arena, open->block->args,
				  open->vars, &why) < 0) {
		err_put(err, "args: %s", why.text);
		static_close(db);
		return NULL;
	}
	set_plain(db);
	return db;
}

/* A password, which Dovecot wants to be there, is not asked for: none is
 * checked. */
static enum passdb_answer static_lookup(void *state,
					struct passdb_request *request)
{
	struct static_passdb *db = state;
	struct err err;

	if (db->plain.count > 0 && request->fields.count == 0 &&
	    request->observer == NULL) {
		request->fields = passdb_fields_copy(&db->plain,
						     request->arena);
		return PASSDB_ANSWER_FOUND;
	}
	if (passdb_request_put_template(request, &db->fields, &err) == 0)
		return PASSDB_ANSWER_FOUND;
	passdb_request_error(request, "args: %s", err.text);
	return PASSDB_ANSWER_FAIL;
}

const struct passdb_driver passdb_static = {
	.name = "static",
	.open = static_open,
	.close = static_close,
	.lookup = static_lookup,
};
