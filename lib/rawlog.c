#include "lib/rawlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/str.h"

#define BLOCK (16 * 1024) /* of what is logged, formatted at a time */

struct rawlog_file {
	int fd; /* -1: closed */
	bool continued; /* the last line is not at its end */
};

struct rawlog {
	struct rawlog_file files[2]; /* by enum rawlog_direction */
	char *name;		     /* without suffix */
	struct str out;
};

static const char *const rawlog_suffixes[] = { ".in", ".out" };

static char *rawlog_name(const char *dir, unsigned number)
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	return mem_printf("%s/%s.%ld.%u", dir, stamp, (long)getpid(), number);
}

/* Returns 0, or errno. */
static int rawlog_open_file(struct rawlog *rawlog,
			    enum rawlog_direction direction)
{
	char *path = mem_printf("%s%s", rawlog->name,
				rawlog_suffixes[direction]);
	int fd = open(path, O_CREAT | O_EXCL | O_APPEND | O_WRONLY | O_CLOEXEC,
		      0600);
	int error = fd < 0 ? errno : 0;

	rawlog->files[direction].fd = fd;
	mem_free(&path);
	return error;
}

static void rawlog_unlink_in(const struct rawlog *rawlog)
{
	char *path = mem_printf("%s%s", rawlog->name,
				rawlog_suffixes[RAWLOG_IN]);

	unlink(path);
	mem_free(&path);
}

static void rawlog_close(struct rawlog *rawlog)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (rawlog->files[i].fd >= 0)
			close(rawlog->files[i].fd);
		rawlog->files[i].fd = -1;
	}
}

void rawlog_free(struct rawlog **rawlog_p)
{
	struct rawlog *rawlog = *rawlog_p;

	if (rawlog == NULL)
		return;
	rawlog_close(rawlog);
	str_free(&rawlog->out);
	mem_free(&rawlog->name);
	mem_free(rawlog_p);
}

int rawlog_open(const char *dir, atomic_uint *counter,
		struct rawlog **rawlog_r, struct err *err)
{
	struct rawlog *rawlog = mem_new(struct rawlog);
	int error;

	*rawlog_r = rawlog;
	rawlog->name = rawlog_name(dir, atomic_fetch_add(counter, 1) + 1);
	rawlog->files[RAWLOG_OUT].fd = -1;
	error = rawlog_open_file(rawlog, RAWLOG_IN);
	if (error == 0) {
		error = rawlog_open_file(rawlog, RAWLOG_OUT);
		if (error == 0)
			return 1;
		rawlog_unlink_in(rawlog);
	} else if (error == ENOENT) {
		rawlog_free(rawlog_r);
		return 0;
	}
	err_put(err, "rawlog %s.*: %s", rawlog->name, strerror(error));
	rawlog_free(rawlog_r);
	return -1;
}

static void rawlog_format(struct str *out, struct rawlog_file *file,
			  const char *data, size_t len)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	while (len > 0) {
		const char *lf = memchr(data, '\n', len);
		size_t line = lf != NULL ? (size_t)(lf - data) + 1 : len;

		if (!file->continued)
			str_printf(out, "%lld.%06ld ", (long long)now.tv_sec,
				   now.tv_nsec / 1000);
		str_append(out, data, line);
		file->continued = lf == NULL;
		data += line;
		len -= line;
	}
}

static int rawlog_write_all(int fd, const char *data, size_t len)
{
	ssize_t ret;

	while (len > 0) {
		ret = write(fd, data, len);
		if (ret < 0 && errno != EINTR)
			return -1;
		if (ret > 0) {
			data += ret;
			len -= (size_t)ret;
		}
	}
	return 0;
}

int rawlog_write(struct rawlog *rawlog, enum rawlog_direction direction,
		 const void *data, size_t len, struct err *err)
{
	struct rawlog_file *file;
	const char *at = data;

	if (rawlog == NULL)
		return 0;
	file = &rawlog->files[direction];
	while (len > 0 && file->fd >= 0) {
		size_t part = len < BLOCK ? len : BLOCK;

		str_clear(&rawlog->out);
		rawlog_format(&rawlog->out, file, at, part);
		if (rawlog_write_all(file->fd, rawlog->out.data,
				     rawlog->out.len) < 0) {
			err_put(err, "rawlog %s%s: %s", rawlog->name,
				rawlog_suffixes[direction], strerror(errno));
			rawlog_close(rawlog);
			return -1;
		}
		at += part;
		len -= part;
	}
	return 0;
}
