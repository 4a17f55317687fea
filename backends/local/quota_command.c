#include "backends/local/quota_command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mem.h"

#define PREFIX "exec:"
#define MAX_ARGUMENTS 64

struct command {
	char *text; /* what the rest points into */
	char *argv[MAX_ARGUMENTS + 1];
	char *env[4];
};

int quota_command_check(const char *command, struct err *err)
{
	const size_t len = strlen(PREFIX);

	command += strspn(command, " ");
	if (strncmp(command, PREFIX, len) == 0 && command[len] == '/')
		return 0;
	return err_set(err, "\"%.100s\" is not run: there are no services of "
		       "Dovecot's here; write the program as exec:/PATH "
		       "ARGUMENTS", command);
}

static int split(struct command *command, struct err *err)
{
	char *rest = command->text + strlen(PREFIX), *word;
	unsigned count = 0;

	while ((word = strsep(&rest, " ")) != NULL) {
		if (*word == '\0')
			continue;
		if (count == MAX_ARGUMENTS)
			return err_set(err, "\"%.100s\" has more than %d "
				       "arguments", command->text,
				       MAX_ARGUMENTS - 1);
		command->argv[count++] = word;
	}
	return 0;
}

static int command_init(struct command *command, const char *text,
			const char *user, const char *home, struct err *err)
{
	unsigned count = 2;

	memset(command, 0, sizeof(*command));
	if (quota_command_check(text, err) < 0)
		return -1;
	command->text = mem_strdup(text + strspn(text, " "));
	command->env[0] = mem_strdup("PATH=/usr/local/bin:/usr/bin:/bin");
	command->env[1] = mem_printf("USER=%s", user);
	if (*home != '\0')
		command->env[count] = mem_printf("HOME=%s", home);
	return split(command, err);
}

static void command_free(struct command *command)
{
	size_t i;

	mem_free(&command->text);
	for (i = 0; i < sizeof(command->env) / sizeof(command->env[0]); i++)
		mem_free(&command->env[i]);
}

/* As a program finds them that nobody has prepared for. */
static void reset_signals(void)
{
	static const int signals[] = {
		SIGHUP, SIGINT, SIGPIPE, SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD,
		SIGALRM, SIGXFSZ,
	};
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child: becomes the program, or says through failure why not. */
static _Noreturn void become_program(const struct command *command,
				     pid_t parent, unsigned seconds,
				     int failure)
{
	int null = open("/dev/null", O_RDWR), error;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
	    null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	    dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0 &&
	    dup2(failure, STDERR_FILENO + 1) >= 0 &&
	    fcntl(STDERR_FILENO + 1, F_SETFD, FD_CLOEXEC) == 0) {
		failure = STDERR_FILENO + 1;
		close_range((unsigned)failure + 1, ~0u, 0);
		reset_signals();
		alarm(seconds);
		execve(command->argv[0], command->argv, command->env);
	}
	error = errno;
	_exit(write(failure, &error, sizeof(error)) < 0);
}

/* What the pipe says once the program runs: nothing. */
static int read_failure(int fd)
{
	int error = 0;
	ssize_t got;

	do
		got = read(fd, &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof(error) ? error : 0;
}

static pid_t start(const struct command *command, unsigned seconds,
		   struct err *err)
{
	pid_t parent = getpid(), pid;
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		become_program(command, parent, seconds, ends[1]);
	error = pid < 0 ? errno : 0;
	close(ends[1]);
	if (pid > 0)
		error = read_failure(ends[0]);
	close(ends[0]);
	if (error == 0)
		return pid;
	if (pid > 0)
		quota_command_wait(pid);
	return err_set(err, "cannot run %.300s: %s", command->argv[0],
		       strerror(error));
}

pid_t quota_command_start(const char *text, const char *user, const char *home,
			  unsigned seconds, struct err *err)
{
	struct command command;
	pid_t pid = -1;

	if (command_init(&command, text, user, home, err) == 0)
		pid = start(&command, seconds, err);
	command_free(&command);
	return pid;
}

void quota_command_wait(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
