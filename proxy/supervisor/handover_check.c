#include "proxy/supervisor/handover_check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/signals.h"

#define TIMEOUT_MS 30000
#define MAX_OUTPUT (64 * 1024)
#define EXIT_NO_EXEC 127

int handover_check_keep(int fd, bool keep)
{
	return fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

/* --- in the child --- */

static int keep(int fd, void *arg)
{
	(void)arg;
	return handover_check_keep(fd, true);
}

static _Noreturn void become(const char *path, const char *config_path,
			     const struct handover_state *state, int output_fd)
{
	char *argv[] = { (char *)path, "-t", "-c", (char *)config_path, NULL };
	struct str text = STR_INIT;

	signals_reset();
	handover_state_encode(&text, state);
	if (dup2(output_fd, STDOUT_FILENO) >= 0 &&
	    dup2(output_fd, STDERR_FILENO) >= 0 &&
	    handover_state_each_fd(state, keep, NULL) == 0 &&
	    setenv(HANDOVER_VARIABLE, str_c(&text), 1) == 0)
		execv(path, argv);
	dprintf(STDERR_FILENO, "cannot execute %s: %s\n", path,
		strerror(errno));
	_exit(EXIT_NO_EXEC);
}

/* --- in the parent --- */

/* The rest is read away, so that the program does not wait for us. */
static void read_output(struct handover_check *check)
{
	char buf[4096];
	ssize_t got;

	while ((got = read(check->output_fd, buf, sizeof(buf))) > 0) {
		if (check->output.len < MAX_OUTPUT)
			str_append(&check->output, buf, (size_t)got);
	}
	if (got == 0)
		loop_io_want(&check->io, 0);
}

static void on_output(struct loop_io *io, unsigned events)
{
	(void)events;
	read_output(container_of(io, struct handover_check, io));
}

static void on_timeout(struct loop_timer *timer)
{
	struct handover_check *check =
		container_of(timer, struct handover_check, timeout);

	str_puts(&check->output, "took too long\n");
	kill(check->pid, SIGKILL);
}

static pid_t fork_quietly(void)
{
	sigset_t all, old;
	pid_t pid;

	log_flush();
	/* The child must not run our handlers. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid != 0)
		sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

int handover_check_start(struct handover_check *check, struct loop *loop,
			 const char *path, const char *config_path,
			 const struct handover_state *state, struct err *err)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, "pipe: %s", strerror(errno));
	pid = fork_quietly();
	if (pid == 0) {
		/* Who writes there is not used to EAGAIN. */
		fcntl(ends[1], F_SETFL, 0);
		become(path, config_path, state, ends[1]);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_set(err, "fork: %s", strerror(errno));
	}
	check->pid = pid;
	check->output_fd = ends[0];
	loop_io_open(&check->io, loop, ends[0], on_output);
	loop_io_want(&check->io, LOOP_READ);
	loop_timer_open(&check->timeout, loop, on_timeout);
	loop_timer_set(&check->timeout, TIMEOUT_MS);
	return 0;
}

static bool consents(const struct str *output)
{
	static const char consent[] = HANDOVER_CONSENT "\n";
	const size_t len = sizeof(consent) - 1;

	return output->len >= len &&
	       memcmp(output->data + output->len - len, consent, len) == 0 &&
	       (output->len == len ||
		output->data[output->len - len - 1] == '\n');
}

void handover_check_died(struct handover_check *check, int status)
{
	struct str output;
	bool ok;

	read_output(check);
	output = check->output;
	check->output = (struct str)STR_INIT;
	handover_check_stop(check, false);
	ok = WIFEXITED(status) && WEXITSTATUS(status) == 0 && consents(&output);
	if (WIFSIGNALED(status))
		str_printf(&output, "killed by signal %d (%s)\n",
			   WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (!ok && output.len == 0)
		str_printf(&output, "ended with status %d, without consent\n",
			   WEXITSTATUS(status));
	check->done(check, ok, str_c(&output));
	str_free(&output);
}

void handover_check_stop(struct handover_check *check, bool kill_it)
{
	if (check->pid == 0)
		return;
	if (kill_it)
		kill(check->pid, SIGKILL);
	check->pid = 0;
	loop_io_close(&check->io);
	loop_timer_close(&check->timeout);
	close(check->output_fd);
	str_free(&check->output);
}
