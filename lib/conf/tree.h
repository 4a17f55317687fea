/* A configuration as written, in Dovecot 2.3's language: sections and settings
 * with the places where they stand. Says nothing about what they mean. */
#ifndef LIB_CONF_TREE_H
#define LIB_CONF_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"

#define CONF_MAX_INCLUDES 16		   /* nested in one another */
#define CONF_MAX_DEPTH 16		   /* of sections */
#define CONF_MAX_NODES 16384		   /* of one configuration */
#define CONF_MAX_BYTES (16 * 1024 * 1024)  /* with all that it includes; as
					      much again in "name = <path" */
#define CONF_MAX_MESSAGES 100		   /* errors kept, and warnings; a line
					      says that there are more */

struct conf_node {
	struct conf_node *parent, *next, *children; /* in order of the text */
	struct conf_node *last;	/* of the children */
	const char *key;   /* setting's name, or section's type */
	const char *value; /* setting's value; section's name or "" */
	const char *path;  /* "key = <path": absolute; else NULL. value is ""
			      until conf_node_load() */
	bool section, loaded;
	const char *file; /* "": the schema's built-in part */
	unsigned line;
	unsigned number; /* of the tree's nodes, in the order they came */
};

/* A file that belongs to the configuration as it is. */
struct conf_file {
	struct conf_file *next;
	const char *path, *text;
};

struct conf_tree {
	struct arena *arena; /* everything lives here */
	struct conf_node *root;
	unsigned nodes;
	size_t loaded; /* bytes that were read beside the configuration */
	struct conf_file *files;
	bool unpacked; /* in the process that cannot read any more of them */
};

/* Everything that is wrong (and what to know), in the order found. A zeroed
 * struct is empty. */
struct conf_errors {
	struct str text; /* lines "file:line: message\n" */
	unsigned errors, warnings;
};

void conf_errors_free(struct conf_errors *errors);

/* Append a line, unless it is there already; what is not printable in the message is
 * escaped. file NULL or "": the message concerns no line in particular. */
void conf_error(struct conf_errors *errors, const char *file, unsigned line,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void conf_warning(struct conf_errors *errors, const char *file, unsigned line,
		  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* What $name stands for when no setting of that name came before: the
 * setting's default; NULL when no setting has that name. */
typedef const char *conf_default_fn(const char *name);

/* Reads a file with everything that it includes (!include, !include_try).
 * Goes on after an error so that all are reported; returns NULL when there was
 * one. default_value may be NULL: then only what was set before can be named
 * with $. */
struct conf_tree *conf_tree_read(const char *path,
				 conf_default_fn *default_value,
				 struct conf_errors *errors);

/* Parses text that stands in file; it may not include others. */
struct conf_tree *conf_tree_parse(const char *file, const char *text,
				  size_t len, conf_default_fn *default_value,
				  struct conf_errors *errors);

/* An empty tree, with a root. */
struct conf_tree *conf_tree_new(void);

/* Clears the pointer; NULL is fine. Nothing of what it held stays in memory. */
void conf_tree_free(struct conf_tree **tree);

/* Adds a child behind the others. key, value and file are not copied. Returns
 * NULL when the tree has CONF_MAX_NODES. */
struct conf_node *conf_node_add(struct conf_tree *tree,
				struct conf_node *parent, const char *key,
				const char *value);

/* The last setting, or section, among the children with that key (and, for
 * sections, name; NULL: any); NULL when there is none. */
struct conf_node *conf_node_setting(const struct conf_node *parent,
				    const char *key);
struct conf_node *conf_node_section(const struct conf_node *parent,
				    const char *key, const char *name);

/* Reads the file of "key = <path" into value, once; does nothing for other
 * nodes. Files are not read before somebody wants their contents, so that
 * secrets that nobody uses (another program's keys) never enter memory. */
int conf_node_load(struct conf_tree *tree, struct conf_node *node,
		   struct err *err);

/* The text of a file that some setting names and that is part of the
 * configuration, in a language of its own; NULL and why when it cannot be read.
 * It is read once and goes with the tree to another process, which need not be
 * able to open it. Lives as long as the tree. */
const char *conf_tree_file(struct conf_tree *tree, const char *path,
			   struct err *err);

/* Adds a file without reading it. Nothing is copied. */
void conf_file_add(struct conf_tree *tree, const char *path, const char *text);

/* The tree, with its files, as bytes for another process, and back.
 * conf_tree_unpack() trusts nothing: NULL for anything malformed. */
void conf_tree_pack(const struct conf_tree *tree, struct str *out);
struct conf_tree *conf_tree_unpack(const void *data, size_t len);

#endif
