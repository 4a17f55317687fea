#include "proxy/supervisor/crew_child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deliver/crew_channel.h"
#include "deliver/crew_counts.h"
#include "lib/arena.h"
#include "lib/channel.h"

static struct crew_order settings;
static struct loop *loop;
static struct crew_child *crew;
static bool *obeyed; /* by the crew, which is another process */

static void broken(void *owner)
{
	(void)owner;
	cr_assert_fail("nothing was said of that");
}

static void setup(void)
{
	struct err err;
	int ends[2];

	settings = (struct crew_order){
		.limit = 1,
		.name = "waypost",
		.policy = { .chroot_dirs = "", .timeout = 1,
			    .maildir.hostname = "host" },
		.logs = { .path = "", .info_path = "", .debug_path = "",
			  .timestamp = "", .syslog_facility = "mail",
			  .prefix = "" },
	};
	obeyed = mmap(NULL, sizeof(*obeyed), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(obeyed, MAP_FAILED);
	loop = loop_new();
	cr_assert_eq(channel_pair(ends, &err), 0);
	close(ends[1]);
	crew = crew_child_new(loop, ends[0], -1, broken, NULL);
}

static void teardown(void)
{
	crew_child_free(&crew);
	loop_free(&loop);
	munmap(obeyed, sizeof(*obeyed));
}

TestSuite(crew_child, .init = setup, .fini = teardown, .timeout = 60);

/* A crew that has late answers to give, then hears an order and takes its time. */
static _Noreturn void be_crew(int control, unsigned late)
{
	const struct timespec pause = { 0, 200 * 1000 * 1000 };
	struct arena *arena = arena_new(256);
	struct crew_order order;
	int files[LOG_FILES];
	struct err err;

	for (; late > 0; late--)
		crew_channel_say(control, CREW_OBEYS);
	if (channel_block(control, &err) < 0)
		_exit(1);
	channel_await(control);
	if (crew_channel_receive(control, &order, arena, files, &err) <= 0)
		_exit(1);
	nanosleep(&pause, NULL);
	*obeyed = true;
	crew_channel_say(control, CREW_OBEYS);
	_exit(0);
}

static pid_t start_crew(int *control_r, unsigned late)
{
	struct err err;
	int ends[2];
	pid_t pid;

	cr_assert_eq(channel_pair(ends, &err), 0);
	pid = fork();
	if (pid == 0)
		be_crew(ends[1], late);
	close(ends[1]);
	*control_r = ends[0];
	return pid;
}

/* What it says of orders before exec() is no answer to ours. */
Test(crew_child, answers_that_came_late)
{
	unsigned late;

	for (late = 0; late < 3; late++) {
		int control, status;
		pid_t pid = start_crew(&control, late);

		*obeyed = false;
		crew_child_adopt(crew, pid, control, late);
		crew_child_order(crew, -1, &settings);
		cr_expect(*obeyed, "%u", late);
		cr_expect_eq(crew->unanswered, 0);
		crew_child_order(crew, -1, NULL);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_expect_eq(status, 0);
	}
}

static void answered(struct loop_io *io, unsigned events)
{
	(void)events;
	loop_stop(io->loop);
}

/* Nobody waits for a crew that is not to be. */
Test(crew_child, requests_without_a_crew)
{
	int ends[2], link[2];
	struct loop_io io;
	struct err err;
	char byte;

	cr_assert_eq(channel_pair(ends, &err), 0);
	cr_assert_eq(channel_pair(link, &err), 0);
	crew_child_free(&crew);
	crew = crew_child_new(loop, ends[0], -1, broken, NULL);
	cr_assert_eq(channel_send(ends[1], "before", 6, &link[1], 1, &err), 0);
	crew_child_order(crew, -1, NULL);
	cr_assert_eq(channel_send(ends[1], "behind", 6, &link[1], 1, &err), 0);
	close(link[1]);
	loop_io_open(&io, loop, link[0], answered);
	loop_io_want(&io, LOOP_READ);
	loop_run(loop);
	cr_expect_eq(read(link[0], &byte, 1), 0);
	loop_io_close(&io);
	close(link[0]);
	close(ends[1]);
}

/* Also by a worker process that somebody has taken over. */
Test(crew_child, counts_are_the_crews)
{
	const struct crew_counts counts = { .started = 5, .limit = 7 };
	struct crew_counts seen;
	struct stat st;
	struct err err;
	int fds[2];

	cr_assert_eq(crew_counts_open(fds, &err), 0, "%s", err.text);
	crew_counts_write(fds[0], &counts);
	crew_counts_read(fds[1], &seen);
	cr_expect_eq(seen.started, 5);
	cr_expect_eq(seen.limit, 7);
	cr_expect_eq(pwrite(fds[1], "x", 1, 0), -1);
	cr_expect_eq(errno, EBADF);
	cr_expect_eq(ftruncate(fds[1], 0), -1);
	cr_assert_eq(fstat(fds[1], &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600);
	close(fds[0]);
	close(fds[1]);
}
