/* Reads passwd-files and tells whether they have changed. */
#ifndef PASSDB_PASSWD_READ_H
#define PASSDB_PASSWD_READ_H

#include <stdbool.h>
#include <sys/stat.h>

#include "lib/err.h"
#include "passdb/passwd/table.h"

enum passwd_read {
	PASSWD_READ_OK,
	PASSWD_READ_MISSING,  /* there is no such file */
	PASSWD_READ_FAILED,   /* it cannot be read */
	PASSWD_READ_EMPTY,    /* there is not one byte in it */
	PASSWD_READ_CHANGING, /* it was written to meanwhile: try later */
};

/* Tells one state of a file from another. */
struct passwd_stamp {
	struct timespec mtime;
	off_t size;
	ino_t inode;
	dev_t device;
	bool young; /* changed within the last half second: there may be more
		       to come, and that may not show in mtime */
};

void passwd_stamp_set(struct passwd_stamp *stamp, const struct stat *st);
bool passwd_stamp_equal(const struct passwd_stamp *a,
			const struct passwd_stamp *b);

/* Reads the file at path (less than 4 GiB) as passwd_table_new() does. On
 * PASSWD_READ_OK *stamp_r is the state that was read; otherwise *err says why
 * there is no table. */
enum passwd_read passwd_read(const char *path, const struct var_source *vars,
			     struct passwd_table **table_r,
			     struct passwd_stamp *stamp_r, struct err *err);

#endif
