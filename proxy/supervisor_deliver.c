/* Local delivery as the supervisor sees it: a crew (proxy/crew.h) for each
 * worker process. */
#include <unistd.h>

#include "lib/log.h"
#include "proxy/supervisor_private.h"

static void on_broken(void *owner)
{
	struct worker_child *child = owner;

	log_error(NULL, "worker process %ld made a malformed request, killing "
		  "it", (long)child->pid);
	worker_child_kill(child);
}

/* The settings in force, whatever the worker process still goes by. */
static void man(struct supervisor *supervisor, struct worker_child *child)
{
	const struct settings *settings = supervisor->settings;
	struct local_policy policy;
	const struct crew_settings crew = {
		.policy = &policy,
		.limit = settings->local.lmtp_max_deliveries,
		.title = &supervisor->options->title,
		.name = settings->instance_name,
	};

	settings_local_policy(settings, geteuid() == 0, &policy);
	crew_man(child->crew, settings->local.enabled ? &crew : NULL);
}

void supervisor_deliver_own(struct supervisor *supervisor,
			    struct worker_child *child)
{
	child->crew = crew_new(supervisor->loop, child->requests,
			       child->counts, on_broken, child);
	child->requests = child->counts = -1;
	if (child != supervisor->successor)
		man(supervisor, child);
}

void supervisor_deliver_man(struct supervisor *supervisor)
{
	struct worker_child *children[CHILDREN_MAX];
	unsigned i, count = supervisor_children(supervisor, children);

	for (i = 0; i < count; i++)
		man(supervisor, children[i]);
}

void supervisor_deliver_dismiss(struct supervisor *supervisor)
{
	struct worker_child *children[CHILDREN_MAX];
	unsigned i, count = supervisor_children(supervisor, children);

	for (i = 0; i < count; i++)
		crew_man(children[i]->crew, NULL);
}

bool supervisor_deliver_died(struct supervisor *supervisor, pid_t pid,
			     int status)
{
	struct worker_child *children[CHILDREN_MAX];
	unsigned i, count = supervisor_children(supervisor, children);

	for (i = 0; i < count; i++) {
		if (crew_died(children[i]->crew, pid, status))
			return true;
	}
	return false;
}
