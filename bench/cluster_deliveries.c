/* Deliveries in a simulated cluster: who may be let in, by the rules of
 * proxy/session/settle.c, proxy/director/director.c and backends/director/users.c, and whether a
 * user is at two servers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/cluster_world.h"
#include "lib/mem.h"
#include "lib/panic.h"

#define WAIT_US UINT64_C(30000000)  /* as proxy/session/settle.c */
#define HANG_US UINT64_C(30000000)  /* until a delivery to a dead one fails */
#define RESET_US UINT64_C(10000)

/* --- routes --- */

unsigned place_of(const struct director_server *server)
{
	unsigned a, b, c;

	ASSERT(sscanf(server->ip, "10.%u.%u.%u", &a, &b, &c) == 3);
	return a << 16 | b << 8 | c;
}

static int server_order(const void *a, const void *b)
{
	return director_server_order(a, b);
}

static void list_servers(struct route *route, const struct director_state *state)
{
	struct director_server *list =
		arena_alloc(route->arena, (state->count + 1) * sizeof(*list));
	unsigned i, count = 0;

	for (i = 0; i < state->count; i++) {
		const struct director_backend *backend = &state->backends[i];
		struct director_server *server = &list[count];

		if (!route->standings[i].open || backend->admin != DIRECTOR_UP)
			continue;
		*server = backend->server;
		server->ip = arena_strdup(route->arena, server->ip);
		server->tag = arena_strdup(route->arena, server->tag);
		server->name = NULL;
		server->weight = (director_backend_weight(backend) *
					  backend->share + 99) / 100;
		count++;
	}
	qsort(list, count, sizeof(*list), server_order);
	route->servers = (struct director_servers){ list, count };
}

static int pin_order(const void *a_p, const void *b_p)
{
	const struct director_pin_copy *a = a_p, *b = b_p;

	return a->key < b->key ? -1 : a->key > b->key;
}

static void copy_pins(struct route *route, const struct director_state *state)
{
	const struct director_pins *pins = &state->pins;
	unsigned i;

	route->pin_count = pins->count;
	route->pins = arena_alloc(route->arena,
				  (pins->count + 1) * sizeof(*route->pins));
	for (i = 0; i < pins->count; i++)
		route->pins[i] = (struct director_pin_copy){
			pins->list[i]->key, pins->list[i]->server,
		};
}

void route_make(struct route *route, const struct director_state *state,
		enum director_method method, const struct route *last)
{
	unsigned i;

	route_free(route);
	if (state == NULL)
		return;
	route->arena = arena_new(4096);
	route->count = state->count;
	route->standings = arena_alloc(route->arena, (state->count + 1) *
						sizeof(struct standing));
	for (i = 0; i < state->count; i++) {
		const struct director_backend *backend = &state->backends[i];
		bool there = director_backend_present(backend);

		route->standings[i] = (struct standing){
			.place = place_of(&backend->server),
			.open = there && backend->admin != DIRECTOR_DOWN &&
				!backend->sick,
			.lost = backend->sick,
		};
	}
	list_servers(route, state);
	copy_pins(route, state);
	route->map = director_map_new(route->arena, &route->servers, method,
				      last->map);
	ASSERT(route->map != NULL);
}

void route_free(struct route *route)
{
	struct arena *arena = route->arena;

	arena_free(&arena);
	*route = (struct route){ .arena = NULL };
}

uint32_t route_find(const struct route *route, uint64_t user)
{
	const struct director_pin_copy wanted = { .key = user };
	const struct director_pin_copy *pin =
		bsearch(&wanted, route->pins, route->pin_count, sizeof(*pin),
			pin_order);
	const struct director_server *server;

	if (pin != NULL && route->standings[pin->server].open)
		return pin->server;
	server = director_map_find(route->map, "", user);
	return server != NULL ? server->id : NOWHERE;
}

static bool is_lost(const struct route *route, uint32_t id)
{
	return id < route->count && route->standings[id].lost;
}

/* --- the truth --- */

static void say_broken(const struct world *world, const struct delivery *delivery)
{
	const struct user_truth *truth = &world->truth[delivery->user];

	if (world->figures.broken > 5)
		return;
	printf("BROKEN at %.3f s: user %u is at server %u, and node %u has sent "
	       "him to %u (view %llu)\n", (double)world->now_us / 1e6,
	       delivery->user, truth->place, delivery->node, delivery->place,
	       (unsigned long long)world->serial);
}

/* A delivery begins at a server that is alive: nobody else has him elsewhere. */
static void check(struct world *world, struct delivery *delivery)
{
	struct user_truth *truth = &world->truth[delivery->user];

	if (truth->count > 0 && truth->place != delivery->place) {
		world->figures.broken++;
		say_broken(world, delivery);
		delivery->live = false;
		return;
	}
	truth->place = delivery->place;
	truth->count++;
}

static void die(struct world *world, struct delivery *delivery)
{
	if (delivery->live)
		world->truth[delivery->user].count--;
	delivery->live = false;
}

/* --- coming and going --- */

static struct delivery *take(struct world *world)
{
	int place = world->free_delivery;

	if (place < 0) {
		place = world->delivery_count++;
		world->deliveries = mem_realloc(
			world->deliveries, (size_t)world->delivery_count *
						   sizeof(struct delivery));
		world->deliveries[place] = (struct delivery){ .next = -1 };
	}
	world->free_delivery = world->deliveries[place].next;
	return &world->deliveries[place];
}

static void give_back(struct world *world, struct delivery *delivery)
{
	delivery->state = FREE;
	delivery->number++;
	delivery->next = world->free_delivery;
	world->free_delivery = (int)(delivery - world->deliveries);
}

static void unlink_waiter(struct world *world, struct node *node,
			  const struct delivery *delivery)
{
	int *link = &node->first_waiter, last = -1;
	int place = (int)(delivery - world->deliveries);

	while (*link != place) {
		last = *link;
		link = &world->deliveries[*link].next;
	}
	*link = delivery->next;
	if (node->last_waiter == place)
		node->last_waiter = last;
	node->users[delivery->user].waiters--;
}

static void link_waiter(struct world *world, struct node *node,
			struct delivery *delivery)
{
	int place = (int)(delivery - world->deliveries);

	delivery->state = WAITS;
	delivery->next = -1;
	if (node->last_waiter >= 0)
		world->deliveries[node->last_waiter].next = place;
	else
		node->first_waiter = place;
	node->last_waiter = place;
	node->users[delivery->user].waiters++;
}

static void end_event(struct world *world, uintptr_t place, uintptr_t number);

static void schedule_end(struct world *world, const struct delivery *delivery,
			 uint64_t in_us)
{
	world_at(world, world->now_us + in_us, end_event,
		 (uintptr_t)(delivery - world->deliveries), delivery->number);
}

/* Most are short, some are not. */
static uint64_t length_us(struct world *world)
{
	double mean = world->options.delivery_ms * 1000.0;
	double share = (double)(world_random(world, 1000000) + 1) / 1000001;

	return (uint64_t)(-log(share) * mean) + 1;
}

static void begin(struct world *world, struct node *node,
		  struct delivery *delivery, uint32_t server)
{
	struct presence *presence = &node->users[delivery->user];
	const struct backend *backend;
	uint64_t waited_us = world->now_us - delivery->came_us;

	presence->server = server;
	presence->count++;
	delivery->stay = presence->stay;
	delivery->state = INSIDE;
	delivery->place = node->now.standings[server].place;
	backend = &world->backends[delivery->place];
	delivery->live = backend->alive;
	if (delivery->live)
		check(world, delivery);
	if (waited_us > world->figures.longest_wait_us)
		world->figures.longest_wait_us = waited_us;
	world->figures.deliveries++;
	schedule_end(world, delivery, backend->alive ? length_us(world)
				      : backend->hangs ? HANG_US : RESET_US);
}

/* Whether he may be let in, and then *server_r: as proxy/session/settle.c's enter(). */
static bool may_enter(const struct node *node, unsigned user, uint64_t hash,
		      uint32_t *server_r)
{
	const struct presence *presence = &node->users[user];
	uint32_t before;

	if (node->held)
		return false;
	*server_r = route_find(&node->now, hash);
	if (*server_r == NOWHERE)
		return true;
	if (node->before.arena != NULL) {
		before = route_find(&node->before, hash);
		if (before != NOWHERE && before != *server_r &&
		    !is_lost(&node->now, before))
			return false;
	}
	return presence->count == 0 || presence->server == *server_r ||
	       is_lost(&node->now, presence->server);
}

/* As backends/director/notes.h has it: the node finds the server dead, or has done, and
 * does not know what the others have made of it. */
static bool is_out_of_reach(const struct node *node, uint32_t server)
{
	return node->dead[node->now.standings[server].place] ||
	       director_cluster_doubts(node->cluster, server);
}

/* As move_to() of backends/director/users.c: what is under way to a dead server
 * counts no more. */
static void leave_lost(struct node *node, struct presence *presence,
		       uint32_t server)
{
	if (presence->count == 0 || presence->server == server)
		return;
	presence->count = 0;
	presence->stay++;
	node->lingering -= presence->lingers;
	presence->lingers = false;
}

static void refuse(struct world *world, struct node *node,
		   struct delivery *delivery)
{
	world->figures.refused++;
	node->deliveries--;
	give_back(world, delivery);
}

/* It is on no list. */
static void enter(struct world *world, struct node *node,
		  struct delivery *delivery)
{
	uint32_t server;

	if (!node->known) {
		refuse(world, node, delivery);
	} else if (!may_enter(node, delivery->user,
			      world->users[delivery->user], &server)) {
		link_waiter(world, node, delivery);
	} else if (server == NOWHERE || is_out_of_reach(node, server)) {
		refuse(world, node, delivery);
	} else {
		leave_lost(node, &node->users[delivery->user], server);
		begin(world, node, delivery, server);
	}
}

static void again_user(struct world *world, struct node *node, unsigned user)
{
	int place = node->first_waiter, next;

	for (; place >= 0 && node->users[user].waiters > 0; place = next) {
		struct delivery *delivery = &world->deliveries[place];
		uint32_t server;

		next = delivery->next;
		if (delivery->user != user ||
		    !may_enter(node, user, world->users[user], &server))
			continue;
		unlink_waiter(world, node, delivery);
		enter(world, node, delivery);
	}
}

static void end(struct world *world, struct delivery *delivery)
{
	struct node *node = &world->nodes[delivery->node];
	struct presence *presence = &node->users[delivery->user];
	unsigned user = delivery->user;
	bool free = delivery->stay == presence->stay && --presence->count == 0;

	die(world, delivery);
	give_back(world, delivery);
	node->deliveries--;
	if (free) {
		node->lingering -= presence->lingers;
		presence->lingers = false;
		again_user(world, node, user);
	}
	node_look(world, node);
}

static void end_event(struct world *world, uintptr_t place, uintptr_t number)
{
	struct delivery *delivery = &world->deliveries[place];
	const struct node *node = &world->nodes[delivery->node];

	if (delivery->number != number)
		return;
	if (node->paused_us > world->now_us)
		world_at(world, node->paused_us, end_event, place, number);
	else
		end(world, delivery);
}

static void waited_too_long(struct world *world, uintptr_t place,
			    uintptr_t number)
{
	struct delivery *delivery = &world->deliveries[place];
	struct node *node = &world->nodes[delivery->node];

	if (delivery->number != number || delivery->state != WAITS)
		return;
	unlink_waiter(world, node, delivery);
	node->deliveries--;
	give_back(world, delivery);
	world->figures.timeouts++;
	node_look(world, node);
}

static void come(struct world *world, struct node *node)
{
	struct delivery *delivery = take(world);
	uintptr_t place = (uintptr_t)(delivery - world->deliveries);

	delivery->node = node->index;
	delivery->user = (unsigned)world_random(world, world->user_count);
	delivery->came_us = world->now_us;
	delivery->live = false;
	node->deliveries++;
	enter(world, node, delivery);
	delivery = &world->deliveries[place];
	if (delivery->state != WAITS)
		return;
	world->figures.waited++;
	world_at(world, world->now_us + WAIT_US, waited_too_long, place,
		 delivery->number);
}

/* To any node that accepts. */
static void arrive(struct world *world, uintptr_t a, uintptr_t b)
{
	uint64_t pause_us = (uint64_t)world->options.delivery_ms * 1000 /
			    world->options.busy;
	struct node *node = &world->nodes[world_random(world,
						world->options.nodes)];

	if (node->cluster != NULL && !node->stopping &&
	    node->paused_us <= world->now_us)
		come(world, node);
	if (!world->resting)
		world_at(world, world->now_us + 1 +
				world_random(world, 2 * pause_us + 1),
			 arrive, a, b);
}

/* --- interface --- */

void deliveries_init(struct world *world)
{
	unsigned i;

	world->user_count = world->options.busy * 3;
	world->users = mem_alloc(world->user_count * sizeof(*world->users));
	world->truth = mem_alloc(world->user_count * sizeof(*world->truth));
	for (i = 0; i < world->user_count; i++)
		world->users[i] = world_random(world, UINT64_MAX);
	world->free_delivery = -1;
	for (i = 0; i < world->options.nodes; i++)
		world->nodes[i].users = mem_alloc(world->user_count *
						  sizeof(struct presence));
	world_at(world, 0, arrive, 0, 0);
}

void deliveries_free(struct world *world)
{
	unsigned i;

	for (i = 0; i < world->options.nodes; i++)
		mem_free(&world->nodes[i].users);
	mem_free(&world->users);
	mem_free(&world->truth);
	mem_free(&world->deliveries);
}

void deliveries_end_all(struct world *world, struct node *node)
{
	unsigned user;
	int i;

	for (i = 0; i < world->delivery_count; i++) {
		struct delivery *delivery = &world->deliveries[i];

		if (delivery->state == FREE || delivery->node != node->index)
			continue;
		die(world, delivery);
		give_back(world, delivery);
	}
	for (user = 0; user < world->user_count; user++)
		node->users[user] = (struct presence){ .count = 0 };
	node->first_waiter = node->last_waiter = -1;
	node->deliveries = node->lingering = 0;
}

void deliveries_lose(struct world *world, unsigned place)
{
	int i;

	for (i = 0; i < world->delivery_count; i++) {
		struct delivery *delivery = &world->deliveries[i];

		if (delivery->state != INSIDE || delivery->place != place ||
		    !delivery->live)
			continue;
		die(world, delivery);
		schedule_end(world, delivery, world->backends[place].hangs
						      ? HANG_US : RESET_US);
	}
}

static void count_lingering(const struct world *world, struct node *node)
{
	unsigned i;

	node->lingering = 0;
	for (i = 0; i < world->user_count && node->known; i++) {
		struct presence *presence = &node->users[i];

		presence->lingers =
			presence->count > 0 &&
			!is_lost(&node->now, presence->server) &&
			route_find(&node->now, world->users[i]) !=
				presence->server;
		node->lingering += presence->lingers;
	}
}

void deliveries_look(struct world *world, struct node *node)
{
	int place = node->first_waiter, next;

	count_lingering(world, node);
	node->first_waiter = node->last_waiter = -1;
	for (; place >= 0; place = next) {
		struct delivery *delivery = &world->deliveries[place];

		next = delivery->next;
		node->users[delivery->user].waiters--;
		enter(world, node, delivery);
	}
}
