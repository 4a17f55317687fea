/* Makes lookups as a worker of waypost does, without mail around them: the
 * passdbs of a configuration, on one loop.
 *
 *	lookup [-n in flight] [-w count] configuration count users
 *
 * Users are 00000001user@example.org and so on, again and again; each has to
 * be found, with a host. -n: lookups under way at the same time (1);
 * -w: lookups before those that are measured. Prints seconds, CPU seconds, and
 * of the cache: entries, bytes, hits during the measurement, and by how many
 * bytes the process grew for one entry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "passdb/shared.h"
#include "proxy/settings/settings.h"

struct bench {
	struct loop *loop;
	struct passdb *passdb;
	struct passdb_client client;
	struct log_ctx log;
	unsigned users, next; /* the next lookup's user */
	unsigned long left, under_way;
};

/* One lookup at a time, again and again. */
struct slot {
	struct bench *bench;
	struct passdb_request request;
	struct arena *arena;
	char user[32];
};

static void die(const char *what)
{
	log_flush();
	fprintf(stderr, "lookup: %s\n", what);
	exit(1);
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static long resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
		die("/proc/self/statm");
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

/* --- lookups --- */

/* As a transaction of one recipient: with an arena of its own. */
static void slot_start(struct slot *slot)
{
	struct bench *bench = slot->bench;

	bench->left--;
	bench->under_way++;
	snprintf(slot->user, sizeof(slot->user), "%08uuser@example.org",
		 bench->next + 1);
	bench->next = (bench->next + 1) % bench->users;
	slot->arena = arena_new(1024);
	slot->request.arena = slot->arena;
	slot->request.user = slot->user;
	passdb_lookup(bench->passdb, &slot->request);
}

static void slot_done(struct passdb_request *request)
{
	struct slot *slot = container_of(request, struct slot, request);
	struct bench *bench = slot->bench;

	if (request->result != PASSDB_OK ||
	    passdb_fields_get(&request->fields, "host") == NULL)
		die("a user was not found");
	arena_free(&slot->arena);
	bench->under_way--;
	if (bench->left > 0)
		slot_start(slot);
	else if (bench->under_way == 0)
		loop_stop(bench->loop);
}

static void run(struct bench *bench, struct slot *slots, unsigned in_flight,
		unsigned long count)
{
	unsigned i;

	bench->left = count;
	for (i = 0; i < in_flight && bench->left > 0; i++) {
		slots[i] = (struct slot){ .bench = bench };
		slots[i].request.client = &bench->client;
		slots[i].request.log = &bench->log;
		slots[i].request.done = slot_done;
		slot_start(&slots[i]);
	}
	if (count > 0)
		loop_run(bench->loop);
}

/* --- what they need --- */

static struct settings *read_settings(const char *path)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct conf_tree *tree = settings_read(path, &errors);
	struct settings *settings =
		tree != NULL ? settings_new(tree, &errors) : NULL;

	fputs(str_c(&errors.text), stderr);
	if (settings == NULL)
		die("the configuration is broken");
	conf_errors_free(&errors);
	return settings;
}

static void get_stats(const struct bench *bench,
		      struct passdb_cache_stats *stats)
{
	*stats = (struct passdb_cache_stats){ .entries = 0 };
	if (bench->passdb->shared->cache != NULL)
		passdb_cache_stats(bench->passdb->shared->cache, stats);
}

static void measure(struct bench *bench, unsigned in_flight,
		    unsigned long warm_up, unsigned long count)
{
	struct slot *slots = mem_alloc(in_flight * sizeof(*slots));
	struct passdb_cache_stats empty, before, after;
	double start, cpu;
	long grown;

	get_stats(bench, &empty);
	grown = -resident();
	run(bench, slots, in_flight, warm_up);
	grown += resident();
	get_stats(bench, &before);
	start = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	run(bench, slots, in_flight, count);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	start = seconds(CLOCK_MONOTONIC) - start;
	get_stats(bench, &after);
	printf("%.6f %.6f %u %zu %lu %ld\n", start, cpu, before.entries,
	       before.bytes - empty.bytes,
	       (unsigned long)(after.hits - before.hits),
	       before.entries > 0 ? grown / (long)before.entries : 0);
	mem_free(&slots);
}

static int usage(void)
{
	fputs("usage: lookup [-n in flight] [-w count] configuration count "
	      "users\n", stderr);
	return 64;
}

int main(int argc, char **argv)
{
	struct bench bench = { .loop = NULL };
	unsigned long warm_up = 0, count;
	struct passdb_shared *shared;
	unsigned in_flight = 1;
	struct settings *settings;
	struct dns *dns;
	struct err err;
	int c;

	while ((c = getopt(argc, argv, "n:w:")) != -1) {
		if (c == 'n')
			in_flight = (unsigned)atoi(optarg);
		else if (c == 'w')
			warm_up = strtoul(optarg, NULL, 10);
		else
			return usage();
	}
	if (argc - optind != 3 || in_flight == 0)
		return usage();
	count = strtoul(argv[optind + 1], NULL, 10);
	bench.users = (unsigned)atoi(argv[optind + 2]);
	if (count == 0 || bench.users == 0)
		return usage();
	passdb_setup();
	settings = read_settings(argv[optind]);
	bench.loop = loop_new();
	dns = dns_new(bench.loop, NULL, 10000, &err);
	shared = dns == NULL ? NULL : passdb_shared_new(
		bench.loop, &settings->passdb, &err);
	if (shared == NULL)
		die(err.text);
	bench.passdb = passdb_new(bench.loop, dns, shared);
	measure(&bench, in_flight, warm_up, count);
	passdb_free(&bench.passdb);
	passdb_shared_unref(&shared);
	dns_free(&dns);
	loop_free(&bench.loop);
	settings_unref(&settings);
	return 0;
}
