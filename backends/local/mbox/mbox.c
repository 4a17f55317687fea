#include "backends/local/mbox/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/local/dirs.h"
#include "backends/local/failure.h"
#include "backends/local/mailbox_name.h"
#include "backends/local/maildir/subscriptions.h"
#include "backends/local/mbox/lock.h"
#include "backends/local/mbox/text.h"
#include "lib/mem.h"

#define MBOX_CHUNK 65536
#define FILE_FLAGS (O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

struct mbox {
	const struct mail_location *location;
	const struct mbox_settings *settings;
	const struct local_mail *mail;
	struct local_result *result;
	const char *folder; /* "": INBOX */
	char *path;
	struct mbox_lock lock;
	struct dirs dirs;
	int fd;
	bool created;
	bool mended;
	off_t end; /* where the next byte goes */
};

static int fail(struct mbox *mbox, const char *what)
{
	return failure_set(mbox->result, errno, what, mbox->path);
}

/* Makes the directory that the file is to be in. */
static int make_dir(struct mbox *mbox)
{
	const struct mail_location *location = mbox->location;
	bool inbox = mbox->folder[0] == '\0';
	char *dir = mem_strdup(inbox ? mbox->path : mbox->folder);
	char *slash = strrchr(dir, '/');
	int status = 0;

	if (slash != NULL)
		*slash = '\0';
	status = dirs_make_root(&mbox->dirs, inbox ? dir : location->root,
				location->in_home);
	if (status == 0 && !inbox && slash != NULL)
		status = dirs_make_below(&mbox->dirs, location->root, dir, false);
	mem_free(&dir);
	return status;
}

/* Whether the directory is there: without it there can be no lock. */
static int find_dir(struct mbox *mbox)
{
	char *name = strrchr(mbox->path, '/') + 1, first = name[0];
	int status, error;

	name[0] = '\0';
	status = access(mbox->path, F_OK);
	error = errno;
	name[0] = first;
	if (status == 0)
		return 0;
	if (mbox->folder[0] != '\0' &&
	    (!mbox->settings->autocreate || error == ENOTDIR))
		return failure_set_as(mbox->result, LOCAL_NO_MAILBOX, error,
				      "open mailbox", mbox->path);
	if (error != ENOENT)
		return failure_set(mbox->result, error, "open mailbox",
				   mbox->path);
	return make_dir(mbox);
}

/* A file of our own is for us alone in a spool directory; elsewhere it takes after
 * the directory. */
static int create(struct mbox *mbox)
{
	struct ownership ownership;
	char *slash;
	struct stat st;
	int status;

	mbox->fd = open(mbox->path, FILE_FLAGS | O_CREAT | O_EXCL, 0600);
	if (mbox->fd < 0)
		return fail(mbox, "create");
	mbox->created = true;
	if (mbox->folder[0] == '\0')
		return 0;
	slash = strrchr(mbox->path, '/');
	*slash = '\0';
	status = stat(mbox->path, &st);
	*slash = '/';
	if (status < 0)
		return fail(mbox, "look at what is above");
	ownership = ownership_of(&st);
	if (ownership_give(mbox->fd, &ownership, &mbox->dirs.refused) < 0)
		return fail(mbox, "give mode and group to");
	return 0;
}

static int open_file(struct mbox *mbox)
{
	bool inbox = mbox->folder[0] == '\0';

	mbox->fd = open(mbox->path, FILE_FLAGS);
	if (mbox->fd >= 0)
		return 0;
	if (errno == ENOENT && (inbox || mbox->settings->autocreate))
		return create(mbox);
	if (!inbox && (errno == ENOENT || errno == EISDIR))
		return failure_set_as(mbox->result, LOCAL_NO_MAILBOX, errno,
				      "open mailbox", mbox->path);
	return fail(mbox, "open mailbox");
}

/* Others may be able to put things there, or to replace them while we waited. */
static int check_file(struct mbox *mbox)
{
	struct stat st, now;

	if (fstat(mbox->fd, &st) < 0 || lstat(mbox->path, &now) < 0)
		return fail(mbox, "look at");
	if (st.st_ino != now.st_ino || st.st_dev != now.st_dev) {
		errno = EAGAIN;
		return fail(mbox, "lock the right file at");
	}
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
		errno = EPERM;
		return fail(mbox, "append to what is no file or has two names,");
	}
	/* In a directory that is everybody's, somebody may have been first. */
	if (st.st_uid != geteuid()) {
		errno = EPERM;
		return fail(mbox, "append to a file of another user,");
	}
	mbox->end = st.st_size;
	return 0;
}

/* In a home there are other files than mail, and senders name mailboxes: not even
 * an empty line goes into what is none. INBOX is named by an administrator. */
static int check_mailbox(struct mbox *mbox)
{
	static const char start[] = "From ";
	char found[sizeof(start) - 1];
	ssize_t got;

	if (mbox->end == 0 || mbox->folder[0] == '\0')
		return 0;
	got = pread(mbox->fd, found, sizeof(found), 0);
	if (got < 0)
		return fail(mbox, "read");
	if ((size_t)got == sizeof(found) &&
	    memcmp(found, start, sizeof(found)) == 0)
		return 0;
	return failure_set_as(mbox->result, LOCAL_NO_MAILBOX, EINVAL,
			      "find mail in", mbox->path);
}

static int write_out(struct mbox *mbox, struct str *out)
{
	size_t done = 0;
	ssize_t written;

	while (done < out->len) {
		written = pwrite(mbox->fd, out->data + done, out->len - done,
				 mbox->end);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return fail(mbox, "write");
		done += (size_t)written;
		mbox->end += written;
	}
	str_clear(out);
	return 0;
}

/* What stands there may not have ended as it should. */
static int end_last_mail(struct mbox *mbox, struct str *out)
{
	char last[2] = "\n\n";
	size_t len = mbox->end < 2 ? (size_t)mbox->end : 2;

	if (pread(mbox->fd, last + 2 - len, len, mbox->end - (off_t)len) !=
	    (ssize_t)len)
		return fail(mbox, "read the end of");
	if (last[1] != '\n')
		str_putc(out, '\n');
	if (last[1] != '\n' || last[0] != '\n')
		str_putc(out, '\n');
	return 0;
}

static int copy_body(struct mbox *mbox, struct mbox_text *text, char *buf,
		     struct str *out)
{
	const struct local_mail *mail = mbox->mail;
	uint64_t done = 0;
	ssize_t got;

	while (done < mail->size) {
		uint64_t left = mail->size - done;

		got = pread(mail->fd, buf, left < MBOX_CHUNK ? left : MBOX_CHUNK,
			    (off_t)done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = ENODATA;
		if (got <= 0)
			return fail(mbox, "read the message for");
		mbox_text_add(text, buf, (size_t)got, out);
		if (write_out(mbox, out) < 0)
			return -1;
		done += (uint64_t)got;
	}
	return 0;
}

static int append(struct mbox *mbox)
{
	struct mbox_text text = MBOX_TEXT_INIT;
	struct str out = STR_INIT;
	char *buf = mem_alloc(MBOX_CHUNK);
	int status = end_last_mail(mbox, &out);

	if (status == 0) {
		mbox_text_from(&out, mbox->settings->sender,
			       mbox->mail->received.tv_sec);
		mbox_lock_note(&mbox->lock, mbox->end, out.data, out.len);
		mbox_text_add(&text, mbox->mail->head, mbox->mail->head_len,
			      &out);
		status = copy_body(mbox, &text, buf, &out);
	}
	if (status == 0) {
		mbox_text_end(&text, &out);
		status = write_out(mbox, &out);
	}
	if (status == 0 && mbox->settings->fsync && fsync(mbox->fd) < 0)
		status = fail(mbox, "sync");
	mem_free(&buf);
	str_free(&out);
	return status;
}

/* So that there is no part of a mail. */
static void cut_back(struct mbox *mbox, off_t size)
{
	size_t len = strlen(mbox->result->text);

	if (ftruncate(mbox->fd, size) < 0)
		snprintf(mbox->result->text + len,
			 sizeof(mbox->result->text) - len,
			 "; nor can it be cut back to %lld bytes: %s",
			 (long long)size, strerror(errno));
}

static int append_or_nothing(struct mbox *mbox)
{
	off_t size;

	if (check_file(mbox) < 0)
		return -1;
	mbox->mended = mbox_part_cut(&mbox->lock.left, mbox->fd, &mbox->end);
	mbox->lock.left.start_len = 0;
	if (check_mailbox(mbox) < 0)
		return -1;
	size = mbox->end;
	if (mbox->mail->appears != NULL)
		mbox->mail->appears(mbox->mail->context);
	if (append(mbox) == 0 &&
	    (!mbox->created || dirs_sync_above(&mbox->dirs, mbox->path,
					       mbox->fd) == 0))
		return 0;
	cut_back(mbox, size);
	return -1;
}

static void close_file(struct mbox *mbox)
{
	if (mbox->fd >= 0)
		close(mbox->fd);
	mbox->fd = -1;
}

static int open_locked(struct mbox *mbox)
{
	int status = 0;

	while (status == 0) {
		close_file(mbox);
		if (mbox_lock(&mbox->lock, mbox->path, mbox->result) < 0 ||
		    open_file(mbox) < 0)
			return -1;
		status = mbox_lock_file(&mbox->lock, mbox->path, mbox->fd,
					mbox->result);
	}
	return status < 0 ? -1 : 0;
}

static int save_locked(struct mbox *mbox)
{
	int status = find_dir(mbox);

	if (status == 0)
		status = open_locked(mbox);
	if (status == 0)
		status = append_or_nothing(mbox);
	mbox_unlock(&mbox->lock);
	close_file(mbox);
	return status;
}

static int save_to_folder(struct mbox *mbox)
{
	int status;

	mbox->path = mbox->folder[0] == '\0'
			     ? mem_strdup(mbox->location->inbox)
			     : mem_printf("%s/%s", mbox->location->root,
					  mbox->folder);
	status = save_locked(mbox);
	if (status == 0 && mbox->mended)
		snprintf(mbox->result->text, sizeof(mbox->result->text),
			 "a process that was killed had left a part of a mail in "
			 "%.300s, which was cut off", mbox->path);
	if (status == 0 && mbox->dirs.refused)
		ownership_warn(mbox->path, mbox->result);
	if (status == 0 && mbox->created && mbox->settings->autosubscribe &&
	    mbox->folder[0] != '\0')
		subscriptions_try(mbox->location, mbox->folder,
				  mbox->settings->fsync, mbox->result);
	mem_free(&mbox->path);
	return status;
}

int mbox_save(const struct mail_location *location, const char *mailbox,
	      const struct mbox_settings *settings,
	      const struct local_mail *mail, struct local_result *result)
{
	struct mbox mbox = { .location = location, .settings = settings,
			     .mail = mail, .result = result, .fd = -1,
			     .lock = { .fd = -1,
				       .patience_ms = settings->patience_ms },
			     .dirs = { settings->fsync, false, result } };
	struct str folder = STR_INIT;
	struct err err;
	int status = -1;

	memset(result, 0, sizeof(*result));
	if (mailbox_name_folder(location, &settings->naming, mailbox, &folder,
				&err) == 0) {
		mbox.folder = str_c(&folder);
		status = save_to_folder(&mbox);
	} else {
		result->status = LOCAL_NO_MAILBOX;
		memcpy(result->text, err.text, sizeof(result->text));
	}
	str_free(&folder);
	return status;
}
