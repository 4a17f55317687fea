/* driver = http-sql  args = /path/of/a.conf.ext, of passdbs and userdbs: stores
 * that answer SQL over HTTP. */
#include <string.h>

#include "lib/mem.h"
#include "passdb/driver.h"
#include "passdb/http_sql/answer.h"
#include "passdb/http_sql/dialect.h"
#include "passdb/http_sql/observe.h"
#include "passdb/http_sql/settings.h"
#include "passdb/http_sql/store.h"
#include "passdb/shared.h"

/* One worker's end. */
struct http_sql_port {
	const struct http_sql_settings *settings;
	struct http_sql_stores *stores;
};

/* A lookup under way. */
struct http_sql_lookup {
	struct http_sql_port *port;
	struct passdb_request *request;
	struct http_call call; /* in the request's arena */
	unsigned tried;	       /* for http_sql_stores_pick() */
	struct http_sql_store *store;
	struct http_request *http;
};

static void *http_sql_open(const struct passdb_open *open, struct err *err)
{
	if (open->block->args[0] != '/') {
		err_put(err, "args: the path of its configuration file is "
			"missing");
		return NULL;
	}
	return http_sql_settings_read(open->block->args, open->kind,
				      open->settings->tree, open->vars,
				      open->errors, err);
}

static void http_sql_close(void *shared)
{
	struct http_sql_settings *settings = shared;

	http_sql_settings_free(&settings);
}

static void *http_sql_loop_open(const struct passdb_env *env, void *shared)
{
	struct http_sql_port *port = mem_new(struct http_sql_port);

	port->settings = shared;
	port->stores = http_sql_stores_new(env, shared);
	return port;
}

static void http_sql_loop_close(void *own)
{
	struct http_sql_port *port = own;

	http_sql_stores_free(&port->stores);
	mem_free(&port);
}

static unsigned http_sql_waiting(void *own)
{
	const struct http_sql_port *port = own;

	return http_sql_stores_waiting(port->stores);
}

/* --- what is asked --- */

static void build_call(struct http_sql_lookup *lookup,
		       const char *const *values)
{
	const struct http_sql_settings *settings = lookup->port->settings;
	struct arena *arena = lookup->request->arena;
	struct str path = STR_INIT, body = STR_INIT;

	settings->dialect->ask(settings, &settings->query, values, &path,
			       &body);
	lookup->call.path = arena_strndup(arena, str_c(&path), path.len);
	if (body.len > 0)
		lookup->call.body = arena_strndup(arena, str_c(&body),
						  body.len);
	lookup->call.body_len = body.len;
	passdb_request_debug(lookup->request, "asks %s %s", str_c(&path),
			     str_c(&body));
	http_sql_observe(lookup->request, &settings->query, values);
	str_free(&path);
	str_free(&body);
}

/* --- what came back --- */

static enum passdb_answer put_columns(struct passdb_request *request,
				      const struct http_sql_result *result,
				      const char *url)
{
	struct passdb_key key;
	struct err err;
	unsigned i;

	for (i = 0; i < result->count; i++) {
		const struct http_sql_column *column = &result->columns[i];

		key = passdb_key_parse(request->arena, column->name);
		if (passdb_request_put(request, &key, column->value,
				       &err) == 0)
			continue;
		passdb_request_error(request, "%s: column %s: %s", url,
				     column->name, err.text);
		return PASSDB_ANSWER_FAIL;
	}
	return PASSDB_ANSWER_FOUND;
}

static enum passdb_answer take_result(struct passdb_request *request,
				      const struct http_sql_result *result,
				      const char *url)
{
	if (result->rows == 0)
		return PASSDB_ANSWER_NOT_FOUND;
	if (result->rows == 1)
		return put_columns(request, result, url);
	passdb_request_error(request, "%s: %zu rows for one user", url,
			     result->rows);
	return PASSDB_ANSWER_FAIL;
}

static bool lookup_try(struct http_sql_lookup *lookup);

static void lookup_answered(void *arg, const struct http_answer *answer)
{
	struct http_sql_lookup *lookup = arg;
	struct passdb_request *request = lookup->request;
	const char *url = http_sql_store_url(lookup->store);
	struct http_sql_result result = { .arena = request->arena };
	enum passdb_answer verdict = PASSDB_ANSWER_FAIL;
	bool down = http_sql_answer_is_down(answer);
	struct err err;

	lookup->http = NULL;
	if (!down && answer->status > 0)
		http_sql_store_worked(lookup->store);
	if (http_sql_answer_read(answer, lookup->port->settings->dialect,
				 &result, &err) == 0) {
		verdict = take_result(request, &result, url);
	} else {
		passdb_request_error(request, "%s: %s", url, err.text);
		if (down)
			http_sql_store_failed(lookup->store, err.text);
		if (lookup_try(lookup))
			return;
	}
	mem_free(&lookup);
	passdb_answer(request, verdict);
}

/* Asks the next store; false when there is none. */
static bool lookup_try(struct http_sql_lookup *lookup)
{
	lookup->store = http_sql_stores_pick(lookup->port->stores,
					     &lookup->tried);
	if (lookup->store == NULL)
		return false;
	passdb_observe(lookup->request, PASSDB_EVENT_ASKED, "store",
		       http_sql_store_url(lookup->store));
	lookup->http = http_start(http_sql_store_server(lookup->store),
				  &lookup->call, lookup_answered, lookup);
	return true;
}

/* --- lookup --- */

static enum passdb_answer lookup_start(struct http_sql_port *port,
				       struct passdb_request *request,
				       const char *const *values)
{
	struct http_sql_lookup *lookup = mem_new(struct http_sql_lookup);

	lookup->port = port;
	lookup->request = request;
	build_call(lookup, values);
	if (lookup_try(lookup)) {
		request->driver_state = lookup;
		return PASSDB_ANSWER_WAIT;
	}
	passdb_request_error(request, "all stores are down");
	mem_free(&lookup);
	return PASSDB_ANSWER_FAIL;
}

static enum passdb_answer http_sql_lookup(void *state,
					  struct passdb_request *request)
{
	struct http_sql_port *port = state;
	const struct var_source vars = passdb_request_vars(
		request, request->passdb->shared->settings->hostname);
	const char *const *values;
	struct err err;
	int ret = http_sql_query_values(&port->settings->query, request->arena,
					&vars, &values, &err);

	if (ret == 0)
		return lookup_start(port, request, values);
	if (ret == VAR_REFUSED) {
		passdb_request_info(request, "not asked: %s", err.text);
		return PASSDB_ANSWER_NOT_FOUND;
	}
	passdb_request_error(request, "%s: %s", port->settings->query_name,
			     err.text);
	return PASSDB_ANSWER_FAIL;
}

static bool http_sql_cache_key(void *state,
			       const struct passdb_request *request,
			       struct str *key)
{
	const struct http_sql_port *port = state;
	const struct http_sql_query *query = &port->settings->query;
	const struct var_source vars = passdb_request_vars(
		request, request->passdb->shared->settings->hostname);
	const char *const *values;
	struct err err;
	unsigned i;

	if (http_sql_query_values(query, request->arena, &vars, &values,
				  &err) < 0)
		return false;
	for (i = 0; i < query->params; i++)
		str_append(key, values[i], strlen(values[i]) + 1);
	return true;
}

static void http_sql_cancel(struct passdb_request *request)
{
	struct http_sql_lookup *lookup = request->driver_state;

	http_cancel(&lookup->http);
	mem_free(&lookup);
	request->driver_state = NULL;
}

const struct passdb_driver passdb_http_sql = {
	.name = "http-sql",
	.open = http_sql_open,
	.close = http_sql_close,
	.loop_open = http_sql_loop_open,
	.loop_close = http_sql_loop_close,
	.waiting = http_sql_waiting,
	.lookup = http_sql_lookup,
	.cache_key = http_sql_cache_key,
	.cancel = http_sql_cancel,
};
