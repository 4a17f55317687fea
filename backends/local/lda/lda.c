#include "backends/local/lda/lda.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/local/deliver.h"
#include "backends/local/failure.h"
#include "backends/local/lda/args.h"
#include "backends/local/lda/program.h"
#include "backends/local/lda/status.h"
#include "backends/local/time_limit.h"
#include "lib/clock.h"

#define TAIL_MAX 320
#define PIECE 16384
/* What a program that is late has from SIGTERM to SIGKILL. */
#define GRACE_MS 1000
/* How much is taken from who says too much before others have their turn. */
#define READS_MAX 16

/* One run of the program. */
struct run {
	const struct mail_facts *facts;
	pid_t pid;
	int ended;    /* becomes readable when it has */
	int in, out;  /* our ends of its input and its output; -1: closed */
	uint64_t sent; /* of the mail */
	bool read;     /* it has read all of it */
	bool unreadable; /* what is left of it */
	bool late;     /* it was told to end */
	int error;     /* errno of what kept it from running */
	uint64_t deadline_ms;
	char tail[2 * TAIL_MAX];
	size_t tail_len;
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- what it reads --- */

static uint64_t mail_size(const struct run *run)
{
	return run->facts->request->head_len + run->facts->request->size;
}

/* More of the mail. 0: it cannot be read. */
static size_t read_piece(const struct run *run, char *data, size_t max)
{
	const struct local_request *request = run->facts->request;
	uint64_t at = run->sent - request->head_len;
	ssize_t got;

	if (run->sent < request->head_len) {
		size_t left = request->head_len - (size_t)run->sent;

		left = left < max ? left : max;
		memcpy(data, request->head + run->sent, left);
		return left;
	}
	if (max > request->size - at)
		max = (size_t)(request->size - at);
	got = pread(run->facts->message, data, max, (off_t)at);
	return got > 0 ? (size_t)got : 0;
}

/* Bytes in the pipe count as read only once somebody has taken them out. */
static bool is_drained(const struct run *run)
{
	int left = 0;

	return ioctl(run->in, FIONREAD, &left) == 0 && left == 0;
}

/* The end of its input would be the end of the mail. */
static void cut_off(struct run *run)
{
	kill(-run->pid, SIGKILL);
	run->unreadable = true;
}

static void feed(struct run *run, short events)
{
	char data[PIECE];
	ssize_t done;
	size_t len;

	if (run->sent == mail_size(run)) {
		run->read = is_drained(run);
		/* The end of its input; or nobody reads it. */
		if (run->read || (events & POLLERR) != 0)
			close_fd(&run->in);
		return;
	}
	len = read_piece(run, data, sizeof(data));
	if (len == 0) {
		cut_off(run);
		return;
	}
	done = write(run->in, data, len);
	if (done > 0)
		run->sent += (uint64_t)done;
	else if (errno != EAGAIN && errno != EINTR)
		close_fd(&run->in);
}

/* --- what it says --- */

static void keep(struct run *run, const char *data, size_t len)
{
	if (len > TAIL_MAX) {
		data += len - TAIL_MAX;
		len = TAIL_MAX;
	}
	if (run->tail_len + len > sizeof(run->tail)) {
		size_t old = run->tail_len < TAIL_MAX ? run->tail_len : TAIL_MAX;

		memmove(run->tail, run->tail + run->tail_len - old, old);
		run->tail_len = old;
	}
	memcpy(run->tail + run->tail_len, data, len);
	run->tail_len += len;
}

static void listen_to(struct run *run)
{
	char data[PIECE];
	ssize_t got = 1;
	unsigned i;

	for (i = 0; i < READS_MAX && got > 0; i++) {
		got = read(run->out, data, sizeof(data));
		if (got > 0)
			keep(run, data, (size_t)got);
	}
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		close_fd(&run->out);
}

/* One line, of which the log escapes what remains. */
static void put_tail(const struct run *run, struct str *out)
{
	size_t len = run->tail_len < TAIL_MAX ? run->tail_len : TAIL_MAX;
	const char *text = run->tail + run->tail_len - len;

	while (len > 0 && (unsigned char)text[len - 1] <= ' ')
		len--;
	while (len > 0 && (unsigned char)*text <= ' ') {
		text++;
		len--;
	}
	if (len > 0)
		str_puts(out, run->tail_len > TAIL_MAX ? ", saying ..."
						       : ", saying ");
	for (; len > 0; text++, len--)
		str_putc(out, *text == '\n' || *text == '\0' ? ' ' : *text);
}

/* --- running it --- */

static int open_pipe(int ends[2], int ours)
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	return fcntl(ends[ours], F_SETFL, O_NONBLOCK);
}

/* The input has room for one piece only: that there is room says that it was read. */
static int start(struct run *run, struct program *program, struct err *err)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };

	if (open_pipe(in, 1) == 0 && open_pipe(out, 0) == 0 &&
	    fcntl(in[1], F_SETPIPE_SZ, 1) > 0) {
		program->in = in[0];
		program->out = out[1];
		run->pid = program_start(program, err);
	} else {
		run->pid = -1;
		err_put(err, "pipe: %s", strerror(errno));
	}
	run->error = errno;
	close_fd(&in[0]);
	close_fd(&out[1]);
	run->in = in[1];
	run->out = out[0];
	return run->pid > 0 ? 0 : -1;
}

/* Time is up: it may end by itself, and then must. */
static void hurry(struct run *run)
{
	kill(-run->pid, SIGTERM);
	run->late = true;
	run->deadline_ms += GRACE_MS;
}

static int time_left(const struct run *run)
{
	uint64_t now = clock_now_ms();

	return now < run->deadline_ms ? (int)(run->deadline_ms - now) : 0;
}

static void serve(struct run *run)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = run->ended, .events = POLLIN },
			{ .fd = run->unreadable ? -1 : run->in,
			  .events = POLLOUT },
			{ .fd = run->out, .events = POLLIN },
		};
		int left = time_left(run);

		if (left == 0 && run->late)
			return;
		if (left == 0)
			hurry(run);
		if (poll(fds, 3, time_left(run)) < 0)
			continue;
		if (fds[1].revents != 0)
			feed(run, fds[1].revents);
		if (fds[2].revents != 0)
			listen_to(run);
		if (fds[0].revents != 0)
			return;
	}
}

/* Nobody is left who could say or read more. */
static int finish(struct run *run)
{
	int status = program_end(run->pid);

	if (run->in >= 0 && run->sent == mail_size(run))
		run->read = is_drained(run);
	if (run->out >= 0)
		listen_to(run);
	return status;
}

/* --- one mail --- */

struct words {
	const struct local_policy *policy;
	const struct mail_facts *facts;
};

static const char *expand_word(struct arena *arena, const void *context,
			       const char *word, struct err *err)
{
	const struct words *words = context;
	const struct local_policy *policy = words->policy;

	if (policy->expand == NULL)
		return arena_strdup(arena, word);
	return policy->expand(arena, words->facts->request, words->facts,
			      "lda_command", word, err);
}

static void fail(struct local_result *result, enum local_status status,
		 int error, const char *text)
{
	*result = (struct local_result){ .status = status, .error = error };
	snprintf(result->text, sizeof(result->text), "lda_command: %.490s",
		 text);
}

/* Who has not read the mail cannot have saved it. */
static void judge(const struct run *run, int wait_status, const char *program,
		  struct local_result *result)
{
	struct str text = STR_INIT;

	result->status = lda_status(wait_status);
	str_printf(&text, "lda_command: %.100s ", program);
	lda_status_describe(&text, wait_status);
	if (run->late && result->status != LOCAL_SAVED)
		str_puts(&text, " after lmtp_delivery_timeout");
	if (run->unreadable || (result->status == LOCAL_SAVED && !run->read)) {
		result->status = LOCAL_FAILED;
		str_puts(&text, " without having read all of the mail");
	}
	if (run->unreadable)
		str_puts(&text, ": the mail cannot be read");
	put_tail(run, &text);
	/* Who has saved the mail need not say so. */
	if (result->status != LOCAL_SAVED || run->tail_len > 0)
		snprintf(result->text, sizeof(result->text), "%s",
			 str_c(&text));
	str_free(&text);
}

static void run_program(struct run *run, struct program *program,
			struct local_result *result)
{
	struct err err;
	int status;

	program_adopt();
	if (start(run, program, &err) < 0) {
		fail(result, failure_program_status(run->error), run->error, err.text);
		return;
	}
	run->ended = (int)syscall(SYS_pidfd_open, run->pid, 0);
	if (run->ended < 0) {
		fail(result, LOCAL_FAILED, errno, "pidfd_open failed");
		program_end(run->pid);
		return;
	}
	serve(run);
	status = finish(run);
	close_fd(&run->ended);
	judge(run, status, program->argv[0], result);
}

static uint64_t find_deadline(const struct local_policy *policy,
			      const struct mail_facts *facts)
{
	uint64_t ours = facts->start_ms + (uint64_t)policy->timeout * 1000;
	uint64_t asked = facts->request->deadline_ms;

	return asked < ours ? asked : ours;
}

void lda_deliver(const struct local_policy *policy,
		 const struct mail_facts *facts, struct arena *arena,
		 struct local_result *result)
{
	struct run run = { .facts = facts, .in = -1, .out = -1 };
	const struct words words = { policy, facts };
	struct lda_args args;
	struct program program = {
		.argv = args.list,
		.user = facts->request->user,
		.home = facts->request->home,
		.at_home = true,
		.session = true,
		.cpu = policy->timeout + 1,
		.processes = policy->lda_processes,
	};
	struct err err;

	*result = (struct local_result){ .status = LOCAL_FAILED };
	run.deadline_ms = find_deadline(policy, facts);
	/* It is ended before we are. */
	time_limit_extend(policy->grace);
	if (lda_args_make(&args, arena, policy->lda_command, expand_word,
			  &words, &err) < 0)
		fail(result, LOCAL_FAILED, 0, err.text);
	else
		run_program(&run, &program, result);
	close_fd(&run.in);
	close_fd(&run.out);
}
