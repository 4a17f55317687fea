#include "backends/director/view_json.h"

#include <stdlib.h>
#include <string.h>

#include "backends/director/json_fields.h"
#include "lib/mem.h"

static const char *const tls_names[] = { "no", "ssl", "starttls" };

/* --- writing --- */

static void put_way(struct json_writer *json, const struct director_way *way)
{
	if (way->port != 0)
		json_write_number(json, "port", way->port);
	if (way->has_protocol)
		json_write_text(json, "protocol",
				way->protocol == REMOTE_SMTP ? "smtp" : "lmtp");
	if (way->has_tls)
		json_write_text(json, "tls", tls_names[way->tls]);
	if (way->any_cert)
		json_write_bool(json, "any_cert", true);
}

static void put_backend(struct json_writer *json,
			const struct director_backend *backend, bool healthy)
{
	const struct director_server *server = &backend->server;

	json_open_object(json, NULL);
	director_json_put_server(json, server);
	if (server->name != NULL)
		json_write_text(json, "name", server->name);
	put_way(json, &server->way);
	json_write_number(json, "weight", director_backend_weight(backend));
	if (backend->share != 100 && !healthy)
		json_write_number(json, "share", backend->share);
	if (backend->admin != DIRECTOR_UP)
		json_write_text(json, "admin",
				director_admin_name(backend->admin));
	if (backend->sick && !backend->trusted && !healthy)
		json_write_bool(json, "lost", true);
	json_close_object(json);
}

static int backend_order(const void *a_p, const void *b_p)
{
	const struct director_backend *const *a = a_p, *const *b = b_p;

	return director_server_order(&(*a)->server, &(*b)->server);
}

static void put_backends(struct json_writer *json,
			 const struct director_state *state, bool healthy)
{
	const struct director_backend **list =
		mem_alloc((state->count + 1) * sizeof(*list));
	unsigned i, count = 0;

	for (i = 0; i < state->count; i++) {
		if (director_backend_present(&state->backends[i]))
			list[count++] = &state->backends[i];
	}
	qsort(list, count, sizeof(*list), backend_order);
	json_open_array(json, "servers");
	for (i = 0; i < count; i++)
		put_backend(json, list[i], healthy);
	json_close_array(json);
	mem_free(&list);
}

/* The users who were moved to a server: one text, as there may be ten thousand. */
struct moved {
	const struct director_server *server;
	struct str keys;
};

static int moved_order(const void *a_p, const void *b_p)
{
	const struct moved *a = a_p, *b = b_p;

	return director_server_order(a->server, b->server);
}

static void put_moved(struct json_writer *json, const struct moved *moved)
{
	json_open_object(json, NULL);
	director_json_put_server(json, moved->server);
	json_write_text(json, "keys", str_c(&moved->keys));
	json_close_object(json);
}

/* Ids are others in other processes: by address, as servers. Pins are in the order
 * of their keys. */
static void put_pins(struct json_writer *json,
		     const struct director_state *state)
{
	struct moved *moved = mem_alloc((state->count + 1) * sizeof(*moved));
	unsigned i;

	for (i = 0; i < state->count; i++)
		moved[i].server = &state->backends[i].server;
	for (i = 0; i < state->pins.count; i++) {
		const struct director_pin *pin = state->pins.list[i];

		director_put_key(&moved[pin->server].keys, pin->key);
	}
	qsort(moved, state->count, sizeof(*moved), moved_order);
	json_open_array(json, "moved");
	for (i = 0; i < state->count; i++) {
		if (moved[i].keys.len > 0)
			put_moved(json, &moved[i]);
		str_free(&moved[i].keys);
	}
	json_close_array(json);
	mem_free(&moved);
}

static void put_view(const struct director_state *state, struct str *out,
		     bool healthy)
{
	struct json_writer json = { .out = out };

	json_open_object(&json, NULL);
	put_backends(&json, state, healthy);
	put_pins(&json, state);
	json_close_object(&json);
}

void director_view_put(const struct director_state *state, struct str *out)
{
	put_view(state, out, false);
}

void director_view_put_healthy(const struct director_state *state,
			       struct str *out)
{
	put_view(state, out, true);
}

/* --- reading --- */

static int read_protocol(struct director_way *way, const struct json *object,
			 struct err *err)
{
	const char *text = json_text(json_member(object, "protocol"));

	if (text == NULL)
		return 0;
	way->has_protocol = true;
	way->protocol = strcmp(text, "smtp") == 0 ? REMOTE_SMTP : REMOTE_LMTP;
	return way->protocol == REMOTE_SMTP || strcmp(text, "lmtp") == 0
		       ? 0 : err_set(err, "\"protocol\" is neither lmtp nor "
				     "smtp");
}

static int read_tls(struct director_way *way, const struct json *object,
		    struct err *err)
{
	const char *text = json_text(json_member(object, "tls"));
	unsigned i;

	way->any_cert = json_field_bool(object, "any_cert");
	if (text == NULL)
		return 0;
	for (i = 0; i < sizeof(tls_names) / sizeof(*tls_names); i++) {
		if (strcmp(tls_names[i], text) == 0) {
			way->has_tls = true;
			way->tls = (enum remote_tls)i;
			return 0;
		}
	}
	return err_set(err, "\"tls\" is no way of TLS");
}

static int read_way(struct director_way *way, const struct json *object,
		    struct err *err)
{
	uint64_t port = 0;

	*way = (struct director_way){ .port = 0 };
	if (json_member(object, "port") != NULL &&
	    json_field_number(object, "port", UINT16_MAX, &port, err) < 0)
		return -1;
	way->port = (uint16_t)port;
	if (read_protocol(way, object, err) < 0)
		return -1;
	return read_tls(way, object, err);
}

static int read_share(struct director_backend *backend,
		      const struct json *object, struct err *err)
{
	const char *admin = json_text(json_member(object, "admin"));
	uint64_t weight, share = 100;

	if (json_field_number(object, "weight", DIRECTOR_MAX_WEIGHT, &weight,
			      err) < 0 ||
	    (json_member(object, "share") != NULL &&
	     json_field_number(object, "share", 100, &share, err) < 0))
		return -1;
	if (admin != NULL && director_admin_parse(admin, &backend->admin) < 0)
		return err_set(err, "\"admin\" is no state");
	backend->server.weight = (unsigned)weight;
	backend->share = (unsigned)share;
	backend->sick = json_field_bool(object, "lost");
	return 0;
}

static int read_backend(struct director_state *state,
			const struct json *object, struct err *err)
{
	struct director_backend *backend =
		director_json_backend(state, object, err);
	const char *name = json_text(json_member(object, "name"));

	if (backend == NULL)
		return -1;
	if (backend->configured)
		return err_set(err, "%.100s is there twice",
			       backend->server.ip);
	backend->configured = true;
	director_backend_rename(backend, name);
	if (read_way(&backend->server.way, object, err) < 0)
		return -1;
	return read_share(backend, object, err);
}

static int read_moved(struct director_state *state, const struct json *object,
		      struct err *err)
{
	struct director_backend *backend =
		director_json_backend(state, object, err);
	struct director_pin *pin;
	const char *keys;
	uint64_t key;

	if (backend == NULL ||
	    json_field_text(object, "keys", &keys, err) < 0)
		return -1;
	for (; *keys != '\0'; keys += 16) {
		if (director_read_key(keys, &key) < 0)
			return err_set(err, "\"keys\" are not 16 digits each");
		pin = director_pins_append(&state->pins, key);
		pin->user = mem_strdup("");
		pin->server = backend->server.id;
	}
	return 0;
}

static int read_each(struct director_state *state, const struct json *list,
		     const char *name,
		     int (*read)(struct director_state *state,
				 const struct json *object, struct err *err),
		     struct err *err)
{
	size_t i;

	if (json_kind(list) != JSON_KIND_ARRAY)
		return err_set(err, "\"%s\" is no list", name);
	for (i = 0; i < json_count(list); i++) {
		if (read(state, json_item(list, i), err) < 0)
			return -1;
	}
	return 0;
}

int director_view_read(struct director_state *state, const struct json *object,
		       struct err *err)
{
	const struct json *servers = json_member(object, "servers");

	if (json_count(servers) > DIRECTOR_MAX_SERVERS)
		return err_set(err, "there are more than %d servers",
			       DIRECTOR_MAX_SERVERS);
	if (read_each(state, servers, "servers", read_backend, err) < 0)
		return -1;
	if (read_each(state, json_member(object, "moved"), "moved", read_moved,
		      err) < 0)
		return -1;
	return director_pins_sort(&state->pins) == 0
		       ? 0 : err_set(err, "a user was moved twice");
}
