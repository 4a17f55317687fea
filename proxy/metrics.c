#include "proxy/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "config.h"
#include "backends/director/state.h"
#include "lib/mem.h"
#include "lib/utf8.h"

/* --- the language --- */

struct page {
	struct str *out;
	bool openmetrics; /* else Prometheus' older text format */
};

/* type: "counter", "gauge", "histogram", "info". */
static void family(struct page *page, const char *name, const char *type,
		   const char *unit, const char *help)
{
	const char *suffix = "";

	/* Before OpenMetrics a family's name was that of its samples. */
	if (!page->openmetrics && strcmp(type, "counter") == 0)
		suffix = "_total";
	if (!page->openmetrics && strcmp(type, "info") == 0) {
		suffix = "_info";
		type = "gauge";
	}
	str_printf(page->out, "# TYPE %s%s %s\n", name, suffix, type);
	if (unit != NULL && page->openmetrics)
		str_printf(page->out, "# UNIT %s %s\n", name, unit);
	str_printf(page->out, "# HELP %s%s %s\n", name, suffix, help);
}

/* A label's value: a backend's name is from outside. Different ones stay different,
 * or there would be two samples for the same labels. */
static void put_value(struct str *out, const char *text)
{
	size_t len = strlen(text), step;
	const char *end = text + len;

	for (; text < end; text += step) {
		step = utf8_char_len(text, (size_t)(end - text));
		if (step > 1) {
			str_append(out, text, step);
			continue;
		}
		if (step == 0 || *text == '\\' || *text == 0x7f ||
		    (unsigned char)*text < 0x20)
			str_printf(out, "\\\\x%02x", (unsigned char)*text);
		else if (*text == '"')
			str_puts(out, "\\\"");
		else
			str_putc(out, *text);
		step = 1;
	}
}

static void label(struct str *out, const char *name, const char *value)
{
	str_printf(out, "%s=\"", name);
	put_value(out, value);
	str_putc(out, '"');
}

static void number(struct str *out, uint64_t value)
{
	str_printf(out, " %" PRIu64 "\n", value);
}

static void put_seconds(struct str *out, uint64_t time_us)
{
	str_printf(out, "%" PRIu64 ".%06" PRIu64, time_us / 1000000,
		   time_us % 1000000);
}

/* One value without labels. */
static void counter(struct page *page, const char *name, const char *unit,
		    const char *help, uint64_t value)
{
	family(page, name, "counter", unit, help);
	str_printf(page->out, "%s_total", name);
	number(page->out, value);
}

static void gauge(struct page *page, const char *name, const char *unit,
		  const char *help, uint64_t value)
{
	family(page, name, "gauge", unit, help);
	str_puts(page->out, name);
	number(page->out, value);
}

/* As OpenMetrics has the numbers of labels: 1 is "1.0". */
static void put_bound(struct str *out, uint64_t bound_us)
{
	const char *fraction = bound_us % 1000000 == 0 ? ".0" : "";

	str_printf(out, "%g%s", (double)bound_us / 1e6, fraction);
}

/* The buckets of one histogram; labels: without braces. */
static void buckets(struct page *page, const char *name, const struct str *labels,
		    const struct histogram *histogram)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		sum += histogram->counts[i];
		str_printf(page->out, "%s_bucket{%s,le=\"", name, str_c(labels));
		if (i < HISTOGRAM_BUCKETS - 1)
			put_bound(page->out, histogram_bounds_us[i]);
		else
			str_puts(page->out, "+Inf");
		str_puts(page->out, "\"}");
		number(page->out, sum);
	}
	str_printf(page->out, "%s_sum{%s} ", name, str_c(labels));
	put_seconds(page->out, histogram->sum_us);
	str_printf(page->out, "\n%s_count{%s}", name, str_c(labels));
	number(page->out, sum);
}

/* --- sessions --- */

static void write_outcomes(struct page *page, const struct worker_stats *stats)
{
	unsigned i;

	family(page, "waypost_recipients", "counter", NULL,
	       "Recipients that got their final reply, by whose it was");
	for (i = 0; i < stats->outcome_count; i++) {
		const struct stats_outcome *outcome = &stats->outcomes[i];
		const struct smtp_enhanced *code = &outcome->enhanced;

		str_printf(page->out, "waypost_recipients_total{class=\"%uxx\","
			   "enhanced=\"", outcome->class);
		if (code->class != 0)
			str_printf(page->out, "%u.%u.%u", (unsigned)code->class,
				   (unsigned)code->subject,
				   (unsigned)code->detail);
		str_printf(page->out, "\",origin=\"%s\"}",
			   outcome->local ? "waypost" : "backend");
		number(page->out, outcome->count);
	}
}

static void write_sessions(struct page *page, const struct metrics *metrics)
{
	const struct worker_stats *stats = &metrics->sessions;

	gauge(page, "waypost_sessions_open", NULL, "Sessions of clients now",
	      metrics->sessions_now);
	gauge(page, "waypost_sessions_limit", NULL,
	      "How many sessions there may be", metrics->sessions_max);
	counter(page, "waypost_sessions", NULL, "Clients that came",
		stats->sessions);
	counter(page, "waypost_tls_sessions", NULL, "Those that used TLS",
		stats->tls_sessions);
	counter(page, "waypost_refused_connections", NULL,
		"Clients that were answered 421 at once", stats->refused);
	counter(page, "waypost_transactions", NULL, "MAIL commands accepted",
		stats->transactions);
	counter(page, "waypost_messages", NULL, "Messages received whole",
		stats->messages);
	counter(page, "waypost_received_bytes", "bytes",
		"Bytes of these messages", stats->bytes);
	write_outcomes(page, stats);
}

/* --- passdbs --- */

/* What is counted of one kind of lookup. */
struct lookup_families {
	enum passdb_kind kind;
	const char *lookups, *lookups_help, *seconds, *waiting;
};

static const struct lookup_families lookup_families[] = {
	{ PASSDB_KIND_PASS, "waypost_passdb_lookups",
	  "Questions to passdbs, by what they said",
	  "waypost_passdb_lookup_seconds", "waypost_passdb_waiting_lookups" },
	{ PASSDB_KIND_USER, "waypost_userdb_lookups",
	  "Questions to userdbs, by what they said",
	  "waypost_userdb_lookup_seconds", "waypost_userdb_waiting_lookups" },
};

static const struct passdb_driver_stats *
driver_at(const struct metrics *metrics, enum passdb_kind kind, unsigned i)
{
	const struct passdb_driver_stats *driver =
		&metrics->passdb[kind].drivers[i];

	return i < PASSDB_STATS_DRIVERS && driver->name != NULL ? driver : NULL;
}

static void write_lookups(struct page *page, const struct metrics *metrics,
			  const struct lookup_families *names)
{
	const struct passdb_driver_stats *driver;
	unsigned i, j;

	family(page, names->lookups, "counter", NULL, names->lookups_help);
	for (i = 0; (driver = driver_at(metrics, names->kind, i)) != NULL;
	     i++) {
		const struct {
			const char *result;
			uint64_t count;
		} results[] = {
			{ "found", driver->found },
			{ "not_found", driver->not_found },
			{ "failed", driver->failed },
		};

		for (j = 0; j < 3; j++) {
			str_printf(page->out, "%s_total{driver=\"%s\","
				   "result=\"%s\"}", names->lookups,
				   driver->name, results[j].result);
			number(page->out, results[j].count);
		}
	}
}

static void write_cache(struct page *page, const struct passdb_cache_stats *cache)
{
	counter(page, "waypost_passdb_cache_hits", NULL,
		"Lookups that the cache answered", cache->hits);
	counter(page, "waypost_passdb_cache_stale_hits", NULL,
		"Lookups for which it had an answer that has expired",
		cache->stale_hits);
	counter(page, "waypost_passdb_cache_misses", NULL,
		"Lookups for which it had none", cache->misses);
	counter(page, "waypost_passdb_cache_evictions", NULL,
		"Answers dropped before their time", cache->evicted);
	gauge(page, "waypost_passdb_cache_bytes", "bytes", "Memory taken",
	      cache->bytes);
	gauge(page, "waypost_passdb_cache_entries", NULL, "Answers kept",
	      cache->entries);
}

static void write_waiting_lookups(struct page *page,
				  const struct metrics *metrics,
				  const struct lookup_families *names)
{
	const struct passdb_driver_stats *driver;
	unsigned i;

	family(page, names->waiting, "gauge", NULL,
	       "Lookups that wait for a connection to ask over");
	for (i = 0; (driver = driver_at(metrics, names->kind, i)) != NULL;
	     i++) {
		str_printf(page->out, "%s{driver=\"%s\"}", names->waiting,
			   driver->name);
		number(page->out, driver->waiting);
	}
}

static void write_kind(struct page *page, const struct metrics *metrics,
		       const struct lookup_families *names)
{
	const struct passdb_driver_stats *driver;
	struct str labels = STR_INIT;
	unsigned i;

	write_lookups(page, metrics, names);
	family(page, names->seconds, "histogram", "seconds",
	       "From question to answer");
	for (i = 0; (driver = driver_at(metrics, names->kind, i)) != NULL;
	     i++) {
		str_clear(&labels);
		label(&labels, "driver", driver->name);
		buckets(page, names->seconds, &labels, &driver->seconds);
	}
	str_free(&labels);
	write_waiting_lookups(page, metrics, names);
}

static void write_passdb(struct page *page, const struct metrics *metrics)
{
	unsigned i;

	for (i = 0; i < PASSDB_KINDS; i++) {
		if (driver_at(metrics, lookup_families[i].kind, 0) != NULL)
			write_kind(page, metrics, &lookup_families[i]);
	}
	if (metrics->has_cache)
		write_cache(page, &metrics->cache);
}

/* --- backends --- */

/* A number of each backend. */
struct backend_family {
	const char *name, *type, *help;
	size_t offset;
	bool is_counter; /* 64 bits; else an unsigned */
};

#define COUNTER(name_, member, help_) \
	{ .name = (name_), .type = "counter", .help = (help_), \
	  .offset = offsetof(struct remote_stats, member), .is_counter = true }
#define GAUGE(name_, member, help_) \
	{ .name = (name_), .type = "gauge", .help = (help_), \
	  .offset = offsetof(struct remote_stats, member) }

static const struct backend_family backend_families[] = {
	COUNTER("waypost_backend_connections", connections,
		"Connections begun"),
	COUNTER("waypost_backend_failed_connections", failed_connections,
		"Those that came to nothing"),
	COUNTER("waypost_backend_transactions", transactions,
		"Messages begun"),
	COUNTER("waypost_backend_reused_connections", reused,
		"Messages that found a connection open"),
	GAUGE("waypost_backend_open_connections", open,
	      "Connections now, idle ones included"),
	GAUGE("waypost_backend_idle_connections", idle,
	      "Connections that wait for a message"),
	GAUGE("waypost_backend_waiting_transactions", waiting,
	      "Messages that wait for a connection"),
};
#define BACKEND_FAMILIES \
	(sizeof(backend_families) / sizeof(backend_families[0]))

static void write_backend_family(struct page *page,
				 const struct backend_family *family_,
				 const struct remote_stats_table *table)
{
	const struct list *node;

	family(page, family_->name, family_->type, NULL, family_->help);
	for (node = table->list.next; node != &table->list; node = node->next) {
		const struct remote_stats *stats =
			container_of(node, struct remote_stats, node);
		const void *field = (const char *)stats + family_->offset;

		str_printf(page->out, "%s%s{", family_->name,
			   family_->is_counter ? "_total" : "");
		label(page->out, "backend", stats->name);
		str_putc(page->out, '}');
		number(page->out, family_->is_counter
				    ? *(const uint64_t *)field
				    : *(const unsigned *)field);
	}
}

static const struct {
	const char *phase;
	size_t offset;
} phases[] = {
	{ "dns", offsetof(struct remote_stats, dns) },
	{ "connect", offsetof(struct remote_stats, connect) },
	{ "tls", offsetof(struct remote_stats, tls) },
	{ "rcpt", offsetof(struct remote_stats, rcpt) },
	{ "data", offsetof(struct remote_stats, data) },
};

static void write_phases(struct page *page, const struct remote_stats *stats)
{
	struct str labels = STR_INIT;
	size_t i;

	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		str_clear(&labels);
		label(&labels, "backend", stats->name);
		str_printf(&labels, ",phase=\"%s\"", phases[i].phase);
		buckets(page, "waypost_backend_phase_seconds", &labels,
			(const void *)((const char *)stats +
				       phases[i].offset));
	}
	str_free(&labels);
}

static void write_backends(struct page *page,
			   const struct remote_stats_table *table)
{
	const struct list *node;
	size_t i;

	for (i = 0; i < BACKEND_FAMILIES; i++)
		write_backend_family(page, &backend_families[i], table);
	family(page, "waypost_backend_phase_seconds", "histogram", "seconds",
	       "How long each part of a delivery took");
	for (node = table->list.next; node != &table->list; node = node->next)
		write_phases(page,
			     container_of(node, struct remote_stats, node));
}

/* --- deliveries here --- */

static void write_deliveries(struct page *page, const struct local_stats *stats)
{
	unsigned i;

	family(page, "waypost_deliveries", "counter", NULL,
	       "Mails that were to be saved here, by what became of them");
	for (i = 0; i < LOCAL_STATS_RESULTS; i++) {
		str_printf(page->out, "waypost_deliveries_total{result=\"%s\"}",
			   local_stats_result_name(i));
		number(page->out, stats->results[i]);
	}
	counter(page, "waypost_delivered_bytes", "bytes",
		"Bytes of those that were saved", stats->bytes);
	counter(page, "waypost_delivery_links", NULL,
		"Those that were saved as links to another one", stats->links);
	family(page, "waypost_delivery_over_quota", "counter", NULL,
	       "Recipients who were refused, by when");
	str_puts(page->out, "waypost_delivery_over_quota_total{phase=\"rcpt\"}");
	number(page->out, stats->refused);
	str_puts(page->out, "waypost_delivery_over_quota_total{phase=\"data\"}");
	number(page->out, stats->results[LOCAL_OVER_QUOTA]);
}

static void write_delivery_phases(struct page *page,
				  const struct local_stats *stats)
{
	static const char name[] = "waypost_delivery_phase_seconds";
	struct str labels = STR_INIT;

	family(page, name, "histogram", "seconds",
	       "How long each part of a delivery here took");
	label(&labels, "phase", "rcpt");
	buckets(page, name, &labels, &stats->rcpt);
	str_clear(&labels);
	label(&labels, "phase", "data");
	buckets(page, name, &labels, &stats->data);
	str_free(&labels);
}

static void write_crew(struct page *page, const struct crew_counts *crew)
{
	unsigned i;

	counter(page, "waypost_delivery_processes_started", NULL,
		"Processes that were to save mail", crew->started);
	family(page, "waypost_delivery_processes_ended", "counter", NULL,
	       "Those that have ended, by how");
	for (i = 0; i < CREW_ENDS; i++) {
		str_printf(page->out, "waypost_delivery_processes_ended_total{"
			   "how=\"%s\"}", crew_end_name((enum crew_end)i));
		number(page->out, crew->ended[i]);
	}
	gauge(page, "waypost_delivery_processes", NULL, "Processes now",
	      crew->members);
	gauge(page, "waypost_delivery_processes_busy", NULL,
	      "Those that are at work", crew->busy);
	gauge(page, "waypost_delivery_processes_limit", NULL,
	      "How many there may be", crew->limit);
}

static void write_local(struct page *page, const struct metrics_local *local)
{
	if (!local->is_there)
		return;
	write_deliveries(page, &local->stats);
	write_delivery_phases(page, &local->stats);
	gauge(page, "waypost_deliveries_under_way", NULL,
	      "Deliveries that a process was asked for",
	      local->stats.under_way - local->stats.waiting);
	gauge(page, "waypost_deliveries_waiting", NULL,
	      "Those that none could be asked for yet", local->stats.waiting);
	write_crew(page, &local->crew);
}

/* --- the director --- */

static void write_director_backends(struct page *page,
				    const struct metrics_director *director)
{
	unsigned admin, sick;

	family(page, "waypost_director_backends", "gauge", NULL,
	       "Servers, by what administrators want and by their health");
	for (admin = DIRECTOR_UP; admin <= DIRECTOR_DOWN; admin++) {
		for (sick = 0; sick < 2; sick++) {
			str_printf(page->out, "waypost_director_backends{"
				   "admin=\"%s\",health=\"%s\"}",
				   director_admin_name(
					   (enum director_admin)admin),
				   sick ? "down" : "up");
			number(page->out, director->backends[admin][sick]);
		}
	}
}

/* While the program is replaced there are several processes. */
static void write_shares(struct page *page, const struct director_shares *shares,
			 uint64_t process_waits)
{
	gauge(page, "waypost_director_shared_users", NULL,
	      "Users with deliveries under way by any worker process",
	      shares->users);
	counter(page, "waypost_director_followed_users", NULL,
		"Users who went where another worker process had them",
		shares->followed);
	counter(page, "waypost_director_process_waits", NULL,
		"Recipients who waited for deliveries of another worker process",
		process_waits);
	counter(page, "waypost_director_unshared_users", NULL,
		"Users who were too many for other worker processes to know of",
		shares->unseen);
}

static void write_director(struct page *page, const struct metrics *metrics)
{
	const struct metrics_director *director = &metrics->director;

	if (!director->is_there)
		return;
	write_director_backends(page, director);
	gauge(page, "waypost_director_generation", NULL,
	      "Grows with each change of servers or moved users",
	      director->generation);
	gauge(page, "waypost_director_users", NULL,
	      "Users who are at a server, some of whom have expired",
	      director->users);
	gauge(page, "waypost_director_busy_users", NULL,
	      "Those with deliveries under way", director->busy_users);
	gauge(page, "waypost_director_moved_users", NULL,
	      "Users whom administrators have moved", director->moved_users);
	write_shares(page, &director->shares, metrics->sessions.process_waits);
}

static void write_cluster(struct page *page,
			  const struct metrics_cluster *cluster)
{
	if (!cluster->is_there)
		return;
	gauge(page, "waypost_cluster_in_step", NULL,
	      "Whether this node knows what etcd has, and takes part",
	      cluster->in_step);
	gauge(page, "waypost_cluster_etcd_lost_seconds", "seconds",
	      "For how long etcd has been out of reach",
	      cluster->lost_ms / 1000);
	gauge(page, "waypost_cluster_serial", NULL,
	      "Of the view of the servers that all nodes route by",
	      cluster->serial);
	gauge(page, "waypost_cluster_agreed", NULL,
	      "Whether all nodes are done with earlier views",
	      cluster->agreed);
	gauge(page, "waypost_cluster_same_config", NULL,
	      "Whether this node's configuration is the cluster's",
	      cluster->same_config);
	gauge(page, "waypost_cluster_leads", NULL,
	      "Whether this node writes the views", cluster->leads);
	gauge(page, "waypost_cluster_processes", NULL,
	      "Processes of all nodes", cluster->nodes);
	gauge(page, "waypost_cluster_nodes_away", NULL,
	      "Nodes, and processes of others, that are away "
	      "without a goodbye", cluster->away);
	gauge(page, "waypost_cluster_doubted_servers", NULL,
	      "Servers that were dead for this node, and of which it does not "
	      "know whether others have lost them", cluster->doubted);
	gauge(page, "waypost_cluster_kept_lost_servers", NULL,
	      "Servers that are well again, and stay lost while a node is away",
	      cluster->kept_lost);
}

/* --- other daemons --- */

static void write_answers(struct page *page, const struct metrics *metrics)
{
	unsigned kind;

	family(page, "waypost_answers", "counter", NULL,
	       "Where a RCPT would go, for other daemons");
	for (kind = 0; kind < ANSWER_KINDS; kind++) {
		str_printf(page->out, "waypost_answers_total{kind=\"%s\"}",
			   answer_kind_name((enum answer_kind)kind));
		number(page->out, metrics->answers[kind]);
	}
}

/* --- the process --- */

static void write_process(struct page *page, const struct metrics *metrics)
{
	family(page, "waypost_build", "info", NULL, "What runs");
	str_puts(page->out, "waypost_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
	gauge(page, "waypost_start_time_seconds", "seconds",
	      "When the worker process started", metrics->started_s);
	gauge(page, "waypost_worker_threads", NULL, "Worker threads",
	      metrics->workers);
	gauge(page, "waypost_worker_threads_stuck", NULL,
	      "Those that did not answer in time", metrics->workers_missing);
	gauge(page, "waypost_draining", NULL, "1: new clients are refused",
	      metrics->draining);
	family(page, "waypost_event_loop_lag_seconds", "gauge", "seconds",
	       "How long the slowest worker thread took to begin to answer");
	str_puts(page->out, "waypost_event_loop_lag_seconds ");
	put_seconds(page->out, metrics->lag_us);
	str_putc(page->out, '\n');
	gauge(page, "waypost_open_fds", NULL, "Descriptors in use",
	      metrics->fds);
	gauge(page, "waypost_max_fds", NULL, "How many there may be",
	      metrics->fds_max);
}

void metrics_write(struct str *out, const struct metrics *metrics,
		   bool openmetrics)
{
	struct page page = { .out = out, .openmetrics = openmetrics };

	write_process(&page, metrics);
	write_sessions(&page, metrics);
	write_passdb(&page, metrics);
	write_backends(&page, &metrics->backends);
	write_local(&page, &metrics->local);
	write_director(&page, metrics);
	write_cluster(&page, &metrics->cluster);
	write_answers(&page, metrics);
	if (openmetrics)
		str_puts(out, "# EOF\n");
}
