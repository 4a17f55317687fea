/* Where the director's users are, of all of them: one part of their table at a time. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "proxy/control/private.h"
#include "proxy/director/keeper.h"

#define MAX_LISTED 100000

/* A walk over them. */
struct walk {
	struct control_steps steps;
	uint64_t now_us;
	unsigned part; /* the next one */
	void (*look)(void *arg, uint64_t key,
		     const struct director_whereabouts *where);
	void (*finish)(struct walk *walk);
	/* Of each server, by its id: */
	unsigned count;
	unsigned long *users, *deliveries;
	/* A list: */
	const char *const *ips;
	uint32_t only; /* the id of a server; DIRECTOR_NO_SERVER: all of them */
	unsigned listed;
};

static struct walk *walk_of(struct control_steps *steps)
{
	return container_of(steps, struct walk, steps);
}

static void walk_free(struct control_steps *steps)
{
	struct walk *walk = walk_of(steps);

	mem_free(&walk);
}

static bool go_on(struct control_steps *steps, uint64_t until_us)
{
	struct walk *walk = walk_of(steps);
	struct director_users *users = steps->call->control->env.set->users;

	do {
		director_users_each_in(users, walk->part++, walk->look, walk);
	} while (walk->part < DIRECTOR_USER_PARTS && clock_now_us() < until_us);
	if (walk->part < DIRECTOR_USER_PARTS)
		return false;
	walk->finish(walk);
	return true;
}

static struct walk *walk_new(const struct control_call *call,
			     const struct director_state *state)
{
	struct arena *arena = call->request->arena;
	struct walk *walk = mem_new(struct walk);

	walk->steps.go_on = go_on;
	walk->steps.free = walk_free;
	walk->now_us = loop_now_us(call->control->env.loop);
	walk->count = state->count;
	walk->users = arena_alloc(arena, state->count * sizeof(long));
	walk->deliveries = arena_alloc(arena, state->count * sizeof(long));
	return walk;
}

static bool is_there(const struct walk *walk,
		     const struct director_whereabouts *where)
{
	return where->server < walk->count &&
	       (where->deliveries > 0 || where->expires_us > walk->now_us);
}

/* --- how many there are --- */

static void count_user(void *arg, uint64_t key,
		       const struct director_whereabouts *where)
{
	struct walk *walk = arg;

	(void)key;
	if (!is_there(walk, where))
		return;
	walk->users[where->server]++;
	walk->deliveries[where->server] += where->deliveries;
}

static void write_backend(struct json_writer *json,
			  const struct director_backend *backend,
			  const struct walk *walk)
{
	const struct director_server *server = &backend->server;

	json_open_object(json, NULL);
	json_write_text(json, "ip", server->ip);
	if (server->name != NULL)
		json_write_text(json, "name", server->name);
	json_write_text(json, "tag", server->tag);
	json_write_text(json, "admin", director_admin_name(backend->admin));
	control_write_mark(json, "admin_by", "admin_at", &backend->admin_mark);
	json_write_text(json, "health", backend->sick ? "down" : "up");
	control_write_mark(json, "health_why", "health_at", &backend->health);
	json_write_number(json, "weight", director_backend_weight(backend));
	control_write_mark(json, "weight_by", "weight_at",
			   &backend->weight_mark);
	json_write_bool(json, "configured", backend->configured);
	control_write_mark(json, "presence_by", "presence_at",
			   &backend->presence);
	json_write_number(json, "users", walk->users[server->id]);
	json_write_number(json, "deliveries", walk->deliveries[server->id]);
	json_close_object(json);
}

/* Servers may have come meanwhile, or the director gone. */
static void write_backends(struct walk *walk)
{
	struct control_call *call = walk->steps.call;
	struct json_writer *json = &call->json;
	const struct director_state *state =
		director_keeper_state(call->control->env.keeper);
	unsigned i;

	json_open_object(json, NULL);
	json_write_number(json, "generation",
			  state != NULL ? state->generation : 0);
	json_open_array(json, "backends");
	for (i = 0; state != NULL && i < walk->count; i++) {
		if (director_backend_present(&state->backends[i]) ||
		    walk->users[i] > 0)
			write_backend(json, &state->backends[i], walk);
	}
	json_close_array(json);
	json_close_object(json);
}

void control_director(struct control_call *call)
{
	const struct director_state *state = control_director_state(&call);
	struct walk *walk;

	if (state == NULL || !control_steps_may_start(&call))
		return;
	walk = walk_new(call, state);
	walk->look = count_user;
	walk->finish = write_backends;
	control_steps_start(&walk->steps, call);
}

/* --- who they are --- */

static void list_user(void *arg, uint64_t key,
		      const struct director_whereabouts *where)
{
	struct walk *walk = arg;
	struct json_writer *json = &walk->steps.call->json;
	char text[20];

	if (!is_there(walk, where) || walk->listed == MAX_LISTED ||
	    (walk->only != DIRECTOR_NO_SERVER && where->server != walk->only))
		return;
	walk->listed++;
	snprintf(text, sizeof(text), "%016" PRIx64, key);
	json_open_object(json, NULL);
	json_write_text(json, "key", text);
	json_write_text(json, "ip", walk->ips[where->server]);
	json_write_number(json, "deliveries", where->deliveries);
	json_close_object(json);
}

static void end_list(struct walk *walk)
{
	struct json_writer *json = &walk->steps.call->json;

	json_close_array(json);
	json_write_bool(json, "cut", walk->listed == MAX_LISTED);
	json_close_object(json);
}

static const char *const *copy_ips(struct arena *arena,
				   const struct director_state *state)
{
	const char **ips = arena_alloc(arena, state->count * sizeof(*ips));
	unsigned i;

	for (i = 0; i < state->count; i++)
		ips[i] = arena_strdup(arena, state->backends[i].server.ip);
	return ips;
}

/* The server that the call names. -1: there is none, and the call is refused. */
static int find_only(struct control_call **call,
		     const struct director_state *state, uint32_t *id_r)
{
	const char *host = control_param(*call, "host");
	const struct director_backend *backend;
	struct err err;

	*id_r = DIRECTOR_NO_SERVER;
	if (host == NULL)
		return 0;
	backend = director_state_find(state, host, &err);
	if (backend == NULL) {
		control_refuse(call, 404, err.text);
		return -1;
	}
	*id_r = backend->server.id;
	return 0;
}

void control_director_map(struct control_call *call)
{
	const struct director_state *state = control_director_state(&call);
	struct walk *walk;
	uint32_t only;

	if (state == NULL || find_only(&call, state, &only) < 0 ||
	    !control_steps_may_start(&call))
		return;
	walk = walk_new(call, state);
	walk->look = list_user;
	walk->finish = end_list;
	walk->ips = copy_ips(call->request->arena, state);
	walk->only = only;
	json_open_object(&call->json, NULL);
	json_open_array(&call->json, "users");
	control_steps_start(&walk->steps, call);
}
