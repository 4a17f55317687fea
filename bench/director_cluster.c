/* Simulates clusters of directors: nodes that come, go, hang and are cut off,
 * servers that die and return, and what administrators change, all under
 * deliveries; and prints how even users are spread, what moved, how long it took
 * to agree, what it cost, and whether a user was ever at two servers that were
 * alive. The same seed gives the same. */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/cluster_world.h"
#include "lib/mem.h"
#include "lib/panic.h"

#define SECOND UINT64_C(1000000)

/* --- what happens --- */

static void revive(struct world *world, uintptr_t place, uintptr_t unused)
{
	(void)unused;
	if (!world->backends[place].alive)
		backend_live(world, (unsigned)place);
}

static void kill_backend(struct world *world)
{
	unsigned place = (unsigned)world_random(world, world->options.backends);

	if (!world->backends[place].alive || world->options.backends == 1)
		return;
	backend_die(world, place, world_random(world, 2) > 0);
	world_at(world, world->now_us + world_about_us(world, 20000), revive,
		 place, 0);
}

static void start_again(struct world *world, uintptr_t node, uintptr_t unused)
{
	(void)unused;
	node_start(world, (struct node *)node);
}

static void heal(struct world *world, uintptr_t node, uintptr_t life)
{
	if (((struct node *)node)->life == life)
		node_heal(world, (struct node *)node);
}

/* Mostly one at a time. */
static struct node *victim(struct world *world)
{
	struct node *node = &world->nodes[world_random(world,
						world->options.nodes)];

	if (!world_is_well(world) && world_random(world, 4) > 0)
		return NULL;
	return node->cluster != NULL && !node->cut && !node->stopping &&
			       node->paused_us <= world->now_us
		       ? node : NULL;
}

static void cut_off(struct world *world, struct node *node, uint64_t until_us)
{
	if (node->cluster == NULL || node->cut || node->stopping ||
	    node->paused_us > world->now_us)
		return;
	node_cut(world, node);
	world_at(world, until_us + world_about_us(world, 100), heal,
		 (uintptr_t)node, node->life);
}

static void lose_store(struct world *world, uint64_t until_us)
{
	unsigned i;

	for (i = 0; i < world->options.nodes; i++)
		cut_off(world, &world->nodes[i], until_us);
}

static void hurt_node(struct world *world)
{
	struct node *node = victim(world);
	uint64_t until_us = world->now_us + world_about_us(world, 15000);

	if (node == NULL)
		return;
	switch (world_random(world, 6)) {
	case 0:
		node_kill(world, node);
		world_at(world, until_us, start_again, (uintptr_t)node, 0);
		break;
	case 1:
		cut_off(world, node, until_us);
		break;
	case 2:
		cut_off(world, node, until_us + world_about_us(world, 30000));
		break;
	case 3:
		lose_store(world, until_us);
		break;
	case 4:
		node_pause(world, node, until_us);
		break;
	default:
		node_stop(world, node);
	}
}

static void change_backend(struct world *world, struct director_state *draft,
			   struct director_backend *backend)
{
	uint64_t what = world_random(world, 3);

	if (what == 0)
		director_state_set_admin(draft, backend, DIRECTOR_UP, "x", 1);
	else if (what == 1)
		director_state_set_admin(draft, backend,
					 world_random(world, 2) > 0
						 ? DIRECTOR_DRAIN
						 : DIRECTOR_DOWN, "x", 1);
	else
		director_state_set_weight(
			draft, backend,
			50 + (unsigned)world_random(world, 101), "x", 1);
}

static void move_users(struct world *world, struct director_state *draft,
		       struct director_backend *backend)
{
	unsigned i;

	for (i = 0; i < 10; i++) {
		uint64_t user = world->users[world_random(world,
							world->user_count)];

		if (!director_state_unpin(draft, user))
			director_state_pin(draft, user, "u", backend, 0, "x", 1);
	}
}

static void administer(struct world *world)
{
	struct node *node = world_any_in_step(world);
	struct director_backend *backend;
	struct director_state draft;

	if (node == NULL)
		return;
	director_cluster_draft(node->cluster, &draft);
	if (draft.count > 0) {
		backend = &draft.backends[world_random(world, draft.count)];
		if (world_random(world, 4) > 0)
			change_backend(world, &draft, backend);
		else
			move_users(world, &draft, backend);
		node_change(world, node, &draft);
	}
	director_state_free(&draft);
}

/* Another number of servers in the configuration. */
static void configure(struct world *world)
{
	struct node *node = world_any_in_step(world);
	unsigned count = world->options.backends;

	if (node != NULL)
		node_configure(world, node, count - (unsigned)world_random(
						world, count / 10 + 1));
}

static void play_round(struct world *world)
{
	uint64_t what = world_random(world, 10);

	if (what < 3 && !world->options.steady)
		kill_backend(world);
	else if (what < 6 && !world->options.steady)
		hurt_node(world);
	else if (what == 6)
		configure(world);
	else
		administer(world);
	world_run(world, world->now_us + 2 * SECOND +
				 world_random(world, 15 * SECOND));
}

/* --- what came of it --- */

static bool is_settled(struct world *world)
{
	unsigned i;

	if (!world_is_well(world))
		return false;
	for (i = 0; i < world->options.nodes; i++) {
		const struct director_cluster *cluster =
			world->nodes[i].cluster;

		if (!director_cluster_agreed(cluster) ||
		    !director_cluster_in_force(cluster) ||
		    director_cluster_serial(cluster) != world->serial)
			return false;
	}
	return true;
}

static bool settles(struct world *world)
{
	unsigned i;

	for (i = 0; i < 300 && !is_settled(world); i++)
		world_run(world, world->now_us + SECOND);
	return is_settled(world);
}

/* What was put off comes meanwhile: a move that is over, a lease. */
static bool come_to_rest(struct world *world)
{
	settles(world);
	world_run(world, world->now_us + 40 * SECOND);
	world->resting = true;
	return settles(world);
}

/* The largest share of a server, of what its weight says. */
static double spread(const struct world *world)
{
	const struct route *route = &world->nodes[0].now;
	unsigned *got = mem_alloc(route->count * sizeof(*got)), i;
	double sum = 0, most = 0;
	uint64_t user;

	for (user = 0; user < world->options.users; user++) {
		const struct director_server *server = director_map_find(
			route->map, "", world_mix(user + 1));

		if (server != NULL)
			got[server->id]++;
	}
	for (i = 0; i < route->servers.count; i++)
		sum += route->servers.list[i].weight;
	for (i = 0; i < route->servers.count; i++) {
		const struct director_server *server = &route->servers.list[i];
		double share = got[server->id] * sum /
			       ((double)world->options.users * server->weight);

		if (server->weight > 0 && share > most)
			most = share;
	}
	mem_free(&got);
	return most;
}

static int by_size(const void *a_p, const void *b_p)
{
	const uint64_t *a = a_p, *b = b_p;

	return *a < *b ? -1 : *a > *b;
}

static double agree_ms(const struct figures *figures, double part)
{
	if (figures->agreed == 0)
		return 0;
	qsort(figures->agree_us, figures->agreed, sizeof(uint64_t), by_size);
	return (double)figures->agree_us[(size_t)((figures->agreed - 1) *
						  part)] / 1000;
}

/* Of one node: its cluster, the maps, without the table of users. */
static double node_bytes(struct world *world)
{
	size_t before = mallinfo2().uordblks;

	world->resting = true;
	director_cluster_free(&world->nodes[0].cluster);
	director_state_free(&world->nodes[0].wanted);
	route_free(&world->nodes[0].now);
	route_free(&world->nodes[0].before);
	world->nodes[0].known = false;
	return (double)(before - mallinfo2().uordblks);
}

static void print_head(void)
{
	puts("| nodes | servers | director_hash | views | deliveries | waited | "
	     "longest wait, s | refused | two servers | max/mean | moved/least | "
	     "ms to agree, median | worst | writes | KB written | ms CPU of a "
	     "node | of that the map | KB of a node |\n"
	     "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- "
	     "| --- | --- | --- | --- | --- | --- | --- |");
}

static void print_row(struct world *world)
{
	const struct options *options = &world->options;
	struct figures *figures = &world->figures;
	double views = figures->views > 0 ? figures->views : 1;
	double turns = views * options->nodes;
	double even = spread(world);

	printf("| %u | %u | %s | %u | %llu | %llu | %.1f | %llu | %llu | %.3f | "
	       "%.2f | %.1f | %.0f | %.1f | %.1f | %.2f | %.2f | %.0f |\n",
	       options->nodes, options->backends,
	       options->method == DIRECTOR_MD5_RING ? "md5-ring" : "rendezvous",
	       figures->views, (unsigned long long)figures->deliveries,
	       (unsigned long long)figures->waited,
	       (double)figures->longest_wait_us / 1e6,
	       (unsigned long long)(figures->refused + figures->timeouts),
	       (unsigned long long)figures->broken, even,
	       figures->had_to > 0 ? figures->moved / figures->had_to : 1.0,
	       agree_ms(figures, 0.5), agree_ms(figures, 1),
	       (double)world->store.writes / views,
	       (double)world->store.bytes / views / 1024,
	       (figures->settle_s + figures->next_s + figures->route_s) * 1e3 /
		       turns,
	       figures->route_s * 1e3 / turns, node_bytes(world) / 1024);
}

/* Whether all was as it has to be. */
static bool simulate(const struct options *options)
{
	struct world *world = mem_new(struct world);
	bool settled, broken;
	unsigned i;

	world_init(world, options);
	world_run(world, 20 * SECOND);
	for (i = 0; i < options->rounds; i++)
		play_round(world);
	settled = come_to_rest(world);
	broken = world->figures.broken > 0;
	if (!settled)
		printf("NOT SETTLED: seed %llu, view %llu\n",
		       (unsigned long long)options->seed,
		       (unsigned long long)world->serial);
	else
		print_row(world);
	fflush(stdout);
	world_free(world);
	mem_free(&world);
	return settled && !broken;
}

/* --- options --- */

static unsigned number(const char *name, unsigned least, unsigned most)
{
	char *end;
	unsigned long value = strtoul(optarg, &end, 10);

	if (*end != '\0' || value < least || value > most) {
		fprintf(stderr, "--%s %s: not from %u to %u\n", name, optarg,
			least, most);
		exit(2);
	}
	return (unsigned)value;
}

static bool table(struct options options)
{
	static const unsigned nodes[] = { 1, 3, 16 };
	static const unsigned backends[] = { 10, 100, 1000 };
	static const enum director_method methods[] = {
		DIRECTOR_RENDEZVOUS, DIRECTOR_MD5_RING,
	};
	bool fine = true;
	unsigned i;

	for (i = 0; i < 18; i++) {
		options.method = methods[i / 9];
		options.nodes = nodes[i / 3 % 3];
		options.backends = backends[i % 3];
		fine &= simulate(&options);
	}
	return fine;
}

static int usage(void)
{
	fputs("usage: director_cluster [--seed N] [--nodes 1..16] [--backends N] "
	      "[--users N]\n\t[--rounds N] [--busy N] [--delay MS] "
	      "[--delivery MS] [--md5-ring] [--steady]\n\t[--pairs] [--runs N] "
	      "[--table]\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "seed", 1, NULL, 's' }, { "nodes", 1, NULL, 'n' },
		{ "backends", 1, NULL, 'b' }, { "users", 1, NULL, 'u' },
		{ "rounds", 1, NULL, 'r' }, { "busy", 1, NULL, 'y' },
		{ "delay", 1, NULL, 'd' }, { "delivery", 1, NULL, 'l' },
		{ "md5-ring", 0, NULL, 'm' }, { "steady", 0, NULL, 'q' },
		{ "pairs", 0, NULL, 'p' }, { "runs", 1, NULL, 'N' },
		{ "table", 0, NULL, 't' }, { NULL, 0, NULL, 0 },
	};
	struct options options = {
		.seed = 1, .nodes = 3, .backends = 10, .rounds = 60,
		.busy = 10000, .delay_ms = 2, .delivery_ms = 1000,
		.users = 10000000, .method = DIRECTOR_RENDEZVOUS,
	};
	bool all = false, fine = true;
	unsigned runs = 1;
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 's': options.seed = number("seed", 0, UINT32_MAX); break;
		case 'n': options.nodes = number("nodes", 1, MAX_NODES); break;
		case 'b': options.backends = number("backends", 1, 4000); break;
		case 'u': options.users = number("users", 1, 100000000); break;
		case 'r': options.rounds = number("rounds", 0, 100000); break;
		case 'y': options.busy = number("busy", 1, 1000000); break;
		case 'd': options.delay_ms = number("delay", 0, 1000); break;
		case 'l': options.delivery_ms = number("delivery", 1, 60000); break;
		case 'm': options.method = DIRECTOR_MD5_RING; break;
		case 'q': options.steady = true; break;
		case 'p': options.pairs = true; break;
		case 'N': runs = number("runs", 1, 100000); break;
		case 't': all = true; break;
		default: return usage();
		}
	}
	if (optind < argc)
		return usage();
	print_head();
	if (all)
		fine = table(options);
	for (; !all && runs > 0; runs--, options.seed++)
		fine &= simulate(&options);
	return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
