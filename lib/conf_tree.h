/* A configuration as written, in Dovecot 2.3's language: sections and settings
 * with the places where they stand. Says nothing about what they mean. */
#ifndef LIB_CONF_TREE_H
#define LIB_CONF_TREE_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/str.h"

struct conf_node {
	struct conf_node *parent, *next, *children; /* in order of the text */
	const char *key;   /* setting's name, or section's type */
	const char *value; /* setting's value; section's name or "" */
	bool section;
	const char *file;
	unsigned line;
};

struct conf_tree {
	struct arena *arena; /* everything lives here */
	struct conf_node *root;
};

/* Everything that is wrong (and what to know), in the order found. */
struct conf_errors {
	struct str text; /* lines "file:line: message\n" */
	unsigned errors, warnings;
};

void conf_errors_free(struct conf_errors *errors);
void conf_error(struct conf_errors *errors, const char *file, unsigned line,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void conf_warning(struct conf_errors *errors, const char *file, unsigned line,
		  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Reads a file with everything that it includes. Goes on after an error so
 * that all are reported; returns NULL when there was one. */
struct conf_tree *conf_tree_read(const char *path, struct conf_errors *errors);

/* Clears the pointer; NULL is fine. */
void conf_tree_free(struct conf_tree **tree);

/* The tree as bytes for another process, and back. conf_tree_unpack() trusts
 * nothing: NULL for anything malformed. */
void conf_tree_pack(const struct conf_tree *tree, struct str *out);
struct conf_tree *conf_tree_unpack(const void *data, size_t len);

#endif
