#include "backends/local/quota/maildirsize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/local/dirs.h"
#include "backends/local/ownership.h"
#include "backends/local/quota/maildirsize_text.h"
#include "lib/mem.h"

#define MAX_REPLACED 100	/* how often the file may change under our hands */
#define LOCK_WAIT_MS 5000
#define LOCK_PAUSE_MS 2

/* Bytes of the file that are locked. Who wants to be alone holds the gate while
 * waiting, so that there is an end of those who come before. */
enum lock_byte { LOCK_FILE, LOCK_GATE };

enum state {
	FILE_GOOD,
	FILE_DOUBTFUL, /* there, but not to be believed */
	FILE_MISSING,
};

struct maildirsize {
	const struct maildir_tree *tree;
	char *path, *temp; /* temp: where files are written first */
	struct quota_amount limit;
	bool forced;
	maildirsize_ignore_fn *ignore;
	const void *context;
	int fd; /* with a shared lock, since maildirsize_begin(); -1: none */
};

static int failed(const struct maildirsize *size, const char *what,
		  struct err *err)
{
	return err_set(err, "cannot %s %.300s: %s", what, size->path,
		       strerror(errno));
}

struct maildirsize *maildirsize_new(const struct maildir_tree *tree,
				    const struct quota_amount *limit,
				    bool forced, maildirsize_ignore_fn *ignore,
				    const void *context)
{
	struct maildirsize *size = mem_new(struct maildirsize);
	const struct mail_location *location = tree->location;
	bool in_inbox = strcmp(location->control, location->inbox) == 0;

	size->tree = tree;
	size->path = mem_printf("%s/maildirsize", location->control);
	/* What is left behind in tmp is removed by others after some days. */
	size->temp = mem_printf("%s/%smaildirsize", location->control,
				in_inbox ? "tmp/" : "");
	size->limit = *limit;
	size->forced = forced;
	size->ignore = ignore;
	size->context = context;
	size->fd = -1;
	return size;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void maildirsize_free(struct maildirsize **size)
{
	if (*size == NULL)
		return;
	close_fd(&(*size)->fd);
	mem_free(&(*size)->path);
	mem_free(&(*size)->temp);
	mem_free(size);
}

struct quota_amount maildirsize_limit(const struct maildirsize *size)
{
	return size->limit;
}

/* --- locks --- */

static bool lock_byte(int fd, short type, enum lock_byte byte)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = byte,
		.l_len = 1,
	};
	unsigned waited;

	for (waited = 0; waited < LOCK_WAIT_MS; waited += LOCK_PAUSE_MS) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			return true;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return false;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* Without a lock the file may come to be a little wrong; no mail waits for that. */
static void lock_file(int fd, short type)
{
	(void)lock_byte(fd, F_WRLCK, LOCK_GATE);
	(void)lock_byte(fd, type, LOCK_FILE);
	(void)lock_byte(fd, F_UNLCK, LOCK_GATE);
}

/* Whether the file is still the one that has this name. */
static bool is_current(const struct maildirsize *size, int fd)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && stat(size->path, &named) == 0 &&
	       ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/* Returns a descriptor of the file that has the name once it is locked. */
static int open_locked(const struct maildirsize *size, int flags, short type)
{
	unsigned tries;
	int fd;

	for (tries = 0; tries < MAX_REPLACED; tries++) {
		fd = open(size->path, O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK |
				      flags, 0600);
		if (fd < 0)
			return -1;
		lock_file(fd, type);
		if (is_current(size, fd))
			return fd;
		close(fd);
	}
	errno = EAGAIN;
	return -1;
}

/* --- what the file says --- */

static bool is_over(const struct quota_amount *used,
		    const struct quota_amount *limit)
{
	return (limit->bytes > 0 && used->bytes > limit->bytes) ||
	       (limit->messages > 0 && used->messages > limit->messages);
}

/* Whether what the file says can be taken for true. */
static bool is_good(struct maildirsize *size, const struct stat *st,
		    const struct maildirsize_text *text)
{
	if (size->limit.bytes != text->limit.bytes ||
	    size->limit.messages != text->limit.messages) {
		if (size->forced || !text->has_limit)
			return false;
		size->limit = text->limit;
	}
	return !is_over(&text->used, &size->limit) ||
	       (text->lines <= 1 &&
		st->st_mtime >= time(NULL) - MAILDIRSIZE_STALE);
}

/* Returns the bytes of the file, MAILDIRSIZE_MAX at most, or -1. */
static ssize_t read_file(int fd, char *buf)
{
	size_t len = 0;
	ssize_t got;

	while (len < MAILDIRSIZE_MAX) {
		got = pread(fd, buf + len, MAILDIRSIZE_MAX - len, (off_t)len);
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	return (ssize_t)len;
}

/* Returns an enum state, or -1. */
static int examine(struct maildirsize *size, int fd,
		   struct quota_amount *used_r, struct err *err)
{
	char buf[MAILDIRSIZE_MAX];
	struct maildirsize_text text;
	struct stat st;
	ssize_t len;
	int status;

	if (fstat(fd, &st) < 0)
		return failed(size, "look at", err);
	if (!S_ISREG(st.st_mode))
		return err_set(err, "%.300s is no file: remove it", size->path);
	len = read_file(fd, buf);
	if (len < 0)
		return failed(size, "read", err);
	status = maildirsize_text_parse(buf, (size_t)len, &text);
	/* Of a long file the limits still hold. */
	if (!is_good(size, &st, &text) || status < 0 || len >= MAILDIRSIZE_MAX)
		return FILE_DOUBTFUL;
	*used_r = text.used;
	return FILE_GOOD;
}

static int look(struct maildirsize *size, struct quota_amount *used_r,
		struct err *err)
{
	int fd = open(size->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int state;

	if (fd < 0 && (errno == ENOENT || errno == ESTALE))
		return FILE_MISSING;
	if (fd < 0)
		return failed(size, "open", err);
	state = examine(size, fd, used_r, err);
	close(fd);
	return state;
}

/* --- making it anew --- */

static int write_all(int fd, const struct str *text)
{
	ssize_t written = write(fd, text->data, text->len);

	if (written >= 0 && (size_t)written < text->len)
		errno = ENOSPC;
	return written == (ssize_t)text->len ? 0 : -1;
}

/* Whoever may read the mail may read this, too; if not, there is only no quota that
 * others can see. */
static int give_mode(const struct maildirsize *size, int fd)
{
	struct ownership ownership;
	bool refused;
	struct stat st;

	if (stat(size->tree->location->root, &st) < 0)
		return -1;
	ownership = ownership_of(&st);
	return ownership_give(fd, &ownership, &refused);
}

static int write_temp(const struct maildirsize *size, const char *temp,
		      const struct str *text)
{
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int status;

	if (fd < 0)
		return -1;
	status = give_mode(size, fd) < 0 || write_all(fd, text) < 0 ? -1 : 0;
	if (close(fd) < 0 || status < 0 || rename(temp, size->path) < 0) {
		int error = errno;

		unlink(temp);
		errno = error;
		return -1;
	}
	return 0;
}

/* By a name that begins with prefix. */
static int write_by(const struct maildirsize *size, const char *prefix,
		    const struct str *text)
{
	struct timespec now;
	char host[64] = "";
	char *temp;
	int status;

	/* That of the longest names is cut off. */
	(void)gethostname(host, sizeof(host) - 1);
	clock_gettime(CLOCK_REALTIME, &now);
	temp = mem_printf("%s.%lld.%09ld.%d.%s", prefix, (long long)now.tv_sec,
			  now.tv_nsec, (int)getpid(), host);
	status = write_temp(size, temp, text);
	mem_free(&temp);
	return status;
}

static int replace_file(const struct maildirsize *size,
			const struct quota_amount *used, struct err *err)
{
	struct str text = STR_INIT;
	int status;

	maildirsize_text_write(&size->limit, used, &text);
	status = write_by(size, size->temp, &text);
	/* Where only other mailboxes had mail yet there is no tmp. */
	if (status < 0 && errno == ENOENT)
		status = write_by(size, size->path, &text);
	if (status < 0)
		failed(size, "write", err);
	str_free(&text);
	return status;
}

static int scan_and_replace(struct maildirsize *size,
			    struct quota_amount *used_r, bool *known_r,
			    struct err *err)
{
	*known_r = false;
	if (maildirsize_scan(size->tree, size->ignore, size->context, used_r,
			     err) < 0)
		return -1;
	*known_r = true;
	return replace_file(size, used_r, err);
}

/* The directory of the file, unless it is that of INBOX: a delivery makes that, and has
 * more to do there. */
static bool make_dir(const struct maildirsize *size)
{
	const struct mail_location *location = size->tree->location;
	struct local_result result;
	struct dirs dirs = { .result = &result };

	return strcmp(location->control, location->inbox) != 0 &&
	       dirs_make_root(&dirs, location->control,
			      location->in_home &&
				      strcmp(location->control,
					     location->root) == 0) == 0;
}

/* Alone with the file, unless it cannot be opened for that. Where wanted is false,
 * somebody else may have made it anew meanwhile. */
static int recalculate(struct maildirsize *size, bool wanted,
		       struct quota_amount *used_r, bool *known_r,
		       struct err *err)
{
	int fd, status;

	close_fd(&size->fd);
	*known_r = false;
	fd = open_locked(size, O_CREAT, F_WRLCK);
	if (fd < 0 && errno == ENOENT && make_dir(size))
		fd = open_locked(size, O_CREAT, F_WRLCK);
	if (!wanted && fd >= 0 &&
	    examine(size, fd, used_r, err) == FILE_GOOD) {
		*known_r = true;
		close(fd);
		return 0;
	}
	status = scan_and_replace(size, used_r, known_r, err);
	if (fd >= 0)
		close(fd);
	return status;
}

int maildirsize_recalculate(struct maildirsize *size,
			    struct quota_amount *used_r, struct err *err)
{
	bool known;

	*used_r = (struct quota_amount){ .bytes = 0 };
	return recalculate(size, true, used_r, &known, err);
}

/* --- reading and adding --- */

static bool has_limit(const struct maildirsize *size)
{
	return size->forced || size->limit.bytes > 0 ||
	       size->limit.messages > 0;
}

int maildirsize_get(struct maildirsize *size, struct quota_amount *used_r,
		    struct err *err)
{
	bool known;
	int state;

	*used_r = (struct quota_amount){ .bytes = 0 };
	state = look(size, used_r, err);
	if (state < 0)
		return -1;
	if (state == FILE_GOOD || (state == FILE_MISSING && !has_limit(size)))
		return 0;
	(void)recalculate(size, false, used_r, &known, err);
	return known ? 0 : -1;
}

void maildirsize_begin(struct maildirsize *size)
{
	if (size->fd < 0)
		size->fd = open_locked(size, O_CREAT, F_RDLCK);
}

/* Returns 0, -1, or 1 when the line would not be of use. */
static int append(struct maildirsize *size, const struct quota_amount *more,
		  struct quota_amount *used_r, struct err *err)
{
	struct str line = STR_INIT;
	int status, state;

	/* Dovecot may have put another file in its place. */
	if (size->fd >= 0 && !is_current(size, size->fd))
		close_fd(&size->fd);
	maildirsize_begin(size);
	if (size->fd < 0)
		return failed(size, "open", err);
	state = examine(size, size->fd, used_r, err);
	if (state != FILE_GOOD)
		return state < 0 ? -1 : 1;
	maildirsize_text_line((int64_t)more->bytes, (int64_t)more->messages,
			      &line);
	status = write_all(size->fd, &line);
	str_free(&line);
	if (status < 0)
		return failed(size, "write to", err);
	/* With what others have added: of two that reach a limit together, the last
	 * one notices. */
	state = examine(size, size->fd, used_r, err);
	return state < 0 ? -1 : state != FILE_GOOD;
}

int maildirsize_add(struct maildirsize *size, const struct quota_amount *more,
		    struct quota_amount *used_r, struct err *err)
{
	bool known;
	int status;

	*used_r = (struct quota_amount){ .bytes = 0 };
	status = append(size, more, used_r, err);
	close_fd(&size->fd);
	if (status > 0)
		status = recalculate(size, false, used_r, &known, err);
	return status;
}
