#include "backends/local/maildir/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backends/local/dirs.h"
#include "backends/local/failure.h"
#include "backends/local/mailbox_name.h"
#include "backends/local/maildir/box.h"
#include "backends/local/maildir/copy.h"
#include "backends/local/maildir/name.h"
#include "backends/local/maildir/subscriptions.h"
#include "lib/mem.h"

#define MAILDIR_CHUNK 65536
#define MAILDIR_NAME_TRIES 16

/* A mail on its way through tmp into new. */
struct draft {
	struct maildir_box *box;
	const struct maildir_settings *settings;
	const struct local_mail *mail;
	struct local_result *result;
	char base[MAILDIR_BASE_MAX];
	int fd;
	struct maildir_sizes sizes; /* of what is written */
};

static int fail(struct draft *draft, const char *what, const char *dir,
		const char *name)
{
	int error = errno;
	char *path = mem_printf("%s/%s/%s", draft->box->path, dir, name);

	failure_set(draft->result, error, what, path);
	mem_free(&path);
	return -1;
}

static int fail_tmp(struct draft *draft, const char *what)
{
	return fail(draft, what, "tmp", draft->base);
}

static int create(struct draft *draft)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int tries = 0;

	do {
		maildir_name_make(draft->base, draft->settings->hostname);
		draft->fd = openat(draft->box->tmp, draft->base, flags, 0600);
	} while (draft->fd < 0 && errno == EEXIST &&
		 ++tries < MAILDIR_NAME_TRIES);
	return draft->fd < 0 ? fail_tmp(draft, "create") : 0;
}

/* Writes a piece of the head and one of the body with one call. */
static int put(struct draft *draft, struct iovec *part, size_t parts)
{
	ssize_t written;
	size_t i;

	for (i = 0; i < parts; i++)
		maildir_sizes_add(&draft->sizes, part[i].iov_base,
				  part[i].iov_len);
	while (parts > 0) {
		written = writev(draft->fd, part, (int)parts);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return fail_tmp(draft, "write");
		while (parts > 0 && (size_t)written >= part->iov_len) {
			written -= (ssize_t)part->iov_len;
			part++;
			parts--;
		}
		if (parts > 0) {
			part->iov_base = (char *)part->iov_base + written;
			part->iov_len -= (size_t)written;
		}
	}
	return 0;
}

static size_t chunk_size(uint64_t left)
{
	return left < MAILDIR_CHUNK ? (size_t)left : MAILDIR_CHUNK;
}

/* Reads the next of the body; at least a byte, unless there is no more. */
static int read_body(struct draft *draft, uint64_t done, struct iovec *chunk)
{
	ssize_t got;

	chunk->iov_len = chunk_size(draft->mail->size - done);
	if (chunk->iov_len == 0)
		return 0;
	do
		got = pread(draft->mail->fd, chunk->iov_base, chunk->iov_len,
			    (off_t)done);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail_tmp(draft, "read the message for");
	if (got == 0) {
		errno = ENODATA;
		return fail_tmp(draft, "read the whole message for");
	}
	chunk->iov_len = (size_t)got;
	return 0;
}

/* The bytes have to pass here to be counted, so nothing is won by having the kernel
 * copy them. */
static int fill(struct draft *draft)
{
	const struct local_mail *mail = draft->mail;
	char *buf = mem_alloc(chunk_size(mail->size));
	uint64_t done = 0;
	int status;

	do {
		struct iovec part[2] = { { (void *)(uintptr_t)mail->head,
					   done == 0 ? mail->head_len : 0 },
					 { buf, 0 } };
		size_t got;

		status = read_body(draft, done, &part[1]);
		got = part[1].iov_len;
		if (status == 0)
			status = put(draft, part, 2);
		done += got;
	} while (status == 0 && done < mail->size);
	mem_free(&buf);
	return status;
}

static int finish(struct draft *draft)
{
	const struct timespec times[2] = { { 0, UTIME_NOW },
					   draft->mail->received };

	if (ownership_give(draft->fd, &draft->box->ownership,
			   &draft->box->refused) < 0)
		return fail_tmp(draft, "give mode and group to");
	if (futimens(draft->fd, times) < 0)
		return fail_tmp(draft, "set the time of");
	if (draft->settings->fsync && fsync(draft->fd) < 0)
		return fail_tmp(draft, "sync");
	return 0;
}

/* Not over a file that is there; but not all file systems can promise that. */
static int move(struct draft *draft, const char *name)
{
	struct maildir_box *box = draft->box;

	if (renameat2(box->tmp, draft->base, box->new, name,
		      RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return renameat(box->tmp, draft->base, box->new, name);
}

static void say_where(struct draft *draft, const char *name)
{
	char *path = draft->result->path;
	size_t size = sizeof(draft->result->path);
	int len = snprintf(path, size, "%s/new/%s", draft->box->path, name);

	if (len < 0 || (size_t)len >= size)
		path[0] = '\0';
}

/* Makes it last that name is in new; or takes it away. */
static int settle(struct draft *draft, const char *name)
{
	if (draft->settings->fsync && dirs_sync(draft->box->new) < 0) {
		fail(draft, "sync the directory of", "new", name);
		unlinkat(draft->box->new, name, 0);
		return -1;
	}
	snprintf(draft->result->id, sizeof(draft->result->id), "%s", name);
	say_where(draft, name);
	return 0;
}

static void announce(const struct draft *draft)
{
	if (draft->mail->appears != NULL)
		draft->mail->appears(draft->mail->context);
}

static int publish(struct draft *draft)
{
	char base[MAILDIR_BASE_MAX], name[MAILDIR_NAME_MAX];
	int tries = 0;

	announce(draft);
	memcpy(base, draft->base, sizeof(base));
	maildir_name_finish(name, base, &draft->sizes);
	while (move(draft, name) < 0) {
		if (errno != EEXIST || ++tries == MAILDIR_NAME_TRIES)
			return fail_tmp(draft, "move to new");
		maildir_name_make(base, draft->settings->hostname);
		maildir_name_finish(name, base, &draft->sizes);
	}
	draft->base[0] = '\0';
	return settle(draft, name);
}

static int write_draft(struct draft *draft)
{
	int status = create(draft);

	if (status < 0)
		return -1;
	if (fill(draft) < 0 || finish(draft) < 0)
		status = -1;
	if (close(draft->fd) < 0 && status == 0)
		status = fail_tmp(draft, "close");
	if (status == 0)
		status = publish(draft);
	if (status < 0 && draft->base[0] != '\0')
		unlinkat(draft->box->tmp, draft->base, 0);
	return status;
}

/* What only the user may read is the same for any mailbox of that kind. */
static bool may_link(const struct draft *draft)
{
	return draft->mail->copy != NULL && draft->mail->copy[0] != '\0' &&
	       (draft->box->ownership.mode & 0077) == 0;
}

/* It has to last as if it was ours. */
static bool link_as(struct draft *draft, const struct maildir_copy *copy,
		    const char *name)
{
	if (draft->settings->fsync && fsync(copy->fd) < 0)
		return false;
	announce(draft);
	return maildir_copy_link(copy, draft->box->new, name) == 0;
}

/* Returns 1, 0 when it cannot be done so, or -1. */
static int link_copy(struct draft *draft)
{
	char base[MAILDIR_BASE_MAX], name[MAILDIR_NAME_MAX];
	struct maildir_copy copy;
	int status;

	if (maildir_copy_open(&copy, draft->mail, draft->box->new) < 0)
		return 0;
	maildir_name_make(base, draft->settings->hostname);
	maildir_name_finish(name, base, &copy.sizes);
	status = link_as(draft, &copy, name) ? 1 : 0;
	maildir_copy_close(&copy);
	if (status == 1 && settle(draft, name) < 0)
		return -1;
	draft->result->linked = status == 1;
	return status;
}

static int write_or_link(struct draft *draft)
{
	int status = may_link(draft) ? link_copy(draft) : 0;

	if (status == 0)
		status = write_draft(draft);
	return status < 0 ? -1 : 0;
}

static int save_to_folder(const struct mail_location *location,
			  const char *folder, struct draft *draft)
{
	const struct maildir_settings *settings = draft->settings;
	struct maildir_box box;
	int status;

	if (maildir_box_open(&box, location, folder, settings->autocreate,
			     settings->fsync, draft->result) < 0)
		return -1;
	draft->box = &box;
	status = write_or_link(draft);
	if (status == 0 && box.refused)
		ownership_warn(box.path, draft->result);
	if (status == 0 && box.created && settings->autosubscribe &&
	    folder[0] != '\0')
		subscriptions_try(location, folder, settings->fsync,
				  draft->result);
	maildir_box_close(&box);
	return status;
}

int maildir_save(const struct mail_location *location, const char *mailbox,
		 const struct maildir_settings *settings,
		 const struct local_mail *mail, struct local_result *result)
{
	struct draft draft = { .settings = settings, .mail = mail,
			       .result = result };
	struct str folder = STR_INIT;
	struct err err;
	int status = -1;

	memset(result, 0, sizeof(*result));
	if (location->format != MAIL_FORMAT_MAILDIR)
		return failure_set(result, EINVAL, "save into a Maildir at",
				   location->root);
	if (mailbox_name_folder(location, &settings->naming, mailbox, &folder,
				&err) == 0) {
		status = save_to_folder(location, str_c(&folder), &draft);
	} else {
		result->status = LOCAL_NO_MAILBOX;
		memcpy(result->text, err.text, sizeof(result->text));
	}
	str_free(&folder);
	return status;
}
