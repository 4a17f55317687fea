/* The worker process as the supervisor sees it: a child to talk to over a
 * channel (proxy/supervisor_protocol.h). */
#ifndef PROXY_WORKER_CHILD_H
#define PROXY_WORKER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/conf_tree.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "proxy/control.h"
#include "proxy/listener.h"

struct worker_child {
	/* Set by the owner. The child's answer to its start, and to every
	 * reload: */
	void (*answered)(struct worker_child *child, bool ok,
			 const char *text);
	/* What an administrator asked of its control socket. */
	void (*wished)(struct worker_child *child, enum control_wish wish);

	pid_t pid;	     /* 0: there is none */
	uint64_t started_us; /* loop time */
	bool ready;	     /* has answered to its start: serves */
	int channel;
	struct loop_io io;
};

/* Forks. Returns 0 in the parent. Returns 1 in the child, with all signals
 * blocked and *channel_r its end of the channel. -1: no child. */
int worker_child_fork(struct worker_child *child, struct loop *loop,
		      int *channel_r, struct err *err);

/* Sends a configuration, and the listeners of set that are not in old. */
int worker_child_reload(struct worker_child *child,
			const struct conf_tree *tree,
			const struct listener_set *set,
			const struct listener_set *old, struct err *err);

/* Sends the log files that are open now. */
int worker_child_logs(struct worker_child *child, struct err *err);

/* Tells it how a reload ended; text: why it failed. */
int worker_child_reloaded(struct worker_child *child, bool ok,
			  const char *text, struct err *err);

/* Has it end gracefully within timeout_ms, or at once. */
int worker_child_stop(struct worker_child *child, uint64_t timeout_ms,
		      struct err *err);
int worker_child_abort(struct worker_child *child, struct err *err);

/* Kills the process (its death is noticed as any other). */
void worker_child_kill(struct worker_child *child);

/* Whether the process has died; if so, logs how, and forgets it. */
bool worker_child_reap(struct worker_child *child);

/* Forgets the process, as in a child of our own. Idempotent. */
void worker_child_forget(struct worker_child *child);

#endif
