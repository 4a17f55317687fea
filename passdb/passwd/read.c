#include "passdb/passwd/read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"

#define YOUNG_NS 500000000

void passwd_stamp_set(struct passwd_stamp *stamp, const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	stamp->mtime = st->st_mtim;
	stamp->size = st->st_size;
	stamp->inode = st->st_ino;
	stamp->device = st->st_dev;
	if (now.tv_nsec < st->st_mtim.tv_nsec) {
		now.tv_sec--;
		now.tv_nsec += 1000000000;
	}
	stamp->young = now.tv_sec == st->st_mtim.tv_sec &&
		       now.tv_nsec - st->st_mtim.tv_nsec < YOUNG_NS;
}

bool passwd_stamp_equal(const struct passwd_stamp *a,
			const struct passwd_stamp *b)
{
	return a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec && a->size == b->size &&
	       a->inode == b->inode && a->device == b->device;
}

static enum passwd_read read_errno(const char *path, const char *what,
				   struct err *err)
{
	bool missing = errno == ENOENT || errno == ENOTDIR ||
		       errno == ENAMETOOLONG;

	err_put(err, "%s: %s: %s%s", path, what, strerror(errno),
		errno == EACCES ? " (the user of the worker process has to be able "
				  "to read it)" : "");
	return missing ? PASSWD_READ_MISSING : PASSWD_READ_FAILED;
}

/* Reads size bytes, and one more if the file has grown. */
static ssize_t read_all(int fd, char *data, size_t size)
{
	size_t len = 0;
	ssize_t got = 1;

	while (len <= size && got > 0) {
		got = read(fd, data + len, size + 1 - len);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			len += (size_t)got;
	}
	return got < 0 ? -1 : (ssize_t)len;
}

static enum passwd_read read_data(int fd, const char *path, char **data_r,
				  struct passwd_stamp *stamp_r,
				  struct err *err)
{
	struct passwd_stamp after;
	struct stat st;
	ssize_t len;

	if (fstat(fd, &st) < 0)
		return read_errno(path, "fstat", err);
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)PASSWD_MAX_SIZE) {
		err_put(err, "%s: %s", path, S_ISREG(st.st_mode) ?
			"larger than 4 GiB" : "not a regular file");
		return PASSWD_READ_FAILED;
	}
	passwd_stamp_set(stamp_r, &st);
	*data_r = mem_alloc((size_t)st.st_size + 1);
	len = read_all(fd, *data_r, (size_t)st.st_size);
	if (len < 0 || fstat(fd, &st) < 0)
		return read_errno(path, "read", err);
	passwd_stamp_set(&after, &st);
	if (len != stamp_r->size || !passwd_stamp_equal(stamp_r, &after)) {
		err_put(err, "%s: it is being written to", path);
		return PASSWD_READ_CHANGING;
	}
	/* Whoever has a command write users into the file, which takes its
	 * time, has emptied it first. */
	if (len == 0) {
		err_put(err, "%s: is empty: a comment (#) in it would say that "
			"this is meant", path);
		return PASSWD_READ_EMPTY;
	}
	return PASSWD_READ_OK;
}

enum passwd_read passwd_read(const char *path, const struct var_source *vars,
			     struct passwd_table **table_r,
			     struct passwd_stamp *stamp_r, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum passwd_read result;
	char *data = NULL;

	if (fd < 0)
		return read_errno(path, "open", err);
	result = read_data(fd, path, &data, stamp_r, err);
	close(fd);
	if (result == PASSWD_READ_OK)
		*table_r = passwd_table_new(path, data, (size_t)stamp_r->size,
					    vars);
	else
		mem_free(&data);
	return result;
}
