/* Asks a program, before the supervisor becomes it, whether it could go on: it
 * is run with -t and what would be handed over (proxy/supervisor/handover_state.h). It has
 * to say HANDOVER_CONSENT in its last line, so that no other program will
 * do. */
#ifndef PROXY_SUPERVISOR_HANDOVER_CHECK_H
#define PROXY_SUPERVISOR_HANDOVER_CHECK_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/loop.h"
#include "lib/str.h"
#include "proxy/supervisor/handover_state.h"

#define HANDOVER_CONSENT "ready to take over"

struct handover_check {
	/* Set by the owner: problems is all that was said, if not ok. */
	void (*done)(struct handover_check *check, bool ok,
		     const char *problems);
	pid_t pid; /* 0: none runs */
	int output_fd;
	struct str output;
	struct loop_io io;
	struct loop_timer timeout;
};

/* Starts the program at path, with the configuration at config_path. */
int handover_check_start(struct handover_check *check, struct loop *loop,
			 const char *path, const char *config_path,
			 const struct handover_state *state, struct err *err);

/* It has died, as waitpid() says: has the result told. */
void handover_check_died(struct handover_check *check, int status);

/* Forgets it; with kill_it, kills it first. Fine when none runs. */
void handover_check_stop(struct handover_check *check, bool kill_it);

/* Whether fd will be open behind exec(). */
int handover_check_keep(int fd, bool keep);

#endif
