#include "backends/local/maildir/folders.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "backends/local/mailbox_name.h"
#include "lib/mem.h"
#include "lib/utf8.h"

/* Links may go in circles. */
#define MAX_DEPTH 32 /* of nested folders */
#define MAX_FOLDERS 100000

struct walk {
	const struct maildir_tree *tree;
	maildir_folder_fn *visit;
	void *context;
	struct err *err;
	unsigned count;
};

/* --- modified UTF-7 --- */

/* Appends one unit of UTF-16; *high is half of a pair that waits for its other
 * half, or 0. */
static int put_unit(struct str *out, uint32_t unit, uint32_t *high)
{
	bool low = unit >= 0xdc00 && unit < 0xe000;

	if (low != (*high != 0) || unit == 0)
		return -1;
	if (low)
		utf8_put(out, 0x10000 + ((*high - 0xd800) << 10) +
				      (unit - 0xdc00));
	else if (unit < 0xd800 || unit >= 0xe000)
		utf8_put(out, unit);
	*high = unit >= 0xd800 && unit < 0xdc00 ? unit : 0;
	return 0;
}

/* Decodes what stands between & and -. */
static int put_base64(struct str *out, const char *text, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
				     "opqrstuvwxyz0123456789+,";
	uint32_t bits = 0, high = 0;
	unsigned count = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		const char *digit = strchr(digits, text[i]);

		if (digit == NULL)
			return -1;
		bits = (bits << 6 | (uint32_t)(digit - digits)) & 0xffffff;
		count += 6;
		if (count < 16)
			continue;
		count -= 16;
		if (put_unit(out, bits >> count & 0xffff, &high) < 0)
			return -1;
	}
	return high == 0 && count < 6 && (bits & ((1u << count) - 1)) == 0 ? 0 : -1;
}

int maildir_folder_name(const char *name, struct str *out)
{
	while (*name != '\0') {
		size_t len;

		if (*name != '&') {
			if ((unsigned char)*name >= 0x80)
				return -1;
			str_putc(out, *name++);
			continue;
		}
		len = strcspn(++name, "-");
		if (name[len] == '\0')
			return -1;
		if (len == 0)
			str_putc(out, '&');
		else if (put_base64(out, name, len) < 0)
			return -1;
		name += len + 1;
	}
	return 0;
}

/* --- directories --- */

static bool is_nested(const struct walk *walk)
{
	return walk->tree->location->layout == MAIL_LAYOUT_FS;
}

static int put_name(const struct walk *walk, const char *name, struct str *out)
{
	if (!walk->tree->location->utf8)
		return maildir_folder_name(name, out);
	str_puts(out, name);
	return utf8_is_valid(name, strlen(name)) ? 0 : -1;
}

static char separator_of(const struct walk *walk)
{
	return mailbox_name_separator(walk->tree->location,
				      &walk->tree->naming);
}

/* Of a Maildir++ folder: .A.B is A/B when that is the separator. */
static int put_flat_name(const struct walk *walk, const char *name,
			 struct str *out)
{
	size_t i;

	if (put_name(walk, name + 1, out) < 0)
		return -1;
	for (i = 0; i < out->len; i++) {
		if (out->data[i] == '.')
			out->data[i] = separator_of(walk);
	}
	return 0;
}

static int put_nested_name(const struct walk *walk, const char *parent,
			   const char *name, struct str *out)
{
	str_puts(out, parent);
	if (out->len > 0)
		str_putc(out, separator_of(walk));
	return put_name(walk, name, out);
}

static bool is_folder(const struct walk *walk, const char *name)
{
	bool dot = *name == '.';

	if (dot && (name[1] == '\0' || name[1] == '.'))
		return false;
	if (!is_nested(walk))
		return dot;
	return strcmp(name, "cur") != 0 && strcmp(name, "new") != 0 &&
	       strcmp(name, "tmp") != 0;
}

static bool may_be_directory(const struct dirent *entry)
{
	return entry->d_type == DT_DIR || entry->d_type == DT_LNK ||
	       entry->d_type == DT_UNKNOWN;
}

static int walk_dir(struct walk *walk, const char *dir, const char *parent,
		    unsigned depth);

/* As in Dovecot, nothing is called INBOX in other letters, unless there is a prefix, and
 * another INBOX than the one there is has no mail, but perhaps folders. */
enum folder { FOLDER, FOLDER_WITHOUT_MAIL, FOLDER_NONE };

static enum folder kind_of(const struct walk *walk, const char *name)
{
	char separators[2] = { separator_of(walk) };

	if (!mailbox_name_is_inbox(&walk->tree->naming, name,
				   strcspn(name, separators)))
		return FOLDER;
	if (strncmp(name, "INBOX", 5) != 0)
		return FOLDER_NONE;
	return name[5] == '\0' ? FOLDER_WITHOUT_MAIL : FOLDER;
}

static int visit_folder(const struct walk *walk, const char *path,
			const char *name)
{
	const char *prefix = walk->tree->naming.prefix;
	char *full = mem_printf("%s%s", prefix != NULL ? prefix : "", name);
	int status = walk->visit(walk->context, path, full, walk->err);

	mem_free(&full);
	return status;
}

/* name is without the prefix. */
static int enter_folder(struct walk *walk, const char *path, const char *name,
			unsigned depth)
{
	enum folder kind = kind_of(walk, name);
	int status = 0;

	if (++walk->count > MAX_FOLDERS)
		return err_set(walk->err, "%.300s has more than %d folders",
			       walk->tree->location->root, MAX_FOLDERS);
	if (kind == FOLDER)
		status = visit_folder(walk, path, name);
	if (status == 0 && kind != FOLDER_NONE && is_nested(walk))
		status = walk_dir(walk, path, name, depth + 1);
	return status;
}

static int enter_entry(struct walk *walk, const char *dir, const char *parent,
		       const char *entry, unsigned depth)
{
	struct str name = STR_INIT;
	char *path;
	int status;

	status = is_nested(walk) ?
		put_nested_name(walk, parent, entry, &name) :
		put_flat_name(walk, entry, &name);
	if (status == 0) {
		path = mem_printf("%s/%s", dir, entry);
		status = enter_folder(walk, path, str_c(&name), depth);
		mem_free(&path);
	} else {
		status = 0; /* none that anybody could name */
	}
	str_free(&name);
	return status;
}

static int walk_entries(struct walk *walk, DIR *handle, const char *dir,
			const char *parent, unsigned depth)
{
	struct dirent *entry;
	int status = 0;

	while (status == 0 && (errno = 0, entry = readdir(handle)) != NULL) {
		if (may_be_directory(entry) && is_folder(walk, entry->d_name))
			status = enter_entry(walk, dir, parent, entry->d_name,
					     depth);
	}
	if (status == 0 && errno != 0)
		return err_set(walk->err, "cannot read %.300s: %s", dir,
			       strerror(errno));
	return status;
}

static int walk_dir(struct walk *walk, const char *dir, const char *parent,
		    unsigned depth)
{
	DIR *handle;
	int status;

	if (depth >= MAX_DEPTH)
		return 0;
	handle = opendir(dir);
	if (handle == NULL && (errno == ENOENT || errno == ENOTDIR ||
			       errno == ESTALE || errno == ELOOP))
		return 0;
	if (handle == NULL)
		return err_set(walk->err, "cannot read %.300s: %s", dir,
			       strerror(errno));
	status = walk_entries(walk, handle, dir, parent, depth);
	closedir(handle);
	return status;
}

int maildir_folders(const struct maildir_tree *tree, maildir_folder_fn *visit,
		    void *context, struct err *err)
{
	struct walk walk = {
		.tree = tree, .visit = visit, .context = context, .err = err,
	};

	if (visit(context, tree->location->inbox, "INBOX", err) < 0)
		return -1;
	return walk_dir(&walk, tree->location->root, "", 0);
}
