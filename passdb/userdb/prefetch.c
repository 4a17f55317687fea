/* userdb { driver = prefetch }: what passdbs said in fields userdb_NAME. */
#include <string.h>

#include "passdb/driver.h"
#include "passdb/observer.h"
#include "passdb/shared.h"

static void *userdb_prefetch_open(const struct passdb_open *open,
				  struct err *err)
{
	(void)err;
	return (void *)open->block; /* something that is not NULL */
}

static void userdb_prefetch_close(void *shared)
{
	(void)shared;
}

static int put(struct passdb_request *request, const char *name,
	       const char *value, struct err *err)
{
	const struct passdb_key key = passdb_key_parse(request->arena, name);

	return passdb_request_put(request, &key, value, err);
}

/* The user is who the passdbs say it is. */
static enum passdb_answer put_fields(struct passdb_request *request)
{
	const struct passdb_request *pass = request->pass;
	struct err err;
	unsigned i;
	int ret = 0;

	if (strcmp(pass->username, request->username) != 0)
		ret = put(request, "user", pass->username, &err);
	for (i = 0; i < pass->userdb.count && ret == 0; i++)
		ret = put(request, pass->userdb.list[i].key,
			  pass->userdb.list[i].value, &err);
	if (ret == 0)
		return PASSDB_ANSWER_FOUND;
	passdb_request_error(request, "%s", err.text);
	return PASSDB_ANSWER_FAIL;
}

/* Another userdb may know more; if there is none, the passdbs are not as they
 * should be. */
static enum passdb_answer no_fields(struct passdb_request *request)
{
	static const char why[] = "the passdbs gave no fields userdb_NAME";

	if (passdb_request_chain(request)->count > 1) {
		passdb_observe(request, PASSDB_EVENT_NOTE, NULL, why);
		return PASSDB_ANSWER_NOT_FOUND;
	}
	passdb_request_error(request, "%s", why);
	return PASSDB_ANSWER_FAIL;
}

static enum passdb_answer userdb_prefetch_lookup(void *state,
						 struct passdb_request *request)
{
	const struct passdb_request *pass = request->pass;

	(void)state;
	if (pass == NULL || pass->result == PASSDB_FAIL) {
		passdb_request_error(request, "there is no answer of passdbs");
		return PASSDB_ANSWER_FAIL;
	}
	if (pass->result == PASSDB_NOT_FOUND) {
		passdb_observe(request, PASSDB_EVENT_NOTE, NULL,
			       "the passdbs have no such user");
		return PASSDB_ANSWER_NOT_FOUND;
	}
	return pass->userdb.count > 0 ? put_fields(request)
				      : no_fields(request);
}

const struct passdb_driver userdb_prefetch = {
	.name = "prefetch",
	.open = userdb_prefetch_open,
	.close = userdb_prefetch_close,
	.lookup = userdb_prefetch_lookup,
};
