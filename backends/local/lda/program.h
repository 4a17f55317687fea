/* Programs that the process of a delivery starts, as the user that it is. No shell is
 * involved. */
#ifndef BACKENDS_LOCAL_LDA_PROGRAM_H
#define BACKENDS_LOCAL_LDA_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"

struct program {
	char *const *argv; /* the first one is an absolute path */
	const char *user, *home; /* for its environment; home: "" for none */
	int in;		    /* its standard input, and: */
	int out;	    /* its output and its errors; -1: /dev/null */
	bool at_home;	    /* it starts in home if it can, else in / */
	bool session;	    /* it leads a session, and a process group */
	unsigned seconds;   /* when it gets SIGALRM; 0: never */
	unsigned cpu;	    /* seconds of that for each process; 0: as for us */
	unsigned processes; /* that its user may have, for it to start more
			       (RLIMIT_NPROC); 0: as for us */
};

/* Starts it. Its environment is HOME, USER, LOGNAME and PATH, it has no other
 * descriptors, signals are as nobody had touched them, and it gets SIGKILL when we
 * die. Returns its process; or -1, with errno, when it could not be started. */
pid_t program_start(const struct program *program, struct err *err);

/* Waits for its end. Returns its status, as waitpid(2) has it. */
int program_wait(pid_t pid);

/* From now on, processes whose parents end become our children: we can end them. */
void program_adopt(void);

/* Ends what pid has started, which leads a session and may have ended, but was not
 * waited for: its process group; and, if program_adopt() was called before, whatever
 * has left that. We may have no other children. Returns its status. */
int program_end(pid_t pid);

#endif
