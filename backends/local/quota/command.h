/* The command of a quota_warning: a program that runs as the user. Dovecot can also hand
 * it to one of its services, through a socket; here are none. */
#ifndef BACKENDS_LOCAL_QUOTA_COMMAND_H
#define BACKENDS_LOCAL_QUOTA_COMMAND_H

#include <sys/types.h>

#include "lib/err.h"

/* Whether a command is exec:PATH with arguments, PATH being absolute; blanks in front
 * of it do not matter. -1: err says what would be. */
int quota_command_check(const char *command, struct err *err);

/* Starts it (lda/program.h). It reads from and writes to /dev/null, and gets SIGALRM after
 * that many seconds. Returns its process, or -1 when it could not be started. */
pid_t quota_command_start(const char *command, const char *user,
			  const char *home, unsigned seconds, struct err *err);

/* Waits for its end. */
void quota_command_wait(pid_t pid);

#endif
