/* Keys of a cluster, as anybody may write them: lines "NAME VALUE" put a key, "NAME"
 * alone removes it, and "." has what was put settled. Whatever they are, a process
 * has its rules: what it routes by has the ids of what is wanted, and what it
 * writes is no more than a transaction holds. */
#include <stdlib.h>
#include <string.h>

#include "backends/director/cluster.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

#define PREFIX "/waypost/mail/"

static int64_t revision;

static void check_ids(const struct director_state *wanted,
		      const struct director_state *state)
{
	unsigned i;

	if (state == NULL)
		return;
	ASSERT(state->count == wanted->count);
	for (i = 0; i < state->count; i++)
		ASSERT(strcmp(state->backends[i].server.ip,
			      wanted->backends[i].server.ip) == 0 &&
		       strcmp(state->backends[i].server.tag,
			      wanted->backends[i].server.tag) == 0);
}

static void take_note(void *arg, const struct director_cluster_node *node)
{
	unsigned *count = arg;

	*count += (unsigned)strlen(node->node) > 0;
}

static void put(struct director_cluster *cluster, const char *name,
		const char *value)
{
	struct etcd_kv kv = {
		.key = { name, strlen(name) },
		.value = { value, strlen(value) },
		.create_revision = revision,
		.mod_revision = revision,
	};

	director_cluster_put(cluster, &kv);
}

/* As the store would: what was written is told. */
static void apply(struct director_cluster *cluster, const struct etcd_txn *txn)
{
	size_t i;

	ASSERT(txn->op_count > 0 && txn->op_count <= ETCD_MAX_OPS);
	ASSERT(txn->compare_count <= ETCD_MAX_OPS);
	revision++;
	for (i = 0; i < txn->op_count; i++) {
		if (txn->ops[i].delete)
			director_cluster_gone(cluster, txn->ops[i].key);
		else
			put(cluster, txn->ops[i].key.data,
			    txn->ops[i].value.data);
	}
}

static void change(struct director_cluster *cluster, struct arena *arena)
{
	struct director_state draft;
	struct etcd_txn txn;

	director_cluster_draft(cluster, &draft);
	if (draft.count > 0)
		director_state_set_weight(&draft, &draft.backends[0], 7, "x", 1);
	director_cluster_change(cluster, &draft, arena, &txn);
	ASSERT(draft.count == 0 || txn.op_count > 0);
	ASSERT(txn.op_count == txn.compare_count);
	director_state_free(&draft);
}

static void settle(struct director_cluster *cluster,
		   const struct director_state *wanted)
{
	struct arena *arena = arena_new(1024);
	struct err err = { "" };
	struct etcd_txn txn;
	unsigned i, nodes = 0;
	int ret = director_cluster_settled(cluster, &err);

	ASSERT((ret < 0) == (err.text[0] != '\0'));
	check_ids(wanted, director_cluster_now(cluster));
	check_ids(wanted, director_cluster_before(cluster));
	director_cluster_nodes(cluster, take_note, &nodes);
	director_cluster_in_force(cluster);
	if (wanted->count > 0)
		director_cluster_vote(cluster, 0, "dead", 1);
	if (director_cluster_now(cluster) != NULL)
		director_cluster_done(cluster, director_cluster_serial(cluster));
	for (i = 0; i < 4 && director_cluster_next(cluster, arena, &txn); i++) {
		apply(cluster, &txn);
		director_cluster_settled(cluster, &err);
	}
	change(cluster, arena);
	arena_free(&arena);
}

static void take_line(struct director_cluster *cluster, char *line,
		      const struct director_state *wanted)
{
	char *blank = strchr(line, ' ');
	char name[256] = PREFIX;

	if (strcmp(line, ".") == 0) {
		settle(cluster, wanted);
		return;
	}
	if (blank != NULL)
		*blank = '\0';
	strncat(name, line, sizeof(name) - strlen(name) - 1);
	revision++;
	if (blank != NULL)
		put(cluster, name, blank + 1);
	else
		director_cluster_gone(cluster, (struct etcd_bytes){
					name, strlen(name) });
}

static bool nobody_lives(void *arg, const char *process)
{
	(void)arg;
	(void)process;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct director_cluster_self self = {
		PREFIX, "a", "1", "h", "1", 1,
	};
	struct director_state wanted;
	struct director_cluster *cluster;
	struct arena *arena = arena_new(1024);
	char *text = arena_strndup(arena, (const char *)data, size), *line;
	static const struct director_servers servers = { NULL, 0 };

	revision = 1;
	director_state_init(&wanted);
	cluster = director_cluster_new(&self, &wanted);
	director_cluster_set_lease(cluster, 1);
	director_cluster_configure(cluster, &servers);
	if (size % 2 > 0)
		director_cluster_set_lives(cluster, nobody_lives, NULL);
	while ((line = strsep(&text, "\n")) != NULL)
		take_line(cluster, line, &wanted);
	settle(cluster, &wanted);
	director_cluster_free(&cluster);
	director_state_free(&wanted);
	arena_free(&arena);
	return 0;
}
