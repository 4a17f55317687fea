#include "backends/local/lda/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/signals.h"

/* Descriptors, as programs expect to find them limited. */
#define FILES_MAX 1024
/* How often those who do not die at once are looked for again, every ms. */
#define BURIALS_MAX 1000

struct environment {
	char *list[5];
};

static void environment_make(struct environment *env,
			     const struct program *program)
{
	*env = (struct environment){ {
		mem_strdup("PATH=/usr/local/bin:/usr/bin:/bin"),
		mem_printf("USER=%s", program->user),
		mem_printf("LOGNAME=%s", program->user),
		*program->home != '\0' ? mem_printf("HOME=%s", program->home)
				       : NULL,
	} };
}

static void environment_free(struct environment *env)
{
	size_t i;

	for (i = 0; i < sizeof(env->list) / sizeof(env->list[0]); i++)
		mem_free(&env->list[i]);
}

/* --- in the child --- */

/* Gives *fd, or /dev/null where there is none, a number that no other is put on. */
static int lift(int *fd)
{
	int from = *fd >= 0 ? *fd : open("/dev/null", O_RDWR | O_CLOEXEC);

	*fd = from >= 0 ? fcntl(from, F_DUPFD_CLOEXEC, STDERR_FILENO + 2) : -1;
	return *fd;
}

/* Returns the descriptor that failure has become, or -1. */
static int place_descriptors(const struct program *program, int failure)
{
	const int kept = STDERR_FILENO + 1;
	int in = program->in, out = program->out;

	if (lift(&failure) < 0 || lift(&in) < 0 || lift(&out) < 0 ||
	    dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(out, STDERR_FILENO) < 0 || dup3(failure, kept, O_CLOEXEC) < 0)
		return -1;
	close_range((unsigned)kept + 1, ~0u, 0);
	return kept;
}

static int lower(int what, rlim_t to, bool for_good)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)what, &limit) < 0)
		return -1;
	if (limit.rlim_cur > to)
		limit.rlim_cur = to;
	if (for_good)
		limit.rlim_max = limit.rlim_cur;
	return setrlimit((__rlimit_resource_t)what, &limit);
}

static int set_limits(const struct program *program)
{
	alarm(program->seconds);
	if (program->processes > 0 &&
	    lower(RLIMIT_NPROC, program->processes, true) < 0)
		return -1;
	if (program->cpu > 0 && lower(RLIMIT_CPU, program->cpu, true) < 0)
		return -1;
	return lower(RLIMIT_NOFILE, FILES_MAX, false);
}

static int enter_home(const struct program *program)
{
	if (!program->at_home)
		return 0;
	if (*program->home != '\0' && chdir(program->home) == 0)
		return 0;
	return chdir("/");
}

/* Becomes the program, or says through failure why not. */
static _Noreturn void become_program(const struct program *program,
				     char *const *env, pid_t parent,
				     int failure)
{
	int placed = place_descriptors(program, failure), error;

	if (placed >= 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
	    getppid() == parent && (!program->session || setsid() >= 0) &&
	    enter_home(program) == 0 && set_limits(program) == 0) {
		signals_reset();
		execve(program->argv[0], program->argv, env);
	}
	error = errno;
	_exit(write(placed >= 0 ? placed : failure, &error, sizeof(error)) < 0);
}

/* --- starting --- */

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

static pid_t start(const struct program *program, char *const *env)
{
	pid_t parent = getpid(), pid;
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		become_program(program, env, parent, ends[1]);
	error = pid < 0 ? errno : 0;
	close(ends[1]);
	if (pid > 0)
		error = read_failure(ends[0]);
	close(ends[0]);
	if (error == 0)
		return pid;
	if (pid > 0)
		program_wait(pid);
	errno = error;
	return -1;
}

pid_t program_start(const struct program *program, struct err *err)
{
	struct environment env;
	pid_t pid;
	int error;

	environment_make(&env, program);
	pid = start(program, env.list);
	error = errno;
	environment_free(&env);
	if (pid < 0)
		err_put(err, "cannot run %.300s: %s", program->argv[0],
			strerror(error));
	errno = error;
	return pid;
}

/* --- the end --- */

int program_wait(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

void program_adopt(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* Also who has been adopted is in that list, which not every kernel has. */
static void kill_children(void)
{
	char path[64];
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/children",
		 (long)getpid());
	file = fopen(path, "re");
	if (file == NULL)
		return;
	while (fscanf(file, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	fclose(file);
}

/* Whose parent dies comes to us, and is seen the next time. */
static void bury_all(void)
{
	unsigned i;

	for (i = 0; i < BURIALS_MAX; i++) {
		pid_t pid;

		kill_children();
		do
			pid = waitpid(-1, NULL, WNOHANG);
		while (pid > 0);
		if (pid < 0)
			return;
		poll(NULL, 0, 1);
	}
}

int program_end(pid_t pid)
{
	int status;

	/* It still has its number: nobody else is meant. */
	kill(-pid, SIGKILL);
	status = program_wait(pid);
	bury_all();
	return status;
}
