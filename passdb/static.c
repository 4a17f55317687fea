/* passdb { driver = static  args = proxy=y host=... }: everyone exists. */
#include "lib/arena.h"
#include "lib/mem.h"
#include "passdb/driver.h"

struct static_passdb {
	struct arena *arena;
	struct passdb_template fields;
};

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
	return db;
}

/* A password, which Dovecot wants to be there, is not asked for: none is
 * checked. */
static enum passdb_answer static_lookup(void *state,
					struct passdb_request *request)
{
	struct static_passdb *db = state;
	struct err err;

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
