/* A passdb's configuration file of its own (NAME.conf.ext), which its args name:
 * settings without sections and includes. */
#ifndef PASSDB_EXT_FILE_H
#define PASSDB_EXT_FILE_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/conf/schema.h"
#include "lib/conf/tree.h"

/* What may stand in files of one kind. */
struct ext_file_kind {
	const struct conf_table *table;
	/* Names that are accepted and warned of: they have no effect. NULL at
	 * the end. */
	const char *const *ignored;
	/* As Dovecot reads such files: $ and < mean nothing in values. Else as
	 * waypost.conf is read. */
	bool plain;
};

/* One that is being read. */
struct ext_file {
	const struct ext_file_kind *kind;
	const char *path;
	struct conf_tree *tree;	 /* its lines */
	struct conf_tree *files; /* of which other files come */
	struct conf_errors *errors;
	unsigned before; /* errors that others made */
};

/* Takes text, which stands in the file path (not copied), apart. Files that it
 * names are read by conf_tree_file(files), which may be NULL for a plain kind.
 * All that is wrong goes to errors; -1 when that is so much that there are no
 * settings. */
int ext_file_open(struct ext_file *file, const struct ext_file_kind *kind,
		  const char *path, const char *text, struct conf_tree *files,
		  struct conf_errors *errors);

/* Checks the settings and puts them into object, strings into arena. */
void ext_file_apply(struct ext_file *file, struct arena *arena, void *object);

/* Whether anything has been wrong since ext_file_open(). */
bool ext_file_is_broken(const struct ext_file *file);

/* Where the setting stands (the last one of that name); 0: nowhere. */
unsigned ext_file_line(const struct ext_file *file, const char *name);

/* Reports what is wrong with a setting, at its line if it has one. */
void ext_file_report(struct ext_file *file, const char *name, const char *fmt,
		     ...) __attribute__((format(printf, 3, 4)));

/* The text of the file in PEM that the setting name says is at path, in arena.
 * "" for no path, and for a file that is wrong, which is reported. */
const char *ext_file_pem(struct ext_file *file, struct arena *arena,
			 const char *name, const char *path);

/* Nothing of the file stays in memory but what was put elsewhere. */
void ext_file_close(struct ext_file *file);

#endif
