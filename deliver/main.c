/* waypost-deliver: a crew (deliver/crew.h), for a supervisor. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "config.h"
#include "backends/local/confine.h"
#include "deliver/crew.h"
#include "deliver/crew_channel.h"
#include "lib/channel.h"
#include "lib/log/log.h"

#define EXIT_USAGE 64

static int prepare(struct err *err)
{
	sigset_t all;
	int fd;

	for (fd = CREW_CONTROL; fd < CREW_FDS; fd++) {
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_set(err, "descriptor %d is not there", fd);
	}
	if (!channel_is(CREW_CONTROL) || !channel_is(CREW_REQUESTS))
		return err_set(err, "its descriptors are no channels");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	/* It was executed by a descriptor, of which it has its name. */
	prctl(PR_SET_NAME, "waypost-deliver");
	if (local_confine_for_all(err) < 0)
		return -1;
	return channel_block(CREW_REQUESTS, err);
}

int main(int argc, char **argv)
{
	struct title title;
	struct err err;
	int status;

	if (argc > 1 && (strcmp(argv[1], "-V") == 0 ||
			 strcmp(argv[1], "--version") == 0)) {
		puts(PACKAGE_STRING);
		return EXIT_SUCCESS;
	}
	if (prepare(&err) < 0) {
		fprintf(stderr, "waypost-deliver: %s: only waypost starts this "
			"program, see waypost-delivery(8)\n", err.text);
		return EXIT_USAGE;
	}
	title_init(&title, argc, argv);
	status = crew_run(&title);
	log_close();
	return status;
}
