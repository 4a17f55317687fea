/* Reading files and their includes into a tree. */
#include "lib/conf/tree.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf/line.h"
#include "lib/conf/schema.h"

/* A file being read, and the one that included it. */
struct source {
	struct source *parent;
	const char *file;
	unsigned line;	     /* the current one */
	unsigned first_line; /* of several joined by backslashes */
	dev_t dev;
	ino_t ino;
	struct conf_node *top; /* the section that the file started in */
};

struct reader {
	struct conf_tree *tree;
	struct conf_errors *errors;
	conf_default_fn *default_value;
	struct source *source;
	struct conf_node *section;
	unsigned depth, includes;
	size_t bytes;
	bool may_include;
	bool full; /* a limit was met: nothing more is read */
};

static void read_path(struct reader *reader, const char *path, bool try);

static void fail(struct reader *reader, const char *text)
{
	conf_error(reader->errors, reader->source->file,
		   reader->source->first_line, "%s", text);
}

/* Counts what the configuration takes; false when it is too much. */
static bool take_bytes(struct reader *reader, size_t len)
{
	if (reader->full)
		return false;
	reader->bytes += len;
	if (reader->bytes <= CONF_MAX_BYTES)
		return true;
	fail(reader, "the configuration is too large");
	reader->full = true;
	return false;
}

/* The innermost filter around what stands in section, which may be one; else
 * the root. */
static const struct conf_node *filter_around(const struct conf_node *section)
{
	while (section->parent != NULL && !conf_is_filter(section->key))
		section = section->parent;
	return section;
}

/* The last setting of that name before this place, in the filters around
 * section or at the top. */
static const struct conf_node *find_outside(const struct conf_node *section,
					    const char *name)
{
	const struct conf_node *found = NULL;

	while (found == NULL && section->parent != NULL) {
		section = filter_around(section->parent);
		found = conf_filter_setting(section, name);
	}
	return found;
}

/* What $name means in the value of key: the last setting of that name before
 * this place, here or in the sections around it that are no filters. What
 * another filter has, or the top, only counts for the same setting there, in
 * Dovecot. */
static const struct conf_node *find_variable(const struct reader *reader,
					     const char *key, const char *name)
{
	const struct conf_node *filter = filter_around(reader->section);
	const struct conf_node *section = reader->section, *found = NULL;

	for (; section != filter && found == NULL; section = section->parent)
		found = conf_node_setting(section, name);
	if (found == NULL)
		found = conf_filter_setting(filter, name);
	if (found == NULL && strcmp(key, name) == 0)
		found = find_outside(filter, name);
	return found;
}

/* Says so when another value was set outside, which does not count. */
static void warn_of_default(struct reader *reader, const char *name)
{
	const struct conf_node *filter = filter_around(reader->section);
	const struct conf_node *other = find_outside(filter, name);

	if (other != NULL)
		conf_warning(reader->errors, reader->source->file,
			     reader->source->first_line,
			     "$%s is the default of %s here, as in Dovecot: "
			     "what %s:%u sets outside of this filter can only "
			     "be had for %s itself", name, name, other->file,
			     other->line, name);
}

static const char *default_value(struct reader *reader, const char *name)
{
	const char *value = NULL;

	if (reader->default_value != NULL)
		value = reader->default_value(name);
	if (value != NULL)
		warn_of_default(reader, name);
	return value;
}

/* What the variable (without its $) stands for in the value of key, or NULL. */
static const char *variable(struct reader *reader, const char *key,
			    const char *name)
{
	const struct conf_node *node;
	const char *value;
	struct err err;

	if (strncmp(name, "ENV:", 4) == 0) {
		value = getenv(name + 4);
		return value != NULL ? value : "";
	}
	node = find_variable(reader, key, name);
	if (node == NULL)
		value = default_value(reader, name);
	else
		value = node->value;
	if (value == NULL)
		err_put(&err, "unknown variable $%.200s", name);
	else if ((node != NULL && node->path != NULL) ||
		 strchr(value, '\n') != NULL)
		err_put(&err, "$%.200s is a file or several lines: it can only "
			"be a value of its own", name);
	else
		return value;
	fail(reader, err.text);
	return NULL;
}

static int expand_word(struct reader *reader, const char *key,
		       const char *word, size_t len, struct str *out)
{
	const char *value;
	char *name;

	if (*word != '$') {
		str_append(out, word, len);
		return 0;
	}
	name = arena_strndup(reader->tree->arena, word + 1, len - 1);
	value = variable(reader, key, name);
	if (value == NULL || !take_bytes(reader, len + strlen(value)))
		return -1;
	str_puts(out, value);
	return 0;
}

/* Dovecot's rule: words that start with $ are replaced; a space, with all that is
 * white behind it, separates them and becomes one space. Where there is no $,
 * all spaces stay. */
static int expand(struct reader *reader, const char *key, const char *text,
		  struct str *out)
{
	if (strchr(text, '$') == NULL) {
		str_puts(out, text);
		return 0;
	}
	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (expand_word(reader, key, text, len, out) < 0)
			return -1;
		text += len;
		if (*text == ' ')
			str_putc(out, ' ');
		text += strspn(text, " \t\r\n");
	}
	return 0;
}

static struct conf_node *add_node(struct reader *reader, const char *key,
				  const char *value)
{
	struct arena *arena = reader->tree->arena;
	struct conf_node *node = NULL;

	if (!reader->full)
		node = conf_node_add(reader->tree, reader->section,
				     arena_strdup(arena, key),
				     arena_strdup(arena, value));
	if (node != NULL) {
		node->file = reader->source->file;
		node->line = reader->source->first_line;
	} else if (!reader->full) {
		fail(reader, "the configuration has too many settings");
		reader->full = true;
	}
	return node;
}

/* path as seen from the file being read. */
static char *full_path(const struct reader *reader, const char *path)
{
	const char *file = reader->source->file;
	const char *slash = strrchr(file, '/');

	if (*path == '/' || slash == NULL)
		return arena_strdup(reader->tree->arena, path);
	return arena_printf(reader->tree->arena, "%.*s/%s",
			    (int)(slash - file), file, path);
}

static void add_file_setting(struct reader *reader, const char *key,
			     const char *path)
{
	struct conf_node *node = add_node(reader, key, "");

	if (node != NULL)
		node->path = full_path(reader, path);
}

/* "a = $b" where b is "<path" is the same as "a = <path". */
static const char *whole_file_variable(const struct reader *reader,
				       const char *key, const char *value)
{
	const struct conf_node *node;

	if (*value != '$' || strchr(value, ' ') != NULL)
		return NULL;
	node = find_variable(reader, key, value + 1);
	return node != NULL ? node->path : NULL;
}

static void add_setting(struct reader *reader, const struct conf_line *line)
{
	const char *path = NULL;
	struct str value = STR_INIT;

	if (line->value_type == CONF_LINE_FILE)
		path = line->value;
	else if (line->value_type == CONF_LINE_PLAIN)
		path = whole_file_variable(reader, line->key, line->value);
	if (path != NULL)
		add_file_setting(reader, line->key, path);
	else if (line->value_type == CONF_LINE_QUOTED)
		add_node(reader, line->key, line->value);
	else if (expand(reader, line->key, line->value, &value) == 0)
		add_node(reader, line->key, str_c(&value));
	str_free(&value);
}

static void open_section(struct reader *reader, const struct conf_line *line)
{
	struct conf_node *node = add_node(reader, line->key, line->value);

	if (node == NULL)
		return;
	node->section = true;
	reader->section = node;
	if (++reader->depth <= CONF_MAX_DEPTH || reader->full)
		return;
	fail(reader, "sections are nested too deep");
	reader->full = true;
}

static void close_section(struct reader *reader)
{
	if (reader->section == reader->source->top) {
		fail(reader, "\"}\" without a section that it could end");
		return;
	}
	reader->section = reader->section->parent;
	reader->depth--;
}

static void include(struct reader *reader, const char *value, bool try)
{
	const char *pattern = full_path(reader, value);
	struct str text = STR_INIT;
	glob_t found;
	size_t i;
	int ret;

	if (!reader->may_include) {
		fail(reader, "nothing can be included here");
		return;
	}
	ret = glob(pattern, GLOB_BRACE, NULL, &found);
	if (ret == 0) {
		for (i = 0; i < found.gl_pathc && !reader->full; i++)
			read_path(reader, found.gl_pathv[i], try);
	} else if (!try || ret != GLOB_NOMATCH) {
		str_printf(&text, "!include %s: %s", pattern,
			   ret == GLOB_NOMATCH ? "no such file" :
						 "cannot be read");
		fail(reader, str_c(&text));
	}
	globfree(&found);
	str_free(&text);
}

static void take_line(struct reader *reader, char *text)
{
	struct conf_line line;
	struct err err;

	if (conf_line_parse(text, &line, &err) < 0) {
		fail(reader, err.text);
		return;
	}
	switch (line.type) {
	case CONF_LINE_EMPTY:
		break;
	case CONF_LINE_SETTING:
		add_setting(reader, &line);
		break;
	case CONF_LINE_OPEN:
		open_section(reader, &line);
		break;
	case CONF_LINE_CLOSE:
		close_section(reader);
		break;
	case CONF_LINE_INCLUDE:
	case CONF_LINE_INCLUDE_TRY:
		include(reader, line.value, line.type == CONF_LINE_INCLUDE_TRY);
		break;
	}
}

/* The joined lines without the spaces around them. */
static char *joined_text(struct str *joined)
{
	while (joined->len > 0 && joined->data[joined->len - 1] == ' ')
		str_truncate(joined, joined->len - 1);
	return joined->data + strspn(joined->data, " ");
}

/* Takes one physical line; joined collects those that a backslash ends. */
static void take_text(struct reader *reader, struct str *joined, char *text)
{
	struct source *source = reader->source;
	bool ambiguous, more;

	source->line++;
	if (joined->len == 0)
		source->first_line = source->line;
	text = conf_line_strip(text, &ambiguous);
	if (ambiguous)
		conf_warning(reader->errors, source->file, source->line,
			     "the text behind \"#\" is taken for a comment: "
			     "put a space before it, or the value in quotes");
	more = conf_line_continues(text);
	if (!more && joined->len == 0) {
		take_line(reader, text);
		return;
	}
	str_puts(joined, text);
	str_putc(joined, ' ');
	if (more)
		return;
	take_line(reader, joined_text(joined));
	str_clear(joined);
}

/* Ends what a file left open. */
static void end_source(struct reader *reader)
{
	while (reader->section != reader->source->top) {
		conf_error(reader->errors, reader->section->file,
			   reader->section->line,
			   "the section %s is not closed",
			   reader->section->key);
		reader->section = reader->section->parent;
		reader->depth--;
	}
}

static void take_source(struct reader *reader, char *text, size_t len)
{
	struct str joined = STR_INIT;
	char *next, *end = text + len;

	if (memchr(text, '\0', len) != NULL) {
		fail(reader, "holds a NUL byte");
		return;
	}
	for (; text < end && !reader->full; text = next) {
		next = memchr(text, '\n', (size_t)(end - text));
		if (next != NULL)
			*next++ = '\0';
		else
			next = end;
		take_text(reader, &joined, text);
	}
	if (joined.len > 0)
		take_line(reader, joined_text(&joined));
	str_free(&joined);
	end_source(reader);
}

static bool already_open(const struct source *source, const struct stat *st)
{
	for (; source != NULL; source = source->parent) {
		if (source->dev == st->st_dev && source->ino == st->st_ino)
			return true;
	}
	return false;
}

/* Reads stream to its end, as far as the configuration may grow. */
static int slurp(struct reader *reader, FILE *stream, struct str *out)
{
	size_t got;

	do {
		got = fread(str_reserve(out, 16384), 1, 16384, stream);
		str_grown(out, got);
		if (!take_bytes(reader, got))
			return -1;
	} while (got > 0);
	return ferror(stream) ? -1 : 0;
}

static void read_stream(struct reader *reader, struct source *source,
			FILE *stream, const struct stat *st)
{
	struct str text = STR_INIT;

	if (!S_ISREG(st->st_mode) && !S_ISCHR(st->st_mode) &&
	    !S_ISFIFO(st->st_mode)) {
		fail(reader, "not a file");
		return;
	}
	source->dev = st->st_dev;
	source->ino = st->st_ino;
	if (slurp(reader, stream, &text) == 0)
		take_source(reader, text.data, text.len);
	else if (!reader->full)
		fail(reader, strerror(errno));
	str_free(&text);
}

static void open_source(struct reader *reader, struct source *source,
			const char *path, bool try)
{
	FILE *stream = fopen(path, "re");
	struct source *parent = reader->source;
	struct stat st;

	if (stream == NULL && try && errno == ENOENT)
		return;
	if (stream == NULL || fstat(fileno(stream), &st) < 0) {
		conf_error(reader->errors, path, 0, "%s", strerror(errno));
	} else if (already_open(parent, &st)) {
		fail(reader, "the file includes itself");
	} else {
		reader->source = source;
		read_stream(reader, source, stream, &st);
		reader->source = parent;
	}
	if (stream != NULL)
		fclose(stream);
}

static void read_path(struct reader *reader, const char *path, bool try)
{
	struct source source = {
		.parent = reader->source,
		.file = arena_strdup(reader->tree->arena, path),
		.top = reader->section,
	};

	if (reader->includes >= CONF_MAX_INCLUDES) {
		fail(reader, "includes are nested too deep");
		return;
	}
	reader->includes++;
	open_source(reader, &source, path, try);
	reader->includes--;
}

/* What was read, when it is without errors. */
static struct conf_tree *finish(struct reader *reader, unsigned errors_before)
{
	if (reader->errors->errors > errors_before)
		conf_tree_free(&reader->tree);
	return reader->tree;
}

static const char *absolute_path(struct arena *arena, const char *path)
{
	char dir[PATH_MAX];

	if (*path == '/' || getcwd(dir, sizeof(dir)) == NULL)
		return path;
	return arena_printf(arena, "%s/%s", dir, path);
}

struct conf_tree *conf_tree_read(const char *path,
				 conf_default_fn *default_fn,
				 struct conf_errors *errors)
{
	unsigned errors_before = errors->errors;
	struct reader reader = {
		.tree = conf_tree_new(),
		.errors = errors,
		.default_value = default_fn,
		.may_include = true,
	};

	reader.section = reader.tree->root;
	read_path(&reader, absolute_path(reader.tree->arena, path), false);
	return finish(&reader, errors_before);
}

struct conf_tree *conf_tree_parse(const char *file, const char *text,
				  size_t len, conf_default_fn *default_fn,
				  struct conf_errors *errors)
{
	unsigned errors_before = errors->errors;
	struct reader reader = {
		.tree = conf_tree_new(),
		.errors = errors,
		.default_value = default_fn,
	};
	struct source source = { .top = reader.tree->root };

	source.file = arena_strdup(reader.tree->arena, file);
	reader.section = reader.tree->root;
	reader.source = &source;
	if (take_bytes(&reader, len))
		take_source(&reader, arena_strndup(reader.tree->arena, text,
						   len), len);
	return finish(&reader, errors_before);
}
