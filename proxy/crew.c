#include "proxy/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/channel.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/crew_counts.h"

#define SPARE 4 /* members that wait for the next request */
#define KILL_GRACE_MS 5000
/* Until the next ones start, when members do not live. */
#define REFILL_MS 500

struct member {
	struct list node;
	struct crew *crew;
	pid_t pid;
	int status; /* the pipe */
	struct loop_io io;
	struct loop_timer kill;
	bool busy;
	bool leaving; /* was told to end */
	bool late;    /* we have killed it for that */
};

struct crew {
	struct loop *loop;
	int requests;
	int counts_fd;
	struct crew_counts counts;
	void (*broken)(void *owner);
	void *owner;
	struct list members;
	struct local_policy policy;
	struct crew_settings settings; /* its policy is the one above */
	bool manned; /* there are to be members */
	bool closed; /* the worker process has closed its end */
	struct loop_timer refill;
};

static void crew_changed(struct crew *crew);

/* --- in the child --- */

static int compare(const void *a, const void *b)
{
	const int *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* What the supervisor has open is not for those who become users. */
static void close_others(int *keep, unsigned count)
{
	unsigned next = STDERR_FILENO + 1, i;

	qsort(keep, count, sizeof(*keep), compare);
	for (i = 0; i < count; i++) {
		if (keep[i] < (int)next)
			continue;
		if (keep[i] > (int)next)
			close_range(next, (unsigned)keep[i] - 1, 0);
		next = (unsigned)keep[i] + 1;
	}
	close_range(next, ~0u, 0);
}

static void reset_signals(void)
{
	static const int ignored[] = { SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
	static const int restored[] = { SIGTERM, SIGCHLD, SIGALRM };
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	for (i = 0; i < sizeof(restored) / sizeof(restored[0]); i++)
		signal(restored[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_title(const struct crew *crew)
{
	char *title = mem_printf("%s: delivery", crew->settings.name);

	title_set(crew->settings.title, title);
	mem_free(&title);
}

static _Noreturn void be_member(const struct crew *crew, int status)
{
	const struct local_deliverer deliverer = {
		.policy = &crew->policy,
		.requests = crew->requests,
		.status = status,
	};
	int keep[LOG_FILES + 2];
	struct err err;

	log_files(keep);
	keep[LOG_FILES] = crew->requests;
	keep[LOG_FILES + 1] = status;
	close_others(keep, LOG_FILES + 2);
	set_title(crew);
	reset_signals();
	if (crew->policy.fixed &&
	    local_deliverer_settle(&crew->policy, &err) < 0) {
		log_error(NULL, "delivery: %s", err.text);
		log_flush();
		_exit(LOCAL_DELIVERER_FAILED);
	}
	_exit(local_deliverer_run(&deliverer));
}

/* --- members --- */

static void member_free(struct member *member)
{
	list_remove(&member->node);
	loop_io_close(&member->io);
	loop_timer_close(&member->kill);
	close(member->status);
	mem_free(&member);
}

static void on_status(struct loop_io *io, unsigned events)
{
	struct member *member = container_of(io, struct member, io);
	const struct local_policy *policy = &member->crew->policy;
	uint64_t timeout_ms = (policy->timeout + policy->grace +
			       LOCAL_DELIVERER_STAY_S) * (uint64_t)1000;
	char bytes[64];
	ssize_t got = read(member->status, bytes, sizeof(bytes));

	(void)events;
	if (got == 0)
		loop_io_close(&member->io);
	if (got <= 0)
		return;
	/* The last one counts. */
	member->busy = bytes[got - 1] == LOCAL_DELIVERER_BUSY;
	if (member->busy)
		loop_timer_set(&member->kill, timeout_ms + KILL_GRACE_MS);
	else
		loop_timer_clear(&member->kill);
	crew_changed(member->crew);
}

static void kill_time(struct loop_timer *timer)
{
	struct member *member = container_of(timer, struct member, kill);

	member->late = true;
	kill(member->pid, SIGKILL);
}

static void member_add(struct crew *crew, pid_t pid, int status)
{
	struct member *member = mem_new(struct member);

	member->crew = crew;
	member->pid = pid;
	member->status = status;
	list_append(&crew->members, &member->node);
	loop_io_open(&member->io, crew->loop, status, on_status);
	loop_io_want(&member->io, LOOP_READ);
	loop_timer_open(&member->kill, crew->loop, kill_time);
}

static int member_start(struct crew *crew, struct err *err)
{
	sigset_t all, old;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, "pipe: %s", strerror(errno));
	log_flush();
	/* The child must not run the parent's handlers. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid == 0)
		be_member(crew, ends[1]);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_set(err, "fork: %s", strerror(errno));
	}
	member_add(crew, pid, ends[0]);
	crew->counts.started++;
	return 0;
}

/* --- the crew --- */

struct strength {
	unsigned idle, busy, all;
};

static struct strength crew_count(const struct crew *crew)
{
	const struct list *node = crew->members.next;
	struct strength count = { 0, 0, 0 };

	for (; node != &crew->members; node = node->next) {
		const struct member *member =
			container_of(node, struct member, node);

		count.all++;
		count.busy += member->busy;
		count.idle += !member->busy && !member->leaving;
	}
	return count;
}

static void crew_fill(struct crew *crew)
{
	struct strength count = crew_count(crew);
	struct err err;

	if (!crew->manned || crew->closed || crew->refill.due_us != 0)
		return;
	for (; count.idle < SPARE && count.all < crew->settings.limit;
	     count.idle++, count.all++) {
		if (member_start(crew, &err) == 0)
			continue;
		log_error(NULL, "cannot start a delivery process: %s",
			  err.text);
		loop_timer_set(&crew->refill, REFILL_MS);
		return;
	}
}

/* Nobody learns of who has come, gone, or begun or ended his work but by this. */
static void crew_changed(struct crew *crew)
{
	struct strength count;

	crew_fill(crew);
	count = crew_count(crew);
	crew->counts.members = count.all;
	crew->counts.busy = count.busy;
	crew->counts.limit = crew->manned ? crew->settings.limit : 0;
	crew_counts_write(crew->counts_fd, &crew->counts);
}

static void refill(struct loop_timer *timer)
{
	crew_changed(container_of(timer, struct crew, refill));
}

struct crew *crew_new(struct loop *loop, int requests, int counts,
		      void (*broken)(void *owner), void *owner)
{
	struct crew *crew = mem_new(struct crew);
	struct err err;

	crew->loop = loop;
	crew->requests = requests;
	crew->counts_fd = counts;
	crew->broken = broken;
	crew->owner = owner;
	list_init(&crew->members);
	loop_timer_open(&crew->refill, loop, refill);
	if (channel_block(requests, &err) < 0) {
		log_error(NULL, "deliveries: %s", err.text);
		crew->closed = true;
	}
	return crew;
}

int crew_requests(const struct crew *crew)
{
	return crew->requests;
}

void crew_man(struct crew *crew, const struct crew_settings *settings)
{
	struct list *node, *tmp;

	list_each(&crew->members, node, tmp) {
		struct member *member = container_of(node, struct member, node);

		member->leaving = true;
		kill(member->pid, SIGTERM);
	}
	crew->manned = settings != NULL;
	if (settings != NULL) {
		crew->policy = *settings->policy;
		crew->settings = *settings;
		crew->settings.policy = &crew->policy;
	}
	crew_changed(crew);
}

static struct member *crew_find(struct crew *crew, pid_t pid)
{
	struct list *node, *tmp;

	list_each(&crew->members, node, tmp) {
		struct member *member = container_of(node, struct member, node);

		if (member->pid == pid)
			return member;
	}
	return NULL;
}

/* Returns whether it died as it should. */
static bool member_bury(const struct member *member, int status)
{
	long pid = (long)member->pid;
	int code = WEXITSTATUS(status);

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		log_error(NULL, "delivery process %ld took longer than "
			  "lmtp_delivery_timeout", pid);
	else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGTERM)
		log_error(NULL, "delivery process %ld killed by signal %d (%s)",
			  pid, WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (!WIFSIGNALED(status) && code != LOCAL_DELIVERER_DONE &&
		 code != LOCAL_DELIVERER_CLOSED &&
		 code != LOCAL_DELIVERER_REFUSED)
		log_error(NULL, "delivery process %ld failed with status %d",
			  pid, code);
	return member->leaving || member->busy ||
	       (!WIFSIGNALED(status) && code == LOCAL_DELIVERER_DONE);
}

static enum crew_end member_end(const struct member *member, int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == LOCAL_DELIVERER_DONE ||
				       WEXITSTATUS(status) ==
					       LOCAL_DELIVERER_CLOSED
			       ? CREW_END_WELL
			       : CREW_END_FAILED;
	if (WTERMSIG(status) == SIGALRM || member->late)
		return CREW_END_TIMED_OUT;
	return WTERMSIG(status) == SIGTERM ? CREW_END_WELL : CREW_END_KILLED;
}

bool crew_died(struct crew *crew, pid_t pid, int status)
{
	struct member *member = crew_find(crew, pid);
	bool well;

	if (member == NULL)
		return false;
	/* Whether it was at work may still be to be read. */
	on_status(&member->io, LOOP_READ);
	well = member_bury(member, status);
	crew->counts.ended[member_end(member, status)]++;
	member_free(member);
	if (WIFEXITED(status) && WEXITSTATUS(status) == LOCAL_DELIVERER_CLOSED)
		crew->closed = true;
	if (!well && !crew->closed)
		loop_timer_set(&crew->refill, REFILL_MS);
	crew_changed(crew);
	if (WIFEXITED(status) &&
	    WEXITSTATUS(status) == LOCAL_DELIVERER_MALFORMED)
		crew->broken(crew->owner);
	return true;
}

void crew_free(struct crew **crew_p)
{
	struct crew *crew = *crew_p;
	struct list *node, *tmp;

	if (crew == NULL)
		return;
	list_each(&crew->members, node, tmp)
		member_free(container_of(node, struct member, node));
	loop_timer_close(&crew->refill);
	close(crew->requests);
	if (crew->counts_fd >= 0)
		close(crew->counts_fd);
	mem_free(crew_p);
}
