/* Rawlogs at run time: what one client, or the client of one recipient, says and
 * is told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "proxy/control/private.h"
#include "proxy/rawlog_rules.h"

#define DEFAULT_S 3600
#define MAX_S (7 * 86400)

/* --- what the supervisor says --- */

/* For the workers; and what is answered then. */
struct news {
	struct control *control;
	const char *rules;
	size_t len;
	uint32_t number;
	bool ok;
};

static void visit(struct gather_part *part)
{
	const struct news *news = part->gather->query;

	(void)rawlog_rules_decode(&part->worker->rawlog_rules, news->rules,
				  news->len);
}

static void done(struct gather *gather)
{
	const struct news *news = gather->query;

	control_rawlog_told(news->control, news->number, news->ok);
}

/* The control loop keeps the rules too, to show them. */
int control_rawlogs(struct control *control, const void *data, size_t len,
		    uint32_t number, bool ok, struct err *err)
{
	struct gather *gather;
	struct news *news;

	if (rawlog_rules_decode(&control->rawlogs, data, len) < 0)
		return err_set(err, "malformed rawlogs");
	gather = gather_new(control->env.set, &control->gathers);
	news = arena_new_struct(gather->arena, struct news);
	news->control = control;
	news->rules = memcpy(arena_alloc(gather->arena, len + 1), data, len);
	news->len = len;
	news->number = number;
	news->ok = ok;
	gather->query = news;
	gather->visit = visit;
	gather->done = done;
	gather_start(gather);
	return 0;
}

/* --- what an administrator says --- */

/* The supervisor keeps it, for the processes beside this one and after it, and
 * has all of them obey. */
static void send_order(struct control_call *call, const char *dir,
		       uint64_t until_us)
{
	const char *pattern = control_param(call, "pattern");
	struct str order = STR_INIT;

	rawlog_order_encode(&order, pattern != NULL ? pattern : "", dir,
			    until_us);
	if (order.len > RAWLOG_RULES_MAX_SIZE)
		control_refuse(&call, 400, "pattern and dir are too long");
	else if (control_may_gather(&call))
		control_wish_rawlog(call, &order);
	str_free(&order);
}

void control_rawlog_on(struct control_call *call)
{
	const char *pattern = control_param(call, "pattern");
	const char *dir = control_param(call, "dir");
	uint64_t now_us = loop_now_us(call->control->env.loop);
	unsigned long seconds;
	char why[256];

	if (control_number(&call, "seconds", MAX_S, DEFAULT_S, &seconds) < 0)
		return;
	if (pattern == NULL || *pattern == '\0' || dir == NULL ||
	    *dir != '/') {
		control_refuse(&call, 400, "pattern, and dir, an absolute "
			       "path, are needed");
	} else if (access(dir, W_OK | X_OK) < 0) {
		snprintf(why, sizeof(why), "the worker process cannot write "
			 "to %.150s: %s", dir, strerror(errno));
		control_refuse(&call, 400, why);
	} else {
		send_order(call, dir, now_us + seconds * UINT64_C(1000000));
	}
}

void control_rawlog_off(struct control_call *call)
{
	const char *pattern = control_param(call, "pattern");

	if (pattern != NULL && *pattern == '\0')
		control_refuse(&call, 400, "pattern is empty: leave it out for all");
	else
		send_order(call, "", 0);
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
