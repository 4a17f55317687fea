/* What a process that saves mail cannot do any more. */
#include "backends/local/confine.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child, since it is for good. Returns the number of the first line that
 * does not hold; 0: all do. */
#define HOLDS(condition) \
	do { \
		if (!(condition)) \
			return __LINE__ % 256; \
	} while (0)
#define REFUSED(call) HOLDS((call) < 0 && errno == EPERM)

static int cannot(void)
{
	struct rlimit limit;
	struct err err;

	HOLDS(local_confine(5, false, &err) == 0);
	REFUSED(socket(AF_UNIX, SOCK_STREAM, 0));
	REFUSED(socket(AF_INET, SOCK_STREAM, 0));
	REFUSED(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	REFUSED(mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL));
	REFUSED(unshare(CLONE_NEWUSER));
	REFUSED(setuid(getuid()));
	REFUSED(chroot("/"));
	HOLDS(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
	HOLDS(getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur == 6);
	return 0;
}

static int can(void)
{
	char name[] = "/tmp/waypost-confine-XXXXXX";
	struct err err;
	int fd, status;

	HOLDS(local_confine(0, true, &err) == 0);
	fd = mkostemp(name, O_CLOEXEC);
	HOLDS(fd >= 0);
	HOLDS(write(fd, "x", 1) == 1 && fsync(fd) == 0);
	HOLDS(unlink(name) == 0);
	HOLDS(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	fd = fork();
	if (fd == 0) {
		execlp("true", "true", NULL);
		_exit(1);
	}
	HOLDS(waitpid(fd, &status, 0) == fd && status == 0);
	return 0;
}

static void expect(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fn());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 0, "line %d", WEXITSTATUS(status));
}

Test(local_confine, what_it_cannot)
{
	expect(cannot);
}

Test(local_confine, what_it_still_can)
{
	expect(can);
}
