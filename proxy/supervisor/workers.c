/* The worker processes of the supervisor: one that serves; beside it, while the
 * program is replaced, one that is going to, and those that did before. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/daemon.h"
#include "proxy/logging.h"
#include "proxy/supervisor/private.h"
#include "proxy/worker/process.h"

#define SUCCESSOR_START_MS 60000 /* until it has to serve */
/* When more than RESTARTS_AT_ONCE workers in a row have died this young, the
 * next one is started only after a while, twice as long each time. */
#define QUICK_DEATH_US (5 * 1000000)
#define RESTARTS_AT_ONCE 3
#define RESTART_MIN_MS 100
#define RESTART_MAX_MS 25600

static bool supervisor_is_retired(const struct worker_child *child)
{
	return list_linked(&child->node);
}

/* Those who are about to end may be gone. */
static void send_logs_to(struct worker_child *child)
{
	struct err err;

	if (child != NULL && child->ready &&
	    worker_child_logs(child, &err) < 0 &&
	    !supervisor_is_retired(child))
		log_error(NULL, "cannot hand over logs: %s", err.text);
}

void supervisor_send_logs(struct supervisor *supervisor)
{
	struct list *node, *tmp;

	send_logs_to(supervisor->child);
	list_each(&supervisor->retired, node, tmp)
		send_logs_to(container_of(node, struct worker_child, node));
}

unsigned supervisor_children(struct supervisor *supervisor,
			     struct worker_child *children[CHILDREN_MAX])
{
	struct list *node, *tmp;
	unsigned count = 0;

	if (supervisor->child != NULL)
		children[count++] = supervisor->child;
	if (supervisor->successor != NULL)
		children[count++] = supervisor->successor;
	list_each(&supervisor->retired, node, tmp)
		children[count++] =
			container_of(node, struct worker_child, node);
	return count;
}

void supervisor_say_standing(struct supervisor *supervisor)
{
	struct worker_child *children[CHILDREN_MAX];
	const struct control_standing standing = {
		.orders = supervisor->orders,
		.others = supervisor_children(supervisor, children) - 1,
	};

	if (supervisor->child != NULL)
		worker_child_stand(supervisor->child, &standing);
	if (supervisor->successor != NULL)
		worker_child_stand(supervisor->successor, &standing);
}

/* --- the worker process --- */

/* What another worker process works with, or did. */
static void forget(struct settings **settings, struct listener_set **listeners)
{
	settings_unref(settings);
	listener_set_forget(listeners);
}

static void become_nobody(struct supervisor *supervisor)
{
	static const int ignored[] = { SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
	sigset_t none;
	size_t i;

	loop_forked(supervisor->loop);
	supervisor_close_watchers(supervisor);
	loop_free(&supervisor->loop);
	close(supervisor->pid_fd);
	if (supervisor->ready_fd >= 0)
		close(supervisor->ready_fd);
	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become_worker(struct supervisor *supervisor,
				    const struct worker_child_ends *ends,
				    bool is_successor)
{
	struct worker_child *others[CHILDREN_MAX];
	struct worker_process_args args = {
		.channel = ends->channel,
		.requests = ends->requests,
		.counts = ends->counts,
		.claims = supervisor->claims_fd,
		.foreground = supervisor->options->foreground,
		.patient = is_successor || !supervisor->ready,
		.standing = {
			.orders = supervisor->orders,
			.others = supervisor_children(supervisor, others),
		},
		.rawlogs = &supervisor->rawlogs,
	};
	char *title;

	become_nobody(supervisor);
	if (is_successor) {
		forget(&supervisor->settings, &supervisor->listeners);
		args.privileges = &supervisor->next_privileges;
		args.settings = settings_ref(supervisor->next_settings);
		args.listeners = &supervisor->next_listeners;
	} else {
		forget(&supervisor->next_settings, &supervisor->next_listeners);
		args.privileges = &supervisor->privileges;
		args.settings = settings_ref(supervisor->settings);
		args.listeners = &supervisor->listeners;
	}
	if (!supervisor->options->foreground &&
	    !logging_to_stderr(args.settings))
		daemon_release_stderr();
	title = mem_printf("%s: worker", args.settings->instance_name);
	title_set(&supervisor->options->title, title);
	mem_free(&title);
	exit(worker_process_run(&args));
}

static void restart_time(struct loop_timer *timer)
{
	supervisor_start_worker(
		container_of(timer, struct supervisor, restart));
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

static void restart_later(struct supervisor *supervisor, uint64_t started_us)
{
	uint64_t lived_us = loop_now_us(supervisor->loop) - started_us;
	uint64_t wait_ms;

	if (lived_us >= QUICK_DEATH_US)
		supervisor->quick_deaths = 0;
	wait_ms = restart_delay_ms(++supervisor->quick_deaths);
	if (wait_ms > 0)
		log_warning(NULL, "the worker process dies too often, waiting "
			    "%llu ms", (unsigned long long)wait_ms);
	loop_timer_set(&supervisor->restart, wait_ms);
}

void supervisor_start_worker(struct supervisor *supervisor)
{
	struct err err;
	struct worker_child_ends ends;
	int status;

	status = worker_child_fork(&supervisor->child, supervisor->loop,
				   &ends, &err);
	if (status > 0)
		become_worker(supervisor, &ends, false);
	if (status == 0) {
		supervisor_own(supervisor, supervisor->child);
		supervisor_deliver_man(supervisor, supervisor->child);
		return;
	}
	if (!supervisor->ready) {
		supervisor_fail(supervisor, err.text);
		return;
	}
	log_error(NULL, "cannot start the worker process: %s", err.text);
	restart_later(supervisor, loop_now_us(supervisor->loop));
}

static void on_started(struct supervisor *supervisor, const char *problem)
{
	if (problem != NULL && !supervisor->ready) {
		supervisor_fail(supervisor, problem);
	} else if (problem != NULL) {
		log_error(NULL, "the worker process cannot start: %s", problem);
	} else {
		log_info(NULL, "worker process %ld is ready",
			 (long)supervisor->child->pid);
		supervisor_announce(supervisor);
		supervisor_say_ready(supervisor);
	}
}

/* --- its successor --- */

static void retire(struct supervisor *supervisor, struct worker_child **child)
{
	list_append(&supervisor->retired, &(*child)->node);
	*child = NULL;
}

static void succeed(struct supervisor *supervisor)
{
	uint64_t timeout_ms = supervisor->settings->shutdown_timeout;

	if (supervisor->child != NULL) {
		worker_child_stop(supervisor->child, timeout_ms, true);
		retire(supervisor, &supervisor->child);
	}
	supervisor->child = supervisor->successor;
	supervisor->successor = NULL;
	worker_child_let_live(supervisor->child);
	supervisor->privileges = supervisor->next_privileges;
	supervisor_use_next(supervisor);
	supervisor_say_standing(supervisor);
	log_info(NULL, "worker process %ld has taken over",
		 (long)supervisor->child->pid);
	supervisor_say_ready(supervisor);
}

/* It ends by itself, or is dead; child stays, or has to be started again. */
static void fail_successor(struct supervisor *supervisor, const char *reason)
{
	supervisor_drop_next(supervisor, "handover", reason);
	if (supervisor->successor != NULL)
		retire(supervisor, &supervisor->successor);
	if (supervisor->child == NULL)
		supervisor_start_worker(supervisor);
	supervisor_say_ready(supervisor);
}

static int fork_successor(struct supervisor *supervisor, struct err *err)
{
	struct worker_child_ends ends;
	int status;

	if (privileges_resolve(&supervisor->next_privileges,
			       supervisor->next_settings, err) < 0)
		return -1;
	status = worker_child_fork(&supervisor->successor, supervisor->loop,
				   &ends, err);
	if (status > 0)
		become_worker(supervisor, &ends, true);
	if (status < 0)
		return -1;
	supervisor_own(supervisor, supervisor->successor);
	worker_child_kill_in(supervisor->successor, SUCCESSOR_START_MS);
	supervisor_say_standing(supervisor);
	return 0;
}

void supervisor_start_successor(struct supervisor *supervisor)
{
	struct settings *settings = supervisor_read_again(supervisor);
	struct err err;

	if (settings == NULL) {
		if (supervisor->child == NULL)
			supervisor_start_worker(supervisor);
		supervisor_say_ready(supervisor);
		return;
	}
	if (supervisor_prepare_next(supervisor, settings, &err) < 0 ||
	    fork_successor(supervisor, &err) < 0)
		fail_successor(supervisor, err.text);
}

/* --- what the worker processes say, and how they end --- */

static void on_answer(struct worker_child *child, bool ok, const char *text)
{
	struct supervisor *supervisor = child->owner;

	if (supervisor->stopping || supervisor_is_retired(child))
		return;
	if (child == supervisor->successor && ok)
		succeed(supervisor);
	else if (child == supervisor->successor)
		fail_successor(supervisor, text);
	else if (supervisor->next_settings == NULL ||
		 supervisor->successor != NULL)
		on_started(supervisor, ok ? NULL : text);
	else if (ok)
		supervisor_reload_done(supervisor);
	else
		supervisor_reload_failed(supervisor, text);
	supervisor_catch_up(supervisor);
}

static void on_wish(struct worker_child *child, enum control_wish wish)
{
	supervisor_wish(child->owner, wish);
}

/* Those that are about to end log what their sessions say, too. */
static int on_rawlog(struct worker_child *child, uint32_t number,
		     const void *order, size_t len)
{
	struct supervisor *supervisor = child->owner;
	struct worker_child *children[CHILDREN_MAX];
	unsigned i, count = supervisor_children(supervisor, children);
	bool its_own;
	int obeyed;

	rawlog_rules_expire(&supervisor->rawlogs,
			    loop_now_us(supervisor->loop));
	obeyed = rawlog_rules_obey(&supervisor->rawlogs, order, len);
	for (i = 0; obeyed >= 0 && i < count; i++) {
		its_own = children[i] == child;
		worker_child_rawlogs(children[i], &supervisor->rawlogs,
				     its_own ? number : 0,
				     !its_own || obeyed > 0);
	}
	return obeyed;
}

static void on_alive(struct worker_child *child)
{
	struct supervisor *supervisor = child->owner;

	if (child == supervisor->child)
		service_manager_alive();
}

void supervisor_own(struct supervisor *supervisor, struct worker_child *child)
{
	child->owner = supervisor;
	child->answered = on_answer;
	child->wished = on_wish;
	child->wished_rawlog = on_rawlog;
	child->alive = on_alive;
	supervisor_deliver_own(supervisor, child);
}

static void on_death(struct supervisor *supervisor, uint64_t started_us)
{
	supervisor->child = NULL;
	if (supervisor->stopping)
		return;
	if (!supervisor->ready) {
		/* It may have said why. */
		if (supervisor->status == EXIT_SUCCESS)
			supervisor_fail(supervisor, "the worker process died "
					"at its start");
		return;
	}
	if (supervisor->successor != NULL)
		return;
	if (supervisor->next_settings != NULL)
		supervisor_drop_next(supervisor, "reload",
				     "the worker process died of it");
	restart_later(supervisor, started_us);
}

static void bury(struct supervisor *supervisor, struct worker_child *child,
		 int status)
{
	worker_child_log_death(child, status);
	if (!supervisor->stopping)
		worker_child_last_words(child);
	list_remove(&child->node);
	if (child == supervisor->child) {
		on_death(supervisor, child->started_us);
	} else if (child == supervisor->successor) {
		supervisor->successor = NULL;
		if (!supervisor->stopping)
			fail_successor(supervisor, "the worker process died at "
				       "its start");
	}
	if (!supervisor->stopping)
		supervisor_say_standing(supervisor);
	worker_child_free(&child);
}

static struct worker_child *find_child(struct supervisor *supervisor, pid_t pid)
{
	struct worker_child *children[CHILDREN_MAX];
	unsigned i, count = supervisor_children(supervisor, children);

	for (i = 0; i < count; i++) {
		if (children[i]->pid == pid)
			return children[i];
	}
	return NULL;
}

/* Also of children that we do not know: process 1 of a container has to. */
void supervisor_reap(struct supervisor *supervisor)
{
	struct worker_child *children[CHILDREN_MAX], *child;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		child = find_child(supervisor, pid);
		if (child != NULL)
			bury(supervisor, child, status);
		else if (pid == supervisor->check.pid)
			handover_check_died(&supervisor->check, status);
		else
			supervisor_deliver_died(supervisor, pid, status);
	}
	if (!supervisor->stopping)
		supervisor_catch_up(supervisor);
	else if (supervisor_children(supervisor, children) == 0)
		loop_stop(supervisor->loop);
}

void supervisor_workers_open(struct supervisor *supervisor)
{
	list_init(&supervisor->retired);
	loop_timer_open(&supervisor->restart, supervisor->loop, restart_time);
}

void supervisor_workers_close(struct supervisor *supervisor)
{
	struct worker_child *children[CHILDREN_MAX];
	unsigned i, count = supervisor_children(supervisor, children);

	loop_timer_close(&supervisor->restart);
	for (i = 0; i < count; i++)
		worker_child_free(&children[i]);
	supervisor->child = supervisor->successor = NULL;
}
