/* What the files of the supervisor share. */
#ifndef PROXY_SUPERVISOR_PRIVATE_H
#define PROXY_SUPERVISOR_PRIVATE_H

#include <stdbool.h>

#include "lib/list.h"
#include "lib/loop.h"
#include "proxy/listener.h"
#include "proxy/privileges.h"
#include "proxy/rawlog_rules.h"
#include "proxy/settings/settings.h"
#include "proxy/supervisor/crew_child.h"
#include "proxy/supervisor/handover_check.h"
#include "proxy/supervisor/service_manager.h"
#include "proxy/supervisor/supervisor.h"
#include "proxy/supervisor/worker_child.h"

#define CHILDREN_MAX (HANDOVER_RETIRED_MAX + 2)

enum { ON_TERM, ON_INT, ON_HUP, ON_USR1, ON_USR2, ON_CHLD, SIGNALS };

struct supervisor {
	const struct supervisor_options *options;
	char *program; /* what USR2 executes */
	struct loop *loop;
	struct settings *settings;
	struct listener_set *listeners;
	struct privileges privileges;
	char *pid_path;
	int pid_fd, ready_fd; /* -1: none */
	int claims_fd; /* what worker processes share: backends/director/claims.h */
	bool ready; /* and the world knows */
	struct service_manager manager;

	struct loop_signal signals[SIGNALS];
	struct worker_child *child; /* that serves; NULL: none */
	struct worker_child *successor; /* starts, to take its place */
	struct list retired;		/* have been told to stop */
	unsigned quick_deaths;
	struct loop_timer restart;

	/* A reload that the worker process has not answered, or what the
	 * successor starts with. */
	struct settings *next_settings;
	struct listener_set *next_listeners;
	struct privileges next_privileges;
	bool reload_again;

	/* USR2: the program is checked; then, when nothing is on its way any
	 * more, executed. */
	struct handover_check check;
	struct loop_timer leave;
	struct loop_task exec;
	bool leaving, handover_again;

	unsigned orders; /* enum control_order: for all worker processes */
	struct rawlog_rules rawlogs; /* the same */
	int deliver_program;	     /* crew_child_program(); -1: not needed yet */
	bool stopping, aborting;
	int status;
};

/* --- proxy/supervisor/supervisor.c --- */

/* With its watchers open, but no settings. */
struct supervisor *supervisor_new(const struct supervisor_options *options);

/* Serves until it is told to stop; frees everything. Returns the exit
 * status. */
int supervisor_serve(struct supervisor *supervisor);

/* Also in a child, for which loop_forked() was called. */
void supervisor_close_watchers(struct supervisor *supervisor);

int supervisor_open_logs(struct supervisor *supervisor,
			 const struct settings *settings, struct err *err);

/* Where the supervisor and those who work for it log. */
void supervisor_log_settings(const struct supervisor *supervisor,
			     const struct settings *settings,
			     struct log_settings *logs_r);

/* Does what an administrator asked for through the control socket. */
void supervisor_wish(struct supervisor *supervisor, enum control_wish wish);

/* Ends the service; the text says why. */
void supervisor_fail(struct supervisor *supervisor, const char *text);

/* The worker process serves: tells whoever has started us, once. */
void supervisor_announce(struct supervisor *supervisor);

/* Tells systemd that the service is as it should be. */
void supervisor_say_ready(struct supervisor *supervisor);

/* Does what had to wait for something else: a reload, a handover. */
void supervisor_catch_up(struct supervisor *supervisor);

/* --- proxy/supervisor/reload.c --- */

/* Has the worker process work with a new reading of the configuration, as soon
 * as that is possible. */
void supervisor_reload(struct supervisor *supervisor);

/* The worker process has answered to that. */
void supervisor_reload_done(struct supervisor *supervisor);
void supervisor_reload_failed(struct supervisor *supervisor,
			      const char *reason);

/* NULL when the configuration has errors, which are logged. */
struct settings *supervisor_read_again(struct supervisor *supervisor);

/* Makes next_settings, which are taken over, and next_listeners; opens the
 * logs. Either of the other two has to follow, also when it fails. */
int supervisor_prepare_next(struct supervisor *supervisor,
			    struct settings *settings, struct err *err);
void supervisor_use_next(struct supervisor *supervisor);
void supervisor_drop_next(struct supervisor *supervisor, const char *what,
			  const char *reason);

/* --- proxy/supervisor/workers.c --- */

void supervisor_workers_open(struct supervisor *supervisor);
void supervisor_workers_close(struct supervisor *supervisor);

/* Starts the worker process, or another one in its place. */
void supervisor_start_worker(struct supervisor *supervisor);

/* Starts the worker process that takes over with a new reading of the
 * configuration; if it cannot, all stays as it is. */
void supervisor_start_successor(struct supervisor *supervisor);

/* Sets what is called for a worker process. */
void supervisor_own(struct supervisor *supervisor, struct worker_child *child);

/* Writes all worker processes to children, and returns how many there are. */
unsigned supervisor_children(struct supervisor *supervisor,
			     struct worker_child *children[CHILDREN_MAX]);

/* They write to the logs that are open now. */
void supervisor_send_logs(struct supervisor *supervisor);

/* Tells those that serve, or are about to, what is ordered, and how many there
 * are. */
void supervisor_say_standing(struct supervisor *supervisor);

/* Buries every child that has died. */
void supervisor_reap(struct supervisor *supervisor);

/* --- proxy/supervisor/deliver.c --- */

/* -1: what local delivery by settings needs is not there. */
int supervisor_deliver_open(struct supervisor *supervisor,
			    const struct settings *settings, struct err *err);

/* Also in a child. */
void supervisor_deliver_close(struct supervisor *supervisor);

/* Gives a worker process its crew, of nobody yet. */
void supervisor_deliver_own(struct supervisor *supervisor,
			    struct worker_child *child);

/* It goes, or all of them go, by the settings in force and by the logs that are open. */
void supervisor_deliver_man(struct supervisor *supervisor,
			    struct worker_child *child);
void supervisor_deliver_man_all(struct supervisor *supervisor);

/* A child has died. False: it was no crew. */
bool supervisor_deliver_died(struct supervisor *supervisor, pid_t pid,
			     int status);

/* --- proxy/supervisor/handover.c --- */

void supervisor_handover_open(struct supervisor *supervisor);
void supervisor_handover_close(struct supervisor *supervisor);

/* Becomes the program that is at supervisor->program now, as soon as that is
 * possible. */
void supervisor_handover(struct supervisor *supervisor);

#endif
