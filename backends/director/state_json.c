#include "backends/director/json_fields.h"
#include "lib/json_write.h"
#include "lib/mem.h"

#define VERSION 1

/* --- writing --- */

static void write_mark(struct json_writer *json, const char *name,
		       const struct director_mark *mark)
{
	if (mark->by == NULL)
		return;
	json_open_object(json, name);
	json_write_text(json, "by", mark->by);
	json_write_number(json, "at", mark->at_s);
	json_close_object(json);
}

/* Administrators say nothing of it. */
static bool is_plain(const struct director_backend *backend)
{
	return backend->presence.by == NULL && backend->admin_mark.by == NULL &&
	       backend->weight_mark.by == NULL;
}

static void write_backend(struct json_writer *json,
			  const struct director_backend *backend)
{
	director_json_put_server(json, &backend->server);
	if (backend->added) {
		json_write_bool(json, "added", true);
		json_write_number(json, "added_weight", backend->server.weight);
	}
	if (backend->removed)
		json_write_bool(json, "removed", true);
	write_mark(json, "presence", &backend->presence);
	if (backend->admin_mark.by != NULL)
		json_write_text(json, "admin",
				director_admin_name(backend->admin));
	write_mark(json, "admin_set", &backend->admin_mark);
	if (backend->weight_mark.by != NULL)
		json_write_number(json, "weight", backend->weight);
	write_mark(json, "weight_set", &backend->weight_mark);
}

static void write_health(struct json_writer *json,
			 const struct director_backend *backend)
{
	if (backend->health.by != NULL)
		json_write_bool(json, "sick", backend->sick);
	write_mark(json, "health", &backend->health);
}

static void write_pin(struct json_writer *json,
		      const struct director_state *state,
		      const struct director_pin *pin)
{
	json_open_object(json, NULL);
	json_write_text(json, "user", pin->user);
	director_json_put_key(json, pin->key);
	director_json_put_server(json, &state->backends[pin->server].server);
	if (pin->until_s != 0)
		json_write_number(json, "until", pin->until_s);
	write_mark(json, "set", &pin->mark);
	json_close_object(json);
}

void director_state_save(const struct director_state *state, struct str *out)
{
	struct json_writer json = { .out = out };
	unsigned i;

	json_open_object(&json, NULL);
	json_write_number(&json, "version", VERSION);
	json_write_number(&json, "generation", state->generation);
	json_open_array(&json, "backends");
	for (i = 0; i < state->count; i++) {
		const struct director_backend *backend = &state->backends[i];

		if (is_plain(backend) && backend->health.by == NULL)
			continue;
		json_open_object(&json, NULL);
		write_backend(&json, backend);
		write_health(&json, backend);
		json_close_object(&json);
	}
	json_close_array(&json);
	json_open_array(&json, "moved");
	for (i = 0; i < state->pins.count; i++)
		write_pin(&json, state, state->pins.list[i]);
	json_close_array(&json);
	json_close_object(&json);
	str_putc(out, '\n');
}

void director_state_put_backend(const struct director_backend *backend,
				struct str *out)
{
	struct json_writer json = { .out = out };

	if (is_plain(backend))
		return;
	json_open_object(&json, NULL);
	write_backend(&json, backend);
	json_close_object(&json);
}

void director_state_put_pin(const struct director_state *state,
			    const struct director_pin *pin, struct str *out)
{
	struct json_writer json = { .out = out };

	write_pin(&json, state, pin);
}

/* --- reading --- */

/* by stays NULL when there is none. */
static int read_mark(const struct json *object, const char *name,
		     struct director_mark *mark, struct err *err)
{
	const struct json *value = json_member(object, name);
	const char *by;

	if (value == NULL)
		return 0;
	if (json_field_text(value, "by", &by, err) < 0 ||
	    json_field_number(value, "at", INT64_MAX, &mark->at_s, err) < 0)
		return -1;
	mem_free(&mark->by);
	mark->by = mem_strdup(by);
	return 0;
}

static int read_states(struct director_backend *backend,
		       const struct json *object, struct err *err)
{
	const char *admin;
	uint64_t number;

	if (backend->added) {
		if (json_field_number(object, "added_weight", DIRECTOR_MAX_WEIGHT,
				&number, err) < 0)
			return -1;
		backend->server.weight = (unsigned)number;
	}
	if (backend->admin_mark.by != NULL) {
		if (json_field_text(object, "admin", &admin, err) < 0)
			return -1;
		if (director_admin_parse(admin, &backend->admin) < 0)
			return err_set(err, "\"admin\" is no state");
	}
	if (backend->weight_mark.by != NULL) {
		if (json_field_number(object, "weight", DIRECTOR_MAX_WEIGHT, &number,
				err) < 0)
			return -1;
		backend->weight = (unsigned)number;
	}
	backend->sick = json_field_bool(object, "sick");
	return 0;
}

/* What is said of a backend has somebody who set it. */
static int check_marks(const struct director_backend *backend,
		       const struct json *object, struct err *err)
{
	if ((backend->added || backend->removed) &&
	    backend->presence.by == NULL)
		return err_set(err, "\"presence\" is not there");
	if (json_member(object, "admin") != NULL &&
	    backend->admin_mark.by == NULL)
		return err_set(err, "\"admin_set\" is not there");
	if (json_member(object, "weight") != NULL &&
	    backend->weight_mark.by == NULL)
		return err_set(err, "\"weight_set\" is not there");
	if (backend->sick && backend->health.by == NULL)
		return err_set(err, "\"health\" is not there");
	return 0;
}

static int read_backend(struct director_state *state,
			const struct json *object, struct err *err)
{
	struct director_backend *backend = director_json_backend(state, object,
								 err);

	if (backend == NULL)
		return -1;
	backend->added = json_field_bool(object, "added");
	backend->removed = json_field_bool(object, "removed");
	if (read_mark(object, "presence", &backend->presence, err) < 0 ||
	    read_mark(object, "admin_set", &backend->admin_mark, err) < 0 ||
	    read_mark(object, "weight_set", &backend->weight_mark, err) < 0 ||
	    read_mark(object, "health", &backend->health, err) < 0)
		return -1;
	if (read_states(backend, object, err) < 0)
		return -1;
	return check_marks(backend, object, err);
}

static int read_pin(struct director_state *state, const struct json *object,
		    struct err *err)
{
	struct director_backend *backend = director_json_backend(state, object,
								 err);
	struct director_mark mark = { NULL, 0 };
	uint64_t key, until = 0;
	const char *user;
	int ret = -1;

	if (backend != NULL && json_field_text(object, "user", &user, err) == 0 &&
	    director_json_key(object, &key, err) == 0 &&
	    (json_member(object, "until") == NULL ||
	     json_field_number(object, "until", INT64_MAX, &until, err) == 0) &&
	    read_mark(object, "set", &mark, err) == 0) {
		director_state_pin(state, key, user, backend,
				   until, mark.by != NULL ? mark.by : "",
				   mark.at_s);
		ret = 0;
	}
	mem_free(&mark.by);
	return ret;
}

static int check_list(const struct json *list, const char *name,
		      struct err *err)
{
	return list == NULL || json_kind(list) == JSON_KIND_ARRAY
		       ? 0 : err_set(err, "\"%s\" is no list", name);
}

static int read_all(struct director_state *state, const struct json *root,
		    struct err *err)
{
	const struct json *backends = json_member(root, "backends");
	const struct json *moved = json_member(root, "moved");
	uint64_t version, generation;
	size_t i;

	if (json_field_number(root, "version", VERSION, &version, err) < 0 ||
	    json_field_number(root, "generation", INT64_MAX, &generation, err) < 0 ||
	    check_list(backends, "backends", err) < 0 ||
	    check_list(moved, "moved", err) < 0)
		return -1;
	for (i = 0; i < json_count(backends); i++) {
		if (read_backend(state, json_item(backends, i), err) < 0)
			return -1;
	}
	for (i = 0; i < json_count(moved); i++) {
		if (read_pin(state, json_item(moved, i), err) < 0)
			return -1;
	}
	state->generation = generation;
	return 0;
}

static int read_one(struct director_state *state, const char *text, size_t len,
		    int (*read)(struct director_state *state,
				const struct json *object, struct err *err),
		    struct err *err)
{
	struct json *root = json_parse(text, len, err);
	int ret;

	if (root == NULL)
		return -1;
	ret = read(state, root, err);
	json_close(&root);
	return ret;
}

int director_state_read_backend(struct director_state *state, const char *text,
				size_t len, struct err *err)
{
	return read_one(state, text, len, read_backend, err);
}

int director_state_read_pin(struct director_state *state, const char *text,
			    size_t len, struct err *err)
{
	return read_one(state, text, len, read_pin, err);
}

int director_state_load(struct director_state *state, const char *text,
			size_t len, struct err *err)
{
	return read_one(state, text, len, read_all, err);
}
