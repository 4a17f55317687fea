#include "backends/remote/stats.h"

#include <string.h>

#include "lib/mem.h"

void remote_stats_init(struct remote_stats_table *table)
{
	list_init(&table->list);
	table->count = 0;
}

void remote_stats_free(struct remote_stats_table *table)
{
	struct list *node, *tmp;

	list_each(&table->list, node, tmp) {
		struct remote_stats *stats =
			container_of(node, struct remote_stats, node);
		char *name = (char *)stats->name;

		list_remove(node);
		mem_free(&name);
		mem_free(&stats);
	}
}

struct remote_stats *remote_stats_find(struct remote_stats_table *table,
				       const char *name)
{
	struct list *node, *tmp;
	struct remote_stats *stats;

	list_each(&table->list, node, tmp) {
		stats = container_of(node, struct remote_stats, node);
		if (strcmp(stats->name, name) == 0)
			return stats;
	}
	if (table->count >= REMOTE_STATS_MAX && strcmp(name, "other") != 0)
		return remote_stats_find(table, "other");
	stats = mem_new(struct remote_stats);
	stats->name = mem_strdup(name);
	list_append(&table->list, &stats->node);
	table->count++;
	return stats;
}

void remote_stats_merge(struct remote_stats *stats,
			const struct remote_stats *other)
{
	stats->connections += other->connections;
	stats->failed_connections += other->failed_connections;
	stats->reused += other->reused;
	stats->transactions += other->transactions;
	histogram_merge(&stats->dns, &other->dns);
	histogram_merge(&stats->connect, &other->connect);
	histogram_merge(&stats->tls, &other->tls);
	histogram_merge(&stats->rcpt, &other->rcpt);
	histogram_merge(&stats->data, &other->data);
	stats->open += other->open;
	stats->idle += other->idle;
	stats->waiting += other->waiting;
}
