/* The process as a whole: what it is, what is in force. */
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "deliver/crew_counts.h"
#include "proxy/control/private.h"

unsigned long control_count_sessions(const struct worker_set *set)
{
	unsigned long count = 0;
	unsigned i;

	for (i = 0; i < set->count; i++)
		count += atomic_load(&set->workers[i]->session_count);
	return count;
}

void control_status(struct control_call *call)
{
	const struct control *control = call->control;
	const struct settings *settings = control->env.source->settings;
	struct json_writer *json = &call->json;
	uint64_t now_us = loop_now_us(control->env.loop);
	struct crew_counts crew;

	json_open_object(json, NULL);
	json_write_text(json, "version", PACKAGE_VERSION);
	json_write_text(json, "instance", settings->instance_name);
	json_write_text(json, "hostname", settings->lmtp.hostname);
	json_write_number(json, "pid", (uint64_t)getppid());
	json_write_number(json, "worker_pid", (uint64_t)getpid());
	json_write_number(json, "other_workers", control->standing.others);
	json_write_number(json, "threads", control->env.set->count);
	json_write_seconds(json, "uptime_seconds",
			   now_us - control->started_us);
	json_write_text(json, "state",
			control->standing.orders & CONTROL_ORDER_DRAIN
				? "draining" : "serving");
	json_write_number(json, "sessions",
			  control_count_sessions(control->env.set));
	json_write_number(json, "sessions_max",
			  worker_set_room(control->env.set));
	crew_counts_read(control->env.set->counts, &crew);
	json_write_number(json, "deliveries", crew.busy);
	json_write_number(json, "deliveries_max", crew.limit);
	json_close_object(json);
	control_answer(&call);
}

/* Text, and not JSON: it is a configuration. */
void control_config(struct control_call *call)
{
	static const struct {
		const char *name;
		enum conf_dump_mode mode;
	} shows[] = {
		{ "changed", CONF_DUMP_CHANGED },
		{ "set", CONF_DUMP_SET },
		{ "all", CONF_DUMP_ALL },
		{ "origins", CONF_DUMP_ORIGINS },
	};
	const char *show = control_param(call, "show");
	size_t i;

	if (show == NULL)
		show = shows[0].name;
	for (i = 0; i < sizeof(shows) / sizeof(shows[0]); i++) {
		if (strcmp(show, shows[i].name) != 0)
			continue;
		settings_dump(call->control->env.source->settings->tree,
			      shows[i].mode, &call->out);
		control_answer_text(&call, 200, "text/plain; charset=utf-8");
		return;
	}
	control_refuse(&call, 400, "show must be changed, set, all or "
		       "origins");
}
