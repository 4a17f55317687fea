#include "backends/local/maildir/subscriptions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "backends/local/dirs.h"
#include "backends/local/failure.h"
#include "backends/local/ownership.h"
#include "lib/file.h"
#include "lib/mem.h"

#define SUBSCRIPTIONS_MAX (4 * 1024 * 1024)
#define LOCK_TRIES 250
#define LOCK_PAUSE_NS 20000000
#define LOCK_STALE_SECS 30 /* Dovecot's own limit */

static const char header[] = "V\t2\n\n";

struct subscriber {
	const struct mail_location *location;
	const char *folder;
	char *path, *lock;
	struct str text;
	struct dirs dirs;
};

/* Whether the lock is this file, which nobody has touched for long. */
static bool is_stale(const char *lock, int fd)
{
	struct stat st, named;

	return fstat(fd, &st) == 0 && lstat(lock, &named) == 0 &&
	       st.st_ino == named.st_ino && st.st_dev == named.st_dev &&
	       time(NULL) - st.st_mtime > LOCK_STALE_SECS;
}

/* Takes the lock away when whoever held it is gone. Only one process at a time looks and
 * does so, or it may take away the lock of another one that has done so before; and none
 * while its owner, if it is one of us, lives. */
static bool break_lock(const char *lock)
{
	int fd = open(lock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool broken;

	if (fd < 0)
		return false;
	/* Without flock() it is as with others' programs. */
	broken = (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) &&
		 is_stale(lock, fd) && unlink(lock) == 0;
	close(fd);
	return broken;
}

static int open_lock(struct subscriber *subscriber)
{
	const struct timespec pause = { 0, LOCK_PAUSE_NS };
	int tries, fd;

	for (tries = 0; tries < LOCK_TRIES; tries++) {
		fd = open(subscriber->lock, O_WRONLY | O_CREAT | O_EXCL |
			  O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0)
			(void)flock(fd, LOCK_EX | LOCK_NB);
		if (fd >= 0 || errno != EEXIST)
			return fd;
		if (!break_lock(subscriber->lock))
			nanosleep(&pause, NULL);
	}
	return -1;
}

static int lock(struct subscriber *subscriber)
{
	int fd = open_lock(subscriber);

	if (fd < 0 && errno == ENOENT) {
		if (dirs_make_root(&subscriber->dirs,
				   subscriber->location->control,
				   subscriber->location->in_home) < 0)
			return -1;
		fd = open_lock(subscriber);
	}
	if (fd < 0)
		failure_set(subscriber->dirs.result, errno, "create",
			    subscriber->lock);
	return fd;
}

/* As the file has it, in which inbox in any letters is INBOX. Without the header, it is
 * that of an old version, where the layout's separator stands between the parts, and not
 * a tab. */
static void put_name(struct str *line, const struct subscriber *subscriber,
		     bool tabs)
{
	bool fs = subscriber->location->layout == MAIL_LAYOUT_FS;
	const char *name = subscriber->folder;
	size_t i;

	if (!fs && name[0] != '\0')
		name++;
	if (name[0] == '\0' || strcasecmp(name, "INBOX") == 0)
		name = "INBOX";
	str_puts(line, name);
	for (i = 0; tabs && i < line->len; i++)
		if (line->data[i] == (fs ? '/' : '.'))
			line->data[i] = '\t';
}

static bool has_line(const char *text, const char *line, size_t len)
{
	const char *at;

	for (at = text; (at = strstr(at, line)) != NULL; at += len)
		if ((at == text || at[-1] == '\n') &&
		    (at[len] == '\n' || at[len] == '\0'))
			return true;
	return false;
}

/* Makes text the one to write. Returns 1, or 0 when the name is in it. */
static int add_name(struct subscriber *subscriber)
{
	struct str *text = &subscriber->text, line = STR_INIT;
	bool tabs = text->len == 0 ||
		    strncmp(text->data, header, strlen(header)) == 0;
	bool found;

	put_name(&line, subscriber, tabs);
	found = has_line(str_c(text), line.data, line.len);
	if (text->len == 0)
		str_puts(text, header);
	else if (text->data[text->len - 1] != '\n')
		str_putc(text, '\n');
	str_append(text, line.data, line.len);
	str_putc(text, '\n');
	str_free(&line);
	return found ? 0 : 1;
}

/* Why it cannot be read, or 0. */
static int no_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : errno;
	return S_ISREG(st.st_mode) ? 0 : EINVAL;
}

static int read_old(struct subscriber *subscriber)
{
	struct local_result *result = subscriber->dirs.result;
	int error = no_file(subscriber->path);
	struct err err;

	if (error != 0)
		return failure_set(result, error, "read", subscriber->path);
	if (file_read_regular(subscriber->path, SUBSCRIPTIONS_MAX,
			      &subscriber->text, &err) >= 0)
		return add_name(subscriber);
	result->status = LOCAL_FAILED;
	result->error = 0;
	snprintf(result->text, sizeof(result->text), "%s", err.text);
	return -1;
}

static int write_text(struct subscriber *subscriber, int fd)
{
	struct stat st;
	struct ownership ownership;
	size_t done = 0;
	ssize_t written;

	if (stat(subscriber->location->root, &st) < 0)
		return -1;
	ownership = ownership_of(&st);
	while (done < subscriber->text.len) {
		written = write(fd, subscriber->text.data + done,
				subscriber->text.len - done);
		if (written < 0)
			return -1;
		done += (size_t)written;
	}
	if (ownership_give(fd, &ownership, &subscriber->dirs.refused) < 0)
		return -1;
	return subscriber->dirs.fsync ? fsync(fd) : 0;
}

static int replace(struct subscriber *subscriber, int fd)
{
	int status = read_old(subscriber);

	if (status <= 0)
		return status;
	if (write_text(subscriber, fd) < 0)
		return failure_set(subscriber->dirs.result, errno, "write",
				   subscriber->lock);
	if (rename(subscriber->lock, subscriber->path) < 0)
		return failure_set(subscriber->dirs.result, errno, "replace",
				   subscriber->path);
	return 1;
}

int subscriptions_add(const struct mail_location *location, const char *folder,
		      bool fsync, struct local_result *result)
{
	struct subscriber subscriber = { .location = location,
					 .folder = folder,
					 .text = STR_INIT,
					 .dirs = { fsync, false, result } };
	int fd, status = -1;

	subscriber.path = mem_printf("%s/%s", location->control,
				     location->subscriptions);
	subscriber.lock = mem_printf("%s.lock", subscriber.path);
	fd = lock(&subscriber);
	if (fd >= 0) {
		status = replace(&subscriber, fd);
		close(fd);
		if (status <= 0)
			unlink(subscriber.lock);
	}
	mem_free(&subscriber.path);
	mem_free(&subscriber.lock);
	str_free(&subscriber.text);
	return status < 0 ? -1 : 0;
}

void subscriptions_try(const struct mail_location *location, const char *folder,
		       bool fsync, struct local_result *result)
{
	struct local_result problem;

	if (subscriptions_add(location, folder, fsync, &problem) < 0)
		snprintf(result->text, sizeof(result->text),
			 "saved, but the new mailbox is not subscribed to: "
			 "%.400s", problem.text);
}
