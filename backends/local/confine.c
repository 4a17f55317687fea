#include "backends/local/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
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
	__NR_process_vm_readv, __NR_process_vm_writev, __NR_process_madvise,
	__NR_process_mrelease, __NR_kcmp, __NR_pidfd_getfd, __NR_migrate_pages,
	__NR_move_pages, __NR_perf_event_open,
	/* where one is */
	__NR_pivot_root, __NR_mount, __NR_umount2, __NR_move_mount,
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

/* Once a process is the user: until then it needs the one, and a sanitizer at the end of
 * the crew the other. */
static const int later[] = { __NR_chroot, __NR_ptrace };

/* The same, without commands. A command may say again who it is: the kernel lets it be nobody
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

/* --- what becomes of each call --- */

enum verdict {
	ALLOWED,
	FORBIDDEN, /* EPERM */
	UNKNOWN,   /* ENOSYS */
	/* It depends: */
	BY_QUOTA,
	BY_IOCTL,
	BY_CLONE,
	BY_FAMILY,
};

/* From a call on up to the next one's first. */
struct span {
	unsigned first;
	enum verdict verdict;
};

static void forbid(uint8_t verdicts[], const int *numbers, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		verdicts[numbers[i]] = FORBIDDEN;
}

/* The filters. What is forbidden by one of those that a process has is forbidden. */
enum {
	FOR_ALL,
	WITH_COMMANDS,
	WITHOUT_COMMANDS,
	FILTERS,
};

static void judge_for_all(uint8_t verdicts[NEWEST + 1])
{
	forbid(verdicts, never, COUNT(never));
	/* Its flags lie where no filter can see them; clone() takes its place. */
	verdicts[__NR_clone3] = UNKNOWN;
	verdicts[__NR_quotactl_fd] = BY_QUOTA;
	verdicts[__NR_ioctl] = BY_IOCTL;
	verdicts[__NR_clone] = BY_CLONE;
	verdicts[__NR_socket] = BY_FAMILY;
}

static void judge(uint8_t verdicts[NEWEST + 1], int which)
{
	if (which == FOR_ALL) {
		judge_for_all(verdicts);
		return;
	}
	forbid(verdicts, later, COUNT(later));
	if (which == WITHOUT_COMMANDS)
		forbid(verdicts, seldom, COUNT(seldom));
}

/* Only the one for all goes by how new a call is. */
static unsigned find_spans(const uint8_t verdicts[NEWEST + 1], int which,
			   struct span *spans)
{
	unsigned number, count = 0;

	for (number = 0; number <= NEWEST; number++) {
		if (count > 0 && spans[count - 1].verdict == verdicts[number])
			continue;
		spans[count++] = (struct span){
			number, (enum verdict)verdicts[number],
		};
	}
	if (which == FOR_ALL)
		spans[count++] = (struct span){ NEWEST + 1, UNKNOWN };
	return count;
}

/* --- the same as a program --- */

struct program {
	struct sock_filter code[4 * (COUNT(never) + COUNT(seldom)) + 60];
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

static void add_case(struct program *program, unsigned value,
		     struct sock_filter outcome)
{
	ADD(UNLESS(BPF_JEQ, value, 1));
	add(program, outcome);
}

/* What the file system has for a user or a group may be asked, nothing set. */
static void add_quota(struct program *program)
{
	const unsigned get = (unsigned)Q_GETQUOTA << SUBCMDSHIFT;

	ADD(LOAD(args[1]));
	add_case(program, get | USRQUOTA, (struct sock_filter)ALLOW);
	add_case(program, get | GRPQUOTA, (struct sock_filter)ALLOW);
	ADD(FAIL(EPERM));
}

/* Nobody types on the terminal of who has started us. */
static void add_ioctl(struct program *program)
{
	ADD(LOAD(args[1]));
	add_case(program, TIOCSTI, (struct sock_filter)FAIL(EPERM));
	add_case(program, TIOCLINUX, (struct sock_filter)FAIL(EPERM));
	ADD(ALLOW);
}

/* Namespaces come by clone(), too. */
static void add_clone(struct program *program)
{
	const unsigned spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
				CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
				CLONE_NEWNET;

	ADD(LOAD(args[0]));
	ADD(UNLESS(BPF_JSET, spaces, 1));
	ADD(FAIL(EPERM));
	ADD(ALLOW);
}

/* The C library asks the kernel for addresses over AF_NETLINK. */
static void add_family(struct program *program)
{
	static const unsigned families[] = {
		AF_UNIX, AF_INET, AF_INET6, AF_NETLINK,
	};
	size_t i;

	ADD(LOAD(args[0]));
	for (i = 0; i < COUNT(families); i++)
		add_case(program, families[i], (struct sock_filter)ALLOW);
	ADD(FAIL(EAFNOSUPPORT));
}

static void add_verdict(struct program *program, enum verdict verdict)
{
	switch (verdict) {
	case ALLOWED:
		ADD(ALLOW);
		break;
	case FORBIDDEN:
		ADD(FAIL(EPERM));
		break;
	case UNKNOWN:
		ADD(FAIL(ENOSYS));
		break;
	case BY_QUOTA:
		add_quota(program);
		break;
	case BY_IOCTL:
		add_ioctl(program);
		break;
	case BY_CLONE:
		add_clone(program);
		break;
	case BY_FAMILY:
		add_family(program);
		break;
	}
}

/* Halves what there is to choose from. The kernel tries every call when it takes the
 * filter, so few instructions for each are what makes that cheap. */
static void add_spans(struct program *program, const struct span *spans,
		      unsigned count)
{
	const unsigned left = count / 2;
	unsigned short at = program->len;

	if (count == 1) {
		add_verdict(program, spans->verdict);
		return;
	}
	ADD(UNLESS(BPF_JGE, spans[left].first, 0));
	add_spans(program, spans + left, count - left);
	ASSERT(program->len - at - 1 <= UINT8_MAX);
	program->code[at].jf = (uint8_t)(program->len - at - 1);
	add_spans(program, spans, left);
}

static void compile(struct program *program, int which)
{
	struct span spans[NEWEST + 2];
	uint8_t verdicts[NEWEST + 1] = { ALLOWED };

	judge(verdicts, which);
	ADD(LOAD(arch));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
	ADD(FAIL(EPERM));
	ADD(LOAD(nr));
	add_spans(program, spans, find_spans(verdicts, which, spans));
}

static struct program programs[FILTERS];

static struct program *prepare(int which)
{
	if (programs[which].len == 0)
		compile(&programs[which], which);
	return &programs[which];
}

void local_confine_prepare(bool commands)
{
	prepare(commands ? WITH_COMMANDS : WITHOUT_COMMANDS);
}

static int filter(int which, struct err *err)
{
	const struct program *program = prepare(which);
	const struct sock_fprog loaded = {
		.len = program->len,
		.filter = (struct sock_filter *)program->code,
	};

	/* A kernel without it has been asked, at least. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &loaded) < 0 &&
	    errno != EINVAL)
		return err_set(err, "seccomp: %s", strerror(errno));
	return 0;
}

static int filter_for_all(struct err *err)
{
	return filter(FOR_ALL, err);
}

static int filter_user(bool commands, struct err *err)
{
	return filter(commands ? WITH_COMMANDS : WITHOUT_COMMANDS, err);
}

#else

void local_confine_prepare(bool commands)
{
	(void)commands;
}

static int filter_for_all(struct err *err)
{
	(void)err;
	return 0;
}

static int filter_user(bool commands, struct err *err)
{
	(void)commands;
	(void)err;
	return 0;
}

#endif

/* Of this process, or of one that it was forked by. */
static bool confined_for_all;

int local_confine_for_all(struct err *err)
{
	if (confined_for_all)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
	if (filter_for_all(err) < 0)
		return -1;
	confined_for_all = true;
	return 0;
}

int local_confine(unsigned seconds, bool commands, struct err *err)
{
	const struct rlimit none = { 0, 0 };
	const struct rlimit cpu = { seconds + 1, seconds + 2 };

	if (local_confine_for_all(err) < 0)
		return -1;
	if (setrlimit(RLIMIT_CORE, &none) < 0 ||
	    (seconds > 0 && setrlimit(RLIMIT_CPU, &cpu) < 0))
		return err_set(err, "setrlimit: %s", strerror(errno));
	return filter_user(commands, err);
}
