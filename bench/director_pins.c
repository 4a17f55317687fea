/* What users who were moved by hand cost a process of a cluster, with a thousand
 * servers: CPU time of one thread, and the size of the view. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/director/cluster.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "t/etcd_store.h"

#define PREFIX "/waypost/bench/"
#define SERVERS 1000

struct process {
	struct director_state wanted;
	struct director_cluster *cluster;
	struct etcd_store store;
	struct arena *arena;
	int64_t seen;
};

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static struct director_servers make_servers(struct arena *arena)
{
	struct director_server *list =
		arena_alloc(arena, SERVERS * sizeof(*list));
	unsigned i;

	for (i = 0; i < SERVERS; i++) {
		list[i].ip = arena_printf(arena, "10.0.%u.%u", i >> 8, i & 255);
		addr_parse_ip(&list[i].addr, list[i].ip, 0);
		list[i].tag = "";
		list[i].weight = DIRECTOR_WEIGHT;
		list[i].way.port = 24;
	}
	return (struct director_servers){ list, SERVERS };
}

static void hear(struct process *process)
{
	struct err err = { "" };
	int ret = process->seen == 0
			  ? etcd_store_tell_all(&process->store,
						process->cluster, &err)
			  : etcd_store_tell(&process->store, process->cluster,
					    process->seen,
					    process->store.revision, &err);

	ASSERT(ret == 0);
	process->seen = process->store.revision;
	if (director_cluster_now(process->cluster) != NULL)
		director_cluster_done(process->cluster,
				      director_cluster_serial(process->cluster));
}

static void settle(struct process *process)
{
	struct etcd_txn txn;

	hear(process);
	while (director_cluster_next(process->cluster, process->arena, &txn)) {
		etcd_store_txn(&process->store, &txn);
		hear(process);
	}
}

static void start(struct process *process)
{
	static const struct director_cluster_self self = {
		PREFIX, "n", "1", "hash", "1.0", 1,
	};
	struct director_servers servers;

	*process = (struct process){ .arena = arena_new(65536) };
	servers = make_servers(process->arena);
	etcd_store_init(&process->store);
	director_state_init(&process->wanted);
	process->cluster = director_cluster_new(&self, &process->wanted);
	director_cluster_set_lease(process->cluster,
				   etcd_store_grant(&process->store));
	director_cluster_configure(process->cluster, &servers);
	settle(process);
}

static void end(struct process *process)
{
	director_cluster_free(&process->cluster);
	director_state_free(&process->wanted);
	etcd_store_free(&process->store);
	arena_free(&process->arena);
}

static uint64_t key_of(unsigned i)
{
	return (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15);
}

static void write_parts(struct process *process, const struct etcd_txn *txn)
{
	size_t pos, count;

	for (pos = 0; pos < txn->op_count; pos += count) {
		struct etcd_txn part = *txn;

		count = txn->op_count - pos < ETCD_MAX_OPS
				? txn->op_count - pos : ETCD_MAX_OPS;
		part.compares += pos;
		part.ops += pos;
		part.compare_count = part.op_count = count;
		etcd_store_txn(&process->store, &part);
	}
}

/* What an administrator does: the users from first to last are moved. */
static void move_users(struct process *process, unsigned first, unsigned last)
{
	struct director_state draft;
	struct etcd_txn txn;
	unsigned i;

	director_cluster_draft(process->cluster, &draft);
	for (i = first; i < last; i++)
		director_state_pin(&draft, key_of(i), "somebody@example.org",
				   &draft.backends[i % SERVERS], 0, "admin", 1);
	director_cluster_change(process->cluster, &draft, process->arena, &txn);
	director_state_free(&draft);
	write_parts(process, &txn);
}

static double view_kib(const struct process *process)
{
	return (double)strlen(etcd_store_find(&process->store,
					      PREFIX "view")->value) / 1024;
}

static void measure(unsigned pins)
{
	struct process process;
	double begin, moved, heard, loading, loaded;
	struct err err;

	start(&process);
	move_users(&process, 0, pins);
	settle(&process);
	begin = now_ms();
	move_users(&process, pins, pins + 1);
	moved = now_ms();
	hear(&process);
	heard = now_ms();
	settle(&process);
	printf("| %5u | %.2f | %.2f | %.2f |", pins, moved - begin,
	       heard - moved, now_ms() - heard);
	loading = now_ms();
	etcd_store_load(&process.store, process.cluster);
	loaded = now_ms();
	ASSERT(director_cluster_settled(process.cluster, &err) == 0);
	printf(" %.1f | %.1f | %.0f |\n", loaded - loading, now_ms() - loaded,
	       view_kib(&process));
	end(&process);
}

int main(void)
{
	static const unsigned counts[] = { 0, 100, 1000, DIRECTOR_MAX_PINS };
	unsigned i;

	puts("\n| moved users | ms for the change of one more | to hear of it | "
	     "to write and read the views | to read all keys, page by page | and then in one go | KiB of the view |\n"
	     "| --- | --- | --- | --- | --- | --- | --- |");
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		measure(counts[i]);
	return EXIT_SUCCESS;
}
