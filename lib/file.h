/* Small files, read and written as a whole. Both block. */
#ifndef LIB_FILE_H
#define LIB_FILE_H

#include "lib/err.h"
#include "lib/str.h"

/* Appends the file's content to out. Returns 1, 0 when there is no such file, or
 * -1 when it cannot be read or has more than max bytes. */
int file_read(const char *path, size_t max, struct str *out, struct err *err);

/* The same, but what is no file cannot be read: a pipe is not waited for. */
int file_read_regular(const char *path, size_t max, struct str *out,
		      struct err *err);

/* Puts text in the place of the file, which only its owner may read: after a
 * crash there is the old file or the new one. path.new, in the same directory,
 * is written first. Returns 0 or -1. */
int file_replace(const char *path, const struct str *text, struct err *err);

#endif
