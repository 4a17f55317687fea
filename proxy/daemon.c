#include "proxy/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mem.h"

/* So that no socket or file lands on a number that some library takes for
 * stderr. */
static void fill_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

void daemon_prepare(void)
{
	struct rlimit limit;

	fill_standard_fds();
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	/* A file that may not grow any more is an error like a full disk: who dies
	 * of it leaves a part of a mail in an mbox. */
	signal(SIGXFSZ, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static char *read_link(const char *path)
{
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target));

	if (len <= 0 || len == sizeof(target))
		return NULL;
	return mem_strndup(target, (size_t)len);
}

/* Symbolic links on the way are left: they may lead to another version
 * tomorrow. */
static char *absolute(const char *path)
{
	char *directory, *result;

	if (path[0] == '/')
		return mem_strdup(path);
	directory = getcwd(NULL, 0);
	if (directory == NULL)
		return NULL;
	result = mem_printf("%s/%s", directory, path);
	free(directory);
	return result;
}

static bool is_this_program(const char *path)
{
	struct stat named, running;

	return path != NULL && stat(path, &named) == 0 &&
	       stat("/proc/self/exe", &running) == 0 &&
	       named.st_dev == running.st_dev && named.st_ino == running.st_ino;
}

char *daemon_program(const char *arg0)
{
	char *path = NULL;

	if (arg0 != NULL && strchr(arg0, '/') != NULL)
		path = absolute(arg0);
	if (is_this_program(path))
		return path;
	mem_free(&path);
	return read_link("/proc/self/exe");
}

int daemon_make_dir(const char *path, struct err *err)
{
	if (mkdir(path, 0755) < 0) {
		if (errno == EEXIST)
			return 0;
		return err_set(err, "base_dir: cannot create %s: %s", path,
			       strerror(errno));
	}
	/* Whatever the umask: clients pass through it to the sockets. */
	if (chmod(path, 0755) < 0)
		return err_set(err, "base_dir: %s: %s", path, strerror(errno));
	return 0;
}

/* The parent's part. */
static _Noreturn void wait_for_ready(pid_t child, int fd)
{
	ssize_t got;
	int status;
	char c;

	do {
		got = read(fd, &c, 1);
	} while (got < 0 && errno == EINTR);
	if (got == 1) {
		fputs("ready\n", stderr);
		_exit(EXIT_SUCCESS);
	}
	if (waitpid(child, &status, 0) != child)
		_exit(EXIT_FAILURE);
	if (WIFSIGNALED(status))
		fprintf(stderr, "waypost: killed by signal %d\n",
			WTERMSIG(status));
	/* A service that ends before it is ready has failed in any case. */
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		_exit(WEXITSTATUS(status));
	_exit(EXIT_FAILURE);
}

static void to_null(int fd)
{
	int null = open("/dev/null", O_RDWR);

	if (null >= 0 && null != fd) {
		dup2(null, fd);
		close(null);
	}
}

int daemon_detach(int *ready_fd_r, struct err *err)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, "pipe: %s", strerror(errno));
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return err_set(err, "fork: %s", strerror(errno));
	}
	if (pid > 0) {
		close(fds[1]);
		wait_for_ready(pid, fds[0]);
	}
	close(fds[0]);
	setsid();
	to_null(STDIN_FILENO);
	to_null(STDOUT_FILENO);
	*ready_fd_r = fds[1];
	return 0;
}

void daemon_release_stderr(void)
{
	to_null(STDERR_FILENO);
}

void daemon_ready(int ready_fd, bool keep_stderr)
{
	ssize_t sent;

	if (ready_fd < 0) {
		fputs("ready\n", stderr);
		return;
	}
	if (!keep_stderr)
		daemon_release_stderr();
	do {
		sent = write(ready_fd, "r", 1);
	} while (sent < 0 && errno == EINTR);
	close(ready_fd);
}

static int write_pid(int fd, const char *path, struct err *err)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)len) != len ||
	    fchmod(fd, 0644) < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	return 0;
}

int daemon_lock(const char *path, int *fd_r, struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	if (fcntl(fd, F_SETLK, &lock) < 0) {
		fcntl(fd, F_GETLK, &lock);
		close(fd);
		return err_set(err, "already running as process %ld (says %s)",
			       (long)lock.l_pid, path);
	}
	if (write_pid(fd, path, err) < 0) {
		close(fd);
		return -1;
	}
	*fd_r = fd;
	return 0;
}
