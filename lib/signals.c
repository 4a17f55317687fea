#include "lib/signals.h"

#include <signal.h>
#include <stddef.h>

void signals_reset(void)
{
	static const int signals[] = {
		SIGHUP, SIGINT, SIGPIPE, SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD,
		SIGALRM, SIGXFSZ,
	};
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
