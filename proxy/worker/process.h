/* The process that speaks to the network: a control loop, which listens to the
 * supervisor, and the worker threads. */
#ifndef PROXY_WORKER_PROCESS_H
#define PROXY_WORKER_PROCESS_H

#include <stdbool.h>

#include "proxy/control/control.h"
#include "proxy/listener.h"
#include "proxy/privileges.h"
#include "proxy/settings/settings.h"

struct worker_process_args {
	int channel; /* to the supervisor (proxy/supervisor/protocol.h) */
	int requests; /* to those who deliver (backends/local/queue.h) */
	int counts;   /* of these (deliver/crew_counts.h) */
	int claims;   /* of users, with other worker processes */
	bool foreground;
	struct control_standing standing;
	const struct rawlog_rules *rawlogs; /* that are wanted */
	struct privileges *privileges; /* who to become */
	struct settings *settings;
	struct listener_set **listeners;
	bool patient; /* serves only once the director is ready: nobody needs it
			 before, or another process serves until then */
};

/* Serves until it is told to stop, or the supervisor is gone. To be called in a
 * process of its own, which has no other loop and no threads. Takes over a
 * reference to settings, and the listeners, under the numbers of their
 * descriptors. Returns the exit status; the channel stays open until the
 * process is gone, so that its end tells of that. */
int worker_process_run(const struct worker_process_args *args);

#endif
