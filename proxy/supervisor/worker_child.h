/* A worker process as the supervisor sees it: a child to talk to over a channel
 * (proxy/supervisor/protocol.h). */
#ifndef PROXY_SUPERVISOR_WORKER_CHILD_H
#define PROXY_SUPERVISOR_WORKER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/conf/tree.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "proxy/control/control.h"
#include "proxy/listener.h"

/* Beyond what it was given to end, until SIGKILL. */
#define WORKER_CHILD_GRACE_MS 5000

struct crew_child;
struct rawlog_rules;

struct worker_child {
	struct list node; /* the owner's */
	void *owner;
	pid_t pid;
	uint64_t started_us; /* loop time */
	bool ready;	     /* has answered to its start: serves */
	bool dead;	     /* its number may be another process's */
	/* Numbers of its wishes: the last one that came, and the last one when
	 * the configuration was read. */
	uint32_t wish, reload_wish;

	/* Set by the owner. The child's answer to its start, and to every
	 * reload: */
	void (*answered)(struct worker_child *child, bool ok,
			 const char *text);
	/* What an administrator asked of its control socket. */
	void (*wished)(struct worker_child *child, enum control_wish wish);
	/* The same about rawlogs, as bytes; -1: it is nothing that one could
	 * ask for. */
	int (*wished_rawlog)(struct worker_child *child, uint32_t number,
			     const void *order, size_t len);
	/* Its answer to worker_child_ping(). */
	void (*alive)(struct worker_child *child);

	struct loop *loop;
	int channel;
	int requests, counts; /* for deliveries, until crew has them */
	struct crew_child *crew; /* the owner's; NULL: none yet */
	struct loop_io io;
	struct loop_timer kill;
};

struct worker_child_ends {
	int channel, requests;
	int counts; /* deliver/crew_counts.h; -1: none */
};

/* Forks. Returns 0 in the parent, whose *child_r is the process. Returns 1 in
 * the child, with all signals blocked and its ends of the channel and of the one
 * for deliveries. -1: no child. */
int worker_child_fork(struct worker_child **child_r, struct loop *loop,
		      struct worker_child_ends *ends_r, struct err *err);

/* A process that was a worker_child of the program that we were before exec():
 * it serves already. Takes over our ends of its channels. */
struct worker_child *worker_child_adopt(struct loop *loop, pid_t pid,
					const struct worker_child_ends *ends);

/* Sends a configuration, and the listeners of set that are not in old. */
int worker_child_reload(struct worker_child *child,
			const struct conf_tree *tree,
			const struct listener_set *set,
			const struct listener_set *old, struct err *err);

/* Sends the log files that are open now. */
int worker_child_logs(struct worker_child *child, struct err *err);

/* Tells it how a reload ended, for which reload_wish counts; text: why it
 * failed. */
int worker_child_reloaded(struct worker_child *child, bool ok,
			  const char *text, struct err *err);

/* Tells it how things stand. */
void worker_child_stand(struct worker_child *child,
			const struct control_standing *standing);

/* Tells it which rawlogs are wanted; number: of its own order, if it is for that,
 * and ok: that was obeyed; else 0. */
void worker_child_rawlogs(struct worker_child *child,
			  const struct rawlog_rules *rules, uint32_t number,
			  bool ok);

/* Asks whether all its threads answer; child->alive says so. */
int worker_child_ping(struct worker_child *child, struct err *err);

/* Has it end gracefully within timeout_ms (retire: while another one serves new
 * connections), or at once. When it does not, it is killed some seconds
 * later. */
void worker_child_stop(struct worker_child *child, uint64_t timeout_ms,
		       bool retire);
void worker_child_abort(struct worker_child *child);

/* Kills the process in ms milliseconds, unless it is set again. */
void worker_child_kill_in(struct worker_child *child, uint64_t ms);
void worker_child_let_live(struct worker_child *child);

/* In how many ms it will be killed; 0: it is not to be. */
uint64_t worker_child_killed_in(const struct worker_child *child);

/* Kills the process (its death is noticed as any other). */
void worker_child_kill(struct worker_child *child);

/* It is dead. Passes on what it had wished for, and why it could not do what it
 * was to, if nobody has read that yet. */
void worker_child_last_words(struct worker_child *child);

/* Logs how it died, as waitpid() says. */
void worker_child_log_death(const struct worker_child *child, int status);

/* Lets go of the process, without a word to it: it is dead, or we are another
 * child. Takes it off its list. Clears the pointer; NULL is fine. */
void worker_child_free(struct worker_child **child);

#endif
