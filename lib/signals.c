#include "lib/signals.h"

#include <signal.h>

void signals_reset(void)
{
	sigset_t none;
	int signo;

	/* Some cannot be set, and need not be. */
	for (signo = 1; signo <= SIGRTMAX; signo++)
		signal(signo, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
