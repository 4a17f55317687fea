/* What a process that saves mail has no use for. */
#ifndef BACKENDS_LOCAL_CONFINE_H
#define BACKENDS_LOCAL_CONFINE_H

#include <stdbool.h>

#include "lib/err.h"

/* From now on, and in all programs that it starts, the process gains no
 * privileges, dumps no core, and has no mounts, namespaces, kernel keys, or power
 * over other processes, nor new sockets, unless it is to have these: such calls fail
 * with EPERM (seccomp; not on kinds of machines whose calls are not known here). It
 * may use that many seconds of CPU time; 0: any number. -1: the process must end. */
int local_confine(unsigned seconds, bool sockets, struct err *err);

#endif
