#include "backends/director/state.h"

#include <string.h>

#include "lib/hash.h"
#include "lib/mem.h"

static const char *const admin_names[] = { "up", "drain", "down" };

/* --- marks and copies --- */

static void set_mark(struct director_mark *mark, const char *by, uint64_t at_s)
{
	mem_free(&mark->by);
	mark->by = mem_strdup(by);
	mark->at_s = at_s;
}

static void set_text(const char **text, const char *value)
{
	char *old = (char *)*text;

	*text = value != NULL ? mem_strdup(value) : NULL;
	mem_free(&old);
}

static void free_server(struct director_server *server)
{
	set_text(&server->ip, NULL);
	set_text(&server->name, NULL);
	set_text(&server->tag, NULL);
}

/* But for the id. */
static void copy_server(struct director_server *to,
			const struct director_server *from)
{
	struct director_server copy = *from;

	copy.id = to->id;
	copy.ip = mem_strdup(from->ip);
	copy.name = from->name != NULL ? mem_strdup(from->name) : NULL;
	copy.tag = mem_strdup(from->tag);
	free_server(to);
	*to = copy;
}

void director_state_init(struct director_state *state)
{
	*state = (struct director_state){ .generation = 1 };
}

static void clear_backend(struct director_backend *backend)
{
	mem_free(&backend->presence.by);
	mem_free(&backend->admin_mark.by);
	mem_free(&backend->weight_mark.by);
	mem_free(&backend->health.by);
	set_text(&backend->server.name, NULL);
	backend->server.way = (struct director_way){ .port = 0 };
	backend->server.weight = DIRECTOR_WEIGHT;
	*backend = (struct director_backend){
		.server = backend->server,
		.flushed_us = backend->flushed_us,
		.share = 100,
	};
}

void director_state_clear(struct director_state *state)
{
	unsigned i;

	director_pins_clear(&state->pins);
	for (i = 0; i < state->count; i++)
		clear_backend(&state->backends[i]);
}

void director_state_free(struct director_state *state)
{
	unsigned i;

	director_state_clear(state);
	for (i = 0; i < state->count; i++)
		free_server(&state->backends[i].server);
	mem_free(&state->backends);
	mem_free(&state->places);
	state->count = state->place_count = 0;
}

/* --- copies --- */

static void copy_mark(struct director_mark *to, const struct director_mark *from)
{
	to->by = from->by != NULL ? mem_strdup(from->by) : NULL;
	to->at_s = from->at_s;
}

static void copy_backend(struct director_backend *to,
			 const struct director_backend *from)
{
	*to = *from;
	to->server.ip = to->server.name = to->server.tag = NULL;
	copy_server(&to->server, &from->server);
	copy_mark(&to->presence, &from->presence);
	copy_mark(&to->admin_mark, &from->admin_mark);
	copy_mark(&to->weight_mark, &from->weight_mark);
	copy_mark(&to->health, &from->health);
}

static void copy_pin(struct director_pins *pins,
		     const struct director_pin *from)
{
	struct director_pin *to = director_pins_get(pins, from->key);

	to->user = mem_strdup(from->user);
	to->server = from->server;
	to->until_s = from->until_s;
	copy_mark(&to->mark, &from->mark);
}

void director_state_copy(struct director_state *copy,
			 const struct director_state *state)
{
	unsigned i;

	*copy = (struct director_state){
		.backends = mem_alloc(state->count * sizeof(*copy->backends)),
		.count = state->count,
		.generation = state->generation,
	};
	for (i = 0; i < state->count; i++)
		copy_backend(&copy->backends[i], &state->backends[i]);
	for (i = 0; i < state->pins.count; i++)
		copy_pin(&copy->pins, state->pins.list[i]);
}

/* --- names --- */

const char *director_admin_name(enum director_admin admin)
{
	return admin_names[admin];
}

int director_admin_parse(const char *name, enum director_admin *admin_r)
{
	unsigned i;

	for (i = 0; i < sizeof(admin_names) / sizeof(*admin_names); i++) {
		if (strcmp(admin_names[i], name) == 0) {
			*admin_r = (enum director_admin)i;
			return 0;
		}
	}
	return -1;
}

void director_backend_rename(struct director_backend *backend,
			     const char *name)
{
	set_text(&backend->server.name, name);
}

bool director_backend_present(const struct director_backend *backend)
{
	return (backend->configured || backend->added) && !backend->removed;
}

unsigned director_backend_weight(const struct director_backend *backend)
{
	return backend->weight_mark.by != NULL ? backend->weight
					       : backend->server.weight;
}

/* --- finding --- */

static bool is_same(const struct director_backend *backend,
		    const struct director_server *server)
{
	return strcmp(backend->server.ip, server->ip) == 0 &&
	       strcmp(backend->server.tag, server->tag) == 0;
}

/* Where the backend with the address and the tag of server stands, or would. */
static uint32_t *place_of(const struct director_state *state,
			  const struct director_server *server)
{
	uint64_t hash = hash_bytes(0, server->ip, strlen(server->ip));
	unsigned i;

	i = (unsigned)hash_bytes(hash, server->tag, strlen(server->tag));
	for (;; i++) {
		uint32_t *place = &state->places[i & (state->place_count - 1)];

		if (*place == 0 ||
		    is_same(&state->backends[*place - 1], server))
			return place;
	}
}

/* At most half of the places are taken, with one more backend than there is, and there
 * is room for as many backends. */
static void make_places(struct director_state *state)
{
	unsigned i;

	if (state->place_count / 2 > state->count)
		return;
	if (state->place_count == 0)
		state->place_count = 16;
	while (state->place_count / 2 <= state->count)
		state->place_count *= 2;
	mem_free(&state->places);
	state->places = mem_alloc(state->place_count * sizeof(*state->places));
	state->backends = mem_realloc(state->backends,
				      state->place_count / 2 *
				      sizeof(*state->backends));
	for (i = 0; i < state->count; i++)
		*place_of(state, &state->backends[i].server) = i + 1;
}

struct director_backend *
director_state_backend(struct director_state *state,
		       const struct director_server *server)
{
	struct director_backend *backend;
	uint32_t *place;

	make_places(state);
	place = place_of(state, server);
	if (*place != 0)
		return &state->backends[*place - 1];
	backend = &state->backends[state->count];
	*backend = (struct director_backend){
		.server.id = state->count++,
		.share = 100,
	};
	copy_server(&backend->server, server);
	*place = state->count;
	return backend;
}

static bool is_called(const struct director_server *server, const char *text,
		      const char *at)
{
	size_t len = at != NULL ? (size_t)(at - text) : strlen(text);

	if (at != NULL && strcmp(server->tag, at + 1) != 0)
		return false;
	return (strncmp(server->ip, text, len) == 0 &&
		server->ip[len] == '\0') ||
	       (server->name != NULL &&
		strncmp(server->name, text, len) == 0 &&
		server->name[len] == '\0');
}

struct director_backend *
director_state_find(const struct director_state *state, const char *text,
		    struct err *err)
{
	const char *at = strchr(text, '@');
	struct director_backend *found = NULL;
	unsigned i;

	for (i = 0; i < state->count; i++) {
		struct director_backend *backend = &state->backends[i];

		if (!director_backend_present(backend) ||
		    !is_called(&backend->server, text, at))
			continue;
		if (found != NULL) {
			err_put(err, "there are several servers %.200s: name "
				"one by its address, as ADDRESS@TAG", text);
			return NULL;
		}
		found = backend;
	}
	if (found == NULL)
		err_put(err, "there is no server %.200s", text);
	return found;
}

/* --- changes --- */

void director_state_configure(struct director_state *state,
			      const struct director_servers *servers)
{
	unsigned i;

	for (i = 0; i < state->count; i++)
		state->backends[i].configured = false;
	for (i = 0; i < servers->count; i++) {
		struct director_backend *backend =
			director_state_backend(state, &servers->list[i]);

		copy_server(&backend->server, &servers->list[i]);
		backend->configured = true;
	}
	state->generation++;
}

/* What the configuration says of a server stays: how it is spoken to, above all.
 */
static void add_or_weigh(struct director_state *state,
			 struct director_backend *backend,
			 const struct director_server *server, bool has_weight,
			 const char *by, uint64_t now_s)
{
	if (!backend->configured)
		copy_server(&backend->server, server);
	else if (has_weight)
		director_state_set_weight(state, backend, server->weight, by,
					  now_s);
}

static bool is_full(const struct director_state *state)
{
	unsigned i, count = 0;

	for (i = 0; i < state->count; i++)
		count += director_backend_present(&state->backends[i]);
	return count >= DIRECTOR_MAX_SERVERS;
}

struct director_backend *director_state_add(struct director_state *state,
					    const char *entry, const char *by,
					    uint64_t now_s, struct err *err)
{
	struct arena *arena = arena_new(256);
	struct director_backend *backend = NULL;
	struct director_servers servers;

	if (director_servers_parse(arena, entry, NULL, &servers, err) < 0)
		; /* err says why */
	else if (servers.count != 1)
		err_put(err, "'%.200s' is more than one server", entry);
	else
		backend = director_state_backend(state, &servers.list[0]);
	if (backend != NULL && !director_backend_present(backend) &&
	    is_full(state)) {
		err_put(err, "there are %d servers, and more cannot be",
			DIRECTOR_MAX_SERVERS);
		backend = NULL;
	}
	if (backend != NULL) {
		add_or_weigh(state, backend, &servers.list[0],
			     strchr(entry, '*') != NULL, by, now_s);
		backend->added = true;
		backend->removed = false;
		set_mark(&backend->presence, by, now_s);
		state->generation++;
	}
	arena_free(&arena);
	return backend;
}

void director_state_remove(struct director_state *state,
			   struct director_backend *backend, const char *by,
			   uint64_t now_s)
{
	backend->added = false;
	backend->removed = backend->configured;
	set_mark(&backend->presence, by, now_s);
	state->generation++;
}

void director_state_set_admin(struct director_state *state,
			      struct director_backend *backend,
			      enum director_admin admin, const char *by,
			      uint64_t now_s)
{
	backend->admin = admin;
	set_mark(&backend->admin_mark, by, now_s);
	state->generation++;
}

void director_state_set_weight(struct director_state *state,
			       struct director_backend *backend,
			       unsigned weight, const char *by, uint64_t now_s)
{
	backend->weight = weight;
	set_mark(&backend->weight_mark, by, now_s);
	state->generation++;
}

void director_state_set_health(struct director_state *state,
			       struct director_backend *backend, bool sick,
			       const char *why, uint64_t now_s)
{
	backend->sick = sick;
	set_mark(&backend->health, why, now_s);
	state->generation++;
}

void director_state_flush(struct director_state *state,
			  struct director_backend *backend, uint64_t now_us)
{
	backend->flushed_us = now_us;
	state->generation++;
}

/* --- users moved by hand --- */

const struct director_pin *
director_state_pin_of(const struct director_state *state, uint64_t key)
{
	return director_pins_find(&state->pins, key);
}

int director_state_may_pin(const struct director_state *state, uint64_t key,
			   struct err *err)
{
	if (state->pins.count < DIRECTOR_MAX_PINS ||
	    director_state_pin_of(state, key) != NULL)
		return 0;
	return err_set(err, "%u users were moved already, and more cannot be: "
		       "see director dump, and take some back with director "
		       "unmove", state->pins.count);
}

void director_state_pin(struct director_state *state, uint64_t key,
			const char *user, struct director_backend *backend,
			uint64_t until_s, const char *by, uint64_t now_s)
{
	struct director_pin *pin = director_pins_get(&state->pins, key);

	mem_free(&pin->user);
	pin->user = mem_strdup(user);
	pin->server = backend->server.id;
	pin->until_s = until_s;
	set_mark(&pin->mark, by, now_s);
	state->generation++;
}

bool director_state_unpin(struct director_state *state, uint64_t key)
{
	bool any = director_pins_drop(&state->pins, key);

	state->generation += any;
	return any;
}

bool director_state_expire(struct director_state *state, uint64_t now_s)
{
	bool any = director_pins_expire(&state->pins, now_s);

	state->generation += any;
	return any;
}

uint64_t director_state_next_expiry(const struct director_state *state)
{
	uint64_t next_s = 0;
	unsigned i;

	for (i = 0; i < state->pins.count; i++) {
		const struct director_pin *pin = state->pins.list[i];

		if (pin->until_s != 0 &&
		    (next_s == 0 || pin->until_s < next_s))
			next_s = pin->until_s;
	}
	return next_s;
}
