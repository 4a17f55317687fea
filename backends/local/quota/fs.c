#include "backends/local/quota/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK 1024 /* bytes: what limits are counted in, with any file system */

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

/* By a descriptor (Linux 5.14): the device need not be found. The C library has no
 * function for it, and its QCMD() shifts into the sign. */
static int ask(int fd, unsigned type, unsigned id, struct dqblk *quota)
{
	unsigned command = (unsigned)Q_GETQUOTA << SUBCMDSHIFT | type;

	return (int)syscall(SYS_quotactl_fd, fd, command, id, quota);
}

static int ask_all(int fd, bool user, bool group, struct dqblk *quota)
{
	if (user && ask(fd, USRQUOTA, geteuid(), quota) == 0)
		return 1;
	if (user && errno != ESRCH)
		return -1;
	if (group && ask(fd, GRPQUOTA, getegid(), quota) == 0)
		return 1;
	return !group || errno == ESRCH ? 0 : -1;
}

int quota_fs_get(const char *path, bool user, bool group,
		 struct quota_amount *used_r, struct quota_amount *limit_r,
		 struct err *err)
{
	struct dqblk quota;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status;

	memset(&quota, 0, sizeof(quota));
	status = fd < 0 ? -1 : ask_all(fd, user, group, &quota);
	if (status < 0)
		err_put(err, "cannot find out the quota on the file system of "
			"%.300s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	used_r->bytes = quota.dqb_curspace;
	used_r->messages = quota.dqb_curinodes;
	limit_r->bytes = BLOCK * (quota.dqb_bsoftlimit != 0 ?
				  quota.dqb_bsoftlimit : quota.dqb_bhardlimit);
	limit_r->messages = quota.dqb_isoftlimit != 0 ? quota.dqb_isoftlimit
						      : quota.dqb_ihardlimit;
	return status;
}
