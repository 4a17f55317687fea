/* Sessions: who is there, and sending them away. */
#include "lib/mem.h"
#include "proxy/control/private.h"
#include "proxy/session/session.h"
#include "proxy/session/show.h"

#define MAX_SHOWN 100000
#define SHOWN 1000 /* unless "limit" says otherwise */
#define MAX_SHOWS 4 /* at a time: what they show is in memory */
/* Of each worker, which does nothing else meanwhile: sessions may have thousands
 * of recipients. */
#define MAX_SHOWN_BYTES (4 * 1024 * 1024)

/* What each worker is asked; NULL pattern: all. */
struct query {
	const char *pattern;
	unsigned long limit; /* to show of each worker's */
};

/* Whether the workers were asked; else the call is refused. */
static bool ask(struct control_call *call,
		void (*visit)(struct gather_part *part),
		void (*done)(struct gather *gather), unsigned long limit)
{
	const char *pattern = control_param(call, "pattern");
	struct gather *gather = control_gather(&call);
	struct query *query;

	if (gather == NULL)
		return false;
	query = arena_new_struct(gather->arena, struct query);
	if (pattern != NULL)
		query->pattern = arena_strdup(gather->arena, pattern);
	query->limit = limit;
	gather->visit = visit;
	gather->done = done;
	gather->arg = call;
	gather->query = query;
	gather_start(gather);
	return true;
}

static bool wanted(const struct query *query, const struct session *session)
{
	return query->pattern == NULL ||
	       session_fits(session, query->pattern);
}

/* --- who --- */

static void visit_who(struct gather_part *part)
{
	const struct query *query = part->gather->query;
	struct json_writer json = { .out = &part->out };
	struct list *node, *tmp;

	list_each(&part->worker->sessions, node, tmp) {
		const struct session *session = (struct session *)node;

		if (!wanted(query, session))
			continue;
		if (part->count++ < query->limit &&
		    part->out.len < MAX_SHOWN_BYTES)
			session_show(session, &json);
	}
}

static void done_who(struct gather *gather)
{
	struct control_call *call = gather->arg;
	struct json_writer *json = &call->json;
	uint64_t total = 0;
	unsigned i;

	call->control->shows--;
	json_open_object(json, NULL);
	json_open_array(json, "sessions");
	for (i = 0; i < gather->count; i++) {
		if (!gather->parts[i].back)
			continue;
		json_write_inside(json, &gather->parts[i].out);
		total += gather->parts[i].count;
	}
	json_close_array(json);
	json_write_number(json, "total", total);
	json_write_number(json, "workers_missing", gather->missing);
	json_close_object(json);
	control_answer(&call);
}

void control_sessions(struct control_call *call)
{
	struct control *control = call->control;
	unsigned long limit;

	if (control_number(&call, "limit", MAX_SHOWN, SHOWN, &limit) < 0)
		return;
	if (control->shows == MAX_SHOWS)
		control_refuse(&call, 503, "sessions are shown to others now");
	else if (ask(call, visit_who, done_who, limit))
		control->shows++;
}

/* --- kick --- */

static void visit_kick(struct gather_part *part)
{
	struct list *node, *tmp;

	list_each(&part->worker->sessions, node, tmp) {
		struct session *session = (struct session *)node;

		if (wanted(part->gather->query, session) &&
		    session_kick(session))
			part->count++;
	}
}

static void done_count(struct gather *gather)
{
	struct control_call *call = gather->arg;
	uint64_t total = 0;
	unsigned i;

	for (i = 0; i < gather->count; i++) {
		if (gather->parts[i].back)
			total += gather->parts[i].count;
	}
	json_open_object(&call->json, NULL);
	json_write_number(&call->json, "sessions", total);
	json_write_number(&call->json, "workers_missing", gather->missing);
	json_close_object(&call->json);
	control_answer(&call);
}

void control_kick(struct control_call *call)
{
	if (control_param(call, "pattern") == NULL)
		control_refuse(&call, 400, "pattern is missing: which "
			       "sessions?");
	else
		ask(call, visit_kick, done_count, 0);
}

/* --- drain --- */

static void visit_drain(struct gather_part *part)
{
	struct list *node, *tmp;

	part->worker->draining = true;
	list_each(&part->worker->sessions, node, tmp) {
		session_stop((struct session *)node);
		part->count++;
	}
}

static void visit_undrain(struct gather_part *part)
{
	part->worker->draining = false;
}

static void done_unasked(struct gather *gather)
{
	(void)gather;
}

void control_sessions_drain(struct control *control, bool drain,
			    struct control_call *call)
{
	void (*visit)(struct gather_part *part) = drain ? visit_drain
							: visit_undrain;
	struct gather *gather;

	if (call != NULL) {
		ask(call, visit, done_count, 0);
		return;
	}
	gather = gather_new(control->env.set, &control->gathers);
	gather->visit = visit;
	gather->done = done_unasked;
	gather_start(gather);
}
