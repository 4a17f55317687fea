/* What a process that saves mail has no use for. */
#ifndef BACKENDS_LOCAL_CONFINE_H
#define BACKENDS_LOCAL_CONFINE_H

#include <stdbool.h>

#include "lib/err.h"

/* From now on, and in all programs that it starts, the process gains no privileges,
 * dumps no core, and has no mounts, namespaces, kernel keys, io_uring, or power over
 * other processes but that of signals. Unless it is to run commands, it starts no
 * process and no program, has no new sockets, and does not even say who it is; else
 * sockets are those of this machine and of IP. Such calls fail with EPERM, and system
 * calls that are newer than Linux 6.1 do not exist (seccomp; not on kinds of machines
 * whose calls are not known here). It may use that many seconds of CPU time; 0: any
 * number. -1: the process must end. */
int local_confine(unsigned seconds, bool commands, struct err *err);

/* Does of that what holds for a process that starts such processes as well, and for all
 * of them: what it has done they need not do. Chroots, fork and the like stay. */
int local_confine_for_all(struct err *err);

/* Does what can be done before, for all processes that are forked later. */
void local_confine_prepare(bool commands);

#endif
