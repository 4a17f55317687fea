#include "backends/local/mbox/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/local/failure.h"
#include "lib/mem.h"

#define PAUSE_MIN_MS 30
#define STALE_SECS 120 /* mbox_dotlock_change_timeout */

/* What FILE.lock says: the process, and of which machine it is, as Dovecot has it. */
static void put_owner(char owner[MBOX_LOCK_OWNER_MAX], long pid)
{
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1);
	snprintf(owner, MBOX_LOCK_OWNER_MAX, "%ld:%s", pid, host);
}

/* Its process was of this machine, and was killed. */
static bool is_orphan(const char *found)
{
	char owner[MBOX_LOCK_OWNER_MAX];
	long pid = strtol(found, NULL, 10);

	put_owner(owner, pid);
	return pid > 0 && pid <= INT_MAX && strcmp(found, owner) == 0 &&
	       kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static bool is_old(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 || time(NULL) - st.st_mtime > STALE_SECS;
}

/* Whether the lock still is this file. */
static bool is_same(const char *path, int fd, struct stat *st)
{
	struct stat named;

	return fstat(fd, st) == 0 && lstat(path, &named) == 0 &&
	       st->st_ino == named.st_ino && st->st_dev == named.st_dev;
}

/* What a lock of ours says behind the NUL that ends its owner. */
static void learn(struct mbox_lock *lock, const char *found, size_t len,
		  const struct stat *st)
{
	size_t owner_len = strlen(found);

	if (owner_len >= sizeof(lock->left_by) ||
	    !mbox_part_read(&lock->left, found + owner_len, len - owner_len))
		return;
	memcpy(lock->left_by, found, owner_len + 1);
	lock->left_at = st->st_mtim;
}

/* Takes a lock away that nobody holds any more, and returns whether it was one. Who does
 * so has it locked by flock(), and so is the only one who takes over what it says. */
static bool break_open(struct mbox_lock *lock, const char *path, int fd)
{
	bool alone = flock(fd, LOCK_EX | LOCK_NB) == 0;
	char found[MBOX_LOCK_OWNER_MAX + MBOX_PART_MAX];
	ssize_t got = read(fd, found, sizeof(found) - 1);
	struct stat st;

	if ((!alone && errno == EWOULDBLOCK) || got < 0 ||
	    !is_same(lock->path, fd, &st))
		return false;
	found[got] = '\0';
	if (!is_orphan(found) && !(is_old(lock->path) && is_old(path)))
		return false;
	if (unlink(lock->path) < 0)
		return false;
	if (alone && st.st_uid == geteuid())
		learn(lock, found, (size_t)got, &st);
	return true;
}

static bool break_lock(struct mbox_lock *lock, const char *path)
{
	int fd = open(lock->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool broken;

	if (fd < 0)
		return is_old(lock->path) && is_old(path) &&
		       unlink(lock->path) == 0;
	broken = break_open(lock, path, fd);
	close(fd);
	return broken;
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

/* For others to see when we are gone; it is a lock without that, too. */
static void sign(int fd)
{
	char owner[MBOX_LOCK_OWNER_MAX];

	put_owner(owner, (long)getpid());
	(void)flock(fd, LOCK_EX | LOCK_NB);
	(void)!write(fd, owner, strlen(owner));
}

/* What FILE.lock is going to be: it says whose it is before it is there, and so does one
 * that is left behind. -1: not all file systems have that. */
static int open_nameless(const struct mbox_lock *lock)
{
	size_t len = (size_t)(strrchr(lock->path, '/') - lock->path);
	char *dir = mem_strndup(lock->path, len > 0 ? len : 1);
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	mem_free(&dir);
	if (fd >= 0)
		sign(fd);
	return fd;
}

/* Returns the descriptor of FILE.lock, or -1: with EEXIST, when somebody has it. */
static int take(const struct mbox_lock *lock, int nameless)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char own[32];
	int fd;

	snprintf(own, sizeof(own), "/proc/self/fd/%d", nameless);
	if (nameless >= 0 && linkat(AT_FDCWD, own, AT_FDCWD, lock->path,
				    AT_SYMLINK_FOLLOW) == 0)
		return nameless;
	if (nameless >= 0 && errno == EEXIST)
		return -1;
	/* Nor is there always a /proc. */
	fd = open(lock->path, flags, 0600);
	if (fd >= 0)
		sign(fd);
	return fd;
}

static int take_patiently(struct mbox_lock *lock, const char *path, int nameless)
{
	lock->left.start_len = 0;
	while ((lock->fd = take(lock, nameless)) < 0) {
		if (errno != EEXIST)
			return -1;
		/* Who has it now knows of no part, and writes behind it. */
		lock->left.start_len = 0;
		/* Without a pause, in which one who knows nothing may come. */
		if (!break_lock(lock, path) && !pause_for(lock)) {
			errno = EAGAIN;
			return -1;
		}
	}
	return 0;
}

static int make(struct mbox_lock *lock, const char *path)
{
	int nameless = open_nameless(lock);
	int status = take_patiently(lock, path, nameless), error = errno;

	if (nameless >= 0 && nameless != lock->fd)
		close(nameless);
	errno = error;
	return status;
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

void mbox_lock_note(struct mbox_lock *lock, off_t at, const char *start, size_t len)
{
	struct str text = STR_INIT;

	mbox_part_write(&text, at, start, len);
	/* Without it a part could stay there; that is all. */
	if (text.len > 0)
		(void)!write(lock->fd, text.data, text.len);
	str_free(&text);
}

/* Has FILE.lock say what the one said that was taken away: more than ours did, and at
 * once, so that it never says half of it. */
static bool give_back(const struct mbox_lock *lock)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, lock->left_at };
	struct str text = STR_INIT;
	bool done;

	str_puts(&text, lock->left_by);
	mbox_part_write(&text, lock->left.at, lock->left.start,
			lock->left.start_len);
	done = pwrite(lock->fd, text.data, text.len, 0) == (ssize_t)text.len &&
	       futimens(lock->fd, times) == 0;
	str_free(&text);
	return done;
}

void mbox_unlock(struct mbox_lock *lock)
{
	if (lock->path == NULL)
		return;
	if (lock->left.start_len == 0 || !give_back(lock))
		unlink(lock->path);
	close(lock->fd);
	mem_free(&lock->path);
}
