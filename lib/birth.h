/* What tells a process of this machine from another one that gets its number later: when
 * it started, and the number of its pidfd, which Linux gives once (since 6.9). */
#ifndef LIB_BIRTH_H
#define LIB_BIRTH_H

#include <stdbool.h>

#include "lib/str.h"

/* Appends "PID-START-INODE-" of the process that calls; a number is 0 where the kernel
 * does not say it. */
void birth_write(struct str *out);

/* Whether the process that text begins with is there still, or nobody can tell. The inode
 * may be missing, as in names that older versions have made. Others' processes have no
 * start where /proc is mounted with hidepid. */
bool birth_lives(const char *text);

#endif
