#include "proxy/worker_child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/channel.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/supervisor_protocol.h"

static void on_message(struct worker_child *child,
		       const struct supervisor_message *message)
{
	child->ready = child->ready || message->ok;
	child->answered(child, message->ok, message->text);
}

/* 1: handled one; 0: none there; -1: cannot trust or reach it any more. */
static int receive(struct worker_child *child, struct err *err)
{
	struct supervisor_message message;
	struct channel_packet packet;
	int got = channel_recv(child->channel, &packet, err);

	if (got <= 0)
		return got;
	got = supervisor_protocol_decode(&message, packet.data, packet.len,
					 packet.fd_count, err);
	channel_packet_close(&packet);
	if (got < 0)
		return -1;
	if (message.type == SUPERVISOR_DONE)
		on_message(child, &message);
	else if (message.type == SUPERVISOR_WISH)
		child->wished(child, message.wish);
	else
		return err_set(err, "unexpected message");
	return 1;
}

static void on_channel(struct loop_io *io, unsigned events)
{
	struct worker_child *child = container_of(io, struct worker_child, io);
	struct err err;

	(void)events;
	if (receive(child, &err) >= 0)
		return;
	loop_io_close(&child->io);
	/* It closes the channel by dying, or there is something wrong. */
	worker_child_kill(child);
}

int worker_child_fork(struct worker_child *child, struct loop *loop,
		      int *channel_r, struct err *err)
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
	if (pid == 0) {
		close(ends[0]);
		*channel_r = ends[1];
		return 1;
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_set(err, "fork: %s", strerror(errno));
	}
	child->pid = pid;
	child->started_us = loop_now_us(loop);
	child->ready = false;
	child->channel = ends[0];
	loop_io_open(&child->io, loop, child->channel, on_channel);
	loop_io_want(&child->io, LOOP_READ);
	return 0;
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

static int conf_to_memfd(const struct conf_tree *tree, int *fd_r,
			 uint32_t *size_r, struct err *err)
{
	struct str bytes = STR_INIT;
	int status = 0;

	conf_tree_pack(tree, &bytes);
	*size_r = (uint32_t)bytes.len;
	*fd_r = memfd_create("waypost-conf", MFD_CLOEXEC);
	if (bytes.len > SUPERVISOR_MAX_CONF)
		status = err_set(err, "the configuration is too large");
	else if (*fd_r < 0 || write(*fd_r, bytes.data, bytes.len) !=
				      (ssize_t)bytes.len)
		status = err_set(err, "memfd: %s", strerror(errno));
	str_wipe(&bytes);
	if (status < 0 && *fd_r >= 0)
		close(*fd_r);
	return status;
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
	    conf_to_memfd(tree, &fd, &message.conf_size, err) < 0)
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
	};

	snprintf(message.text, sizeof(message.text), "%s", text);
	return send_message(child, &message, NULL, err);
}

int worker_child_stop(struct worker_child *child, uint64_t timeout_ms,
		      struct err *err)
{
	struct supervisor_message message = {
		.type = SUPERVISOR_STOP,
		.timeout_ms = (uint32_t)timeout_ms,
	};

	return send_message(child, &message, NULL, err);
}

int worker_child_abort(struct worker_child *child, struct err *err)
{
	struct supervisor_message message = { .type = SUPERVISOR_ABORT };

	return send_message(child, &message, NULL, err);
}

void worker_child_kill(struct worker_child *child)
{
	if (child->pid > 0)
		kill(child->pid, SIGKILL);
}

void worker_child_forget(struct worker_child *child)
{
	if (child->pid == 0)
		return;
	loop_io_close(&child->io);
	close(child->channel);
	child->pid = 0;
	child->ready = false;
}

static void log_death(pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		log_error(NULL, "worker process %ld killed by signal %d (%s)%s",
			  (long)pid, WTERMSIG(status),
			  strsignal(WTERMSIG(status)),
			  WCOREDUMP(status) ? ", core dumped" : "");
	else if (WEXITSTATUS(status) != 0)
		log_error(NULL, "worker process %ld failed with status %d",
			  (long)pid, WEXITSTATUS(status));
	else
		log_info(NULL, "worker process %ld has ended", (long)pid);
}

bool worker_child_reap(struct worker_child *child)
{
	int status;

	if (child->pid == 0 || waitpid(child->pid, &status, WNOHANG) <= 0)
		return false;
	log_death(child->pid, status);
	worker_child_forget(child);
	return true;
}
