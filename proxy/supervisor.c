#include "proxy/supervisor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "proxy/check.h"
#include "proxy/daemon.h"
#include "proxy/listener.h"
#include "proxy/logging.h"
#include "proxy/privileges.h"
#include "proxy/worker_child.h"
#include "proxy/worker_process.h"

#define STOP_GRACE_MS 5000  /* beyond the timeout, until SIGKILL */
#define ABORT_GRACE_MS 4000
/* When more than RESTARTS_AT_ONCE workers in a row have died this young, the
 * next one is started only after a while, twice as long each time. */
#define QUICK_DEATH_US (5 * 1000000)
#define RESTARTS_AT_ONCE 3
#define RESTART_MIN_MS 100
#define RESTART_MAX_MS 25600

enum { ON_TERM, ON_INT, ON_HUP, ON_USR1, ON_CHLD, SIGNALS };

struct supervisor {
	const struct supervisor_options *options;
	struct loop *loop;
	struct settings *settings;
	struct listener_set *listeners;
	struct privileges privileges;
	char *pid_path;
	int pid_fd, ready_fd; /* -1: none */
	bool ready; /* and the world knows */

	struct loop_signal signals[SIGNALS];
	struct worker_child child;
	unsigned quick_deaths;
	struct loop_timer restart, kill;

	/* A reload that the worker process has not answered. */
	struct settings *next_settings;
	struct listener_set *next_listeners;
	bool reload_again;

	bool stopping, aborting;
	int status;
};

static void start_worker(struct supervisor *supervisor);

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

static int open_logs(struct supervisor *supervisor,
		     const struct settings *settings, struct err *err)
{
	struct log_settings logs;

	logging_settings(&logs, settings, supervisor->options->foreground,
			 "master: ");
	return log_open(&logs, err);
}

static void send_logs(struct supervisor *supervisor)
{
	struct err err;

	if (supervisor->child.ready &&
	    worker_child_logs(&supervisor->child, &err) < 0)
		log_error(NULL, "cannot hand over logs: %s", err.text);
}

/* On stderr until everything runs, so that whoever started us sees it. */
static void fail(struct supervisor *supervisor, const char *text)
{
	if (!supervisor->ready)
		fprintf(stderr, "waypost: Fatal: %s\n", text);
	if (supervisor->ready || !log_is_stderr())
		log_fatal(NULL, "%s", text);
	supervisor->status = EXIT_FAILURE;
	loop_stop(supervisor->loop);
}

/* --- reload --- */

/* Whoever asked for it through the control socket waits for the last one. */
static void tell_reloaded(struct supervisor *supervisor, bool ok,
			  const char *text)
{
	struct err err;

	if (supervisor->child.ready && !supervisor->reload_again &&
	    worker_child_reloaded(&supervisor->child, ok, text, &err) < 0)
		log_error(NULL, "cannot tell of the reload: %s", err.text);
}

static void use_next(struct supervisor *supervisor)
{
	settings_unref(&supervisor->settings);
	listener_set_close(&supervisor->listeners);
	supervisor->settings = supervisor->next_settings;
	supervisor->listeners = supervisor->next_listeners;
	supervisor->next_settings = NULL;
	supervisor->next_listeners = NULL;
	send_logs(supervisor);
	log_info(NULL, "configuration reloaded");
	tell_reloaded(supervisor, true, "");
}

static void drop_next(struct supervisor *supervisor, const char *reason)
{
	struct err err;

	log_error(NULL, "reload failed, going on with the old configuration: "
		  "%s", reason);
	settings_unref(&supervisor->next_settings);
	listener_set_close(&supervisor->next_listeners);
	if (open_logs(supervisor, supervisor->settings, &err) < 0)
		log_error(NULL, "%s", err.text);
	tell_reloaded(supervisor, false, reason);
}

static bool same_user(const struct settings *a, const struct settings *b)
{
	return strcmp(a->service.user, b->service.user) == 0 &&
	       strcmp(a->service.group, b->service.group) == 0 &&
	       strcmp(a->service.extra_groups, b->service.extra_groups) == 0 &&
	       strcmp(a->default_internal_user, b->default_internal_user) == 0 &&
	       strcmp(a->default_internal_group,
		      b->default_internal_group) == 0;
}

/* Everything that can fail before the worker process hears of it. */
static int prepare_next(struct supervisor *supervisor,
			struct settings *settings, struct err *err)
{
	supervisor->next_settings = settings;
	/* It may have been cleaned away. */
	if (daemon_make_dir(settings->base_dir, err) < 0)
		return -1;
	supervisor->next_listeners =
		listener_set_open(settings, supervisor->listeners, err);
	if (supervisor->next_listeners == NULL)
		return -1;
	if (open_logs(supervisor, settings, err) < 0)
		return -1;
	if (!same_user(settings, supervisor->settings) ||
	    strcmp(settings->base_dir, supervisor->settings->base_dir) != 0)
		log_warning(NULL, "base_dir and the worker's user and groups "
			    "take effect after a restart");
	if (supervisor->child.pid == 0)
		return 0;
	return worker_child_reload(&supervisor->child, settings->tree,
				   supervisor->next_listeners,
				   supervisor->listeners, err);
}

static void reload(struct supervisor *supervisor)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct settings *settings;
	struct err err;

	log_info(NULL, "reloading %s", supervisor->options->config_path);
	settings = supervisor_read_settings(supervisor->options->config_path,
					    true, &errors);
	logging_conf_errors(&errors);
	if (settings == NULL) {
		log_error(NULL, "going on with the old configuration");
		tell_reloaded(supervisor, false, str_c(&errors.text));
	}
	conf_errors_free(&errors);
	if (settings == NULL)
		return;
	if (prepare_next(supervisor, settings, &err) < 0)
		drop_next(supervisor, err.text);
	else if (supervisor->child.pid == 0)
		use_next(supervisor);
}

/* One at a time, and only with a worker process that can answer. */
static void reload_soon(struct supervisor *supervisor)
{
	supervisor->reload_again =
		supervisor->next_settings != NULL ||
		(supervisor->child.pid > 0 && !supervisor->child.ready);
	if (!supervisor->reload_again && !supervisor->stopping)
		reload(supervisor);
}

static void reload_if_wanted(struct supervisor *supervisor)
{
	if (supervisor->reload_again)
		reload_soon(supervisor);
}

/* --- stopping --- */

static void close_watchers(struct supervisor *supervisor)
{
	int i;

	for (i = 0; i < SIGNALS; i++)
		loop_signal_close(&supervisor->signals[i]);
	loop_timer_close(&supervisor->restart);
	loop_timer_close(&supervisor->kill);
	worker_child_forget(&supervisor->child);
}

static void kill_time(struct loop_timer *timer)
{
	struct supervisor *supervisor =
		container_of(timer, struct supervisor, kill);

	log_error(NULL, "worker process %ld does not end, killing it",
		  (long)supervisor->child.pid);
	worker_child_kill(&supervisor->child);
}

static void stop(struct supervisor *supervisor, bool at_once)
{
	struct worker_child *child = &supervisor->child;
	uint64_t timeout_ms = supervisor->settings->shutdown_timeout;
	struct err err;
	int status;

	log_info(NULL, "stopping%s", at_once ? " at once" : "");
	supervisor->stopping = true;
	supervisor->aborting = at_once;
	listener_set_close(&supervisor->listeners);
	listener_set_close(&supervisor->next_listeners);
	loop_timer_clear(&supervisor->restart);
	if (child->pid == 0) {
		loop_stop(supervisor->loop);
		return;
	}
	if (at_once)
		status = worker_child_abort(child, &err);
	else
		status = worker_child_stop(child, timeout_ms, &err);
	if (status < 0)
		worker_child_kill(child);
	loop_timer_set(&supervisor->kill, at_once ? ABORT_GRACE_MS
						  : timeout_ms + STOP_GRACE_MS);
}

/* --- the worker process --- */

static _Noreturn void become_worker(struct supervisor *supervisor, int channel)
{
	static const int ignored[] = { SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
	struct worker_process_args args = {
		.channel = channel,
		.foreground = supervisor->options->foreground,
		.privileges = &supervisor->privileges,
		.settings = settings_ref(supervisor->settings),
		.listeners = &supervisor->listeners,
	};
	char *title = mem_printf("%s: worker",
				 supervisor->settings->instance_name);
	sigset_t none;
	size_t i;

	loop_forked(supervisor->loop);
	close_watchers(supervisor);
	loop_free(&supervisor->loop);
	close(supervisor->pid_fd);
	if (supervisor->ready_fd >= 0)
		close(supervisor->ready_fd);
	if (!supervisor->options->foreground &&
	    !logging_to_stderr(supervisor->settings))
		daemon_release_stderr();
	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	title_set(&supervisor->options->title, title);
	mem_free(&title);
	exit(worker_process_run(&args));
}

static void restart_time(struct loop_timer *timer)
{
	start_worker(container_of(timer, struct supervisor, restart));
}

/* How long to wait after so many deaths that came quickly. */
static uint64_t restart_delay_ms(unsigned quick_deaths)
{
	uint64_t ms = RESTART_MIN_MS;

	if (quick_deaths <= RESTARTS_AT_ONCE)
		return 0;
	while (--quick_deaths > RESTARTS_AT_ONCE && ms < RESTART_MAX_MS)
		ms *= 2;
	return ms;
}

static void restart_later(struct supervisor *supervisor)
{
	uint64_t lived_us = loop_now_us(supervisor->loop) -
			    supervisor->child.started_us;
	uint64_t wait_ms;

	if (lived_us >= QUICK_DEATH_US)
		supervisor->quick_deaths = 0;
	wait_ms = restart_delay_ms(++supervisor->quick_deaths);
	if (wait_ms > 0)
		log_warning(NULL, "the worker process dies too often, waiting "
			    "%llu ms", (unsigned long long)wait_ms);
	loop_timer_set(&supervisor->restart, wait_ms);
}

static void start_worker(struct supervisor *supervisor)
{
	struct err err;
	int status, channel;

	status = worker_child_fork(&supervisor->child, supervisor->loop,
				   &channel, &err);
	if (status > 0)
		become_worker(supervisor, channel);
	if (status == 0)
		return;
	if (!supervisor->ready) {
		fail(supervisor, err.text);
		return;
	}
	log_error(NULL, "cannot start the worker process: %s", err.text);
	supervisor->child.started_us = loop_now_us(supervisor->loop);
	restart_later(supervisor);
}

static void announce(struct supervisor *supervisor)
{
	if (supervisor->ready)
		return;
	supervisor->ready = true;
	log_flush();
	daemon_ready(supervisor->ready_fd,
		     logging_to_stderr(supervisor->settings));
	supervisor->ready_fd = -1;
}

static void on_started(struct supervisor *supervisor, const char *problem)
{
	if (problem != NULL && !supervisor->ready) {
		fail(supervisor, problem);
	} else if (problem != NULL) {
		log_error(NULL, "the worker process cannot start: %s", problem);
	} else {
		log_info(NULL, "worker process %ld is ready",
			 (long)supervisor->child.pid);
		announce(supervisor);
	}
	reload_if_wanted(supervisor);
}

static void on_answer(struct worker_child *child, bool ok, const char *text)
{
	struct supervisor *supervisor =
		container_of(child, struct supervisor, child);

	if (supervisor->stopping)
		return;
	if (supervisor->next_settings == NULL) {
		on_started(supervisor, ok ? NULL : text);
		return;
	}
	if (ok)
		use_next(supervisor);
	else
		drop_next(supervisor, text);
	reload_if_wanted(supervisor);
}

static void on_death(struct supervisor *supervisor)
{
	if (supervisor->stopping) {
		loop_stop(supervisor->loop);
		return;
	}
	if (!supervisor->ready) {
		fail(supervisor, "the worker process died at its start");
		return;
	}
	if (supervisor->next_settings != NULL)
		drop_next(supervisor, "the worker process died of it");
	restart_later(supervisor);
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
	reload_soon(container_of(sig, struct supervisor, signals[ON_HUP]));
}

static void reopen_logs(struct supervisor *supervisor)
{
	log_reopen();
	send_logs(supervisor);
	log_info(NULL, "logs reopened");
}

static void on_usr1(struct loop_signal *sig)
{
	reopen_logs(container_of(sig, struct supervisor, signals[ON_USR1]));
}

static void on_wish(struct worker_child *child, enum control_wish wish)
{
	struct supervisor *supervisor =
		container_of(child, struct supervisor, child);

	switch (wish) {
	case CONTROL_RELOAD:
		reload_soon(supervisor);
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
	}
}

static void on_chld(struct loop_signal *sig)
{
	struct supervisor *supervisor =
		container_of(sig, struct supervisor, signals[ON_CHLD]);

	if (worker_child_reap(&supervisor->child))
		on_death(supervisor);
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
		[ON_CHLD] = { SIGCHLD, on_chld },
	};
	int i;

	supervisor->loop = loop_new();
	loop_set_pass_hook(supervisor->loop, log_flush_lazily);
	for (i = 0; i < SIGNALS; i++)
		loop_signal_open(&supervisor->signals[i], supervisor->loop,
				 handlers[i].signo, handlers[i].fn);
	loop_timer_open(&supervisor->restart, supervisor->loop, restart_time);
	loop_timer_open(&supervisor->kill, supervisor->loop, kill_time);
	supervisor->child.answered = on_answer;
	supervisor->child.wished = on_wish;
}

/* --- starting and ending --- */

static int set_up(struct supervisor *supervisor, struct err *err)
{
	const struct settings *settings = supervisor->settings;

	if (daemon_make_dir(settings->base_dir, err) < 0 ||
	    daemon_lock(supervisor->pid_path, &supervisor->pid_fd, err) < 0 ||
	    privileges_resolve(&supervisor->privileges, settings, err) < 0 ||
	    open_logs(supervisor, settings, err) < 0)
		return -1;
	supervisor->listeners = listener_set_open(settings, NULL, err);
	return supervisor->listeners != NULL ? 0 : -1;
}

static void tear_down(struct supervisor *supervisor)
{
	close_watchers(supervisor);
	listener_set_close(&supervisor->listeners);
	listener_set_close(&supervisor->next_listeners);
	settings_unref(&supervisor->next_settings);
	settings_unref(&supervisor->settings);
	if (supervisor->pid_fd >= 0) {
		unlink(supervisor->pid_path);
		close(supervisor->pid_fd);
	}
	mem_free(&supervisor->pid_path);
	loop_free(&supervisor->loop);
	log_close();
}

int supervisor_run(const struct supervisor_options *options,
		   struct settings *settings)
{
	struct supervisor *supervisor;
	int status, ready_fd = -1;
	struct err err;

	daemon_prepare();
	if (!options->foreground && daemon_detach(&ready_fd, &err) < 0) {
		fprintf(stderr, "waypost: Fatal: %s\n", err.text);
		settings_unref(&settings);
		return EXIT_FAILURE;
	}
	supervisor = mem_new(struct supervisor);
	supervisor->options = options;
	supervisor->settings = settings;
	supervisor->pid_path = mem_printf("%s/master.pid", settings->base_dir);
	supervisor->pid_fd = -1;
	supervisor->ready_fd = ready_fd;
	open_watchers(supervisor);
	if (set_up(supervisor, &err) < 0)
		fail(supervisor, err.text);
	else
		start_worker(supervisor);
	if (supervisor->status == EXIT_SUCCESS)
		loop_run(supervisor->loop);
	status = supervisor->status;
	tear_down(supervisor);
	mem_free(&supervisor);
	return status;
}
