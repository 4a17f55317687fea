/* The contents of a passwd-file, read into memory and indexed by user:
 *
 *	user:password:uid:gid:(gecos):home:(shell):extra_fields
 *
 * Immutable once made; threads share it by reference. Empty lines and those
 * that start with '#' or ':' mean nothing. */
#ifndef PASSDB_PASSWD_TABLE_H
#define PASSDB_PASSWD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "passdb/var/var.h"

struct passwd_table;

#define PASSWD_MAX_SIZE (UINT32_MAX - 1) /* offsets are 32 bits */

/* Indexes size bytes at data, which is from mem_alloc and taken over; size is at
 * most PASSWD_MAX_SIZE. path is for log lines: broken lines and users that
 * appear twice are logged as errors, with their numbers. Variables are checked
 * against vars. There is one reference to the result. */
struct passwd_table *passwd_table_new(const char *path, char *data,
				      size_t size,
				      const struct var_source *vars);

struct passwd_table *passwd_table_ref(struct passwd_table *table);
void passwd_table_unref(struct passwd_table **table);

/* How many users it has. */
unsigned passwd_table_count(const struct passwd_table *table);

/* A part of a line, without NUL. */
struct passwd_part {
	const char *text;
	size_t len;
};

/* One user. */
struct passwd_entry {
	struct passwd_part line;
	struct passwd_part extra; /* the extra fields */
	bool broken; /* the line is; nothing else is set */
	bool unfinished; /* nothing ends the line: it may only be the start of it */
};

/* What userdbs want to know. */
struct passwd_user {
	bool is_user; /* the line goes on at least to gid */
	struct passwd_part uid, gid, home;
	struct passwd_part mail; /* of old files: where extra would be stands
				    nothing, and behind that a location */
};

/* Looks user (len bytes, as in the file) up; the time that takes does not
 * depend on the number of users. *entry_r is valid as long as the table. */
bool passwd_table_find(const struct passwd_table *table, const char *user,
		       size_t len, struct passwd_entry *entry_r);

/* entry is not broken. *user_r is valid as long as the table. */
void passwd_entry_user(const struct passwd_entry *entry,
		       struct passwd_user *user_r);

#endif
