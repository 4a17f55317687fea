#include "backends/local/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "lib/panic.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

/* What is allowed cannot be listed: a command may be any program. So what is forbidden
 * is, and up to here these lists are complete. Whoever is told that a newer call does
 * not exist does as on an older system; calls of x32 are above it, too. */
#define NEWEST 450 /* set_mempolicy_home_node */

static const int never[] = {
	/* other processes */
	__NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev,
	__NR_process_madvise, __NR_process_mrelease, __NR_kcmp,
	__NR_pidfd_getfd, __NR_migrate_pages, __NR_move_pages,
	__NR_perf_event_open,
	/* where one is */
	__NR_chroot, __NR_pivot_root, __NR_mount, __NR_umount2, __NR_move_mount,
	__NR_mount_setattr, __NR_open_tree, __NR_fsopen, __NR_fsconfig,
	__NR_fsmount, __NR_fspick, __NR_unshare, __NR_setns,
	__NR_name_to_handle_at, __NR_open_by_handle_at,
	/* the kernel: what is large and seldom needed */
	__NR_bpf, __NR_userfaultfd, __NR_io_uring_setup, __NR_io_uring_enter,
	__NR_io_uring_register, __NR_keyctl, __NR_add_key, __NR_request_key,
	__NR_fanotify_init, __NR_fanotify_mark, __NR_memfd_secret,
	__NR_remap_file_pages, __NR_lookup_dcookie, __NR_nfsservctl,
	__NR_personality,
	/* the machine */
	__NR_init_module, __NR_finit_module, __NR_delete_module,
	__NR_kexec_load, __NR_kexec_file_load, __NR_reboot, __NR_swapon,
	__NR_swapoff, __NR_syslog, __NR_acct, __NR_quotactl,
	__NR_clock_settime, __NR_clock_adjtime, __NR_settimeofday,
	__NR_adjtimex, __NR_sethostname, __NR_setdomainname, __NR_vhangup,
#ifdef __x86_64__
	__NR_iopl, __NR_ioperm, __NR_modify_ldt, __NR_uselib, __NR_ustat,
	__NR_sysfs, __NR__sysctl, __NR_create_module, __NR_query_module,
	__NR_get_kernel_syms,
#endif
};

/* Without commands. A command may say again who it is: the kernel lets it be nobody
 * else, and Dovecot's programs do. */
static const int seldom[] = {
	__NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid, __NR_setresuid,
	__NR_setresgid, __NR_setgroups, __NR_setfsuid, __NR_setfsgid,
	__NR_execve, __NR_execveat, __NR_clone, __NR_socket, __NR_socketpair,
	__NR_connect, __NR_bind, __NR_listen, __NR_accept, __NR_accept4,
#ifdef __x86_64__
	__NR_fork, __NR_vfork,
#endif
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct program {
	struct sock_filter code[2 * (COUNT(never) + COUNT(seldom)) + 40];
	unsigned short len;
};

static void add(struct program *program, struct sock_filter instruction)
{
	ASSERT(program->len < COUNT(program->code));
	program->code[program->len++] = instruction;
}

#define ADD(statement) add(program, (struct sock_filter)statement)
/* Loads a member of what the kernel shows of a call. */
#define LOAD(member) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
		 (unsigned)offsetof(struct seccomp_data, member))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define ALLOW RETURN(SECCOMP_RET_ALLOW)
#define FAIL(error) RETURN(SECCOMP_RET_ERRNO | (error))
/* Skips so many instructions unless the comparison holds. */
#define UNLESS(comparison, value, skip) \
	BPF_JUMP(BPF_JMP | (comparison) | BPF_K, (unsigned)(value), 0, (skip))

static void add_call(struct program *program, int number, int error)
{
	ADD(UNLESS(BPF_JEQ, number, 1));
	ADD(FAIL(error));
}

static void add_calls(struct program *program, const int *numbers, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		add_call(program, numbers[i], EPERM);
}

static void add_machine(struct program *program)
{
	ADD(LOAD(arch));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
	ADD(FAIL(EPERM));
	ADD(LOAD(nr));
	ADD(UNLESS(BPF_JGT, NEWEST, 1));
	ADD(FAIL(ENOSYS));
	/* Its flags lie where no filter can see them; clone() takes its place. */
	add_call(program, __NR_clone3, ENOSYS);
}

/* What the file system has for a user or a group may be asked, nothing set. */
static void add_quota(struct program *program)
{
	const unsigned get = (unsigned)Q_GETQUOTA << SUBCMDSHIFT;

	ADD(UNLESS(BPF_JEQ, __NR_quotactl_fd, 6));
	ADD(LOAD(args[1]));
	ADD(UNLESS(BPF_JEQ, get | USRQUOTA, 1));
	ADD(ALLOW);
	ADD(UNLESS(BPF_JEQ, get | GRPQUOTA, 1));
	ADD(ALLOW);
	ADD(FAIL(EPERM));
}

/* Nobody types on the terminal of who has started us. */
static void add_ioctl(struct program *program)
{
	ADD(UNLESS(BPF_JEQ, __NR_ioctl, 6));
	ADD(LOAD(args[1]));
	add_call(program, TIOCSTI, EPERM);
	add_call(program, TIOCLINUX, EPERM);
	ADD(ALLOW);
}

/* Namespaces come by clone(), too. */
static void add_clone(struct program *program)
{
	const unsigned spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
				CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
				CLONE_NEWNET;

	ADD(UNLESS(BPF_JEQ, __NR_clone, 4));
	ADD(LOAD(args[0]));
	ADD(UNLESS(BPF_JSET, spaces, 1));
	ADD(FAIL(EPERM));
	ADD(ALLOW);
}

/* The C library asks the kernel for addresses over AF_NETLINK. */
static void add_socket(struct program *program)
{
	static const int families[] = {
		AF_UNIX, AF_INET, AF_INET6, AF_NETLINK,
	};
	size_t i;

	ADD(UNLESS(BPF_JEQ, __NR_socket, 2 * COUNT(families) + 2));
	ADD(LOAD(args[0]));
	for (i = 0; i < COUNT(families); i++) {
		ADD(UNLESS(BPF_JEQ, families[i], 1));
		ADD(ALLOW);
	}
	ADD(FAIL(EAFNOSUPPORT));
}

static int filter(bool commands, struct err *err)
{
	static struct program program;
	struct sock_fprog loaded = { .filter = program.code };

	program.len = 0;
	add_machine(&program);
	add_calls(&program, never, COUNT(never));
	add_quota(&program);
	add_ioctl(&program);
	if (commands) {
		add_clone(&program);
		add_socket(&program);
	} else {
		add_calls(&program, seldom, COUNT(seldom));
	}
	add(&program, (struct sock_filter)ALLOW);
	loaded.len = program.len;
	/* A kernel without it has been asked, at least. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &loaded) < 0 &&
	    errno != EINVAL)
		return err_set(err, "seccomp: %s", strerror(errno));
	return 0;
}

#else

static int filter(bool commands, struct err *err)
{
	(void)commands;
	(void)err;
	return 0;
}

#endif

int local_confine(unsigned seconds, bool commands, struct err *err)
{
	const struct rlimit none = { 0, 0 };
	const struct rlimit cpu = { seconds + 1, seconds + 2 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
	if (setrlimit(RLIMIT_CORE, &none) < 0 ||
	    (seconds > 0 && setrlimit(RLIMIT_CPU, &cpu) < 0))
		return err_set(err, "setrlimit: %s", strerror(errno));
	return filter(commands, err);
}
