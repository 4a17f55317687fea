#include "backends/local/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
/* Calls of x32 have this bit, and the same architecture. */
#define OTHER_CALLS 0x40000000
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#define OTHER_CALLS 0x40000000
#endif

#ifdef ARCHITECTURE

static const int forbidden[] = {
	/* other machines: the first two, unless there are to be sockets */
	__NR_socket, __NR_connect, __NR_bind, __NR_listen,
	/* other processes */
	__NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev,
	__NR_kcmp, __NR_pidfd_getfd,
	/* who and where one is */
	__NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid, __NR_setresuid,
	__NR_setresgid, __NR_setgroups, __NR_setfsuid, __NR_setfsgid,
	__NR_chroot, __NR_pivot_root, __NR_mount, __NR_umount2, __NR_move_mount,
	__NR_open_tree, __NR_fsopen, __NR_fsmount, __NR_fspick, __NR_unshare,
	__NR_setns, __NR_open_by_handle_at,
	/* the kernel */
	__NR_bpf, __NR_perf_event_open, __NR_userfaultfd, __NR_io_uring_setup,
	__NR_keyctl, __NR_add_key, __NR_request_key, __NR_init_module,
	__NR_finit_module, __NR_delete_module, __NR_kexec_load, __NR_reboot,
	__NR_swapon, __NR_swapoff, __NR_syslog, __NR_acct, __NR_quotactl,
	__NR_clock_settime, __NR_settimeofday, __NR_adjtimex, __NR_sethostname,
	__NR_setdomainname, __NR_personality,
};

#define FORBIDDEN (sizeof(forbidden) / sizeof(forbidden[0]))
#define SOCKETS 2

/* Loads a member of what the kernel shows of a call. */
#define LOAD(member) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
		 (unsigned)offsetof(struct seccomp_data, member))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define REFUSE RETURN(SECCOMP_RET_ERRNO | EPERM)
/* Skips the next instruction unless the comparison holds. */
#define UNLESS(comparison, value) \
	BPF_JUMP(BPF_JMP | (comparison) | BPF_K, (value), 0, 1)

static int filter(bool sockets, struct err *err)
{
	struct sock_filter code[2 * FORBIDDEN + 7] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		REFUSE,
		LOAD(nr),
		UNLESS(BPF_JGE, OTHER_CALLS),
		REFUSE,
	};
	struct sock_fprog program = { .filter = code };
	size_t i, at = 6;

	for (i = sockets ? SOCKETS : 0; i < FORBIDDEN; i++) {
		code[at++] = (struct sock_filter)UNLESS(
			BPF_JEQ, (unsigned)forbidden[i]);
		code[at++] = (struct sock_filter)REFUSE;
	}
	code[at++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	program.len = (unsigned short)at;
	/* A kernel without it has been asked, at least. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 &&
	    errno != EINVAL)
		return err_set(err, "seccomp: %s", strerror(errno));
	return 0;
}

#else

static int filter(bool sockets, struct err *err)
{
	(void)sockets;
	(void)err;
	return 0;
}

#endif

int local_confine(unsigned seconds, bool sockets, struct err *err)
{
	const struct rlimit none = { 0, 0 };
	const struct rlimit cpu = { seconds + 1, seconds + 2 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
	if (setrlimit(RLIMIT_CORE, &none) < 0 ||
	    (seconds > 0 && setrlimit(RLIMIT_CPU, &cpu) < 0))
		return err_set(err, "setrlimit: %s", strerror(errno));
	return filter(sockets, err);
}
