/* The store and the nodes of a simulated cluster, as proxy/director_cluster.c and
 * proxy/director_keeper.c let them speak. */
#include "bench/cluster_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/panic.h"

#define PREFIX "/waypost/sim/"
#define LEASE_US UINT64_C(10000000) /* cluster_lease_time */
#define RETRY_US UINT64_C(50000)
#define MOVED_SAMPLE 50000

/* --- time and chance --- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint64_t world_random(struct world *world, uint64_t below)
{
	world->random += UINT64_C(0x9e3779b97f4a7c15);
	return mix(world->random) % below;
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

static double cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- what is on its way --- */

/* To a process of a node, or from it. */
struct message {
	struct arena *arena;
	struct node *node;
	unsigned life;
	struct etcd_txn txn;
	int64_t revision, lease;
	bool done, goes;
	struct etcd_store *copy; /* of all keys */
};

static struct message *message_new(struct node *node)
{
	struct arena *arena = arena_new(512);
	struct message *message = arena_new_struct(arena, struct message);

	message->arena = arena;
	message->node = node;
	message->life = node->life;
	return message;
}

static void message_free(struct message *message)
{
	struct arena *arena = message->arena;

	if (message->copy != NULL) {
		etcd_store_free(message->copy);
		mem_free(&message->copy);
	}
	arena_free(&arena);
}

/* It is still the same process, and can be reached. */
static bool arrives(const struct message *message)
{
	const struct node *node = message->node;

	return node->cluster != NULL && node->life == message->life &&
	       !node->cut;
}

static void to_store(struct world *world, struct message *message, event_fn *fn)
{
	world_at(world, world->now_us +
			world_about_us(world, world->options.delay_ms),
		 fn, (uintptr_t)message, 0);
}

/* In the order of sending. */
static void to_node(struct world *world, struct message *message, event_fn *fn)
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
static bool is_put_off(struct world *world, struct message *message,
		       event_fn *fn)
{
	if (message->node->paused_us <= world->now_us)
		return false;
	world_at(world, message->node->paused_us, fn, (uintptr_t)message, 0);
	return true;
}

/* --- the store --- */

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

static void told(struct world *world, uintptr_t message_p, uintptr_t unused);

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
static void tell_nodes(struct world *world, int64_t before)
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
		to_node(world, message, told);
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
	tell_nodes(world, before);
}

static int64_t grant(struct world *world)
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

/* --- a node and its lease --- */

static void node_write(struct world *world, struct node *node);

static void renewed(struct world *world, uintptr_t message_p, uintptr_t unused)
{
	struct message *message = (struct message *)message_p;
	struct node *node = message->node;

	(void)unused;
	if (is_put_off(world, message, renewed))
		return;
	if (arrives(message)) {
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
	if (!arrives(message)) {
		message_free(message);
		return;
	}
	if (etcd_store_has_lease(&world->store, message->lease))
		world->lease_ends_us[message->lease] = world->now_us + LEASE_US;
	else
		message->lease = grant(world);
	to_node(world, message, renewed);
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
	to_store(world, message, renew_at_store);
}

/* --- a node writes --- */

static void written(struct world *world, uintptr_t message_p, uintptr_t unused);

static void write_at_store(struct world *world, uintptr_t message_p,
			   uintptr_t unused)
{
	struct message *message = (struct message *)message_p;
	int64_t before = world->store.revision;

	(void)unused;
	if (!arrives(message)) {
		message_free(message);
		return;
	}
	message->done = etcd_store_txn(&world->store, &message->txn);
	message->revision = world->store.revision;
	tell_nodes(world, before);
	to_node(world, message, written);
}

static void end_process(struct node *node)
{
	node->life++;
	director_cluster_free(&node->cluster);
	director_state_free(&node->wanted);
	route_free(&node->now);
	route_free(&node->before);
	node->known = node->cut = node->stopping = false;
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
	tell_nodes(world, before);
	world_at(world, world->now_us + world_about_us(world, 4000), restart,
		 (uintptr_t)node, 0);
}

static void written(struct world *world, uintptr_t message_p, uintptr_t unused)
{
	struct message *message = (struct message *)message_p;
	struct node *node = message->node;

	(void)unused;
	if (is_put_off(world, message, written))
		return;
	if (arrives(message) && message->goes) {
		said_goodbye(world, node);
	} else if (arrives(message)) {
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

static void node_write(struct world *world, struct node *node)
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
	to_store(world, message, write_at_store);
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
		moved += find_place(&node->before, mix(i + 1)) !=
			 find_place(&node->now, mix(i + 1));
	world->figures.moved += (double)moved / MOVED_SAMPLE;
	world->figures.had_to += least_moved(world, node);
}

static void vote(struct node *node)
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
	double begin = cpu_s();

	if (now == NULL ||
	    (node->known &&
	     node->revision == director_cluster_revision(node->cluster)))
		return;
	node->known = true;
	node->revision = director_cluster_revision(node->cluster);
	route_make(&node->now, now, world->options.method);
	route_make(&node->before, director_cluster_before(node->cluster),
		   world->options.method);
	world->figures.route_s += cpu_s() - begin;
	count_moved(world, node);
	deliveries_look(world, node);
}

static void heard(struct world *world, struct node *node)
{
	vote(node);
	use_view(world, node);
	node_look(world, node);
	if (node->cluster != NULL)
		node_write(world, node);
}

static void told(struct world *world, uintptr_t message_p, uintptr_t unused)
{
	struct message *message = (struct message *)message_p;
	struct node *node = message->node;
	struct err err = { "" };
	double begin = cpu_s();

	(void)unused;
	if (is_put_off(world, message, told))
		return;
	if (arrives(message) && (message->copy != NULL ||
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
	if (!arrives(message)) {
		message_free(message);
		return;
	}
	message->copy = mem_new(struct etcd_store);
	copy_keys(message->copy, &world->store);
	message->revision = world->store.revision;
	to_node(world, message, told);
}

static void ask_all(struct world *world, struct node *node)
{
	node->seen = node->awaited = 0;
	node->writing = node->renewing = false;
	to_store(world, message_new(node), ask_at_store);
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
	director_cluster_leave(node->cluster, true, message->arena, &message->txn);
	to_store(world, message, write_at_store);
}

void node_start(struct world *world, struct node *node)
{
	if (node->cluster != NULL)
		return;
	snprintf(node->process, sizeof(node->process), "%u", node->life);
	node->self = (struct director_cluster_self){
		PREFIX, node->name, node->process, "hash", "1.0",
	};
	director_state_init(&node->wanted);
	node->cluster = director_cluster_new(&node->self, &node->wanted);
	director_cluster_configure(node->cluster, &world->servers);
	node->lease = 0;
	node->revision = 0;
	node->done = 0;
	node->paused_us = node->told_us = 0;
	ask_all(world, node);
	renew(world, (uintptr_t)node, node->life);
}

void node_kill(struct world *world, struct node *node)
{
	deliveries_end_all(world, node);
	end_process(node);
}

void node_stop(struct world *world, struct node *node)
{
	node->stopping = true;
	node_look(world, node);
}

void node_cut(struct world *world, struct node *node)
{
	(void)world;
	node->cut = true;
	node->seen = 0;
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
	node_write(world, node);
	node_look(world, node);
}

void node_pause(struct world *world, struct node *node, uint64_t until_us)
{
	node->paused_us = until_us;
	world_at(world, until_us, wakes, (uintptr_t)node, node->life);
}

/* --- what happens to servers --- */

static void probed(struct world *world, uintptr_t node_p, uintptr_t place)
{
	struct node *node = (struct node *)node_p;
	bool dead = !world->backends[place].alive;

	if (node->dead[place] == dead)
		return;
	node->dead[place] = dead;
	if (node->cluster == NULL || node->seen == 0 ||
	    node->paused_us > world->now_us)
		return;
	vote(node);
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
	if (arrives(message))
		etcd_store_txn(&world->store, &message->txn);
	tell_nodes(world, before);
	message_free(message);
}

void node_change(struct world *world, struct node *node,
		 const struct director_state *draft)
{
	struct message *message = message_new(node);

	director_cluster_change(node->cluster, draft, message->arena,
				&message->txn);
	to_store(world, message, changed_at_store);
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
		snprintf(node->name, sizeof(node->name), "mx%u", i);
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
