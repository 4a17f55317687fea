/* Is it well, and is it ready for mail: for what starts it, watches it, and sends it
 * mail. Anybody may ask, as often as he likes: those who ask while the workers have
 * not answered yet share their answer. */
#include <stdio.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "passdb/passdb.h"
#include "proxy/control/private.h"

/* A passdb that failed longer ago, and was not asked since, may be back: without
 * mail nobody would notice. */
#define FORGET_US (10 * 1000000)

struct health {
	unsigned threads, stuck;
	bool draining, passdb_dead;
};

/* A call that waits. */
struct control_health {
	struct list node;
	struct control_call *call;
	/* Why it is not, with a line end; NULL: it is. */
	const char *(*judge)(const struct health *health);
};

static const char *not_well(const struct health *health)
{
	return health->stuck > 0 ? "a worker thread does not answer\n" : NULL;
}

static const char *not_ready(const struct health *health)
{
	if (health->draining)
		return "draining\n";
	if (health->stuck == health->threads)
		return "no worker thread answers\n";
	if (health->passdb_dead)
		return "no passdb answers\n";
	return NULL;
}

static void visit(struct gather_part *part)
{
	struct passdb_stats *stats = mem_new(struct passdb_stats);

	*stats = part->worker->passdb_stats[PASSDB_KIND_PASS];
	part->data = stats;
}

static void judge(const struct gather *gather, bool draining,
		  struct health *health_r)
{
	struct passdb_stats stats = { .drivers = { { .name = NULL } } };
	uint64_t now = clock_now_us();
	unsigned i;

	for (i = 0; i < gather->count; i++) {
		if (gather->parts[i].back)
			passdb_stats_merge(&stats, gather->parts[i].data);
	}
	*health_r = (struct health){
		.threads = gather->count,
		.stuck = gather->missing,
		.draining = draining,
		.passdb_dead = passdb_stats_are_dead(
			&stats, now > FORGET_US ? now - FORGET_US : 0),
	};
}

static void done(struct gather *gather)
{
	const struct control *control = gather->query;
	struct list *node, *tmp;
	struct health health;

	judge(gather, control->standing.orders & CONTROL_ORDER_DRAIN, &health);
	list_each(&control->health_calls, node, tmp) {
		struct control_health *asked =
			container_of(node, struct control_health, node);
		const char *why = asked->judge(&health);

		list_remove(node);
		str_puts(&asked->call->out, why != NULL ? why : "ok\n");
		control_answer_text(&asked->call, why != NULL ? 503 : 200,
				    "text/plain");
		mem_free(&asked);
	}
}

/* Takes out those whose clients had to make room for others: as long as a worker is
 * stuck, anybody could go on asking. */
static void forget_gone(struct control *control)
{
	struct list *node, *tmp;

	list_each(&control->health_calls, node, tmp) {
		struct control_health *asked =
			container_of(node, struct control_health, node);

		if (asked->call->request->conn != NULL)
			continue;
		list_remove(node);
		control_refuse(&asked->call, 503, "gone");
		mem_free(&asked);
	}
}

static void ask(struct control_call *call,
		const char *(*judge_)(const struct health *health))
{
	struct control *control = call->control;
	bool first = list_empty(&control->health_calls);
	struct control_health *asked;
	struct gather *gather;

	if (first && !control_may_gather(&call))
		return;
	forget_gone(control);
	asked = mem_new(struct control_health);
	asked->call = call;
	asked->judge = judge_;
	list_append(&control->health_calls, &asked->node);
	if (!first)
		return;
	gather = gather_new(control->env.set, &control->gathers);
	gather->visit = visit;
	gather->done = done;
	gather->query = control;
	gather_start(gather);
}

void control_healthz(struct control_call *call)
{
	ask(call, not_well);
}

void control_readyz(struct control_call *call)
{
	ask(call, not_ready);
}

void control_health_drop(struct control *control)
{
	struct list *node, *tmp;

	list_each(&control->health_calls, node, tmp) {
		struct control_health *asked =
			container_of(node, struct control_health, node);

		list_remove(node);
		control_refuse(&asked->call, 503, CONTROL_LEAVES);
		mem_free(&asked);
	}
}
