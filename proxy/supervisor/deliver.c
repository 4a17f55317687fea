/* Local delivery as the supervisor sees it: a crew (proxy/supervisor/crew_child.h) for each
 * worker process. */
#include <unistd.h>

#include "lib/log/log.h"
#include "proxy/logging.h"
#include "proxy/supervisor/private.h"

int supervisor_deliver_open(struct supervisor *supervisor,
			    const struct settings *settings, struct err *err)
{
	if (settings->local.enabled && supervisor->deliver_program < 0)
		supervisor->deliver_program = crew_child_program(err);
	return settings->local.enabled && supervisor->deliver_program < 0 ? -1
									  : 0;
}

void supervisor_deliver_close(struct supervisor *supervisor)
{
	if (supervisor->deliver_program >= 0)
		close(supervisor->deliver_program);
	supervisor->deliver_program = -1;
}

static void on_broken(void *owner)
{
	struct worker_child *child = owner;

	log_error(NULL, "worker process %ld made a malformed request, killing "
		  "it", (long)child->pid);
	worker_child_kill(child);
}

void supervisor_deliver_own(struct supervisor *supervisor,
			    struct worker_child *child)
{
	child->crew = crew_child_new(supervisor->loop, child->requests,
				     child->counts, on_broken, child);
	child->requests = child->counts = -1;
}

/* By the settings in force, whatever the worker process still goes by. */
void supervisor_deliver_man(struct supervisor *supervisor,
			    struct worker_child *child)
{
	const struct settings *settings = supervisor->settings;
	struct crew_order order = {
		.limit = settings->local.lmtp_max_deliveries,
		.name = settings->instance_name,
	};
	struct err err;

	if (!settings->local.enabled) {
		crew_child_order(child->crew, -1, NULL);
		return;
	}
	/* It is there already, but for a program that has just taken over. */
	if (supervisor_deliver_open(supervisor, settings, &err) < 0)
		log_error(NULL, "%s", err.text);
	settings_local_policy(settings, geteuid() == 0, &order.policy);
	supervisor_log_settings(supervisor, settings, &order.logs);
	crew_child_order(child->crew, supervisor->deliver_program, &order);
}

void supervisor_deliver_man_all(struct supervisor *supervisor)
{
	struct worker_child *children[CHILDREN_MAX];
	unsigned i, count = supervisor_children(supervisor, children);

	for (i = 0; i < count; i++)
		supervisor_deliver_man(supervisor, children[i]);
}

bool supervisor_deliver_died(struct supervisor *supervisor, pid_t pid,
			     int status)
{
	struct worker_child *children[CHILDREN_MAX];
	unsigned i, count = supervisor_children(supervisor, children);

	for (i = 0; i < count; i++) {
		if (crew_child_died(children[i]->crew, pid, status))
			return true;
	}
	return false;
}
