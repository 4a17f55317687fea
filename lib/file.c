#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"

static int read_all(int fd, size_t max, struct str *out)
{
	char buf[16384];
	size_t total = 0;
	ssize_t got;

	while ((got = read(fd, buf, sizeof(buf))) > 0) {
		total += (size_t)got;
		if (total > max) {
			errno = EFBIG;
			return -1;
		}
		str_append(out, buf, (size_t)got);
	}
	return got < 0 ? -1 : 0;
}

/* fd: of the file; -1: errno says why there is none. */
static int read_open(int fd, const char *path, size_t max, struct str *out,
		     struct err *err)
{
	int status;

	if (fd < 0 && errno == ENOENT)
		return 0;
	status = fd < 0 ? -1 : read_all(fd, max, out);
	if (status < 0)
		err_put(err, "cannot read %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return status < 0 ? -1 : 1;
}

int file_read(const char *path, size_t max, struct str *out, struct err *err)
{
	return read_open(open(path, O_RDONLY | O_CLOEXEC), path, max, out, err);
}

static int open_regular(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}

int file_read_regular(const char *path, size_t max, struct str *out,
		      struct err *err)
{
	return read_open(open_regular(path), path, max, out, err);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t written = write(fd, data, len);

		if (written < 0)
			return -1;
		data += written;
		len -= (size_t)written;
	}
	return fsync(fd);
}

/* So that the new name lasts. */
static int sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash == NULL	  ? mem_strdup(".")
			  : slash == path ? mem_strdup("/")
					  : mem_strndup(path, (size_t)(slash -
								       path));
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int status = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	mem_free(&directory);
	return status;
}

static int write_new(const char *path, const struct str *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int status;

	if (fd < 0)
		return -1;
	status = write_all(fd, text->data, text->len);
	return close(fd) < 0 ? -1 : status;
}

int file_replace(const char *path, const struct str *text, struct err *err)
{
	char *new_path = mem_printf("%s.new", path);
	int status = 0;

	if (write_new(new_path, text) < 0 || rename(new_path, path) < 0 ||
	    sync_directory(path) < 0)
		status = err_set(err, "cannot write %s: %s", path,
				 strerror(errno));
	mem_free(&new_path);
	return status;
}
