/* The store of a simulated cluster: as etcd, but that its clock is the world's. */
#include "bench/cluster_store.h"

#include <stdio.h>
#include <string.h>

#include "lib/mem.h"

/* --- what is on its way --- */

struct message *message_new(struct node *node)
{
	struct arena *arena = arena_new(512);
	struct message *message = arena_new_struct(arena, struct message);

	message->arena = arena;
	message->node = node;
	message->life = node->life;
	return message;
}

void message_free(struct message *message)
{
	struct arena *arena = message->arena;

	if (message->copy != NULL) {
		etcd_store_free(message->copy);
		mem_free(&message->copy);
	}
	arena_free(&arena);
}

/* It is still the same process, and can be reached. */
bool message_arrives(const struct message *message)
{
	const struct node *node = message->node;

	return node->cluster != NULL && node->life == message->life &&
	       !node->cut;
}

void message_to_store(struct world *world, struct message *message, event_fn *fn)
{
	world_at(world, world->now_us +
			world_about_us(world, world->options.delay_ms),
		 fn, (uintptr_t)message, 0);
}

/* In the order of sending. */
void message_to_node(struct world *world, struct message *message, event_fn *fn)
{
	uint64_t at_us = world->now_us +
			 world_about_us(world, world->options.delay_ms);
	struct node *node = message->node;

	if (at_us < node->told_us)
		at_us = node->told_us;
	node->told_us = at_us;
	world_at(world, at_us, fn, (uintptr_t)message, 0);
}

/* A process that is stopped hears of it later. */
bool message_is_put_off(struct world *world, struct message *message,
		       event_fn *fn)
{
	if (message->node->paused_us <= world->now_us)
		return false;
	world_at(world, message->node->paused_us, fn, (uintptr_t)message, 0);
	return true;
}

/* --- the store --- */

static void note_agreed(struct world *world)
{
	struct figures *figures = &world->figures;

	if (world->view_us == 0 || !world->view_well)
		return;
	figures->agree_us = mem_realloc(figures->agree_us,
					(figures->agreed + 1) *
						sizeof(*figures->agree_us));
	figures->agree_us[figures->agreed++] = world->now_us - world->view_us;
	world->view_us = 0;
}

static void note_view(struct world *world, const char *text)
{
	bool agreed = strstr(text, ",\"before\":") == NULL;
	uint64_t serial = 0;

	sscanf(text, "{\"serial\":%lu", &serial);
	if (serial == world->serial && !agreed)
		world->figures.losses++;
	else if (serial == world->serial)
		note_agreed(world);
	if (serial == world->serial)
		return;
	world->figures.taken_back += agreed && world->serial > 0;
	world->serial = serial;
	world->view_us = agreed ? 0 : world->now_us;
	world->view_well = world_is_well(world);
	world->figures.views++;
}

static void compact(struct world *world)
{
	int64_t revision = world->store.revision;
	unsigned i;

	if (world->store.event_count < 256)
		return;
	for (i = 0; i < world->options.nodes; i++) {
		const struct node *node = &world->nodes[i];

		if (node->cluster != NULL && node->seen != 0 &&
		    node->seen < revision)
			revision = node->seen;
	}
	etcd_store_compact(&world->store, revision);
}

/* The store has other keys than before. */
void store_tell_nodes(struct world *world, int64_t before)
{
	const struct store_key *view =
		etcd_store_find(&world->store, PREFIX "view");
	unsigned i;

	if (world->store.revision == before)
		return;
	if (view != NULL && view->mod > before)
		note_view(world, view->value);
	world->view_well &= world_is_well(world);
	for (i = 0; i < world->options.nodes; i++) {
		struct node *node = &world->nodes[i];
		struct message *message;

		if (node->cluster == NULL || node->cut)
			continue;
		message = message_new(node);
		message->revision = world->store.revision;
		message_to_node(world, message, node_told);
	}
	compact(world);
}

static void lease_ends(struct world *world, uintptr_t lease_p, uintptr_t unused)
{
	int64_t lease = (int64_t)lease_p, before = world->store.revision;

	if (world->lease_ends_us[lease] > world->now_us) {
		world_at(world, world->lease_ends_us[lease], lease_ends,
			 lease_p, unused);
		return;
	}
	etcd_store_end_lease(&world->store, lease);
	store_tell_nodes(world, before);
}

int64_t store_grant(struct world *world)
{
	int64_t lease = etcd_store_grant(&world->store);

	world->lease_ends_us = mem_realloc(world->lease_ends_us,
					   ((size_t)lease + 1) *
						   sizeof(uint64_t));
	world->lease_ends_us[lease] = world->now_us + LEASE_US;
	world_at(world, world->now_us + LEASE_US, lease_ends, (uintptr_t)lease,
		 0);
	return lease;
}
