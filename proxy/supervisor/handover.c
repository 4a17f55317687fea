/* USR2. The supervisor executes the program at the path that it was started
 * from, and stays the same process: with its children, its lock and its
 * listeners, of which the environment tells (proxy/supervisor/handover_state.h). The new
 * program starts a worker process beside the old one, on the same sockets, and
 * tells the old one to stop once the new one serves.
 *
 * Nothing may take the service down. So the new program is asked first whether
 * it can do all that (proxy/supervisor/handover_check.h). What it needs to go on with the
 * old worker process comes along: the configuration in force, for the case that
 * the files have been broken since. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/conf_memfd.h"
#include "proxy/daemon.h"
#include "proxy/supervisor/listener_inherit.h"
#include "proxy/supervisor/private.h"

/* --- the state --- */

static void save_worker(struct handover_worker *saved,
			const struct worker_child *child)
{
	saved->pid = child->pid;
	saved->channel = child->channel;
	saved->requests = child->crew->requests;
	saved->counts = child->crew->counts;
	if (child->crew->pid != 0) {
		saved->crew_pid = child->crew->pid;
		saved->crew_control = child->crew->control;
		saved->crew_unanswered = child->crew->unanswered;
	}
	saved->kill_ms = (uint32_t)worker_child_killed_in(child);
}

static void save_rawlogs(struct handover_state *state,
			 const struct rawlog_rules *rules)
{
	struct str bytes = STR_INIT;

	rawlog_rules_encode(&bytes, rules);
	memcpy(state->rawlogs, str_c(&bytes), bytes.len);
	state->rawlogs_len = bytes.len;
	str_free(&bytes);
}

/* state->conf_fd is the caller's. */
static int save(struct supervisor *supervisor, struct handover_state *state,
		struct err *err)
{
	struct list *node, *tmp;

	memset(state, 0, sizeof(*state));
	state->pid = getpid();
	state->lock_fd = supervisor->pid_fd;
	state->claims_fd = supervisor->claims_fd;
	state->orders = supervisor->orders;
	save_rawlogs(state, &supervisor->rawlogs);
	if (supervisor->child != NULL)
		save_worker(&state->worker, supervisor->child);
	list_each(&supervisor->retired, node, tmp)
		save_worker(&state->retired[state->retired_count++],
			    container_of(node, struct worker_child, node));
	listener_inherit_save(state, supervisor->listeners);
	return conf_memfd_write(supervisor->settings->tree, &state->conf_fd,
				&state->conf_size, err);
}

static bool retired_are_many(const struct supervisor *supervisor)
{
	const struct list *node = supervisor->retired.next;
	unsigned count = 0;

	for (; node != &supervisor->retired; node = node->next)
		count++;
	return count >= HANDOVER_RETIRED_MAX;
}

/* Nothing else is on its way. */
static bool is_settled(const struct supervisor *supervisor)
{
	return supervisor->ready && supervisor->next_settings == NULL &&
	       (supervisor->child == NULL || supervisor->child->ready);
}

/* --- leaving --- */

static void give_up(struct supervisor *supervisor, const char *reason)
{
	log_error(NULL, "handover to %s failed, going on with the running "
		  "program: %s",
		  supervisor->program != NULL ? supervisor->program : "?",
		  reason);
	supervisor_say_ready(supervisor);
}

static void block_signals(bool block)
{
	sigset_t set;

	if (block)
		sigfillset(&set);
	else
		sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

static int keep(int fd, void *arg)
{
	const bool *yes = arg;

	return handover_check_keep(fd, *yes);
}

/* Returns only when it fails. */
static void execute(const struct supervisor *supervisor,
		    const struct handover_state *state, struct err *err)
{
	char *argv[] = { supervisor->program, "-c",
			 supervisor->options->config_path,
			 supervisor->options->foreground ? "-F" : NULL, NULL };
	struct str text = STR_INIT;
	bool yes = true, no = false;

	handover_state_encode(&text, state);
	setenv(HANDOVER_VARIABLE, str_c(&text), 1);
	if (handover_state_each_fd(state, keep, &yes) == 0)
		execv(supervisor->program, argv);
	err_put(err, "cannot execute it: %s", strerror(errno));
	unsetenv(HANDOVER_VARIABLE);
	handover_state_each_fd(state, keep, &no);
	str_free(&text);
}

/* The signals that had come are handled by now: those that come behind them are
 * blocked, and wait for the new program. */
static void exec_now(struct loop_task *task)
{
	struct supervisor *supervisor =
		container_of(task, struct supervisor, exec);
	struct handover_state state;
	struct err err;

	if (!supervisor->stopping) {
		log_info(NULL, "executing %s", supervisor->program);
		log_flush();
		if (save(supervisor, &state, &err) == 0) {
			execute(supervisor, &state, &err);
			close(state.conf_fd);
		}
		give_up(supervisor, err.text);
	}
	supervisor->leaving = false;
	block_signals(false);
	if (!supervisor->stopping)
		supervisor_catch_up(supervisor);
}

static void on_leave(struct loop_timer *timer)
{
	struct supervisor *supervisor =
		container_of(timer, struct supervisor, leave);

	loop_defer(supervisor->loop, &supervisor->exec);
}

static void log_problems(const char *problems)
{
	char *copy = mem_strdup(problems), *rest = copy, *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (line[0] != '\0')
			log_error(NULL, "new program: %s", line);
	}
	mem_free(&copy);
}

static void on_checked(struct handover_check *check, bool ok,
		       const char *problems)
{
	struct supervisor *supervisor =
		container_of(check, struct supervisor, check);

	if (!ok) {
		log_problems(problems);
		give_up(supervisor, "it does not take over");
		return;
	}
	/* A reload, or another worker process: from the start again then. */
	if (!is_settled(supervisor)) {
		supervisor->handover_again = true;
		return;
	}
	supervisor->leaving = true;
	block_signals(true);
	loop_timer_set(&supervisor->leave, 0);
}

static int start_check(struct supervisor *supervisor, struct err *err)
{
	struct handover_state state;
	int status;

	if (supervisor->program == NULL)
		return err_set(err, "cannot tell which program this is");
	if (save(supervisor, &state, err) < 0)
		return -1;
	status = handover_check_start(&supervisor->check, supervisor->loop,
				      supervisor->program,
				      supervisor->options->config_path, &state,
				      err);
	close(state.conf_fd);
	return status;
}

void supervisor_handover(struct supervisor *supervisor)
{
	struct err err;

	if (supervisor->stopping)
		return;
	supervisor->handover_again =
		!is_settled(supervisor) || supervisor->leaving ||
		supervisor->check.pid != 0 || retired_are_many(supervisor);
	if (supervisor->handover_again)
		return;
	log_info(NULL, "handing over to %s",
		 supervisor->program != NULL ? supervisor->program : "?");
	service_manager_reloading("Handing over to a new program");
	if (start_check(supervisor, &err) < 0)
		give_up(supervisor, err.text);
}

void supervisor_handover_open(struct supervisor *supervisor)
{
	supervisor->check.done = on_checked;
	supervisor->exec.fn = exec_now;
	loop_timer_open(&supervisor->leave, supervisor->loop, on_leave);
}

void supervisor_handover_close(struct supervisor *supervisor)
{
	handover_check_stop(&supervisor->check, false);
	loop_timer_close(&supervisor->leave);
	loop_task_cancel(&supervisor->exec);
}

/* --- arriving --- */

static int check_kind(int fd, mode_t kind, const char *what, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != kind)
		return err_set(err, HANDOVER_VARIABLE ": descriptor %d is no %s",
			       fd, what);
	return 0;
}

static int check_worker(const struct handover_worker *worker, struct err *err)
{
	if (check_kind(worker->channel, S_IFSOCK, "socket", err) < 0 ||
	    check_kind(worker->requests, S_IFSOCK, "socket", err) < 0 ||
	    check_kind(worker->counts, S_IFREG, "file", err) < 0)
		return -1;
	if (worker->crew_pid == 0)
		return 0;
	return check_kind(worker->crew_control, S_IFSOCK, "socket", err);
}

/* The state that is in the environment, of the process that it names. */
static int load(struct handover_state *state, pid_t pid, struct err *err)
{
	const char *text = getenv(HANDOVER_VARIABLE);
	unsigned i;

	if (handover_state_decode(state, text != NULL ? text : "", err) < 0)
		return -1;
	if (state->pid != pid)
		return err_set(err, HANDOVER_VARIABLE
			       " is of another process, %ld", (long)state->pid);
	if (check_kind(state->lock_fd, S_IFREG, "file", err) < 0 ||
	    check_kind(state->claims_fd, S_IFREG, "file", err) < 0 ||
	    check_kind(state->conf_fd, S_IFREG, "file", err) < 0)
		return -1;
	if (state->worker.pid != 0 && check_worker(&state->worker, err) < 0)
		return -1;
	for (i = 0; i < state->retired_count; i++) {
		if (check_worker(&state->retired[i], err) < 0)
			return -1;
	}
	return 0;
}

static struct worker_child *adopt(struct supervisor *supervisor,
				  const struct handover_worker *saved)
{
	const struct worker_child_ends ends = {
		saved->channel, saved->requests, saved->counts,
	};
	struct worker_child *child =
		worker_child_adopt(supervisor->loop, saved->pid, &ends);

	supervisor_own(supervisor, child);
	if (saved->crew_pid != 0)
		crew_child_adopt(child->crew, saved->crew_pid,
				 saved->crew_control, saved->crew_unanswered);
	if (saved->kill_ms != 0)
		worker_child_kill_in(child, saved->kill_ms);
	return child;
}

/* It may not be below the base_dir of today. */
static char *lock_path(int fd, const struct settings *settings)
{
	char link[64], path[4096];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path));
	if (len > 0 && (size_t)len < sizeof(path))
		return mem_strndup(path, (size_t)len);
	return mem_printf("%s/master.pid", settings->base_dir);
}

static void adopt_all(struct supervisor *supervisor,
		      const struct handover_state *state)
{
	unsigned i;

	supervisor->pid_fd = state->lock_fd;
	supervisor->claims_fd = state->claims_fd;
	supervisor->orders = state->orders;
	/* handover_state_decode() has seen that they are right. */
	(void)rawlog_rules_decode(&supervisor->rawlogs, state->rawlogs,
				  state->rawlogs_len);
	supervisor->pid_path =
		lock_path(state->lock_fd, supervisor->settings);
	if (state->worker.pid != 0)
		supervisor->child = adopt(supervisor, &state->worker);
	for (i = 0; i < state->retired_count; i++)
		list_append(&supervisor->retired,
			    &adopt(supervisor, &state->retired[i])->node);
}

/* All that can go wrong does so before anything is touched. */
static int restore(struct supervisor *supervisor, struct err *err)
{
	static struct handover_state state;
	bool no = false;

	if (load(&state, getpid(), err) < 0)
		return -1;
	unsetenv(HANDOVER_VARIABLE);
	handover_state_each_fd(&state, keep, &no);
	supervisor->settings =
		conf_memfd_read(state.conf_fd, state.conf_size, err);
	close(state.conf_fd);
	if (supervisor->settings == NULL)
		return -1;
	supervisor->listeners = listener_inherit_state(&state, err);
	if (supervisor->listeners == NULL ||
	    privileges_resolve(&supervisor->privileges, supervisor->settings,
			       err) < 0)
		return -1;
	adopt_all(supervisor, &state);
	return 0;
}

bool supervisor_is_handover(void)
{
	return getenv(HANDOVER_VARIABLE) != NULL;
}

int supervisor_resume(const struct supervisor_options *options)
{
	struct supervisor *supervisor;
	struct err err;

	daemon_prepare();
	supervisor = supervisor_new(options);
	supervisor->ready = true;
	if (restore(supervisor, &err) < 0) {
		log_fatal(NULL, "%s", err.text);
		supervisor->status = EXIT_FAILURE;
		return supervisor_serve(supervisor);
	}
	if (supervisor_open_logs(supervisor, supervisor->settings, &err) < 0)
		log_error(NULL, "%s", err.text);
	supervisor_deliver_man_all(supervisor);
	block_signals(false);
	log_info(NULL, "%s goes on with worker process %ld",
		 supervisor->program != NULL ? supervisor->program : "waypost",
		 supervisor->child != NULL ? (long)supervisor->child->pid : 0);
	supervisor_start_successor(supervisor);
	/* Who died meanwhile was nobody's to bury. */
	supervisor_reap(supervisor);
	return supervisor_serve(supervisor);
}

/* Whether we could deliver as settings say. */
static int check_delivery(const struct settings *settings, struct err *err)
{
	int program;

	if (!settings->local.enabled)
		return 0;
	program = crew_child_program(err);
	if (program < 0)
		return -1;
	close(program);
	return 0;
}

int supervisor_consent(void)
{
	static struct handover_state state;
	struct settings *settings = NULL;
	int status = -1;
	struct err err;

	if (load(&state, getppid(), &err) == 0)
		settings = conf_memfd_read(state.conf_fd, state.conf_size, &err);
	if (settings != NULL)
		status = check_delivery(settings, &err);
	settings_unref(&settings);
	if (status < 0) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_FAILURE;
	}
	puts(HANDOVER_CONSENT);
	return EXIT_SUCCESS;
}
