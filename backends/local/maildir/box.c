#include "backends/local/maildir/box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/local/dirs.h"
#include "backends/local/failure.h"
#include "lib/mem.h"

#define DIR_FLAGS (O_DIRECTORY | O_CLOEXEC)

struct box_opener {
	struct maildir_box *box;
	const struct mail_location *location;
	const char *folder;
	int fd; /* of the mailbox directory */
	struct dirs dirs;
};

static bool is_inbox(const struct box_opener *opener)
{
	return opener->folder[0] == '\0';
}

static int fail(struct box_opener *opener, const char *what)
{
	return failure_set(opener->dirs.result, errno, what, opener->box->path);
}

static int open_dir(struct box_opener *opener)
{
	opener->fd = open(opener->box->path, O_PATH | DIR_FLAGS);
	return opener->fd;
}

/* The part of path below root; NULL when it is not there. */
static const char *below(const char *root, const char *path)
{
	size_t len = strlen(root);

	return strncmp(path, root, len) == 0 && path[len] == '/'
		       ? path + len + 1 : NULL;
}

static int make_dir(struct box_opener *opener)
{
	const struct mail_location *location = opener->location;
	const char *folder = below(location->root, opener->box->path);

	if (folder == NULL)
		return dirs_make_root(&opener->dirs, opener->box->path,
				      location->in_home);
	if (dirs_make_root(&opener->dirs, location->root, location->in_home) < 0)
		return -1;
	return dirs_make_below(&opener->dirs, location->root, folder,
			       location->layout == MAIL_LAYOUT_MAILDIR);
}

static int make(struct box_opener *opener)
{
	opener->box->created = true;
	if (opener->fd >= 0)
		return 0;
	if (make_dir(opener) < 0)
		return -1;
	return open_dir(opener) < 0 ? fail(opener, "open directory") : 0;
}

/* A directory of the fs layout may be there only for those below it. */
static bool is_there(struct box_opener *opener)
{
	if (is_inbox(opener) || opener->location->layout != MAIL_LAYOUT_FS)
		return true;
	return faccessat(opener->fd, "cur", F_OK, 0) == 0;
}

/* What is no mailbox and cannot become one. */
static bool is_hopeless(int error)
{
	return error == ENAMETOOLONG || error == ENOTDIR;
}

static int find_or_make(struct box_opener *opener, bool create)
{
	if (open_dir(opener) >= 0 && is_there(opener))
		return 0;
	if (errno == ENOENT && (create || is_inbox(opener)))
		return make(opener);
	if (!is_inbox(opener) && (errno == ENOENT || is_hopeless(errno)))
		return failure_set_as(opener->dirs.result, LOCAL_NO_MAILBOX,
				      errno, "open mailbox", opener->box->path);
	return fail(opener, "open mailbox");
}

static int open_sub(struct box_opener *opener, const char *name, int flags)
{
	char *path;
	int fd = openat(opener->fd, name, flags | DIR_FLAGS), status = 0;

	if (fd >= 0)
		return fd;
	path = mem_printf("%s/%s", opener->box->path, name);
	if (errno == ENOENT) {
		status = dirs_make(&opener->dirs, path, &opener->box->ownership);
		if (status == 0)
			fd = openat(opener->fd, name, flags | DIR_FLAGS);
	}
	if (status == 0 && fd < 0)
		failure_set(opener->dirs.result, errno, "open directory", path);
	mem_free(&path);
	return fd;
}

static int open_subs(struct box_opener *opener)
{
	int cur = open_sub(opener, "cur", O_PATH);

	if (cur < 0)
		return -1;
	close(cur);
	opener->box->tmp = open_sub(opener, "tmp", O_PATH);
	if (opener->box->tmp < 0)
		return -1;
	opener->box->new = open_sub(opener, "new", O_RDONLY);
	return opener->box->new < 0 ? -1 : 0;
}

static int make_file(struct box_opener *opener, const char *name)
{
	int fd = openat(opener->fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			0600);
	int status;

	if (fd < 0)
		return fail(opener, "make a file in");
	status = ownership_give(fd, &opener->box->ownership,
				&opener->dirs.refused);
	if (status < 0)
		fail(opener, "give mode and group to a file in");
	close(fd);
	return status;
}

/* Other programs know a folder of Maildir++ by such a file; and what dovecot-shared
 * means is handed on. */
static int make_files(struct box_opener *opener)
{
	char *shared;
	int status = 0;

	if (!opener->box->created || is_inbox(opener))
		return 0;
	if (opener->location->layout == MAIL_LAYOUT_MAILDIR &&
	    make_file(opener, "maildirfolder") < 0)
		return -1;
	shared = mem_printf("%s/dovecot-shared", opener->location->root);
	if (access(shared, F_OK) == 0)
		status = make_file(opener, "dovecot-shared");
	mem_free(&shared);
	return status;
}

static int open_all(struct box_opener *opener, bool create)
{
	struct stat st;

	if (find_or_make(opener, create) < 0)
		return -1;
	if (fstat(opener->fd, &st) < 0)
		return fail(opener, "look at");
	opener->box->ownership = ownership_of(&st);
	return open_subs(opener) < 0 ? -1 : make_files(opener);
}

int maildir_box_open(struct maildir_box *box,
		     const struct mail_location *location, const char *folder,
		     bool create, bool fsync, struct local_result *result)
{
	struct box_opener opener = { box, location, folder, -1,
				     { fsync, false, result } };
	int status;

	memset(box, 0, sizeof(*box));
	box->tmp = box->new = -1;
	box->path = folder[0] == '\0'
			    ? mem_strdup(location->inbox)
			    : mem_printf("%s/%s", location->root, folder);
	status = open_all(&opener, create);
	box->refused = opener.dirs.refused;
	if (opener.fd >= 0)
		close(opener.fd);
	if (status < 0)
		maildir_box_close(box);
	return status;
}

void maildir_box_close(struct maildir_box *box)
{
	if (box->tmp >= 0)
		close(box->tmp);
	if (box->new >= 0)
		close(box->new);
	mem_free(&box->path);
	box->tmp = box->new = -1;
}
