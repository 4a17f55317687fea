/* Making the directories of a mailbox, with the mode and group that they need. */
#ifndef BACKENDS_LOCAL_DIRS_H
#define BACKENDS_LOCAL_DIRS_H

#include <stdbool.h>

#include "backends/local/mail/mail.h"
#include "backends/local/ownership.h"

struct dirs {
	bool fsync; /* what is made has to last */
	bool refused; /* set by ownership_give() */
	struct local_result *result;
};

/* fsync() of a directory. Some file systems have none to offer (EINVAL), and nothing
 * can be done about that. */
int dirs_sync(int fd);

/* Makes the name of what is open as fd at path last. Returns 0, or -1 with the result
 * filled. */
int dirs_sync_above(struct dirs *dirs, const char *path, int fd);

/* Makes one directory; that it is there already is fine. Returns 0, or -1 with the
 * result filled. */
int dirs_make(struct dirs *dirs, const char *path,
	      const struct ownership *ownership);

/* Makes path (absolute) and what is missing above it. Nobody but the user has
 * rights there, unless the first directory that is there has the setgid bit: then
 * its mode is handed on, to path itself only with whole. Returns 0, or -1: with
 * LOCAL_GONE when the user may not make what has to be above path, such as a home
 * that is not there. */
int dirs_make_root(struct dirs *dirs, const char *path, bool whole);

/* Makes folder below root, which is there, with what is missing between them, all
 * with the ownership of the last directory that is there; flat: of .A for .A.B.
 * Returns 0 or -1. */
int dirs_make_below(struct dirs *dirs, const char *root, const char *folder,
		    bool flat);

#endif
