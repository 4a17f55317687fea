/* Mode and group of what is made in a mailbox: those of the mailbox, as Dovecot has
 * it. */
#ifndef BACKENDS_LOCAL_OWNERSHIP_H
#define BACKENDS_LOCAL_OWNERSHIP_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "backends/local/mail/mail.h"

struct ownership {
	mode_t mode; /* of directories; files have it without x */
	gid_t gid;   /* -1: the one that the kernel gives */
};

/* What a directory hands on to what is made in it. The group is given only where
 * it may do more than everybody, and the directory's setgid bit does not give it
 * anyway. */
struct ownership ownership_of(const struct stat *st);

/* Applies it to a file that was just made with mode 0600 and is open as fd. When the
 * group may not be given (EPERM), the group that the file has gets no rights, and
 * *refused becomes true. Returns 0, or -1 and errno. */
int ownership_give(int fd, const struct ownership *ownership, bool *refused);

/* Makes a directory like that; it is open as *fd_r. Returns 0, or -1 and errno, and
 * then nothing was made. */
int ownership_mkdir(const char *path, const struct ownership *ownership,
		    bool *refused, int *fd_r);

/* Says in result->text that a mail was saved at path, but that a group was refused. */
void ownership_warn(const char *path, struct local_result *result);

#endif
