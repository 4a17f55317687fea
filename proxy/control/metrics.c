/* What is counted: for Prometheus, and for people. */
#include <dirent.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "passdb/passdb.h"
#include "proxy/control/private.h"
#include "proxy/director/cluster.h"
#include "proxy/director/keeper.h"
#include "proxy/metrics.h"

#define OPENMETRICS "application/openmetrics-text"
#define OPENMETRICS_TYPE OPENMETRICS "; version=1.0.0; charset=utf-8"
#define TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* What a worker brings back: all that it has counted, in one piece. */
struct counted {
	struct worker_stats sessions;
	struct passdb_stats passdb[PASSDB_KINDS];
	struct local_stats local;
	struct remote_stats *backends;
	unsigned backend_count;
	uint64_t came_us;
};

static size_t names_size(const struct remote_stats_table *table)
{
	const struct list *node;
	size_t size = 0;

	for (node = table->list.next; node != &table->list; node = node->next)
		size += strlen(container_of(node, struct remote_stats, node)
				       ->name) + 1;
	return size;
}

/* With names of their own: the worker may be gone when they are shown. */
static void copy_backends(struct counted *counted,
			  const struct remote_stats_table *table)
{
	char *name = (char *)(counted->backends + table->count);
	const struct list *node;

	for (node = table->list.next; node != &table->list; node = node->next) {
		struct remote_stats *copy =
			&counted->backends[counted->backend_count++];

		*copy = *container_of(node, struct remote_stats, node);
		memcpy(name, copy->name, strlen(copy->name) + 1);
		copy->name = name;
		name += strlen(name) + 1;
	}
}

static void visit(struct gather_part *part)
{
	const struct worker *worker = part->worker;
	const struct remote_stats_table *table =
		remote_pool_stats(worker->pool);
	struct counted *counted =
		mem_alloc(sizeof(*counted) +
			  table->count * sizeof(*counted->backends) +
			  names_size(table));
	const struct list *node, *tmp;

	counted->came_us = clock_now_us();
	counted->sessions = worker->stats;
	counted->local = *local_queue_stats(worker->deliveries);
	memcpy(counted->passdb, worker->passdb_stats, sizeof(counted->passdb));
	list_each(&worker->views, node, tmp)
		passdb_count_waiting(
			container_of(node, struct worker_view, node)->passdb,
			counted->passdb);
	counted->backends = (struct remote_stats *)(counted + 1);
	copy_backends(counted, table);
	part->data = counted;
}

static void add(struct metrics *metrics, const struct counted *counted)
{
	unsigned i;

	worker_stats_merge(&metrics->sessions, &counted->sessions);
	local_stats_merge(&metrics->local.stats, &counted->local);
	for (i = 0; i < PASSDB_KINDS; i++)
		passdb_stats_merge(&metrics->passdb[i], &counted->passdb[i]);
	for (i = 0; i < counted->backend_count; i++)
		remote_stats_merge(
			remote_stats_find(&metrics->backends,
					  counted->backends[i].name),
			&counted->backends[i]);
}

static unsigned long count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned long count = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count > 3 ? count - 3 : 0; /* ".", "..", and its own */
}

static void fill_director(struct metrics_director *director,
			  const struct control *control)
{
	const struct director_state *state =
		director_keeper_state(control->env.keeper);
	unsigned i;

	if (state == NULL)
		return;
	director->is_there = true;
	director->generation = state->generation;
	for (i = 0; i < state->count; i++) {
		const struct director_backend *backend = &state->backends[i];

		if (director_backend_present(backend))
			director->backends[backend->admin][backend->sick]++;
	}
	director->moved_users = state->pins.count;
	director_users_count(control->env.set->users, &director->users,
			     &director->busy_users);
	director_users_shares(control->env.set->users, &director->shares);
}

static void count_node(void *arg, const struct director_cluster_node *node)
{
	struct metrics_cluster *cluster = arg;

	if (node->away)
		cluster->away++;
	else
		cluster->nodes++;
}

static void fill_cluster(struct metrics_cluster *metrics,
			 const struct control *control)
{
	struct cluster_node *node =
		director_keeper_cluster(control->env.keeper);
	struct director_cluster *cluster;

	if (node == NULL)
		return;
	cluster = cluster_node_cluster(node);
	*metrics = (struct metrics_cluster){
		.is_there = true,
		.in_step = cluster_node_problem(node) == NULL,
		.agreed = director_cluster_agreed(cluster),
		.same_config = director_cluster_same_config(cluster),
		.leads = director_cluster_leads(cluster),
		.serial = director_cluster_serial(cluster),
		.lost_ms = cluster_node_lost_ms(node),
		.doubted = director_cluster_doubted(cluster),
		.kept_lost = director_cluster_kept_lost(cluster),
	};
	director_cluster_nodes(cluster, count_node, metrics);
}

static void fill_answers(struct metrics *metrics, const struct control *control)
{
	unsigned kind;

	for (kind = 0; kind < ANSWER_KINDS; kind++)
		metrics->answers[kind] = answers_count(
			control->answers, (enum answer_kind)kind);
}

static void fill_process(struct metrics *metrics, const struct control *control)
{
	const struct worker_set *set = control->env.set;
	struct rlimit limit;

	metrics->workers = set->count;
	metrics->sessions_now = control_count_sessions(set);
	metrics->sessions_max = worker_set_room(set);
	metrics->has_cache = passdb_shared_cache_stats(
		control->env.source->shared, &metrics->cache);
	metrics->started_s = control->started_s;
	metrics->fds = count_fds();
	fill_director(&metrics->director, control);
	fill_cluster(&metrics->cluster, control);
	fill_answers(metrics, control);
	metrics->local.is_there = control->env.source->settings->local.enabled;
	crew_counts_read(set->counts, &metrics->local.crew);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		metrics->fds_max = limit.rlim_cur;
}

/* What the worker has counted; of one that does not answer, what it had when it
 * last did: a counter that falls looks like a process that is new. NULL: it has
 * never answered. */
static const struct counted *take_counted(struct control *control,
					  struct gather_part *part, unsigned i)
{
	if (control->counted == NULL)
		control->counted = mem_alloc(control->env.set->count *
					     sizeof(*control->counted));
	if (part->back) {
		mem_free(&control->counted[i]);
		control->counted[i] = part->data;
		part->data = NULL;
	}
	return control->counted[i];
}

void control_counted_drop(struct control *control)
{
	unsigned i;

	if (control->counted == NULL)
		return;
	for (i = 0; i < control->env.set->count; i++)
		mem_free(&control->counted[i]);
	mem_free(&control->counted);
}

/* Adds up all that was counted. */
static void collect(struct gather *gather, struct metrics *metrics)
{
	const struct control_call *call = gather->arg;
	const uint64_t *asked_us = gather->query;
	const struct counted *counted;
	uint64_t lag_us;
	unsigned i;

	remote_stats_init(&metrics->backends);
	fill_process(metrics, call->control);
	metrics->workers_missing = gather->missing;
	metrics->draining = call->control->standing.orders &
			    CONTROL_ORDER_DRAIN;
	for (i = 0; i < gather->count; i++) {
		counted = take_counted(call->control, &gather->parts[i], i);
		if (counted != NULL)
			add(metrics, counted);
		lag_us = (gather->parts[i].back ? counted->came_us : clock_now_us()) -
			 *asked_us;
		if (lag_us > metrics->lag_us)
			metrics->lag_us = lag_us;
	}
}

static void count(struct control_call *call,
		  void (*done)(struct gather *gather))
{
	struct gather *gather = control_gather(&call);
	uint64_t *asked_us;

	if (gather == NULL)
		return;
	asked_us = arena_alloc(gather->arena, sizeof(*asked_us));
	*asked_us = clock_now_us();
	gather->query = asked_us;
	gather->visit = visit;
	gather->done = done;
	gather->arg = call;
	gather_start(gather);
}

/* --- for Prometheus --- */

static void done_metrics(struct gather *gather)
{
	struct control_call *call = gather->arg;
	struct metrics *metrics = mem_new(struct metrics);
	const char *accept = http_head_field(&call->request->head, "Accept");
	bool openmetrics = accept != NULL &&
			   strstr(accept, OPENMETRICS) != NULL;

	collect(gather, metrics);
	metrics_write(&call->out, metrics, openmetrics);
	remote_stats_free(&metrics->backends);
	mem_free(&metrics);
	control_answer_text(&call, 200,
			    openmetrics ? OPENMETRICS_TYPE : TEXT_TYPE);
}

void control_metrics(struct control_call *call)
{
	count(call, done_metrics);
}

/* --- for people --- */

static void show_backend(struct json_writer *json,
			 const struct remote_stats *stats)
{
	uint64_t busy = stats->open - stats->idle;

	json_open_object(json, NULL);
	json_write_text(json, "backend", stats->name);
	json_write_number(json, "open", stats->open);
	json_write_number(json, "idle", stats->idle);
	json_write_number(json, "busy", busy);
	json_write_number(json, "waiting", stats->waiting);
	json_write_number(json, "connections", stats->connections);
	json_write_number(json, "failed_connections",
			  stats->failed_connections);
	json_write_number(json, "transactions", stats->transactions);
	json_write_number(json, "reused", stats->reused);
	json_write_seconds(json, "reuse_ratio",
			   stats->transactions > 0
				   ? stats->reused * 1000000 /
					     stats->transactions
				   : 0);
	json_close_object(json);
}

static void done_pool(struct gather *gather)
{
	struct control_call *call = gather->arg;
	struct metrics *metrics = mem_new(struct metrics);
	struct json_writer *json = &call->json;
	struct list *node, *tmp;

	collect(gather, metrics);
	json_open_object(json, NULL);
	json_open_array(json, "backends");
	list_each(&metrics->backends.list, node, tmp)
		show_backend(json,
			     container_of(node, struct remote_stats, node));
	json_close_array(json);
	json_write_number(json, "workers_missing", gather->missing);
	json_close_object(json);
	remote_stats_free(&metrics->backends);
	mem_free(&metrics);
	control_answer(&call);
}

void control_pool(struct control_call *call)
{
	count(call, done_pool);
}

static uint64_t count_class(const struct worker_stats *stats, unsigned class)
{
	uint64_t count = 0;
	unsigned i;

	for (i = 0; i < stats->outcome_count; i++) {
		if (stats->outcomes[i].class == class)
			count += stats->outcomes[i].count;
	}
	return count;
}

static void add_lookups(struct passdb_driver_stats *sum,
			const struct passdb_stats *stats)
{
	unsigned i;

	for (i = 0; i < PASSDB_STATS_DRIVERS; i++) {
		sum->found += stats->drivers[i].found +
			      stats->drivers[i].not_found;
		sum->failed += stats->drivers[i].failed;
		sum->waiting += stats->drivers[i].waiting;
	}
}

static void show_sums(struct json_writer *json, struct metrics *metrics)
{
	struct passdb_driver_stats lookups = { .found = 0 };
	struct remote_stats backends = { .open = 0 };
	struct list *node, *tmp;
	unsigned i;

	for (i = 0; i < PASSDB_KINDS; i++)
		add_lookups(&lookups, &metrics->passdb[i]);
	list_each(&metrics->backends.list, node, tmp)
		remote_stats_merge(&backends, container_of(node,
						struct remote_stats, node));
	json_write_number(json, "lookups", lookups.found + lookups.failed);
	json_write_number(json, "failed_lookups", lookups.failed);
	json_write_number(json, "waiting_lookups", lookups.waiting);
	json_write_number(json, "cached_lookups", metrics->cache.hits);
	json_write_number(json, "connections_open", backends.open);
	json_write_number(json, "connections_idle", backends.idle);
	json_write_number(json, "connections", backends.connections);
	json_write_number(json, "failed_connections",
			  backends.failed_connections);
	json_write_number(json, "waiting", backends.waiting);
}

static void done_stats(struct gather *gather)
{
	struct control_call *call = gather->arg;
	struct metrics *metrics = mem_new(struct metrics);
	const struct worker_stats *stats = &metrics->sessions;
	struct json_writer *json = &call->json;

	collect(gather, metrics);
	json_open_object(json, NULL);
	json_write_number(json, "sessions", metrics->sessions_now);
	json_write_number(json, "sessions_total", stats->sessions);
	json_write_number(json, "messages", stats->messages);
	json_write_number(json, "bytes", stats->bytes);
	json_write_number(json, "recipients_2xx", count_class(stats, 2));
	json_write_number(json, "recipients_4xx", count_class(stats, 4));
	json_write_number(json, "recipients_5xx", count_class(stats, 5));
	show_sums(json, metrics);
	json_close_object(json);
	remote_stats_free(&metrics->backends);
	mem_free(&metrics);
	control_answer(&call);
}

void control_stats(struct control_call *call)
{
	count(call, done_stats);
}
