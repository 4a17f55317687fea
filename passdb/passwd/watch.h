/* The passwd-files of one passdb, kept up to date: one whose path is fixed, or
 * one for each value of the path's variables. Looked at every second on the
 * control loop, and read again when they have changed and were then left alone
 * for half a second; the threads that look users up share the contents.
 *
 * What is read for the first time, or on HUP, may just be written: until it was left alone
 * for half a second, it is young, and who is not in it may still come.
 *
 * A file without a byte in it has not been read, either. One that vanishes,
 * becomes empty or cannot be read any more keeps its contents; one that a variable
 * named is forgotten when it stays away for 10 seconds. */
#ifndef PASSDB_PASSWD_WATCH_H
#define PASSDB_PASSWD_WATCH_H

#include <stdbool.h>

#include "lib/loop.h"
#include "passdb/passwd/table.h"
#include "passdb/var/var.h"

/* Files of one passdb that are in memory at the same time; beyond that, the one
 * that was not used for the longest time goes (and is read again when it is
 * needed). */
#define PASSWD_WATCH_MAX 1024

struct passwd_watch;

/* fixed_path: the one file, read here and now; NULL: files come through
 * passwd_watch_load(). vars are copied. On the control loop's thread, like
 * everything here but passwd_watch_get(). */
struct passwd_watch *passwd_watch_new(struct loop *control,
				      const char *fixed_path,
				      const struct var_source *vars);

/* One more owner, on whose word (HUP) the files are looked at now, and read if
 * they have changed, however short ago. */
struct passwd_watch *passwd_watch_ref(struct passwd_watch *watch);

/* The last owner's call frees it. */
void passwd_watch_unref(struct passwd_watch **watch);

enum passwd_watch_result {
	PASSWD_WATCH_OK,      /* a reference to the contents */
	PASSWD_WATCH_YOUNG,   /* the same; but it was read right after it had changed, and
				 whoever writes it may not have been done */
	PASSWD_WATCH_MISSING, /* no such file */
	PASSWD_WATCH_FAILED,  /* it cannot be read, which was logged */
	PASSWD_WATCH_EMPTY,   /* that is why */
	PASSWD_WATCH_UNKNOWN, /* nobody asked for it yet: load it */
};

/* The contents of the file at path, as far as it is in memory. From any
 * thread. */
enum passwd_watch_result passwd_watch_get(struct passwd_watch *watch,
					  const char *path,
					  struct passwd_table **table_r);

/* As passwd_watch_get(), but reads the file if it is not in memory, or is young there and
 * has been left alone since. */
enum passwd_watch_result passwd_watch_load(struct passwd_watch *watch,
					   const char *path,
					   struct passwd_table **table_r);

#endif
