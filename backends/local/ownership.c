#include "backends/local/ownership.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NO_GID ((gid_t)-1)

struct ownership ownership_of(const struct stat *st)
{
	struct ownership ownership = { (st->st_mode & 0777) | 0700, NO_GID };

	if ((st->st_mode & S_ISGID) == 0 && st->st_gid != getegid() &&
	    (st->st_mode >> 3 & 7) != (st->st_mode & 7))
		ownership.gid = st->st_gid;
	return ownership;
}

/* mode as it is when the group is the right one. */
static int give(int fd, gid_t gid, mode_t mode, bool *refused)
{
	if (gid != NO_GID && fchown(fd, (uid_t)-1, gid) < 0) {
		if (errno != EPERM)
			return -1;
		*refused = true;
		mode &= ~(mode_t)0070;
	}
	return (mode & 0077) == 0 ? 0 : fchmod(fd, mode);
}

int ownership_give(int fd, const struct ownership *ownership, bool *refused)
{
	return give(fd, ownership->gid, ownership->mode & 0666, refused);
}

/* A directory has its mode from the start, unless its group is still to come: a
 * chmod() would take away a setgid bit that it got from the one above. */
int ownership_mkdir(const char *path, const struct ownership *ownership,
		    bool *refused, int *fd_r)
{
	bool later = ownership->gid != NO_GID;
	mode_t mask = umask(0);
	int status = mkdir(path, later ? 0700 : ownership->mode);
	int error = errno;

	umask(mask);
	errno = error;
	if (status < 0)
		return -1;
	*fd_r = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd_r >= 0 && (!later || give(*fd_r, ownership->gid, ownership->mode,
					  refused) == 0))
		return 0;
	error = errno;
	if (*fd_r >= 0)
		close(*fd_r);
	rmdir(path);
	errno = error;
	return -1;
}

void ownership_warn(const char *path, struct local_result *result)
{
	snprintf(result->text, sizeof(result->text),
		 "saved without rights for the group of what is at %.300s, to "
		 "which this user (uid %lu) cannot give files", path,
		 (unsigned long)geteuid());
}
