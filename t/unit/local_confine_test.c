/* What a process that saves mail cannot do any more. */
#include "backends/local/confine.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child, since it is for good. Returns the number of the first line that
 * does not hold; 0: all do. */
#define HOLDS(condition) \
	do { \
		if (!(condition)) \
			return __LINE__ % 256; \
	} while (0)
#define FAILS(call, error) HOLDS((call) < 0 && errno == (error))
#define REFUSED(call) FAILS(call, EPERM)

static int cannot(void)
{
	struct rlimit limit;
	struct err err;

	HOLDS(local_confine(5, false, &err) == 0);
	REFUSED(socket(AF_UNIX, SOCK_STREAM, 0));
	REFUSED(socket(AF_INET, SOCK_STREAM, 0));
	REFUSED(fork());
	REFUSED(execl("/bin/true", "true", NULL));
	REFUSED(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	REFUSED(mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL));
	REFUSED(unshare(CLONE_NEWUSER));
	REFUSED(setuid(getuid()));
	REFUSED(chroot("/"));
	HOLDS(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
	HOLDS(getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur == 6);
	return 0;
}

static int saves(bool commands)
{
	char name[] = "/tmp/waypost-confine-XXXXXX";
	struct err err;
	int fd;

	HOLDS(local_confine(0, commands, &err) == 0);
	fd = mkostemp(name, O_CLOEXEC);
	HOLDS(fd >= 0);
	HOLDS(write(fd, "x", 1) == 1 && fsync(fd) == 0);
	HOLDS(fchown(fd, getuid(), getgid()) == 0 && fchmod(fd, 0640) == 0);
	HOLDS(unlink(name) == 0 && close(fd) == 0);
	return 0;
}

static int can(void)
{
	return saves(false);
}

static void *nothing(void *arg)
{
	return arg;
}

static int can_with_commands(void)
{
	pthread_t thread;
	int status;
	pid_t pid;

	HOLDS(saves(true) == 0);
	HOLDS(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	HOLDS(socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
	HOLDS(setuid(getuid()) == 0);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "test -n \"$(ls / | cat)\"", NULL);
		_exit(1);
	}
	HOLDS(waitpid(pid, &status, 0) == pid && status == 0);
	HOLDS(pthread_create(&thread, NULL, nothing, NULL) == 0);
	HOLDS(pthread_join(thread, NULL) == 0);
	return 0;
}

static int cannot_with_commands(void)
{
	int spaces[] = { CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
			 CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET };
	struct err err;
	char line = '\n';
	size_t i;

	HOLDS(local_confine(0, true, &err) == 0);
	for (i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		REFUSED(syscall(__NR_clone, spaces[i] | SIGCHLD, 0, 0, 0, 0));
		REFUSED(unshare(spaces[i]));
	}
	FAILS(syscall(__NR_clone3, NULL, 0), ENOSYS);
	FAILS(socket(AF_ALG, SOCK_SEQPACKET, 0), EAFNOSUPPORT);
	FAILS(socket(AF_PACKET, SOCK_RAW, 0), EAFNOSUPPORT);
	REFUSED(ioctl(0, TIOCSTI, &line));
	REFUSED(ioctl(0, TIOCLINUX, &line));
	FAILS(ioctl(-1, FIONREAD, &line), EBADF);
	return 0;
}

static int can_ask_for_quota(void)
{
	const unsigned get = (unsigned)Q_GETQUOTA << SUBCMDSHIFT;
	const unsigned set = (unsigned)Q_SETQUOTA << SUBCMDSHIFT;
	struct dqblk quota;
	struct err err;

	HOLDS(local_confine(0, false, &err) == 0);
	FAILS(syscall(__NR_quotactl_fd, -1, get | USRQUOTA, 0, &quota), EBADF);
	FAILS(syscall(__NR_quotactl_fd, -1, get | GRPQUOTA, 0, &quota), EBADF);
	REFUSED(syscall(__NR_quotactl_fd, -1, set | USRQUOTA, 0, &quota));
	return 0;
}

/* Arguments are such that each of them fails otherwise, and not with EPERM for root. */
static const int forbidden[] = {
	__NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev,
	__NR_process_madvise, __NR_process_mrelease, __NR_kcmp, __NR_pidfd_getfd,
	__NR_migrate_pages, __NR_move_pages, __NR_perf_event_open,
	__NR_chroot, __NR_pivot_root, __NR_mount, __NR_umount2, __NR_move_mount,
	__NR_mount_setattr, __NR_open_tree, __NR_fsopen, __NR_fsconfig,
	__NR_fsmount, __NR_fspick, __NR_unshare, __NR_setns,
	__NR_name_to_handle_at, __NR_open_by_handle_at,
	__NR_bpf, __NR_userfaultfd, __NR_io_uring_setup, __NR_io_uring_enter,
	__NR_io_uring_register, __NR_keyctl, __NR_add_key, __NR_request_key,
	__NR_fanotify_init, __NR_fanotify_mark, __NR_memfd_secret,
	__NR_remap_file_pages, __NR_personality, __NR_init_module,
	__NR_finit_module, __NR_delete_module, __NR_kexec_load,
	__NR_kexec_file_load, __NR_reboot, __NR_swapon, __NR_swapoff,
	__NR_syslog, __NR_acct, __NR_quotactl, __NR_quotactl_fd,
	__NR_clock_settime, __NR_clock_adjtime, __NR_settimeofday, __NR_adjtimex,
	__NR_sethostname, __NR_setdomainname, __NR_vhangup,
#ifdef __x86_64__
	__NR_iopl, __NR_ioperm, __NR_modify_ldt,
#endif
};

/* These too, unless there are commands. */
static const int identity[] = {
	__NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid, __NR_setresuid,
	__NR_setresgid, __NR_setgroups, __NR_setfsuid, __NR_setfsgid,
};

/* Returns the index of the first that is not refused, plus 1. */
static int first_allowed(const int *calls, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		errno = 0;
		if (syscall(calls[i], -1L, -1L, -1L, -1L, -1L, -1L) != -1 ||
		    errno != EPERM)
			return (int)i + 1;
	}
	return 0;
}

static int no_call(void)
{
	struct err err;

	setsid();
	HOLDS(local_confine(0, true, &err) == 0);
	return first_allowed(forbidden, sizeof(forbidden) / sizeof(forbidden[0]));
}

static int no_identity(void)
{
	struct err err;

	HOLDS(local_confine(0, false, &err) == 0);
	return first_allowed(identity, sizeof(identity) / sizeof(identity[0]));
}

static int newer_calls(void)
{
	long number;
	struct err err;

	HOLDS(local_confine(0, true, &err) == 0);
	for (number = 451; number < 600; number++)
		FAILS(syscall(number, -1L, -1L, -1L, -1L, -1L, -1L), ENOSYS);
	FAILS(syscall(0x40000000 | __NR_getpid), ENOSYS);
	return 0;
}

static void expect(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fn());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "status %x", status);
	cr_assert_eq(WEXITSTATUS(status), 0, "%d", WEXITSTATUS(status));
}

Test(local_confine, what_it_cannot)
{
	expect(cannot);
}

Test(local_confine, what_it_still_can)
{
	expect(can);
}

Test(local_confine, what_commands_can)
{
	expect(can_with_commands);
}

Test(local_confine, what_commands_cannot)
{
	expect(cannot_with_commands);
}

Test(local_confine, what_quota_fs_needs)
{
	expect(can_ask_for_quota);
}

Test(local_confine, each_call)
{
	expect(no_call);
}

Test(local_confine, calls_that_nobody_has_gone_through)
{
	expect(newer_calls);
}

Test(local_confine, who_it_is)
{
	expect(no_identity);
}
