#include "lib/birth.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/file.h"

#define MAX_STAT 4096

struct birth {
	long pid;
	unsigned long long start; /* in ticks since the machine started; 0: unknown */
	unsigned long long inode; /* the same for all before Linux 6.9; 0: unknown */
};

static unsigned long long start_of(long pid)
{
	unsigned long long start;
	struct str text = STR_INIT;
	const char *behind_name;
	char path[64];
	struct err err;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	if (file_read(path, MAX_STAT, &text, &err) <= 0 ||
	    (behind_name = strrchr(str_c(&text), ')')) == NULL ||
	    sscanf(behind_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
		   "%*u %*u %*d %*d %*d %*d %*d %*d %llu", &start) != 1)
		start = 0;
	str_free(&text);
	return start;
}

static unsigned long long inode_of(long pid)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	unsigned long long inode = 0;
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0)
		inode = st.st_ino;
	close(fd);
	return inode;
}

void birth_write(struct str *out)
{
	long pid = (long)getpid();

	str_printf(out, "%ld-%llu-%llu-", pid, start_of(pid), inode_of(pid));
}

static bool read_birth(const char *text, struct birth *birth_r)
{
	int behind = 0;

	*birth_r = (struct birth){ .pid = 0 };
	if (sscanf(text, "%ld-%llu-%n", &birth_r->pid, &birth_r->start,
		   &behind) != 2 || behind == 0)
		return false;
	text += behind;
	behind = 0;
	if (sscanf(text, "%llu-%n", &birth_r->inode, &behind) != 1 || behind == 0)
		birth_r->inode = 0;
	return birth_r->pid > 0;
}

static bool may_be(unsigned long long was, unsigned long long is)
{
	return was == 0 || is == 0 || was == is;
}

bool birth_lives(const char *text)
{
	struct birth was;

	if (!read_birth(text, &was))
		return true;
	/* Also somebody else's process, which has got the number since. */
	if (kill((pid_t)was.pid, 0) < 0 && errno != EPERM)
		return false;
	return may_be(was.inode, inode_of(was.pid)) &&
	       may_be(was.start, start_of(was.pid));
}
