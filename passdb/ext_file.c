#include "passdb/ext_file.h"

#include <stdarg.h>
#include <string.h>

#include "lib/conf/line.h"
#include "lib/mem.h"

/* --- lines that mean what they say --- */

static void add_setting(struct ext_file *file, unsigned number,
			const struct conf_line *line)
{
	struct conf_tree *tree = file->tree;
	struct conf_node *node =
		conf_node_add(tree, tree->root,
			      arena_strdup(tree->arena, line->key),
			      arena_strdup(tree->arena, line->value));

	if (node == NULL) {
		conf_error(file->errors, file->path, number,
			   "there are too many settings");
		return;
	}
	node->file = file->path;
	node->line = number;
}

/* Takes a whole line, continued ones put together; number is the first's. */
static void take_line(struct ext_file *file, unsigned number, char *text)
{
	struct conf_line line;
	struct err why;

	if (conf_line_parse(text, &line, &why) < 0) {
		conf_error(file->errors, file->path, number, "%s", why.text);
		return;
	}
	if (line.type == CONF_LINE_EMPTY)
		return;
	if (line.type != CONF_LINE_SETTING) {
		conf_error(file->errors, file->path, number,
			   "only \"name = value\" may stand in this file");
		return;
	}
	if (line.value_type == CONF_LINE_FILE) {
		while (*line.value != '<')
			line.value--;
	}
	add_setting(file, number, &line);
}

static void take_text(struct ext_file *file, const char *text)
{
	struct str line = STR_INIT;
	unsigned number = 0, first = 0;
	bool ambiguous, more;
	char *copy, *part;

	while (*text != '\0' || line.len > 0) {
		size_t len = strcspn(text, "\n");

		number++;
		if (line.len == 0)
			first = number;
		copy = mem_strndup(text, len);
		part = conf_line_strip(copy, &ambiguous);
		if (ambiguous)
			conf_warning(file->errors, file->path, number,
				     "# starts a comment here, although no "
				     "white space is before it");
		more = conf_line_continues(part) && text[len] != '\0';
		str_puts(&line, part);
		str_puts(&line, more ? " " : "");
		if (!more && line.len > 0)
			take_line(file, first, line.data);
		if (!more)
			str_clear(&line);
		mem_free(&copy);
		text += len + (text[len] == '\n');
	}
	str_wipe(&line);
}

/* --- and lines as in waypost.conf --- */

/* Filters, too, would be without effect. */
static void refuse_sections(struct ext_file *file)
{
	const struct conf_node *node = file->tree->root->children;

	for (; node != NULL; node = node->next) {
		if (node->section)
			conf_error(file->errors, file->path, node->line,
				   "only \"name = value\" may stand in this "
				   "file");
	}
}

/* Values of "name = <path", which have to come with the configuration. */
static void read_values(struct ext_file *file)
{
	struct conf_node *node = file->tree->root->children;
	struct err err;

	for (; node != NULL; node = node->next) {
		const char *text;

		if (node->path == NULL)
			continue;
		text = conf_tree_file(file->files, node->path, &err);
		if (text == NULL)
			conf_error(file->errors, file->path, node->line,
				   "%s: %s", node->key, err.text);
		node->value = text != NULL ? text : "";
		node->loaded = true;
	}
}

/* --- what both have in common --- */

int ext_file_open(struct ext_file *file, const struct ext_file_kind *kind,
		  const char *path, const char *text, struct conf_tree *files,
		  struct conf_errors *errors)
{
	*file = (struct ext_file){
		.kind = kind, .path = path, .files = files, .errors = errors,
		.before = errors->errors,
	};
	if (kind->plain) {
		file->tree = conf_tree_new();
		take_text(file, text);
		return 0;
	}
	file->tree = conf_tree_parse(path, text, strlen(text), NULL, errors);
	if (file->tree == NULL)
		return -1;
	refuse_sections(file);
	if (ext_file_is_broken(file)) {
		ext_file_close(file);
		return -1;
	}
	read_values(file);
	return 0;
}

static bool is_ignored(const struct ext_file *file, const char *name)
{
	const char *const *other = file->kind->ignored;

	while (*other != NULL && strcmp(*other, name) != 0)
		other++;
	return *other != NULL;
}

static void warn_of_ignored(struct ext_file *file)
{
	const struct conf_node *node = file->tree->root->children;
	struct str names = STR_INIT;

	for (; node != NULL; node = node->next) {
		if (is_ignored(file, node->key))
			str_printf(&names, ", %s", node->key);
	}
	if (names.len > 0)
		conf_warning(file->errors, file->path, 0,
			     "without effect here: %s", str_c(&names) + 2);
	str_free(&names);
}

void ext_file_apply(struct ext_file *file, struct arena *arena, void *object)
{
	const struct conf_table *const tables[] = { file->kind->table, NULL };
	const struct conf_schema schema = {
		.tables = tables, .others = file->kind->ignored,
	};

	conf_check(&schema, file->tree, file->errors);
	conf_defaults(file->kind->table, arena, object);
	conf_apply(file->kind->table, arena, file->tree->root, object);
	warn_of_ignored(file);
}

bool ext_file_is_broken(const struct ext_file *file)
{
	return file->errors->errors > file->before;
}

unsigned ext_file_line(const struct ext_file *file, const char *name)
{
	const struct conf_node *node =
		conf_node_setting(file->tree->root, name);

	return node != NULL ? node->line : 0;
}

void ext_file_report(struct ext_file *file, const char *name, const char *fmt,
		     ...)
{
	struct str text = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vprintf(&text, fmt, ap);
	va_end(ap);
	conf_error(file->errors, file->path, ext_file_line(file, name),
		   "%s: %s", name, str_c(&text));
	str_free(&text);
}

const char *ext_file_pem(struct ext_file *file, struct arena *arena,
			 const char *name, const char *path)
{
	struct err err;
	const char *text;

	if (path[0] == '\0')
		return "";
	text = conf_tree_file(file->files, path, &err);
	if (text != NULL && strstr(text, "-----BEGIN ") != NULL)
		return arena_strdup(arena, text);
	if (text != NULL)
		err_put(&err, "%s holds nothing in PEM", path);
	ext_file_report(file, name, "%s", err.text);
	return "";
}

void ext_file_close(struct ext_file *file)
{
	conf_tree_free(&file->tree);
}
