#include "backends/local/deliver.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/local/become.h"
#include "backends/local/confine.h"
#include "backends/local/delivery.h"
#include "backends/local/time_limit.h"
#include "lib/channel.h"
#include "lib/clock.h"
#include "lib/log/log.h"
#include "lib/mem.h"

/* --- the delivery, as the user --- */

static void fail(struct local_result *result, enum local_status status,
		 int error, const char *text)
{
	result->status = status;
	result->error = error;
	snprintf(result->text, sizeof(result->text), "%s", text);
}

/* What the worker process has handed us may be anything. */
static int check_message(const struct local_request *request, int message,
			 struct local_result *result)
{
	struct stat st;

	if (request->kind == LOCAL_REQUEST_CHECK)
		return 0;
	if (fstat(message, &st) == 0 &&
	    S_ISREG(st.st_mode) && (uint64_t)st.st_size >= request->size)
		return 0;
	fail(result, LOCAL_FAILED, 0, "the descriptor that came with the "
	     "request is not the message");
	return -1;
}

/* Whoever has asked must not take us for idle while we wait for a command, or what one
 * has left: without its other end, what it asks next goes elsewhere. */
static void leave(int *link)
{
	if (*link >= 0)
		close(*link);
	*link = -1;
}

/* Takes a result as a whole, or not at all when somebody has filled the channel: then
 * its end has to say it. */
static void answer(int *link, const struct local_result *result)
{
	struct str bytes = STR_INIT;
	struct err err;
	int status;

	local_result_encode(&bytes, result);
	status = channel_send(*link, bytes.data, bytes.len, NULL, 0, &err);
	if (status < 0 && errno != EPIPE)
		fprintf(stderr, "delivery: result: %s\n", err.text);
	str_free(&bytes);
	if (status < 0)
		leave(link);
}

/* Whoever has asked may be gone. */
static bool is_awaited(int fd)
{
	struct pollfd poll_fd = { .fd = fd };

	return poll(&poll_fd, 1, 0) <= 0;
}

/* Answers through the link, and closes it if there is more to do. */
static void deliver(const struct local_policy *policy,
		    const struct local_request *request, int *link, int message)
{
	struct local_result result = { .status = LOCAL_FAILED };
	struct delivery delivery;

	/* Who gives up answers 4xx, and the client sends the mail again: so it
	 * must not be saved any more. */
	if (!is_awaited(*link) ||
	    !time_limit_start(request->deadline_ms, policy->timeout)) {
		leave(link);
		return;
	}
	if (check_message(request, message, &result) < 0 ||
	    delivery_open(&delivery, policy, request, &result) < 0) {
		time_limit_end();
		answer(link, &result);
		return;
	}
	if (request->kind == LOCAL_REQUEST_CHECK)
		delivery_check(&delivery, &result);
	else
		delivery_save(&delivery, message, &result);
	/* What is saved by now must be said, or it comes a second time. */
	time_limit_end();
	answer(link, &result);
	if (delivery.command_count > 0 || policy->lda_command != NULL) {
		leave(link);
		alarm(policy->timeout);
	}
	delivery_close(&delivery);
}

/* --- requests --- */

/* Who is still root leaves no trace but in the log. */
static enum local_deliverer_exit give_up(enum local_deliverer_exit status,
					 const struct err *err)
{
	log_error(NULL, "delivery: %s", err->text);
	log_flush();
	return status;
}

/* --- requests for the same user --- */

static bool is_same_user(const struct local_request *one,
			 const struct local_request *other)
{
	struct str left = STR_INIT, right = STR_INIT;
	bool same;

	local_request_who(&left, one);
	local_request_who(&right, other);
	same = left.len == right.len &&
	       memcmp(left.data, right.data, left.len) == 0;
	str_free(&left);
	str_free(&right);
	return same;
}

/* SIGTERM, which is held back, may come here. False: nobody wants more. */
static bool wait_for_more(int link)
{
	const struct timespec limit = { 2 * LOCAL_DELIVERER_STAY_S, 0 };
	struct pollfd poll_fd = { .fd = link, .events = POLLIN };
	sigset_t none;

	sigemptyset(&none);
	return ppoll(&poll_fd, 1, &limit, &none) > 0 &&
	       poll_fd.revents == POLLIN;
}

/* Whose all mail is: a worker process that goes by older settings may mean another. */
static void serve_fixed(const struct local_policy *policy,
			const struct local_request *request, int *link,
			int message)
{
	struct local_result result = { .status = LOCAL_FAILED };
	struct err err;

	if (local_become_check(policy, request, &err) == 0) {
		deliver(policy, request, link, message);
		return;
	}
	fail(&result, LOCAL_FAILED, 0, err.text);
	answer(link, &result);
}

/* With a request that came through the link itself. */
static int serve_next(const struct local_policy *policy,
		      const struct local_request *first, int *link,
		      const struct channel_packet *packet)
{
	struct local_request request;
	struct err err;

	if (local_request_decode(&request, packet->data, packet->len, &err) < 0 ||
	    packet->fd_count + 1 != local_request_fds(request.kind))
		return -1;
	if (policy->fixed)
		serve_fixed(policy, &request, link, packet->fds[0]);
	else if (is_same_user(first, &request))
		deliver(policy, &request, link, packet->fds[0]);
	else
		return -1;
	return 0;
}

/* Until whoever asks lets go, or we do. */
static enum local_deliverer_exit
serve_more(const struct local_policy *policy, const struct local_request *first,
	   int *link)
{
	static struct channel_packet packet;
	struct err err;

	alarm(0);
	while (*link >= 0 && wait_for_more(*link)) {
		int status = -1;

		if (channel_recv(*link, &packet, &err) > 0)
			status = serve_next(policy, first, link, &packet);
		channel_packet_close(&packet);
		if (status < 0)
			return LOCAL_DELIVERER_MALFORMED;
	}
	return LOCAL_DELIVERER_DONE;
}

/* --- the first one --- */

/* Nobody keeps to limits and orders without a crew: who has nothing to do then ends. The
 * kernel forgets that of who becomes somebody else. */
static void end_with(pid_t parent)
{
	if (parent == 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		raise(SIGTERM);
}

/* The message may be large, and nobody wants it any more. */
static void drop_message(struct channel_packet *packet)
{
	if (packet->fd_count <= LOCAL_REQUEST_MESSAGE)
		return;
	close(packet->fds[LOCAL_REQUEST_MESSAGE]);
	packet->fds[LOCAL_REQUEST_MESSAGE] = -1;
}

static enum local_deliverer_exit
serve_as_user(const struct local_deliverer *deliverer,
	      const struct local_request *request, struct channel_packet *packet)
{
	const struct local_policy *policy = deliverer->policy;
	unsigned time = policy->timeout + policy->grace + LOCAL_DELIVERER_STAY_S;
	struct err err;

	if (local_become_check(policy, request, &err) < 0)
		return give_up(LOCAL_DELIVERER_REFUSED, &err);
	/* The requests of others are none of the user's business, nor what the crew
	 * thinks. */
	close(deliverer->requests);
	close(deliverer->status);
	if (local_become(policy, request, &err) < 0 ||
	    local_confine(time, policy->sockets, &err) < 0)
		return give_up(LOCAL_DELIVERER_FAILED, &err);
	end_with(deliverer->parent);
	/* All of it, so that nothing is written to what gets its number. */
	log_close();
	/* Nothing else is written to. */
	if (!channel_is(packet->fds[LOCAL_REQUEST_RESULT]))
		return LOCAL_DELIVERER_DONE;
	deliver(policy, request, &packet->fds[LOCAL_REQUEST_RESULT],
		packet->fds[LOCAL_REQUEST_MESSAGE]);
	drop_message(packet);
	return serve_more(policy, request, &packet->fds[LOCAL_REQUEST_RESULT]);
}

static enum local_deliverer_exit
serve_as_it_is(const struct local_deliverer *deliverer,
	       const struct local_request *request, struct channel_packet *packet)
{
	const struct local_policy *policy = deliverer->policy;
	int *link = &packet->fds[LOCAL_REQUEST_RESULT];

	if (!channel_is(*link))
		return LOCAL_DELIVERER_DONE;
	serve_fixed(policy, request, link, packet->fds[LOCAL_REQUEST_MESSAGE]);
	drop_message(packet);
	return serve_more(policy, request, link);
}

/* That its work begins or ends. */
static void say(const struct local_deliverer *deliverer)
{
	if (eventfd_write(deliverer->status, 1) < 0)
		log_error(NULL, "delivery: status: %s", strerror(errno));
}

static enum local_deliverer_exit serve(const struct local_deliverer *deliverer,
				       struct channel_packet *packet)
{
	struct local_request request;
	struct err err;

	if (local_request_decode(&request, packet->data, packet->len, &err) < 0)
		return give_up(LOCAL_DELIVERER_MALFORMED, &err);
	if (packet->fd_count != local_request_fds(request.kind)) {
		err_put(&err, "request with %u descriptors", packet->fd_count);
		return give_up(LOCAL_DELIVERER_MALFORMED, &err);
	}
	if (deliverer->policy->fixed)
		return serve_as_it_is(deliverer, &request, packet);
	return serve_as_user(deliverer, &request, packet);
}

static void hold_back_term(bool hold)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* With one more request; SIGTERM is held back. */
static enum local_deliverer_exit work(const struct local_deliverer *deliverer,
				      struct channel_packet *packet)
{
	enum local_deliverer_exit status;

	say(deliverer);
	alarm(deliverer->policy->timeout);
	status = serve(deliverer, packet);
	alarm(0);
	channel_packet_close(packet);
	if (deliverer->policy->fixed)
		say(deliverer);
	return status;
}

/* Somebody else was faster. */
#define AGAIN ((enum local_deliverer_exit)-1)

/* Whoever takes a request is not ended by SIGTERM any more: it would be lost. */
static enum local_deliverer_exit next(const struct local_deliverer *deliverer)
{
	static struct channel_packet packet;
	enum local_deliverer_exit status;
	struct err err;
	int got;

	channel_await(deliverer->requests);
	hold_back_term(true);
	got = channel_take(deliverer->requests, &packet, &err);
	if (got > 0)
		status = work(deliverer, &packet);
	else if (got == 0)
		status = LOCAL_DELIVERER_CLOSED;
	else if (errno == EAGAIN)
		status = AGAIN;
	else
		status = give_up(errno == EBADMSG ? LOCAL_DELIVERER_MALFORMED
						  : LOCAL_DELIVERER_FAILED,
				 &err);
	hold_back_term(false);
	return status;
}

int local_deliverer_settle(const struct local_policy *policy, struct err *err)
{
	if (geteuid() == 0 &&
	    local_become_user(policy->uid, policy->gid, &policy->gid, 1,
			      err) < 0)
		return -1;
	/* It lives on: no limit of CPU time. */
	return local_confine(0, policy->sockets, err);
}

/* What most deliveries take of these; who needs more has page faults meanwhile. */
#define USUAL_STACK (12 * 1024)
#define USUAL_HEAP (12 * 1024)

/* Has the kernel give us now, while nobody waits, what a delivery would be stopped for
 * page by page: after a fork all memory still is the parent's. */
static void warm_up(void)
{
	const size_t page = 4096;
	volatile char stack[USUAL_STACK];
	/* One from the start of the heap, and one that nothing has been in yet. */
	char *small = mem_alloc(1), *large = mem_alloc(USUAL_HEAP);
	size_t i;

	for (i = 0; i < sizeof(stack); i += page)
		stack[i] = 0;
	mem_free(&large);
	mem_free(&small);
	clock_now_ms();
	time_limit_end();
}

enum local_deliverer_exit
local_deliverer_run(const struct local_deliverer *deliverer)
{
	enum local_deliverer_exit status;

	end_with(deliverer->parent);
	warm_up();
	do {
		status = next(deliverer);
	} while (status == AGAIN ||
		 (status == LOCAL_DELIVERER_DONE && deliverer->policy->fixed));
	return status;
}
