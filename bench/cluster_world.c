/* A simulated cluster: its clock, its servers, and what administrators do. */
#include "bench/cluster_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/mem.h"

/* --- time and chance --- */

uint64_t world_mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint64_t world_random(struct world *world, uint64_t below)
{
	world->random += UINT64_C(0x9e3779b97f4a7c15);
	return world_mix(world->random) % below;
}

uint64_t world_about_us(struct world *world, uint64_t ms)
{
	return ms * 500 + world_random(world, ms * 1000 + 1);
}

static bool comes_before(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void world_at(struct world *world, uint64_t at_us, event_fn *fn, uintptr_t a,
	      uintptr_t b)
{
	struct event event = { at_us, ++world->order, fn, a, b };
	size_t i = world->event_count++;

	if (i == world->event_size) {
		world->event_size = i > 0 ? i * 2 : 1024;
		world->events = mem_realloc(world->events, world->event_size *
							   sizeof(event));
	}
	for (; i > 0 && comes_before(&event, &world->events[(i - 1) / 2]);
	     i = (i - 1) / 2)
		world->events[i] = world->events[(i - 1) / 2];
	world->events[i] = event;
}

static struct event first_event(struct world *world)
{
	struct event first = world->events[0];
	struct event last = world->events[--world->event_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < world->event_count) {
		if (child + 1 < world->event_count &&
		    comes_before(&world->events[child + 1],
				 &world->events[child]))
			child++;
		if (!comes_before(&world->events[child], &last))
			break;
		world->events[i] = world->events[child];
		i = child;
	}
	world->events[i] = last;
	return first;
}

void world_run(struct world *world, uint64_t until_us)
{
	while (world->event_count > 0 &&
	       world->events[0].at_us <= until_us) {
		struct event event = first_event(world);

		world->now_us = event.at_us;
		event.fn(world, event.a, event.b);
	}
	world->now_us = until_us;
}

/* --- what happens to servers --- */

static void probed(struct world *world, uintptr_t node_p, uintptr_t place)
{
	struct node *node = (struct node *)node_p;
	bool dead = !world->backends[place].alive;

	if (node->dead[place] == dead)
		return;
	node->dead[place] = dead;
	if (node->cluster == NULL || node->paused_us > world->now_us)
		return;
	node_vote(node);
	node_write(world, node);
}

/* Each node finds out for itself. */
static void probe(struct world *world, unsigned place)
{
	unsigned i;

	for (i = 0; i < world->options.nodes; i++)
		world_at(world, world->now_us + world_about_us(world, 1500),
			 probed, (uintptr_t)&world->nodes[i], place);
}

void backend_die(struct world *world, unsigned place, bool hangs)
{
	world->backends[place] = (struct backend){ false, hangs };
	deliveries_lose(world, place);
	probe(world, place);
}

void backend_live(struct world *world, unsigned place)
{
	world->backends[place].alive = true;
	probe(world, place);
}

/* --- what administrators do --- */

struct node *world_any_in_step(struct world *world)
{
	unsigned i, first = (unsigned)world_random(world, world->options.nodes);

	for (i = 0; i < world->options.nodes; i++) {
		struct node *node =
			&world->nodes[(first + i) % world->options.nodes];

		if (node->known && node->seen != 0 && !node->cut &&
		    node->paused_us <= world->now_us)
			return node;
	}
	return NULL;
}

static void changed_at_store(struct world *world, uintptr_t message_p,
			     uintptr_t unused)
{
	struct message *message = (struct message *)message_p;
	int64_t before = world->store.revision;

	(void)unused;
	if (message_arrives(message))
		etcd_store_txn(&world->store, &message->txn);
	store_tell_nodes(world, before);
	message_free(message);
}

void node_change(struct world *world, struct node *node,
		 const struct director_state *draft)
{
	struct message *message = message_new(node);

	director_cluster_change(node->cluster, draft, message->arena,
				&message->txn);
	message_to_store(world, message, changed_at_store);
}

void node_configure(struct world *world, struct node *node, unsigned count)
{
	const struct director_servers servers = { world->servers.list, count };

	director_cluster_configure(node->cluster, &servers);
	node_write(world, node);
}

/* --- beginning and end --- */

static void make_servers(struct world *world)
{
	unsigned i, count = world->options.backends;
	struct director_server *list =
		arena_alloc(world->arena, count * sizeof(*list));

	for (i = 0; i < count; i++) {
		list[i].ip = arena_printf(world->arena, "10.%u.%u.%u", i >> 16,
					  i >> 8 & 255, i & 255);
		addr_parse_ip(&list[i].addr, list[i].ip, 0);
		list[i].tag = "";
		list[i].weight = DIRECTOR_WEIGHT;
		list[i].way.port = 24;
	}
	world->servers = (struct director_servers){ list, count };
	world->backends = mem_alloc(count * sizeof(*world->backends));
	for (i = 0; i < count; i++)
		world->backends[i].alive = true;
}

void world_init(struct world *world, const struct options *options)
{
	unsigned i;

	*world = (struct world){
		.options = *options,
		.random = options->seed,
		.arena = arena_new(65536),
	};
	etcd_store_init(&world->store);
	make_servers(world);
	deliveries_init(world);
	for (i = 0; i < options->nodes; i++) {
		struct node *node = &world->nodes[i];

		node->index = i;
		node->first_waiter = node->last_waiter = -1;
		snprintf(node->name, sizeof(node->name), "mx%u",
			 options->pairs ? i / 2 : i);
		node->dead = mem_alloc(options->backends);
		node_start(world, node);
	}
}

void world_free(struct world *world)
{
	unsigned i;

	world->resting = true;
	for (i = 0; i < world->options.nodes; i++) {
		if (world->nodes[i].cluster != NULL)
			node_kill(world, &world->nodes[i]);
	}
	/* What is on its way arrives nowhere. */
	world_run(world, UINT64_MAX);
	for (i = 0; i < world->options.nodes; i++)
		mem_free(&world->nodes[i].dead);
	deliveries_free(world);
	etcd_store_free(&world->store);
	mem_free(&world->lease_ends_us);
	mem_free(&world->events);
	mem_free(&world->backends);
	mem_free(&world->figures.agree_us);
	arena_free(&world->arena);
}
