#include "backends/local/maildir_folders.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lib/mem.h"

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

static void put_utf8(struct str *out, uint32_t c)
{
	if (c < 0x80) {
		str_putc(out, (char)c);
		return;
	}
	if (c < 0x800) {
		str_putc(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			str_putc(out, (char)(0xe0 | c >> 12));
		} else {
			str_putc(out, (char)(0xf0 | c >> 18));
			str_putc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		str_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	str_putc(out, (char)(0x80 | (c & 0x3f)));
}

/* Appends one unit of UTF-16; *high is half of a pair that waits for its other
 * half, or 0. */
static int put_unit(struct str *out, uint32_t unit, uint32_t *high)
{
	bool low = unit >= 0xdc00 && unit < 0xe000;

	if (low != (*high != 0) || unit == 0)
		return -1;
	if (low)
		put_utf8(out, 0x10000 + ((*high - 0xd800) << 10) +
				      (unit - 0xdc00));
	else if (unit < 0xd800 || unit >= 0xe000)
		put_utf8(out, unit);
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

static int decode(const char *name, struct str *out)
{
	while (*name != '\0') {
		size_t len;

		if (*name != '&') {
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

void maildir_folder_name(const char *name, struct str *out)
{
	size_t start = out->len;

	if (decode(name, out) == 0)
		return;
	str_truncate(out, start);
	str_puts(out, name);
}

/* --- directories --- */

static void put_name(const struct walk *walk, const char *name, struct str *out)
{
	if (walk->tree->utf8)
		str_puts(out, name);
	else
		maildir_folder_name(name, out);
}

/* Of a Maildir++ folder: .A.B is A/B when that is the separator. */
static void put_flat_name(const struct walk *walk, const char *name,
			  struct str *out)
{
	char separator = walk->tree->separator;
	size_t i, start = out->len;

	put_name(walk, name + 1, out);
	for (i = start; separator != '\0' && i < out->len; i++) {
		if (out->data[i] == '.')
			out->data[i] = separator;
	}
}

static bool is_nested_folder(const char *name)
{
	return *name != '.' && strcmp(name, "cur") != 0 &&
	       strcmp(name, "new") != 0 && strcmp(name, "tmp") != 0;
}

static bool may_be_directory(const struct dirent *entry)
{
	return entry->d_type == DT_DIR || entry->d_type == DT_LNK ||
	       entry->d_type == DT_UNKNOWN;
}

static int walk_dir(struct walk *walk, const char *dir, const char *parent,
		    unsigned depth);

static int visit_entry(struct walk *walk, const char *dir, const char *parent,
		       const char *entry, unsigned depth)
{
	struct str name = STR_INIT;
	char *path;
	int status;

	if (++walk->count > MAX_FOLDERS)
		return err_set(walk->err, "%.300s has more than %d folders",
			       walk->tree->root, MAX_FOLDERS);
	path = mem_printf("%s/%s", dir, entry);
	str_puts(&name, parent);
	if (!walk->tree->nested) {
		put_flat_name(walk, entry, &name);
	} else {
		if (name.len > 0)
			str_putc(&name, walk->tree->separator != '\0' ?
						walk->tree->separator : '/');
		put_name(walk, entry, &name);
	}
	status = walk->visit(walk->context, path, str_c(&name), walk->err);
	if (status == 0 && walk->tree->nested)
		status = walk_dir(walk, path, str_c(&name), depth + 1);
	str_free(&name);
	mem_free(&path);
	return status;
}

static int walk_entries(struct walk *walk, DIR *handle, const char *dir,
			const char *parent, unsigned depth)
{
	struct dirent *entry;
	int status = 0;

	while (status == 0 && (errno = 0, entry = readdir(handle)) != NULL) {
		const char *name = entry->d_name;

		if (!may_be_directory(entry) ||
		    (walk->tree->nested ? !is_nested_folder(name)
					: name[0] != '.' || name[1] == '\0' ||
						  name[1] == '.'))
			continue;
		status = visit_entry(walk, dir, parent, name, depth);
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
	const char *inbox = tree->inbox != NULL ? tree->inbox : tree->root;

	if (visit(context, inbox, "INBOX", err) < 0)
		return -1;
	return walk_dir(&walk, tree->root, "", 0);
}
