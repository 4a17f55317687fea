#include "deliver/crew.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/local/confine.h"
#include "deliver/crew_channel.h"
#include "deliver/crew_counts.h"
#include "deliver/mail_vars.h"
#include "lib/clock.h"
#include "lib/list.h"
#include "lib/log/log.h"
#include "lib/mem.h"

#define SPARE 4 /* members that wait for the next request */
#define KILL_GRACE_MS 5000
/* Until the next ones start, when members do not live. */
#define REFILL_MS 500

struct member {
	struct list node;
	pid_t pid;
	int status;	  /* of struct local_deliverer; -1: it is a user by now */
	uint64_t kill_ms; /* when it has taken too long; 0: it is not at work */
	bool busy;
	bool leaving; /* was told to end */
	bool fixed;   /* as its policy was */
	bool late;    /* we have killed it for that */
};

struct crew {
	const struct title *own_title;
	pid_t pid;
	struct list members;
	unsigned count;
	struct pollfd *polls; /* the channel, then members that are heard, in order */
	unsigned poll_count, poll_room;
	int logs[LOG_FILES];
	char *title; /* of members */
	struct crew_counts counts;
	struct arena *arena; /* of the order */
	struct crew_order order;
	bool manned;	/* there is an order */
	bool dismissed; /* the supervisor has let go */
	bool closed;	/* the worker process has closed its end */
	uint64_t refill_ms; /* when members may start again; 0: now */
};

/* --- in the child --- */

/* qsort() would have the kernel map more of the C library, for each member. */
static void sort(int *numbers, unsigned count)
{
	unsigned i, at;

	for (i = 1; i < count; i++) {
		int number = numbers[i];

		for (at = i; at > 0 && numbers[at - 1] > number; at--)
			numbers[at] = numbers[at - 1];
		numbers[at] = number;
	}
}

/* What the crew has open is not for those who become users. */
static void close_others(int *keep, unsigned count)
{
	unsigned next = STDERR_FILENO + 1, i;

	sort(keep, count);
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
	sigset_t none;

	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void be_member(const struct crew *crew, int status)
{
	const struct local_policy *policy = &crew->order.policy;
	const struct local_deliverer deliverer = {
		.policy = policy,
		.requests = CREW_REQUESTS,
		.status = status,
		.parent = crew->pid,
	};
	int keep[LOG_FILES + 2];
	struct err err;

	log_disconnect();
	memcpy(keep, crew->logs, sizeof(crew->logs));
	keep[LOG_FILES] = CREW_REQUESTS;
	keep[LOG_FILES + 1] = status;
	close_others(keep, LOG_FILES + 2);
	title_set(crew->own_title, crew->title);
	reset_signals();
	if (policy->fixed && local_deliverer_settle(policy, &err) < 0) {
		log_error(NULL, "delivery: %s", err.text);
		log_flush();
		_exit(LOCAL_DELIVERER_FAILED);
	}
	_exit(local_deliverer_run(&deliverer));
}

/* --- members --- */

static void member_ignore(struct member *member)
{
	if (member->status >= 0)
		close(member->status);
	member->status = -1;
}

static void member_free(struct crew *crew, struct member *member)
{
	list_remove(&member->node);
	crew->count--;
	member_ignore(member);
	mem_free(&member);
}

/* However busy it is, or says that it is. */
static uint64_t latest_end_ms(const struct crew *crew)
{
	const struct local_policy *policy = &crew->order.policy;
	uint64_t timeout_ms = (policy->timeout + policy->grace +
			       LOCAL_DELIVERER_STAY_S) * (uint64_t)1000;

	return clock_now_ms() + timeout_ms + KILL_GRACE_MS;
}

/* Reads what it says of itself, if anything. From a user nothing is heard any more: who
 * could say that he is done would not be ended, and keep others from being started. */
static void member_hear(const struct crew *crew, struct member *member)
{
	eventfd_t turns;

	if (member->status < 0 || eventfd_read(member->status, &turns) < 0)
		return;
	if (turns % 2 == 1)
		member->busy = !member->busy;
	if (member->busy && !member->fixed)
		member_ignore(member);
	if (!member->leaving)
		member->kill_ms = member->busy ? latest_end_ms(crew) : 0;
}

static void member_add(struct crew *crew, pid_t pid, int status)
{
	struct member *member = mem_new(struct member);

	member->pid = pid;
	member->status = status;
	member->fixed = crew->order.policy.fixed;
	list_append(&crew->members, &member->node);
	crew->count++;
}

static int member_start(struct crew *crew, struct err *err)
{
	int status = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pid_t pid;

	if (status < 0)
		return err_set(err, "eventfd: %s", strerror(errno));
	log_flush();
	pid = fork();
	if (pid == 0)
		be_member(crew, status);
	if (pid < 0) {
		close(status);
		return err_set(err, "fork: %s", strerror(errno));
	}
	member_add(crew, pid, status);
	crew->counts.started++;
	return 0;
}

static void member_kill_late(struct member *member, uint64_t now_ms)
{
	if (member->kill_ms == 0 || member->kill_ms > now_ms)
		return;
	member->late = true;
	member->kill_ms = 0;
	kill(member->pid, SIGKILL);
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

	if (!crew->manned || crew->closed || crew->refill_ms > clock_now_ms())
		return;
	crew->refill_ms = 0;
	/* Who has just taken a request goes first, until it waits for the disk. */
	if (count.idle > 0)
		sched_yield();
	for (; count.idle < SPARE && count.all < crew->order.limit;
	     count.idle++, count.all++) {
		if (member_start(crew, &err) == 0)
			continue;
		log_error(NULL, "cannot start a delivery process: %s",
			  err.text);
		crew->refill_ms = clock_now_ms() + REFILL_MS;
		return;
	}
}

/* Nobody learns of who has come, gone, or begun or ended his work but by this. */
static void crew_say_counts(struct crew *crew)
{
	struct strength count = crew_count(crew);

	crew->counts.members = count.all;
	crew->counts.busy = count.busy;
	crew->counts.limit = crew->manned ? crew->order.limit : 0;
	crew_counts_write(CREW_COUNTS, &crew->counts);
}

static void crew_tell_all(struct crew *crew)
{
	struct list *node, *tmp;

	list_each(&crew->members, node, tmp) {
		struct member *member = container_of(node, struct member, node);

		/* Told again, it has no more time. */
		if (!member->leaving && member->kill_ms == 0)
			member->kill_ms = latest_end_ms(crew);
		member->leaving = true;
		kill(member->pid, SIGTERM);
	}
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

static void crew_bury(struct crew *crew, pid_t pid, int status)
{
	struct member *member = crew_find(crew, pid);
	bool well;

	if (member == NULL)
		return;
	/* Whether it was at work may still be to be read. */
	member_hear(crew, member);
	well = member_bury(member, status);
	crew->counts.ended[member_end(member, status)]++;
	member_free(crew, member);
	if (WIFEXITED(status) && WEXITSTATUS(status) == LOCAL_DELIVERER_CLOSED)
		crew->closed = true;
	if (!well && !crew->closed)
		crew->refill_ms = clock_now_ms() + REFILL_MS;
	if (WIFEXITED(status) &&
	    WEXITSTATUS(status) == LOCAL_DELIVERER_MALFORMED)
		crew_channel_say(CREW_CONTROL, CREW_BROKEN);
}

static void crew_reap(struct crew *crew)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		crew_bury(crew, pid, status);
}

/* --- what the supervisor says --- */

static void close_files(const int files[LOG_FILES])
{
	int i;

	for (i = 0; i < LOG_FILES; i++) {
		if (files[i] >= 0)
			close(files[i]);
	}
}

/* Those of the order before end once they are idle. */
static void crew_obey(struct crew *crew, const struct crew_order *order,
		      const int files[LOG_FILES], struct arena **arena)
{
	struct arena *old = crew->arena;
	struct err err;

	if (log_adopt(&order->logs, files, &err) < 0) {
		log_error(NULL, "logs: %s", err.text);
		close_files(files);
	}
	log_files(crew->logs);
	crew_tell_all(crew);
	crew->order = *order;
	crew->order.policy.expand = mail_vars_expand;
	mem_free(&crew->title);
	crew->title = mem_printf("%s: delivery", order->name);
	/* Each member would have to, again. */
	mail_vars_prepare(&crew->order.policy);
	local_confine_prepare(order->policy.sockets);
	crew_channel_say(CREW_CONTROL, CREW_OBEYS);
	crew->arena = *arena;
	*arena = old;
	crew->manned = true;
}

/* Whom nobody understands ends as well: the supervisor starts another crew. */
static void crew_dismiss(struct crew *crew)
{
	crew->dismissed = true;
	crew->manned = false;
	crew_tell_all(crew);
}

static void crew_listen(struct crew *crew, bool gone)
{
	struct arena *arena = arena_new(4096);
	struct crew_order order;
	int files[LOG_FILES];
	struct err err;
	int got = crew_channel_receive(CREW_CONTROL, &order, arena, files, &err);

	if (got > 0)
		crew_obey(crew, &order, files, &arena);
	else if (got < 0)
		crew_dismiss(crew);
	if (got < 0 && !gone)
		log_error(NULL, "deliveries: supervisor: %s", err.text);
	arena_free(&arena);
}

/* --- its life --- */

static void on_child(int signo)
{
	(void)signo;
}

/* As members have them, but for that of children. */
static void set_signals(void)
{
	static const int ignored[] = { SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE };
	static const int restored[] = { SIGTERM, SIGALRM };
	const struct sigaction action = { .sa_handler = on_child };
	size_t i;

	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	for (i = 0; i < sizeof(restored) / sizeof(restored[0]); i++)
		signal(restored[i], SIG_DFL);
	sigaction(SIGCHLD, &action, NULL);
}

static uint64_t sooner(uint64_t left_ms, uint64_t due_ms, uint64_t now_ms)
{
	uint64_t until_ms = due_ms > now_ms ? due_ms - now_ms : 0;

	return due_ms == 0 || left_ms < until_ms ? left_ms : until_ms;
}

/* Until when it may sleep, in ms; -1: nothing is due. */
static int crew_left_ms(const struct crew *crew)
{
	const struct list *node = crew->members.next;
	uint64_t now_ms = clock_now_ms(), left_ms = INT_MAX;

	if (crew->manned && !crew->closed)
		left_ms = sooner(left_ms, crew->refill_ms, now_ms);
	for (; node != &crew->members; node = node->next)
		left_ms = sooner(left_ms,
				 container_of(node, struct member, node)->kill_ms,
				 now_ms);
	return left_ms < INT_MAX ? (int)left_ms : -1;
}

static int crew_poll(const struct crew *crew)
{
	int left_ms = crew_left_ms(crew);
	const struct timespec left = { left_ms / 1000,
				       left_ms % 1000 * 1000000 };
	sigset_t mask;

	sigfillset(&mask);
	sigdelset(&mask, SIGCHLD);
	return ppoll(crew->polls, crew->poll_count, left_ms < 0 ? NULL : &left,
		     &mask);
}

static void crew_want(struct crew *crew)
{
	const struct list *node = crew->members.next;
	struct pollfd *at = crew->polls;

	if (crew->count >= crew->poll_room) {
		crew->poll_room = 2 * crew->count + 16;
		crew->polls = mem_realloc(crew->polls, crew->poll_room *
							       sizeof(*at));
		at = crew->polls;
	}
	*at++ = (struct pollfd){
		.fd = crew->dismissed ? -1 : CREW_CONTROL,
		.events = POLLIN,
	};
	for (; node != &crew->members; node = node->next) {
		const struct member *member =
			container_of(node, struct member, node);

		if (member->status >= 0)
			*at++ = (struct pollfd){
				.fd = member->status,
				.events = POLLIN,
			};
	}
	crew->poll_count = (unsigned)(at - crew->polls);
}

static void crew_hear(struct crew *crew)
{
	const struct pollfd *at = crew->polls + 1;
	uint64_t now_ms = clock_now_ms();
	struct list *node, *tmp;

	list_each(&crew->members, node, tmp) {
		struct member *member = container_of(node, struct member, node);

		if (member->status >= 0 && at++->revents != 0)
			member_hear(crew, member);
		member_kill_late(member, now_ms);
	}
}

static void crew_turn(struct crew *crew)
{
	short heard;
	int got;

	crew_want(crew);
	got = crew_poll(crew);
	if (got < 0) {
		crew_reap(crew);
		return;
	}
	heard = crew->polls[0].revents;
	crew_hear(crew);
	if (heard != 0)
		crew_listen(crew, (heard & POLLHUP) != 0);
}

int crew_run(const struct title *title)
{
	struct crew crew = { .own_title = title, .pid = getpid() };

	list_init(&crew.members);
	/* It may be another one's successor. */
	crew_counts_read(CREW_COUNTS, &crew.counts);
	set_signals();
	while (!crew.dismissed || crew.count > 0) {
		crew_turn(&crew);
		crew_fill(&crew);
		crew_say_counts(&crew);
	}
	arena_free(&crew.arena);
	mem_free(&crew.polls);
	mem_free(&crew.title);
	return EXIT_SUCCESS;
}
