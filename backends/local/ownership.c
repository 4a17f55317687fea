#include "backends/local/ownership.h"

#include <errno.h>
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

/* chmod() would take away the setgid bit that a directory got from its parent. */
static int set_mode(int fd, bool directory, mode_t mode)
{
	struct stat st;

	if ((mode & 0077) == 0)
		return 0;
	if (!directory)
		return fchmod(fd, mode);
	if (fstat(fd, &st) < 0)
		return -1;
	return fchmod(fd, mode | (st.st_mode & S_ISGID));
}

int ownership_give(int fd, bool directory, const struct ownership *ownership,
		   bool *refused)
{
	mode_t mode = directory ? ownership->mode : ownership->mode & 0666;

	if (ownership->gid != NO_GID &&
	    fchown(fd, (uid_t)-1, ownership->gid) < 0) {
		if (errno != EPERM)
			return -1;
		*refused = true;
		mode &= ~(mode_t)0070;
	}
	return set_mode(fd, directory, mode);
}
