#include "lib/conf/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"

#define FILE_MAX_BYTES (1024 * 1024)

void conf_errors_free(struct conf_errors *errors)
{
	str_free(&errors->text);
	errors->errors = errors->warnings = 0;
}

static void put_message(struct str *out, const char *file, unsigned line,
			const char *kind, const char *fmt, va_list ap)
{
	struct str message = STR_INIT;

	str_vprintf(&message, fmt, ap);
	if (file != NULL && *file != '\0') {
		str_put_escaped(out, file, strlen(file));
		if (line > 0)
			str_printf(out, ":%u", line);
		str_puts(out, ": ");
	}
	str_puts(out, kind);
	str_put_escaped(out, str_c(&message), message.len);
	str_putc(out, '\n');
	str_free(&message);
}

/* line: with its end. */
static bool has_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	while (at != NULL && at != text && at[-1] != '\n')
		at = strstr(at + 1, line);
	return at != NULL;
}

/* Files that several sections use have the same to say in each of them. */
static void add_message(struct conf_errors *errors, const char *file,
			unsigned line, const char *kind, const char *fmt,
			va_list ap)
{
	struct str message = STR_INIT;

	put_message(&message, file, line, kind, fmt, ap);
	if (!has_line(str_c(&errors->text), str_c(&message)))
		str_append(&errors->text, message.data, message.len);
	str_free(&message);
}

void conf_error(struct conf_errors *errors, const char *file, unsigned line,
		const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (errors->errors < CONF_MAX_MESSAGES)
		add_message(errors, file, line, "", fmt, ap);
	else if (errors->errors == CONF_MAX_MESSAGES)
		str_puts(&errors->text, "more errors are not shown\n");
	va_end(ap);
	errors->errors++;
}

void conf_warning(struct conf_errors *errors, const char *file, unsigned line,
		  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (errors->warnings < CONF_MAX_MESSAGES)
		add_message(errors, file, line, "warning: ", fmt, ap);
	else if (errors->warnings == CONF_MAX_MESSAGES)
		str_puts(&errors->text, "warning: more are not shown\n");
	va_end(ap);
	errors->warnings++;
}

struct conf_tree *conf_tree_new(void)
{
	struct conf_tree *tree = mem_new(struct conf_tree);

	tree->arena = arena_new(4096);
	tree->root = arena_new_struct(tree->arena, struct conf_node);
	tree->root->section = true;
	tree->root->key = tree->root->value = tree->root->file = "";
	return tree;
}

void conf_tree_free(struct conf_tree **tree)
{
	if (*tree == NULL)
		return;
	arena_wipe(&(*tree)->arena);
	mem_free(tree);
}

struct conf_node *conf_node_add(struct conf_tree *tree,
				struct conf_node *parent, const char *key,
				const char *value)
{
	struct conf_node *node;

	if (tree->nodes >= CONF_MAX_NODES)
		return NULL;
	tree->nodes++;
	node = arena_new_struct(tree->arena, struct conf_node);
	node->parent = parent;
	node->key = key;
	node->value = value;
	node->file = "";
	node->number = tree->nodes;
	if (parent->last != NULL)
		parent->last->next = node;
	else
		parent->children = node;
	parent->last = node;
	return node;
}

void conf_file_add(struct conf_tree *tree, const char *path, const char *text)
{
	struct conf_file **end = &tree->files;

	while (*end != NULL)
		end = &(*end)->next;
	*end = arena_new_struct(tree->arena, struct conf_file);
	(*end)->path = path;
	(*end)->text = text;
}

struct conf_node *conf_node_setting(const struct conf_node *parent,
				    const char *key)
{
	struct conf_node *node, *found = NULL;

	for (node = parent->children; node != NULL; node = node->next) {
		if (!node->section && strcmp(node->key, key) == 0)
			found = node;
	}
	return found;
}

struct conf_node *conf_node_section(const struct conf_node *parent,
				    const char *key, const char *name)
{
	struct conf_node *node, *found = NULL;

	for (node = parent->children; node != NULL; node = node->next) {
		if (node->section && strcmp(node->key, key) == 0 &&
		    (name == NULL || strcmp(node->value, name) == 0))
			found = node;
	}
	return found;
}

/* Reads what fd holds, up to FILE_MAX_BYTES. */
static int read_all(int fd, struct str *out, struct err *err)
{
	ssize_t got;

	/* All at once: growing would leave copies in freed memory. */
	str_reserve(out, FILE_MAX_BYTES + 1);
	do {
		got = read(fd, out->data + out->len,
			   FILE_MAX_BYTES + 1 - out->len);
		if (got > 0)
			str_grown(out, (size_t)got);
	} while (got > 0);
	if (got < 0)
		return err_set(err, "%s", strerror(errno));
	if (out->len > FILE_MAX_BYTES)
		return err_set(err, "larger than %d bytes", FILE_MAX_BYTES);
	if (memchr(str_c(out), '\0', out->len) != NULL)
		return err_set(err, "holds a NUL byte");
	return 0;
}

static int read_file(const char *path, struct str *out, struct err *err)
{
	struct stat st;
	int fd, ret;

	/* Not blocking, in case somebody names a pipe. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, "%s", strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		ret = err_set(err, "not a regular file");
	else
		ret = read_all(fd, out, err);
	close(fd);
	return ret;
}

/* What the file holds, in the arena; NULL and why. */
static const char *load_file(struct conf_tree *tree, const char *path,
			     struct err *err)
{
	struct str text = STR_INIT;
	const char *copy = NULL;
	struct err why;

	if (read_file(path, &text, &why) < 0) {
		err_put(err, "cannot read %s: %s", path, why.text);
	} else if (text.len > CONF_MAX_BYTES - tree->loaded) {
		err_put(err, "all such files together are too large");
	} else {
		tree->loaded += text.len;
		copy = arena_strndup(tree->arena, str_c(&text), text.len);
	}
	str_wipe(&text);
	return copy;
}

int conf_node_load(struct conf_tree *tree, struct conf_node *node,
		   struct err *err)
{
	const char *text;

	if (node->path == NULL || node->loaded)
		return 0;
	text = load_file(tree, node->path, err);
	if (text == NULL)
		return -1;
	node->value = text;
	node->loaded = true;
	return 0;
}

const char *conf_tree_file(struct conf_tree *tree, const char *path,
			   struct err *err)
{
	struct conf_file *file = tree->files;
	const char *text;

	while (file != NULL && strcmp(file->path, path) != 0)
		file = file->next;
	if (file != NULL)
		return file->text;
	if (tree->unpacked) {
		err_put(err, "%s did not come with the configuration", path);
		return NULL;
	}
	text = load_file(tree, path, err);
	if (text != NULL)
		conf_file_add(tree, arena_strdup(tree->arena, path), text);
	return text;
}
