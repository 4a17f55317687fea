#include "backends/local/quota/maildirsize_scan.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/local/quota/maildirsize_text.h"
#include "lib/mem.h"

#define MAX_TRIES 3

struct scan {
	maildirsize_ignore_fn *ignore;
	const void *context;
	struct quota_amount used;
	struct timespec newest; /* change of a directory */
	bool changed;		/* one is newer by now */
};

static bool is_newer(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* What went away or is not there does not count. */
static bool is_gone(void)
{
	return errno == ENOENT || errno == ESTALE || errno == ENOTDIR;
}

static int count_entry(struct scan *scan, int dir, const char *name)
{
	int64_t size = maildirsize_of_name(name);
	struct stat st;

	if (size < 0) {
		if (fstatat(dir, name, &st, 0) < 0)
			return is_gone() ? 0 : -1;
		size = st.st_size;
	}
	scan->used.bytes += (uint64_t)size;
	scan->used.messages++;
	return 0;
}

static int count_entries(struct scan *scan, DIR *handle)
{
	struct dirent *entry;
	struct stat st;

	if (fstat(dirfd(handle), &st) < 0)
		return -1;
	if (is_newer(&st.st_mtim, &scan->newest))
		scan->newest = st.st_mtim;
	while ((errno = 0, entry = readdir(handle)) != NULL) {
		const char *name = entry->d_name;

		if (name[0] == '.' && (name[1] == '\0' || name[1] == '.'))
			continue;
		if (count_entry(scan, dirfd(handle), name) < 0)
			return -1;
	}
	return errno != 0 ? -1 : 0;
}

static int count_dir(struct scan *scan, const char *path, const char *sub,
		     struct err *err)
{
	char *dir = mem_printf("%s/%s", path, sub);
	DIR *handle = opendir(dir);
	int status = 0;

	if (handle != NULL)
		status = count_entries(scan, handle);
	else if (!is_gone())
		status = -1;
	if (status < 0)
		err_put(err, "cannot count the mails in %.300s: %s", dir,
			strerror(errno));
	if (handle != NULL)
		closedir(handle);
	mem_free(&dir);
	return status;
}

static int count_folder(void *context, const char *path, const char *name,
			struct err *err)
{
	struct scan *scan = context;

	if (scan->ignore(scan->context, name))
		return 0;
	if (count_dir(scan, path, "new", err) < 0)
		return -1;
	return count_dir(scan, path, "cur", err);
}

static void compare_dir(struct scan *scan, const char *path, const char *sub)
{
	char *dir = mem_printf("%s/%s", path, sub);
	struct stat st;

	if (stat(dir, &st) == 0 && is_newer(&st.st_mtim, &scan->newest))
		scan->changed = true;
	mem_free(&dir);
}

static int compare_folder(void *context, const char *path, const char *name,
			  struct err *err)
{
	struct scan *scan = context;

	(void)err;
	if (!scan->ignore(scan->context, name)) {
		compare_dir(scan, path, "new");
		compare_dir(scan, path, "cur");
	}
	return 0;
}

int maildirsize_scan(const struct maildir_tree *tree,
		     maildirsize_ignore_fn *ignore, const void *context,
		     struct quota_amount *used_r, struct err *err)
{
	struct scan scan;
	unsigned tries = 0;

	do {
		scan = (struct scan){ .ignore = ignore, .context = context };
		if (maildir_folders(tree, count_folder, &scan, err) < 0 ||
		    maildir_folders(tree, compare_folder, &scan, err) < 0)
			return -1;
	} while (scan.changed && ++tries < MAX_TRIES);
	*used_r = scan.used;
	return 0;
}
