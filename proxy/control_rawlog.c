/* Rawlogs at run time: what one client, or the client of one recipient, says and
 * is told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "proxy/control_private.h"
#include "proxy/rawlog_rules.h"

#define DEFAULT_S 3600
#define MAX_S (7 * 86400)

/* For the workers; dir NULL: no more of that. */
struct order {
	const char *pattern, *dir;
	uint64_t until_us;
};

static bool obey(struct rawlog_rules *rules, const struct order *order)
{
	if (order->dir != NULL)
		return rawlog_rules_set(rules, order->pattern, order->dir,
					order->until_us);
	rawlog_rules_drop(rules, order->pattern);
	return true;
}

static void visit(struct gather_part *part)
{
	struct worker *worker = part->worker;

	rawlog_rules_expire(&worker->rawlog_rules, loop_now_us(worker->loop));
	(void)obey(&worker->rawlog_rules, part->gather->query);
}

static void done(struct gather *gather)
{
	struct control_call *call = gather->arg;

	control_answer_ok(&call);
}

static const struct order *make_order(struct arena *arena, const char *pattern,
				      const char *dir, uint64_t until_us)
{
	struct order *order = arena_new_struct(arena, struct order);

	if (pattern != NULL)
		order->pattern = arena_strdup(arena, pattern);
	if (dir != NULL)
		order->dir = arena_strdup(arena, dir);
	order->until_us = until_us;
	return order;
}

/* The control loop keeps the rules too, to show them. */
static void send_order(struct control_call *call, const char *dir,
		       uint64_t until_us)
{
	const char *pattern = control_param(call, "pattern");
	struct gather *gather;

	if (!obey(&call->control->rawlogs,
		  make_order(call->request->arena, pattern, dir, until_us))) {
		control_refuse(&call, 503, "there are too many patterns");
		return;
	}
	gather = control_gather(&call);
	if (gather == NULL)
		return;
	gather->query = make_order(gather->arena, pattern, dir, until_us);
	gather->visit = visit;
	gather->done = done;
	gather->arg = call;
	gather_start(gather);
}

void control_rawlog_on(struct control_call *call)
{
	struct control *control = call->control;
	const char *dir = control_param(call, "dir");
	uint64_t now_us = loop_now_us(control->env.loop);
	unsigned long seconds;
	char why[256];

	if (control_number(&call, "seconds", MAX_S, DEFAULT_S, &seconds) < 0)
		return;
	rawlog_rules_expire(&control->rawlogs, now_us);
	if (control_param(call, "pattern") == NULL || dir == NULL ||
	    *dir != '/') {
		control_refuse(&call, 400, "pattern, and dir, an absolute "
			       "path, are needed");
	} else if (access(dir, W_OK | X_OK) < 0) {
		snprintf(why, sizeof(why), "the worker process cannot write "
			 "to dir: %s", strerror(errno));
		control_refuse(&call, 400, why);
	} else {
		send_order(call, dir, now_us + seconds * UINT64_C(1000000));
	}
}

void control_rawlog_off(struct control_call *call)
{
	send_order(call, NULL, 0);
}

void control_rawlog(struct control_call *call)
{
	struct control *control = call->control;
	uint64_t now_us = loop_now_us(control->env.loop);
	struct json_writer *json = &call->json;
	struct list *node, *tmp;

	rawlog_rules_expire(&control->rawlogs, now_us);
	json_open_object(json, NULL);
	json_open_array(json, "rawlogs");
	list_each(&control->rawlogs.list, node, tmp) {
		const struct rawlog_rule *rule =
			container_of(node, struct rawlog_rule, node);

		json_open_object(json, NULL);
		json_write_text(json, "pattern", rule->pattern);
		json_write_text(json, "dir", rule->dir);
		json_write_seconds(json, "left_seconds",
				   rule->until_us - now_us);
		json_close_object(json);
	}
	json_close_array(json);
	json_close_object(json);
	control_answer(&call);
}
