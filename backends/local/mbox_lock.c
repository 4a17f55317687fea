#include "backends/local/mbox_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/local/failure.h"
#include "lib/mem.h"

#define PAUSE_MIN_MS 30
#define STALE_SECS 120 /* mbox_dotlock_change_timeout */

static bool is_old(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 || time(NULL) - st.st_mtime > STALE_SECS;
}

/* Whether there is time for another try. Each process waits for another time, so that
 * two that are in each other's way do not stay so. */
static bool pause_for(struct mbox_lock *lock)
{
	unsigned ms = PAUSE_MIN_MS + (unsigned)getpid() % PAUSE_MIN_MS;
	const struct timespec pause = { 0, (long)ms * 1000000 };

	if (lock->patience_ms < ms)
		return false;
	lock->patience_ms -= ms;
	nanosleep(&pause, NULL);
	return true;
}

static int make(struct mbox_lock *lock, const char *path)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char pid[32];
	int fd;

	while ((fd = open(lock->path, flags, 0600)) < 0) {
		if (errno != EEXIST)
			return -1;
		if (is_old(lock->path) && is_old(path))
			unlink(lock->path);
		if (!pause_for(lock)) {
			errno = EAGAIN;
			return -1;
		}
	}
	/* For others to see; it is a lock without that, too. */
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	(void)!write(fd, pid, strlen(pid));
	close(fd);
	return 0;
}

int mbox_lock(struct mbox_lock *lock, const char *path,
	      struct local_result *result)
{
	lock->path = mem_printf("%s.lock", path);
	if (make(lock, path) == 0)
		return 0;
	failure_set(result, errno, "lock by", lock->path);
	mem_free(&lock->path);
	return -1;
}

int mbox_lock_file(struct mbox_lock *lock, const char *path, int fd,
		   struct local_result *result)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_SETLK, &whole) == 0)
		return 1;
	if (errno != EAGAIN && errno != EACCES)
		return failure_set(result, errno, "lock", path);
	/* Not while we wait: who reads has only this lock, and may want the
	 * other one next. */
	mbox_unlock(lock);
	return pause_for(lock) ? 0 : failure_set(result, EAGAIN, "lock", path);
}

void mbox_unlock(struct mbox_lock *lock)
{
	if (lock->path != NULL)
		unlink(lock->path);
	mem_free(&lock->path);
}
