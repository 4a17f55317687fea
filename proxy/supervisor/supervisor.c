#include "proxy/supervisor/supervisor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/director/claims.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/check.h"
#include "proxy/daemon.h"
#include "proxy/logging.h"
#include "proxy/supervisor/listener_inherit.h"
#include "proxy/supervisor/private.h"

/* --- small things --- */

struct settings *supervisor_read_settings(const char *path, bool for_use,
					  struct conf_errors *errors)
{
	struct conf_tree *tree = settings_read(path, errors);
	struct settings *settings;

	if (tree == NULL)
		return NULL;
	settings = settings_new_checked(tree, for_use ? check_settings : NULL,
					errors);
	if (settings == NULL)
		conf_tree_free(&tree);
	return settings;
}

void supervisor_log_settings(const struct supervisor *supervisor,
			     const struct settings *settings,
			     struct log_settings *logs_r)
{
	logging_settings(logs_r, settings, supervisor->options->foreground,
			 "master: ");
}

int supervisor_open_logs(struct supervisor *supervisor,
			 const struct settings *settings, struct err *err)
{
	struct log_settings logs;

	supervisor_log_settings(supervisor, settings, &logs);
	return log_open(&logs, err);
}

void supervisor_say_ready(struct supervisor *supervisor)
{
	if (supervisor->child != NULL && !supervisor->stopping)
		service_manager_ready((long)supervisor->child->pid,
				      supervisor->orders & CONTROL_ORDER_DRAIN);
}

void supervisor_catch_up(struct supervisor *supervisor)
{
	if (supervisor->reload_again)
		supervisor_reload(supervisor);
	if (supervisor->handover_again)
		supervisor_handover(supervisor);
}

static void say_fatal(const char *text)
{
	char *line = mem_printf("waypost: Fatal: %s", text);

	log_say(LOG_LEVEL_FATAL, line);
	mem_free(&line);
}

/* On stderr until everything runs, so that whoever started us sees it. */
void supervisor_fail(struct supervisor *supervisor, const char *text)
{
	if (!supervisor->ready)
		say_fatal(text);
	if (supervisor->ready || !log_is_stderr())
		log_fatal(NULL, "%s", text);
	supervisor->status = EXIT_FAILURE;
	loop_stop(supervisor->loop);
}

void supervisor_announce(struct supervisor *supervisor)
{
	if (supervisor->ready)
		return;
	supervisor->ready = true;
	log_flush();
	daemon_ready(supervisor->ready_fd,
		     logging_to_stderr(supervisor->settings));
	supervisor->ready_fd = -1;
}

/* --- stopping --- */

void supervisor_close_watchers(struct supervisor *supervisor)
{
	int i;

	for (i = 0; i < SIGNALS; i++)
		loop_signal_close(&supervisor->signals[i]);
	service_manager_close(&supervisor->manager);
	supervisor_handover_close(supervisor);
	supervisor_workers_close(supervisor);
	supervisor_deliver_close(supervisor);
}

static void stop(struct supervisor *supervisor, bool at_once)
{
	struct worker_child *children[CHILDREN_MAX];
	uint64_t timeout_ms = supervisor->settings->shutdown_timeout;
	unsigned i, count = supervisor_children(supervisor, children);

	log_info(NULL, "stopping%s", at_once ? " at once" : "");
	service_manager_stopping(timeout_ms + WORKER_CHILD_GRACE_MS);
	supervisor->stopping = true;
	supervisor->aborting = at_once;
	listener_set_close(&supervisor->listeners);
	listener_set_close(&supervisor->next_listeners);
	loop_timer_clear(&supervisor->restart);
	handover_check_stop(&supervisor->check, true);
	if (count == 0)
		loop_stop(supervisor->loop);
	for (i = 0; i < count; i++) {
		if (at_once)
			worker_child_abort(children[i]);
		else
			worker_child_stop(children[i], timeout_ms, false);
	}
}

/* --- signals --- */

static void on_term(struct loop_signal *sig)
{
	struct supervisor *supervisor =
		container_of(sig, struct supervisor, signals[ON_TERM]);

	if (!supervisor->aborting)
		stop(supervisor, supervisor->stopping);
}

static void on_int(struct loop_signal *sig)
{
	struct supervisor *supervisor =
		container_of(sig, struct supervisor, signals[ON_INT]);

	if (!supervisor->aborting)
		stop(supervisor, true);
}

static void on_hup(struct loop_signal *sig)
{
	supervisor_reload(container_of(sig, struct supervisor, signals[ON_HUP]));
}

static void reopen_logs(struct supervisor *supervisor)
{
	log_reopen();
	supervisor_send_logs(supervisor);
	supervisor_deliver_man_all(supervisor);
	log_info(NULL, "logs reopened");
}

static void on_usr1(struct loop_signal *sig)
{
	reopen_logs(container_of(sig, struct supervisor, signals[ON_USR1]));
}

static void give_order(struct supervisor *supervisor, enum control_order order,
		       bool on)
{
	if (on)
		supervisor->orders |= order;
	else
		supervisor->orders &= ~(unsigned)order;
	supervisor_say_standing(supervisor);
	/* Else it is said when that is over. */
	if (supervisor->next_settings == NULL && !supervisor->leaving &&
	    supervisor->check.pid == 0)
		supervisor_say_ready(supervisor);
}

void supervisor_wish(struct supervisor *supervisor, enum control_wish wish)
{
	switch (wish) {
	case CONTROL_RELOAD:
		supervisor_reload(supervisor);
		break;
	case CONTROL_STOP:
	case CONTROL_ABORT:
		if (!supervisor->aborting)
			stop(supervisor, wish == CONTROL_ABORT ||
						 supervisor->stopping);
		break;
	case CONTROL_REOPEN_LOGS:
		reopen_logs(supervisor);
		break;
	case CONTROL_DRAIN:
	case CONTROL_UNDRAIN:
		give_order(supervisor, CONTROL_ORDER_DRAIN,
			   wish == CONTROL_DRAIN);
		break;
	case CONTROL_DEBUG:
	case CONTROL_NO_DEBUG:
		give_order(supervisor, CONTROL_ORDER_DEBUG,
			   wish == CONTROL_DEBUG);
		break;
	}
}

static void on_usr2(struct loop_signal *sig)
{
	supervisor_handover(
		container_of(sig, struct supervisor, signals[ON_USR2]));
}

static void on_chld(struct loop_signal *sig)
{
	supervisor_reap(container_of(sig, struct supervisor, signals[ON_CHLD]));
}

/* For the watchdog: only an answer of the worker process feeds it. */
static void ask_worker(struct service_manager *manager)
{
	struct supervisor *supervisor =
		container_of(manager, struct supervisor, manager);
	struct err err;

	if (supervisor->child != NULL && supervisor->child->ready &&
	    worker_child_ping(supervisor->child, &err) < 0)
		log_warning(NULL, "watchdog: %s", err.text);
}

static void open_watchers(struct supervisor *supervisor)
{
	static const struct {
		int signo;
		void (*fn)(struct loop_signal *sig);
	} handlers[SIGNALS] = {
		[ON_TERM] = { SIGTERM, on_term },
		[ON_INT] = { SIGINT, on_int },
		[ON_HUP] = { SIGHUP, on_hup },
		[ON_USR1] = { SIGUSR1, on_usr1 },
		[ON_USR2] = { SIGUSR2, on_usr2 },
		[ON_CHLD] = { SIGCHLD, on_chld },
	};
	int i;

	supervisor->loop = loop_new();
	loop_set_pass_hook(supervisor->loop, log_flush_lazily);
	for (i = 0; i < SIGNALS; i++)
		loop_signal_open(&supervisor->signals[i], supervisor->loop,
				 handlers[i].signo, handlers[i].fn);
	supervisor_workers_open(supervisor);
	supervisor->manager.ask = ask_worker;
	service_manager_open(&supervisor->manager, supervisor->loop);
	supervisor_handover_open(supervisor);
}

/* --- starting and ending --- */

/* Takes what it needs from the sockets that systemd has opened. */
static int open_listeners(struct supervisor *supervisor,
			  struct listener_set *activated, struct err *err)
{
	supervisor->listeners =
		listener_set_open(supervisor->settings, activated, err);
	if (supervisor->listeners == NULL) {
		listener_set_close(&activated);
		return -1;
	}
	listener_inherit_close(&activated, supervisor->listeners);
	return 0;
}

static int set_up(struct supervisor *supervisor, struct err *err)
{
	const struct settings *settings = supervisor->settings;

	if (daemon_make_dir(settings->base_dir, err) < 0 ||
	    daemon_lock(supervisor->pid_path, &supervisor->pid_fd, err) < 0 ||
	    privileges_resolve(&supervisor->privileges, settings, err) < 0 ||
	    supervisor_deliver_open(supervisor, settings, err) < 0 ||
	    supervisor_open_logs(supervisor, settings, err) < 0)
		return -1;
	supervisor->claims_fd = director_claims_make(err);
	return supervisor->claims_fd >= 0 ? 0 : -1;
}

static void start(struct supervisor *supervisor, struct listener_set *activated)
{
	struct err err;

	if (set_up(supervisor, &err) < 0) {
		listener_set_close(&activated);
		supervisor_fail(supervisor, err.text);
	} else if (open_listeners(supervisor, activated, &err) < 0) {
		supervisor_fail(supervisor, err.text);
	} else {
		supervisor_start_worker(supervisor);
	}
}

static void tear_down(struct supervisor *supervisor)
{
	supervisor_close_watchers(supervisor);
	listener_set_close(&supervisor->listeners);
	listener_set_close(&supervisor->next_listeners);
	settings_unref(&supervisor->next_settings);
	settings_unref(&supervisor->settings);
	rawlog_rules_free(&supervisor->rawlogs);
	if (supervisor->claims_fd >= 0)
		close(supervisor->claims_fd);
	if (supervisor->pid_fd >= 0) {
		unlink(supervisor->pid_path);
		close(supervisor->pid_fd);
	}
	mem_free(&supervisor->pid_path);
	mem_free(&supervisor->program);
	loop_free(&supervisor->loop);
	log_close();
}

struct supervisor *supervisor_new(const struct supervisor_options *options)
{
	struct supervisor *supervisor = mem_new(struct supervisor);

	supervisor->options = options;
	supervisor->program = daemon_program(options->title.start);
	supervisor->pid_fd = supervisor->ready_fd = -1;
	supervisor->claims_fd = -1;
	supervisor->deliver_program = -1;
	rawlog_rules_init(&supervisor->rawlogs);
	open_watchers(supervisor);
	return supervisor;
}

int supervisor_serve(struct supervisor *supervisor)
{
	sigset_t all;
	int status;

	if (supervisor->status == EXIT_SUCCESS)
		loop_run(supervisor->loop);
	/* One more TERM is not to end us half-way. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	status = supervisor->status;
	tear_down(supervisor);
	mem_free(&supervisor);
	return status;
}

int supervisor_run(const struct supervisor_options *options,
		   struct settings *settings)
{
	struct supervisor *supervisor;
	struct listener_set *activated;
	int ready_fd = -1;
	struct err err;

	daemon_prepare();
	/* What the one who starts us has open is nobody's business here. */
	close_range(listener_inherit_behind(LISTENER_INHERIT_FIRST), ~0u, 0);
	/* Not to die of one that comes too early. After exec() it would be
	 * lost. */
	signal(SIGUSR2, SIG_IGN);
	/* Before the fork, since they are for this process. */
	activated = listener_inherit_activated(LISTENER_INHERIT_FIRST);
	if (!options->foreground && daemon_detach(&ready_fd, &err) < 0) {
		say_fatal(err.text);
		listener_set_close(&activated);
		settings_unref(&settings);
		return EXIT_FAILURE;
	}
	supervisor = supervisor_new(options);
	supervisor->settings = settings;
	supervisor->pid_path = mem_printf("%s/master.pid", settings->base_dir);
	supervisor->ready_fd = ready_fd;
	start(supervisor, activated);
	return supervisor_serve(supervisor);
}
