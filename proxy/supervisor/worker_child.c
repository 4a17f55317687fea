#include "proxy/supervisor/worker_child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deliver/crew_counts.h"
#include "lib/channel.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/conf_memfd.h"
#include "proxy/supervisor/crew_child.h"
#include "proxy/supervisor/protocol.h"

#define ABORT_GRACE_MS 4000 /* until SIGKILL */

static void on_wish(struct worker_child *child,
		    const struct supervisor_message *message)
{
	child->wish = message->number;
	child->wished(child, message->wish);
}

static int on_rawlog(struct worker_child *child,
		     const struct supervisor_message *message, struct err *err)
{
	child->wish = message->number;
	if (child->wished_rawlog(child, message->number, message->what,
				 message->what_len) < 0)
		return err_set(err, "malformed order");
	return 1;
}

static int on_message(struct worker_child *child,
		      const struct supervisor_message *message,
		      struct err *err)
{
	switch (message->type) {
	case SUPERVISOR_DONE:
		child->ready = child->ready || message->ok;
		child->answered(child, message->ok, message->text);
		return 1;
	case SUPERVISOR_WISH:
		on_wish(child, message);
		return 1;
	case SUPERVISOR_RAWLOG:
		return on_rawlog(child, message, err);
	case SUPERVISOR_PONG:
		child->alive(child);
		return 1;
	default:
		return err_set(err, "unexpected message");
	}
}

/* 1: got one; 0: none there; -1: cannot trust or reach it any more. */
static int receive(struct worker_child *child,
		   struct supervisor_message *message, struct err *err)
{
	struct channel_packet packet;
	int got = channel_recv(child->channel, &packet, err);

	if (got <= 0)
		return got;
	got = supervisor_protocol_decode(message, packet.data, packet.len,
					 packet.fd_count, err);
	channel_packet_close(&packet);
	return got < 0 ? -1 : 1;
}

static void on_channel(struct loop_io *io, unsigned events)
{
	struct worker_child *child = container_of(io, struct worker_child, io);
	struct supervisor_message message;
	struct err err;
	int got = receive(child, &message, &err);

	(void)events;
	if (got > 0)
		got = on_message(child, &message, &err);
	if (got >= 0)
		return;
	loop_io_close(&child->io);
	/* It closes the channel by dying, or there is something wrong. */
	worker_child_kill(child);
}

static void kill_time(struct loop_timer *timer)
{
	struct worker_child *child =
		container_of(timer, struct worker_child, kill);

	log_error(NULL, "worker process %ld takes too long, killing it",
		  (long)child->pid);
	worker_child_kill(child);
}

static struct worker_child *child_new(struct loop *loop, pid_t pid,
				      const struct worker_child_ends *ends)
{
	struct worker_child *child = mem_new(struct worker_child);

	child->pid = pid;
	child->started_us = loop_now_us(loop);
	child->loop = loop;
	child->channel = ends->channel;
	child->requests = ends->requests;
	child->counts = ends->counts;
	loop_io_open(&child->io, loop, child->channel, on_channel);
	loop_io_want(&child->io, LOOP_READ);
	loop_timer_open(&child->kill, loop, kill_time);
	return child;
}

static void close_ends(const struct worker_child_ends *ends)
{
	close(ends->channel);
	close(ends->requests);
	close(ends->counts);
}

/* Ours, and the child's. */
static int open_ends(struct worker_child_ends ends[2], struct err *err)
{
	int channel[2], requests[2], counts[2], i;

	if (channel_pair(channel, err) < 0)
		return -1;
	if (channel_pair(requests, err) < 0) {
		close(channel[0]);
		close(channel[1]);
		return -1;
	}
	if (crew_counts_open(counts, err) < 0) {
		for (i = 0; i < 2; i++) {
			close(channel[i]);
			close(requests[i]);
		}
		return -1;
	}
	for (i = 0; i < 2; i++)
		ends[i] = (struct worker_child_ends){ channel[i], requests[i],
						      counts[i] };
	return 0;
}

int worker_child_fork(struct worker_child **child_r, struct loop *loop,
		      struct worker_child_ends *ends_r, struct err *err)
{
	struct worker_child_ends ends[2];
	sigset_t all, old;
	pid_t pid;

	if (open_ends(ends, err) < 0)
		return -1;
	log_flush();
	/* The child must not run the parent's handlers. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid == 0) {
		close_ends(&ends[0]);
		*ends_r = ends[1];
		return 1;
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close_ends(&ends[1]);
	if (pid < 0) {
		close_ends(&ends[0]);
		return err_set(err, "fork: %s", strerror(errno));
	}
	*child_r = child_new(loop, pid, &ends[0]);
	return 0;
}

struct worker_child *worker_child_adopt(struct loop *loop, pid_t pid,
					const struct worker_child_ends *ends)
{
	struct worker_child *child = child_new(loop, pid, ends);

	child->ready = true;
	/* Whatever it wished for was before. */
	child->wish = child->reload_wish = UINT32_MAX;
	return child;
}

static int send_message(struct worker_child *child,
			const struct supervisor_message *message,
			const int *fds, struct err *err)
{
	struct str bytes = STR_INIT;
	int status;

	supervisor_protocol_encode(&bytes, message);
	status = channel_send(child->channel, bytes.data, bytes.len, fds,
			      supervisor_protocol_fds(message), err);
	str_free(&bytes);
	return status;
}

static int send_listeners(struct worker_child *child,
			  const struct listener_set *set,
			  const struct listener_set *old, struct err *err)
{
	struct supervisor_message message = { .type = SUPERVISOR_LISTENERS };
	int fds[SUPERVISOR_LISTENERS_PER_MESSAGE];
	unsigned i;

	for (i = 0; i < set->count; i++) {
		if (listener_set_has(old, set->items[i]))
			continue;
		fds[message.id_count] = set->items[i]->fd;
		message.flags[message.id_count] = (uint8_t)set->items[i]->flags;
		message.ids[message.id_count++] = (uint32_t)set->items[i]->fd;
		if (message.id_count < SUPERVISOR_LISTENERS_PER_MESSAGE)
			continue;
		if (send_message(child, &message, fds, err) < 0)
			return -1;
		message.id_count = 0;
	}
	if (message.id_count == 0)
		return 0;
	return send_message(child, &message, fds, err);
}

int worker_child_reload(struct worker_child *child,
			const struct conf_tree *tree,
			const struct listener_set *set,
			const struct listener_set *old, struct err *err)
{
	struct supervisor_message message = { .type = SUPERVISOR_RELOAD };
	int fd, status;

	for (; message.id_count < set->count; message.id_count++)
		message.ids[message.id_count] =
			(uint32_t)set->items[message.id_count]->fd;
	if (send_listeners(child, set, old, err) < 0 ||
	    conf_memfd_write(tree, &fd, &message.conf_size, err) < 0)
		return -1;
	status = send_message(child, &message, &fd, err);
	close(fd);
	return status;
}

int worker_child_logs(struct worker_child *child, struct err *err)
{
	struct supervisor_message message = { .type = SUPERVISOR_LOGS };
	int files[LOG_FILES], fds[LOG_FILES], i, count = 0;

	log_files(files);
	for (i = 0; i < LOG_FILES; i++) {
		if (files[i] < 0)
			continue;
		message.log_mask |= (uint8_t)(1 << i);
		fds[count++] = files[i];
	}
	return send_message(child, &message, fds, err);
}

int worker_child_reloaded(struct worker_child *child, bool ok,
			  const char *text, struct err *err)
{
	struct supervisor_message message = {
		.type = SUPERVISOR_RELOADED,
		.ok = ok,
		.number = child->reload_wish,
	};

	snprintf(message.text, sizeof(message.text), "%s", text);
	return send_message(child, &message, NULL, err);
}

int worker_child_ping(struct worker_child *child, struct err *err)
{
	struct supervisor_message message = { .type = SUPERVISOR_PING };

	return send_message(child, &message, NULL, err);
}

/* Who cannot be told is killed. */
static void tell(struct worker_child *child,
		 const struct supervisor_message *message)
{
	struct err err;

	if (send_message(child, message, NULL, &err) < 0)
		worker_child_kill(child);
}

void worker_child_stand(struct worker_child *child,
			const struct control_standing *standing)
{
	const struct supervisor_message message = {
		.type = SUPERVISOR_STANDING,
		.standing = *standing,
		.number = child->wish,
	};

	tell(child, &message);
}

void worker_child_rawlogs(struct worker_child *child,
			  const struct rawlog_rules *rules, uint32_t number,
			  bool ok)
{
	struct supervisor_message message = {
		.type = SUPERVISOR_RAWLOGS,
		.number = number,
		.ok = ok,
		.what_len = rules->size,
	};
	struct str bytes = STR_INIT;

	rawlog_rules_encode(&bytes, rules);
	memcpy(message.what, str_c(&bytes), bytes.len);
	str_free(&bytes);
	tell(child, &message);
}

void worker_child_stop(struct worker_child *child, uint64_t timeout_ms,
		       bool retire)
{
	struct supervisor_message message = {
		.type = retire ? SUPERVISOR_RETIRE : SUPERVISOR_STOP,
		.timeout_ms = (uint32_t)timeout_ms,
	};

	tell(child, &message);
	worker_child_kill_in(child, timeout_ms + WORKER_CHILD_GRACE_MS);
}

void worker_child_abort(struct worker_child *child)
{
	struct supervisor_message message = { .type = SUPERVISOR_ABORT };

	tell(child, &message);
	worker_child_kill_in(child, ABORT_GRACE_MS);
}

void worker_child_kill_in(struct worker_child *child, uint64_t ms)
{
	loop_timer_set(&child->kill, ms);
}

void worker_child_let_live(struct worker_child *child)
{
	loop_timer_clear(&child->kill);
}

uint64_t worker_child_killed_in(const struct worker_child *child)
{
	uint64_t now_us = loop_now_us(child->loop);

	if (child->kill.due_us == 0)
		return 0;
	if (child->kill.due_us <= now_us)
		return 1;
	return (child->kill.due_us - now_us) / 1000 + 1;
}

void worker_child_kill(struct worker_child *child)
{
	if (!child->dead)
		kill(child->pid, SIGKILL);
}

void worker_child_last_words(struct worker_child *child)
{
	struct supervisor_message message;
	struct err err;

	child->dead = true;
	child->ready = false;
	while (receive(child, &message, &err) > 0) {
		if (message.type == SUPERVISOR_WISH)
			on_wish(child, &message);
		else if (message.type == SUPERVISOR_RAWLOG)
			(void)on_rawlog(child, &message, &err);
		else if (message.type == SUPERVISOR_DONE && !message.ok)
			child->answered(child, false, message.text);
	}
}

void worker_child_log_death(const struct worker_child *child, int status)
{
	long pid = (long)child->pid;

	if (WIFSIGNALED(status))
		log_error(NULL, "worker process %ld killed by signal %d (%s)%s",
			  pid, WTERMSIG(status), strsignal(WTERMSIG(status)),
			  WCOREDUMP(status) ? ", core dumped" : "");
	else if (WEXITSTATUS(status) != 0)
		log_error(NULL, "worker process %ld failed with status %d",
			  pid, WEXITSTATUS(status));
	else
		log_info(NULL, "worker process %ld has ended", pid);
}

void worker_child_free(struct worker_child **child_p)
{
	struct worker_child *child = *child_p;

	if (child == NULL)
		return;
	list_remove(&child->node);
	loop_io_close(&child->io);
	loop_timer_close(&child->kill);
	close(child->channel);
	if (child->requests >= 0)
		close(child->requests);
	if (child->counts >= 0)
		close(child->counts);
	crew_child_free(&child->crew);
	mem_free(child_p);
}
