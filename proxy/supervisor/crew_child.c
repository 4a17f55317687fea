#include "proxy/supervisor/crew_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deliver/crew_channel.h"
#include "lib/channel.h"
#include "lib/clock.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/daemon.h"

#define PROGRAM "waypost-deliver"
/* A crew that dies this young is followed by another one only after a while. */
#define QUICK_DEATH_US (5 * 1000000)
#define RESTART_MS 500
/* To an order, after which it is killed. */
#define ANSWER_MS 5000

int crew_child_program(struct err *err)
{
	const char *installed = PKGLIBEXECDIR "/" PROGRAM;
	char *self = daemon_program(NULL), *beside;
	const char *slash = self != NULL ? strrchr(self, '/') : NULL;
	int fd = -1;

	if (slash != NULL) {
		beside = mem_printf("%.*s/" PROGRAM, (int)(slash - self), self);
		fd = open(beside, O_PATH | O_CLOEXEC);
		mem_free(&beside);
	}
	if (fd < 0)
		fd = open(installed, O_PATH | O_CLOEXEC);
	if (fd < 0)
		err_put(err, "local delivery needs the program %s: %s", installed,
			strerror(errno));
	mem_free(&self);
	return fd;
}

/* --- in the child --- */

/* The descriptors under their numbers, and no others behind exec(). */
static int place(int control, const struct crew_child *crew, int *program_r)
{
	const int count = CREW_FDS - CREW_CONTROL;
	int fds[] = { control, crew->requests, crew->counts, crew->program };
	int i;

	for (i = 0; i <= count; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, CREW_FDS);
		if (fds[i] < 0)
			return -1;
	}
	for (i = 0; i < count; i++) {
		if (dup2(fds[i], CREW_CONTROL + i) < 0)
			return -1;
	}
	*program_r = fds[count];
	return close_range(CREW_FDS, ~0u, CLOSE_RANGE_CLOEXEC);
}

static _Noreturn void become_crew(const struct crew_child *crew, int control)
{
	char *title = mem_printf("%s: delivery crew", crew->order.name);
	char *argv[] = { title, NULL };
	int program;

	/* Once, and not by each of those that it forks. */
	setenv("LD_BIND_NOW", "1", 1);
	if (place(control, crew, &program) == 0)
		execveat(program, "", argv, environ, AT_EMPTY_PATH);
	fprintf(stderr, "waypost: " PROGRAM ": %s\n", strerror(errno));
	_exit(EXIT_FAILURE);
}

/* --- the process --- */

static void let_go(struct crew_child *crew)
{
	loop_io_close(&crew->io);
	if (crew->control >= 0)
		close(crew->control);
	crew->control = -1;
	crew->pid = 0;
	crew->unanswered = 0;
}

/* Hears one word, if there is one. -1: there will be none any more. */
static int hear(struct crew_child *crew)
{
	enum crew_word word;
	int got = crew_channel_hear(crew->control, &word);

	if (got > 0 && word == CREW_OBEYS && crew->unanswered > 0)
		crew->unanswered--;
	else if (got > 0 && word == CREW_BROKEN)
		crew->broken(crew->owner);
	return got;
}

static void on_control(struct loop_io *io, unsigned events)
{
	struct crew_child *crew = container_of(io, struct crew_child, io);

	(void)events;
	if (hear(crew) >= 0)
		return;
	/* It closes the channel by dying, or there is something wrong. */
	loop_io_close(&crew->io);
	kill(crew->pid, SIGKILL);
}

/* It is our own, and answers at once. */
static int wait_for_answer(struct crew_child *crew, struct err *err)
{
	const uint64_t until_ms = clock_now_ms() + ANSWER_MS;
	struct pollfd poll_fd = { .fd = crew->control, .events = POLLIN };
	uint64_t now_ms = clock_now_ms();

	for (; crew->unanswered > 0 && now_ms < until_ms;
	     now_ms = clock_now_ms()) {
		if (poll(&poll_fd, 1, (int)(until_ms - now_ms)) > 0 &&
		    hear(crew) < 0)
			return err_set(err, "gone");
	}
	return crew->unanswered == 0 ? 0 : err_set(err, "no answer");
}

static void own(struct crew_child *crew, pid_t pid, int control)
{
	crew->pid = pid;
	crew->control = control;
	crew->started_us = loop_now_us(crew->loop);
	loop_io_open(&crew->io, crew->loop, control, on_control);
	loop_io_want(&crew->io, LOOP_READ);
}

static int start(struct crew_child *crew, struct err *err)
{
	sigset_t all, old;
	int ends[2];
	pid_t pid;

	if (channel_pair(ends, err) < 0)
		return -1;
	log_flush();
	/* The child must not run the parent's handlers. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid == 0)
		become_crew(crew, ends[1]);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_set(err, "fork: %s", strerror(errno));
	}
	own(crew, pid, ends[0]);
	return 0;
}

static int send_order(struct crew_child *crew, struct err *err)
{
	int files[LOG_FILES];

	log_files(files);
	if (crew_channel_order(crew->control, &crew->order, files, err) < 0)
		return -1;
	crew->unanswered++;
	return 0;
}

/* Who cannot be told is killed. */
static void order(struct crew_child *crew)
{
	bool starts = crew->pid == 0;
	struct err err;

	if (starts && start(crew, &err) < 0) {
		log_error(NULL, "cannot start a delivery crew: %s", err.text);
		loop_timer_set(&crew->restart, RESTART_MS);
	} else if (send_order(crew, &err) < 0 ||
		   (!starts && wait_for_answer(crew, &err) < 0)) {
		log_error(NULL, "delivery crew %ld: %s", (long)crew->pid,
			  err.text);
		kill(crew->pid, SIGKILL);
	}
}

static void restart(struct loop_timer *timer)
{
	order(container_of(timer, struct crew_child, restart));
}

/* --- requests that nobody takes --- */

/* Without its descriptors, of which the kernel closes the link: whoever waits there for
 * an answer has to wait no more. */
static void refuse(struct loop_io *io, unsigned events)
{
	struct crew_child *crew = container_of(io, struct crew_child, refusal);
	char byte;

	(void)events;
	if (recv(crew->requests, &byte, sizeof(byte), MSG_DONTWAIT) == 0)
		loop_io_close(io);
}

/* Of clients who came when mail was saved here. */
static void refuse_requests(struct crew_child *crew, bool on)
{
	loop_io_close(&crew->refusal);
	if (!on)
		return;
	loop_io_open(&crew->refusal, crew->loop, crew->requests, refuse);
	loop_io_want(&crew->refusal, LOOP_READ);
}

/* --- interface --- */

struct crew_child *crew_child_new(struct loop *loop, int requests, int counts,
				  void (*broken)(void *owner), void *owner)
{
	struct crew_child *crew = mem_new(struct crew_child);

	crew->loop = loop;
	crew->requests = requests;
	crew->counts = counts;
	crew->control = crew->program = -1;
	crew->broken = broken;
	crew->owner = owner;
	loop_timer_open(&crew->restart, loop, restart);
	return crew;
}

void crew_child_adopt(struct crew_child *crew, pid_t pid, int control,
		      unsigned unanswered)
{
	own(crew, pid, control);
	crew->unanswered = unanswered;
}

void crew_child_order(struct crew_child *crew, int program,
		      const struct crew_order *settings)
{
	crew->wanted = settings != NULL;
	refuse_requests(crew, !crew->wanted);
	if (!crew->wanted) {
		loop_timer_clear(&crew->restart);
		let_go(crew);
		return;
	}
	crew->program = program;
	crew->order = *settings;
	if (crew->restart.due_us == 0)
		order(crew);
}

static void log_death(pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		log_error(NULL, "delivery crew %ld killed by signal %d (%s)%s",
			  (long)pid, WTERMSIG(status),
			  strsignal(WTERMSIG(status)),
			  WCOREDUMP(status) ? ", core dumped" : "");
	else
		log_error(NULL, "delivery crew %ld ended with status %d",
			  (long)pid, WEXITSTATUS(status));
}

bool crew_child_died(struct crew_child *crew, pid_t pid, int status)
{
	uint64_t lived_us = loop_now_us(crew->loop) - crew->started_us;

	if (pid != crew->pid)
		return false;
	log_death(pid, status);
	/* It may have said something last. */
	while (hear(crew) > 0)
		;
	let_go(crew);
	if (crew->wanted)
		loop_timer_set(&crew->restart,
			       lived_us < QUICK_DEATH_US ? RESTART_MS : 0);
	return true;
}

void crew_child_free(struct crew_child **crew_p)
{
	struct crew_child *crew = *crew_p;

	if (crew == NULL)
		return;
	let_go(crew);
	refuse_requests(crew, false);
	loop_timer_close(&crew->restart);
	close(crew->requests);
	if (crew->counts >= 0)
		close(crew->counts);
	mem_free(crew_p);
}
