#include "backends/local/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backends/local/failure.h"
#include "lib/mem.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

int dirs_sync(int fd)
{
	return fsync(fd) < 0 && errno != EINVAL ? -1 : 0;
}

/* So that the name of what is open as fd lasts. */
static int sync_name(const char *path, int fd)
{
	const char *slash = strrchr(path, '/');
	char *parent = mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
	int parent_fd = open(parent, DIR_FLAGS);
	int status = -1, error;

	mem_free(&parent);
	if (parent_fd >= 0)
		status = dirs_sync(parent_fd);
	else if (errno == EACCES) /* it may be written to, but not read */
		status = syncfs(fd);
	error = errno;
	if (parent_fd >= 0)
		close(parent_fd);
	errno = error;
	return status;
}

int dirs_sync_above(struct dirs *dirs, const char *path, int fd)
{
	if (!dirs->fsync || sync_name(path, fd) == 0)
		return 0;
	return failure_set(dirs->result, errno, "sync the directory above", path);
}

int dirs_make(struct dirs *dirs, const char *path,
	      const struct ownership *ownership)
{
	int fd, status;

	if (ownership_mkdir(path, ownership, &dirs->refused, &fd) < 0)
		return errno == EEXIST ? 0
				       : failure_set(dirs->result, errno,
						     "make directory", path);
	status = dirs_sync_above(dirs, path, fd);
	/* Else the next delivery would take it for lasting. */
	if (status < 0)
		rmdir(path);
	close(fd);
	return status;
}

/* The length of the first part of path that is there; 0 with the result filled
 * when nobody can tell. */
static size_t find_existing(struct dirs *dirs, char *path, struct stat *st)
{
	size_t len = strlen(path);
	char end;
	int status;

	for (;;) {
		end = path[len];
		path[len] = '\0';
		status = stat(path, st);
		path[len] = end;
		if (status == 0)
			return len;
		if (errno != ENOENT || len == 1) {
			failure_set(dirs->result, errno, "look at", path);
			return 0;
		}
		while (len > 1 && path[len - 1] != '/')
			len--;
		while (len > 1 && path[len - 1] == '/')
			len--;
	}
}

/* Makes all that path has behind its first len bytes; last is for path itself. */
static int make_all(struct dirs *dirs, char *path, size_t len,
		    const struct ownership *ownership,
		    const struct ownership *last)
{
	char end;
	int status;

	while (path[len] != '\0') {
		len += strspn(path + len, "/");
		len += strcspn(path + len, "/");
		end = path[len];
		path[len] = '\0';
		status = dirs_make(dirs, path, end == '\0' ? last : ownership);
		path[len] = end;
		if (status < 0 && end != '\0' &&
		    dirs->result->status == LOCAL_NO_ACCESS)
			dirs->result->status = LOCAL_GONE;
		if (status < 0)
			return -1;
	}
	return 0;
}

int dirs_make_root(struct dirs *dirs, const char *path, bool whole)
{
	struct ownership private = { 0700, (gid_t)-1 }, above = private;
	char *copy = mem_strdup(path);
	struct stat st;
	size_t len = find_existing(dirs, copy, &st);
	int status = -1;

	if (len > 0) {
		if ((st.st_mode & S_ISGID) != 0)
			above = ownership_of(&st);
		status = make_all(dirs, copy, len, &above,
				  whole ? &above : &private);
	}
	mem_free(&copy);
	return status;
}

/* In Maildir++, .A.B takes after .A, although that is not above it. */
static int find_model(struct dirs *dirs, const char *root, const char *folder,
		      struct stat *st)
{
	char *path = mem_printf("%s/%s", root, folder);
	char *start = path + strlen(root) + 1, *dot;
	int status = 0;

	while ((dot = strrchr(start, '.')) != NULL && dot > start) {
		*dot = '\0';
		if (stat(path, st) == 0)
			break;
		if (errno != ENOENT) {
			status = failure_set(dirs->result, errno, "look at",
					     path);
			break;
		}
	}
	mem_free(&path);
	return status;
}

int dirs_make_below(struct dirs *dirs, const char *root, const char *folder,
		    bool flat)
{
	char *path = mem_printf("%s/%s", root, folder);
	struct ownership ownership;
	struct stat st;
	size_t len = find_existing(dirs, path, &st);
	int status = -1;

	if (len > 0 &&
	    (!flat || find_model(dirs, root, folder, &st) == 0)) {
		ownership = ownership_of(&st);
		status = make_all(dirs, path, len, &ownership, &ownership);
	}
	mem_free(&path);
	return status;
}
