/* The nodes of a simulated cluster, as proxy/director/cluster.c and
 * proxy/director/keeper.c let them speak. */
#include "bench/cluster_store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "lib/panic.h"

#define RETRY_US UINT64_C(50000)
#define MOVED_SAMPLE 50000

static double cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

bool world_is_well(const struct world *world)
{
	unsigned i;

	for (i = 0; i < world->options.nodes; i++) {
		const struct node *node = &world->nodes[i];

		if (node->cluster == NULL || node->cut || node->stopping ||
		    node->seen == 0 || node->paused_us > world->now_us ||
		    !director_cluster_is_member(node->cluster) ||
		    !etcd_store_has_lease(&world->store, node->lease))
			return false;
	}
	return true;
}

/* --- a node and its lease --- */

static void renewed(struct world *world, uintptr_t message_p, uintptr_t unused)
{
	struct message *message = (struct message *)message_p;
	struct node *node = message->node;

	(void)unused;
	if (message_is_put_off(world, message, renewed))
		return;
	if (message_arrives(message)) {
		node->renewing = false;
		if (node->lease != message->lease) {
			node->lease = message->lease;
			director_cluster_set_lease(node->cluster, node->lease);
			node_write(world, node);
		}
	}
	message_free(message);
}

/* At the store: as a keepalive, and another grant when that came too late. */
static void renew_at_store(struct world *world, uintptr_t message_p,
			   uintptr_t unused)
{
	struct message *message = (struct message *)message_p;

	(void)unused;
	if (!message_arrives(message)) {
		message_free(message);
		return;
	}
	if (etcd_store_has_lease(&world->store, message->lease))
		world->lease_ends_us[message->lease] = world->now_us + LEASE_US;
	else
		message->lease = store_grant(world);
	message_to_node(world, message, renewed);
}

static void renew(struct world *world, uintptr_t node_p, uintptr_t life)
{
	struct node *node = (struct node *)node_p;
	struct message *message;

	if (node->cluster == NULL || node->life != life)
		return;
	world_at(world, world->now_us + LEASE_US / 3, renew, node_p, life);
	if (node->cut || node->paused_us > world->now_us || node->renewing)
		return;
	node->renewing = true;
	message = message_new(node);
	message->lease = node->lease;
	message_to_store(world, message, renew_at_store);
}

/* --- a node writes --- */

static void written(struct world *world, uintptr_t message_p, uintptr_t unused);

static void write_at_store(struct world *world, uintptr_t message_p,
			   uintptr_t unused)
{
	struct message *message = (struct message *)message_p;
	int64_t before = world->store.revision;

	(void)unused;
	if (!message_arrives(message)) {
		message_free(message);
		return;
	}
	message->done = etcd_store_txn(&world->store, &message->txn);
	message->revision = world->store.revision;
	store_tell_nodes(world, before);
	message_to_node(world, message, written);
}

static void end_process(struct node *node)
{
	node->life++;
	director_cluster_free(&node->cluster);
	director_state_free(&node->wanted);
	route_free(&node->now);
	route_free(&node->before);
	node->known = node->cut = node->stopping = node->held = false;
}

static void retry(struct world *world, uintptr_t node_p, uintptr_t life)
{
	struct node *node = (struct node *)node_p;

	if (node->cluster == NULL || node->life != life)
		return;
	node->awaited = 0;
	node_write(world, node);
}

static void restart(struct world *world, uintptr_t node_p, uintptr_t unused)
{
	(void)unused;
	if (!world->resting)
		node_start(world, (struct node *)node_p);
}

static void said_goodbye(struct world *world, struct node *node)
{
	int64_t before = world->store.revision;

	etcd_store_end_lease(&world->store, node->lease);
	end_process(node);
	store_tell_nodes(world, before);
	world_at(world, world->now_us + world_about_us(world, 4000), restart,
		 (uintptr_t)node, 0);
}

static void written(struct world *world, uintptr_t message_p, uintptr_t unused)
{
	struct message *message = (struct message *)message_p;
	struct node *node = message->node;

	(void)unused;
	if (message_is_put_off(world, message, written))
		return;
	if (message_arrives(message) && message->goes) {
		said_goodbye(world, node);
	} else if (message_arrives(message)) {
		node->writing = false;
		if (message->done && message->revision > node->seen)
			node->awaited = message->revision;
		if (message->done && message->revision <= node->seen)
			node_write(world, node);
		else
			world_at(world, world->now_us + (message->done
					? 1000000 : RETRY_US), retry,
				 (uintptr_t)node, node->life);
	}
	message_free(message);
}

void node_write(struct world *world, struct node *node)
{
	struct message *message;
	double begin = cpu_s();
	bool any;

	if (node->writing || node->awaited > node->seen || node->seen == 0 ||
	    node->cut || node->paused_us > world->now_us)
		return;
	message = message_new(node);
	any = director_cluster_next(node->cluster, message->arena,
				    &message->txn);
	world->figures.next_s += cpu_s() - begin;
	if (!any) {
		message_free(message);
		return;
	}
	node->writing = true;
	message_to_store(world, message, write_at_store);
}

/* --- a node hears --- */

static uint32_t find_place(const struct route *route, uint64_t user)
{
	uint32_t id = route_find(route, user);

	return id == NOWHERE ? NOWHERE : route->standings[id].place;
}

static double weight_of(const struct route *route, double *weights)
{
	double sum = 0;
	unsigned i;

	for (i = 0; i < route->servers.count; i++) {
		weights[place_of(&route->servers.list[i])] =
			route->servers.list[i].weight;
		sum += route->servers.list[i].weight;
	}
	return sum;
}

/* What the change of the weights alone would move. */
static double least_moved(const struct world *world, const struct node *node)
{
	size_t size = (world->options.backends + 1) * sizeof(double);
	double *before = mem_alloc(size), *now = mem_alloc(size), least = 0;
	double sum_before = weight_of(&node->before, before);
	double sum_now = weight_of(&node->now, now);
	unsigned i;

	for (i = 0; i < world->options.backends; i++) {
		double less = before[i] / sum_before - now[i] / sum_now;

		least += less > 0 ? less : 0;
	}
	mem_free(&before);
	mem_free(&now);
	return sum_before > 0 && sum_now > 0 ? least : 0;
}

static void count_moved(struct world *world, const struct node *node)
{
	unsigned i, moved = 0;

	if (node->before.arena == NULL || node->now.servers.count == 0 ||
	    node->before.servers.count == 0 ||
	    !director_cluster_leads(node->cluster))
		return;
	for (i = 0; i < MOVED_SAMPLE; i++)
		moved += find_place(&node->before, world_mix(i + 1)) !=
			 find_place(&node->now, world_mix(i + 1));
	world->figures.moved += (double)moved / MOVED_SAMPLE;
	world->figures.had_to += least_moved(world, node);
}

void node_vote(struct node *node)
{
	unsigned i;

	for (i = 0; i < node->wanted.count; i++) {
		const struct director_backend *backend =
			&node->wanted.backends[i];
		bool dead = director_backend_present(backend) &&
			    node->dead[place_of(&backend->server)];

		director_cluster_vote(node->cluster, i,
				      dead ? "it does not answer" : NULL, 1);
	}
}

static void use_view(struct world *world, struct node *node)
{
	const struct director_state *now = director_cluster_now(node->cluster);
	struct route last = node->now;
	double begin = cpu_s();

	if (now == NULL ||
	    (node->known &&
	     node->revision == director_cluster_revision(node->cluster)))
		return;
	node->known = true;
	node->revision = director_cluster_revision(node->cluster);
	node->now = (struct route){ .arena = NULL };
	route_make(&node->now, now, world->options.method, &last);
	route_make(&node->before, director_cluster_before(node->cluster),
		   world->options.method, &last);
	route_free(&last);
	world->figures.route_s += cpu_s() - begin;
	count_moved(world, node);
	deliveries_look(world, node);
}

static void let_go(struct world *world, struct node *node)
{
	node->held = false;
	deliveries_look(world, node);
}

static void heard(struct world *world, struct node *node)
{
	node_vote(node);
	use_view(world, node);
	if (node->held && director_cluster_is_awake(node->cluster))
		let_go(world, node);
	node_look(world, node);
	if (node->cluster != NULL)
		node_write(world, node);
}

void node_told(struct world *world, uintptr_t message_p, uintptr_t unused)
{
	struct message *message = (struct message *)message_p;
	struct node *node = message->node;
	struct err err = { "" };
	double begin = cpu_s();

	(void)unused;
	if (message_is_put_off(world, message, node_told))
		return;
	if (message_arrives(message) && (message->copy != NULL ||
				 (node->seen != 0 &&
				  message->revision > node->seen))) {
		int ret = message->copy != NULL
				  ? etcd_store_tell_all(message->copy,
							node->cluster, &err)
				  : etcd_store_tell(&world->store,
						    node->cluster, node->seen,
						    message->revision, &err);

		ASSERT(ret == 0);
		node->seen = message->revision;
		world->figures.settle_s += cpu_s() - begin;
		world->figures.settles++;
		heard(world, node);
	}
	message_free(message);
}

static void copy_keys(struct etcd_store *copy, const struct etcd_store *store)
{
	size_t i;

	etcd_store_init(copy);
	copy->revision = store->revision;
	copy->count = store->count;
	copy->keys = mem_alloc((store->count + 1) * sizeof(*copy->keys));
	for (i = 0; i < store->count; i++) {
		copy->keys[i] = store->keys[i];
		copy->keys[i].name = mem_strdup(store->keys[i].name);
		copy->keys[i].value = mem_strdup(store->keys[i].value);
	}
}

static void ask_at_store(struct world *world, uintptr_t message_p,
			 uintptr_t unused)
{
	struct message *message = (struct message *)message_p;

	(void)unused;
	if (!message_arrives(message)) {
		message_free(message);
		return;
	}
	message->copy = mem_new(struct etcd_store);
	copy_keys(message->copy, &world->store);
	message->revision = world->store.revision;
	message_to_node(world, message, node_told);
}

static void ask_all(struct world *world, struct node *node)
{
	node->seen = node->awaited = 0;
	node->writing = node->renewing = false;
	message_to_store(world, message_new(node), ask_at_store);
}

/* --- what happens to nodes --- */

void node_look(struct world *world, struct node *node)
{
	struct message *message;

	if (node->cluster == NULL || node->paused_us > world->now_us)
		return;
	if (node->known && node->lingering == 0 &&
	    node->done != director_cluster_serial(node->cluster)) {
		node->done = director_cluster_serial(node->cluster);
		director_cluster_done(node->cluster, node->done);
		node_write(world, node);
	}
	if (!node->stopping || node->deliveries > 0 || node->writing ||
	    node->seen == 0)
		return;
	message = message_new(node);
	message->goes = node->writing = true;
	director_cluster_leave(node->cluster, !node_has_sibling(world, node),
			       message->arena, &message->txn);
	message_to_store(world, message, write_at_store);
}

static bool process_lives(void *arg, const char *process)
{
	const struct world *world = arg;
	unsigned index, life;

	ASSERT(sscanf(process, "%u.%u", &index, &life) == 2);
	return world->nodes[index].cluster != NULL &&
	       world->nodes[index].life == life;
}

void node_start(struct world *world, struct node *node)
{
	if (node->cluster != NULL)
		return;
	snprintf(node->process, sizeof(node->process), "%u.%u", node->index,
		 node->life);
	node->self = (struct director_cluster_self){
		PREFIX, node->name, node->process, "hash", "1.0", 1,
	};
	director_state_init(&node->wanted);
	node->cluster = director_cluster_new(&node->self, &node->wanted);
	director_cluster_configure(node->cluster, &world->servers);
	director_cluster_set_lives(node->cluster, process_lives, world);
	node->lease = 0;
	node->revision = 0;
	node->done = 0;
	node->paused_us = node->told_us = 0;
	ask_all(world, node);
	renew(world, (uintptr_t)node, node->life);
}

static bool are_siblings(const struct node *a, const struct node *b)
{
	return a != b && strcmp(a->name, b->name) == 0;
}

bool node_has_sibling(const struct world *world, const struct node *node)
{
	unsigned i;

	for (i = 0; i < world->options.nodes; i++) {
		if (are_siblings(&world->nodes[i], node) &&
		    world->nodes[i].cluster != NULL)
			return true;
	}
	return false;
}

/* The supervisor has told it who else is there. */
static void stands(struct world *world, uintptr_t node_p, uintptr_t life)
{
	struct node *node = (struct node *)node_p;

	if (node->cluster != NULL && node->life == life)
		node_write(world, node);
}

void node_kill(struct world *world, struct node *node)
{
	unsigned i;

	deliveries_end_all(world, node);
	end_process(node);
	for (i = 0; i < world->options.nodes; i++) {
		if (are_siblings(&world->nodes[i], node))
			world_at(world, world->now_us + world_about_us(world, 5),
				 stands, (uintptr_t)&world->nodes[i],
				 world->nodes[i].life);
	}
}

void node_stop(struct world *world, struct node *node)
{
	node->stopping = true;
	node_look(world, node);
}

void node_cut(struct world *world, struct node *node)
{
	node->cut = true;
	node->seen = 0;
	if (node->held)
		let_go(world, node);
}

void node_heal(struct world *world, struct node *node)
{
	if (node->cluster == NULL || !node->cut)
		return;
	node->cut = false;
	ask_all(world, node);
}

static void wakes(struct world *world, uintptr_t node_p, uintptr_t life)
{
	struct node *node = (struct node *)node_p;

	if (node->cluster == NULL || node->life != life)
		return;
	node->held = node->seen != 0;
	director_cluster_slept(node->cluster);
	node_vote(node);
	node_write(world, node);
	node_look(world, node);
}

void node_pause(struct world *world, struct node *node, uint64_t until_us)
{
	node->paused_us = until_us;
	world_at(world, until_us, wakes, (uintptr_t)node, node->life);
}
