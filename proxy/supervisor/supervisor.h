/* The process that was started: the only one that may be root. It never reads a
 * byte from the network. It opens the listeners, keeps a worker process running
 * on them, and handles signals: TERM (graceful stop; a second one: at once),
 * INT (stop at once), HUP (reload), USR1 (reopen logs), USR2 (execute the
 * program again, which may be a newer one by now). */
#ifndef PROXY_SUPERVISOR_SUPERVISOR_H
#define PROXY_SUPERVISOR_SUPERVISOR_H

#include <stdbool.h>

#include "lib/title.h"
#include "proxy/settings/settings.h"

struct supervisor_options {
	char *config_path; /* absolute; read again by a reload */
	bool foreground;
	struct title title;
};

/* Reads and binds a configuration; with for_use, a start must be able to work
 * with it on this machine. NULL when it has errors: all are reported. */
struct settings *supervisor_read_settings(const char *path, bool for_use,
					  struct conf_errors *errors);

/* Runs the service, as a daemon unless options->foreground. Takes over
 * settings. Returns the exit status of the process; why a start failed is on
 * stderr by then. */
int supervisor_run(const struct supervisor_options *options,
		   struct settings *settings);

/* Whether a supervisor has executed us (USR2): to go on in its place, or, with
 * -t, to find out whether we could. */
bool supervisor_is_handover(void);

/* Goes on in its place. Returns as supervisor_run() does. */
int supervisor_resume(const struct supervisor_options *options);

/* Says on stdout that we could, or on stderr why not. Returns the exit
 * status. */
int supervisor_consent(void);

#endif
