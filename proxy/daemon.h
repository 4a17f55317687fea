/* Living in the background: detaching from the terminal, saying when the
 * service is ready, and being the only instance. */
#ifndef PROXY_DAEMON_H
#define PROXY_DAEMON_H

#include <stdbool.h>

#include "lib/err.h"

/* Sets up what every process of the service inherits: standard descriptors, a
 * umask for private files, no SIGPIPE, as many descriptors as the hard limit
 * allows. */
void daemon_prepare(void);

/* The file that we were started from, as arg0 named it if it did: what is there
 * later may be another version. NULL when it cannot be told; release with
 * mem_free(). */
char *daemon_program(const char *arg0);

/* Makes the directory unless it is there, and lets everybody pass through it
 * to the sockets in it. */
int daemon_make_dir(const char *path, struct err *err);

/* Forks. Returns in the child, in a session of its own, with a descriptor for
 * daemon_ready(). The parent waits: it exits with 0 (and "ready" on stderr)
 * when the child is ready, or with the child's exit status when it ends before,
 * having said why on the stderr that both share. -1 when it cannot fork. */
int daemon_detach(int *ready_fd_r, struct err *err);

/* All listeners accept: tells whoever waits. ready_fd is from daemon_detach(),
 * or -1 in the foreground. Lets go of the terminal unless keep_stderr. */
void daemon_ready(int ready_fd, bool keep_stderr);

/* Lets go of the terminal (or pipe) that stderr is. */
void daemon_release_stderr(void);

/* Writes our process id to path and keeps the file locked as long as the
 * process lives and *fd_r is open. -1 when another process has it locked. */
int daemon_lock(const char *path, int *fd_r, struct err *err);

#endif
