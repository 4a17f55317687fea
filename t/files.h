/* Files for tests. */
#ifndef T_FILES_H
#define T_FILES_H

#include "lib/str.h"

/* A new directory below /tmp. */
struct files {
	char dir[64];
	char path[512]; /* the last one asked for */
};
void files_init(struct files *files);

/* Removes the directory with all that is in it. */
void files_done(struct files *files);

/* Writes text to dir/name (name may have directories in it, which are made)
 * and returns the path, good until the next call. */
const char *files_write(struct files *files, const char *name,
			const char *text);

/* The path of a file in the directory, good until the next call. */
const char *files_path(struct files *files, const char *name);

/* Appends what a file holds; dies when it cannot be read. */
void files_read(const char *path, struct str *out);

/* Where a file of the source tree is, good until the next call. */
const char *files_source(struct files *files, const char *name);

#endif
