/* What a process that saves mail has no use for. */
#ifndef BACKENDS_LOCAL_CONFINE_H
#define BACKENDS_LOCAL_CONFINE_H

#include "lib/err.h"

/* From now on, and in all programs that it starts, the process gains no
 * privileges, dumps no core, and has no sockets, mounts, namespaces, kernel
 * keys, or power over other processes: such calls fail with EPERM (seccomp; not on
 * kinds of machines whose calls are not known here). It may use that many seconds
 * of CPU time; 0: any number. -1: the process must end. */
int local_confine(unsigned seconds, struct err *err);

#endif
