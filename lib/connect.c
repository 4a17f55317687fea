#include "lib/connect.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/panic.h"

/* A UNIX socket whose backlog is full says so at once, and nothing tells when
 * there is room again. */
#define CONNECT_RETRY_MS 20

struct connect_attempt {
	struct connect_request *request;
	struct addr addr;
	int fd; /* -1: not under way */
	struct loop_io io;
	struct loop_timer retry;
};

struct connect_request {
	struct loop *loop;
	void (*fn)(void *arg, int fd, const struct addr *addr,
		   const char *error);
	void *arg;
	struct addr source; /* len 0: none */
	unsigned stagger_ms;
	struct loop_timer deadline, stagger;
	struct loop_task report;
	struct connect_attempt *winner;
	struct str error;
	unsigned count, next, running;
	struct connect_attempt attempts[];
};

static void connect_next(struct connect_request *request);

static void connect_attempt_close(struct connect_attempt *attempt)
{
	loop_io_close(&attempt->io);
	loop_timer_close(&attempt->retry);
	if (attempt->fd >= 0)
		close(attempt->fd);
	attempt->fd = -1;
}

static void connect_close(struct connect_request *request)
{
	unsigned i;

	for (i = 0; i < request->count; i++)
		connect_attempt_close(&request->attempts[i]);
	loop_timer_close(&request->deadline);
	loop_timer_close(&request->stagger);
	loop_task_cancel(&request->report);
}

/* The request is gone before its owner hears of the result, so whatever the
 * owner does is right. */
static void connect_report(struct loop_task *task)
{
	struct connect_request *request =
		container_of(task, struct connect_request, report);
	struct connect_request done = *request;
	struct addr addr = { .len = 0 };
	int fd = -1;

	if (request->winner != NULL) {
		addr = request->winner->addr;
		fd = request->winner->fd;
		request->winner->fd = -1;
	}
	connect_close(request);
	mem_free(&request);
	done.fn(done.arg, fd, fd < 0 ? NULL : &addr,
		fd < 0 ? str_c(&done.error) : NULL);
	str_free(&done.error);
}

/* Stops everything but the winner (NULL: none) and reports. */
static void connect_finish(struct connect_request *request,
			   struct connect_attempt *winner)
{
	int fd = -1;

	if (winner != NULL) {
		fd = winner->fd;
		winner->fd = -1;
	}
	connect_close(request);
	if (winner != NULL)
		winner->fd = fd;
	request->winner = winner;
	loop_defer(request->loop, &request->report);
}

/* Notes why the attempt failed. step: the call that did, NULL for connect(). */
static void connect_note(struct connect_attempt *attempt, const char *step,
			 const char *reason)
{
	struct str *error = &attempt->request->error;

	if (error->len > 0)
		str_puts(error, "; ");
	str_puts(error, "connect(");
	addr_write(error, &attempt->addr);
	str_puts(error, ") failed: ");
	if (step != NULL)
		str_printf(error, "%s: ", step);
	str_puts(error, reason);
}

static int connect_fail(struct connect_attempt *attempt, const char *step)
{
	connect_note(attempt, step, strerror(errno));
	connect_attempt_close(attempt);
	return -1;
}

/* An attempt under way failed: on to the next at once (RFC 8305 5). */
static void connect_failed(struct connect_attempt *attempt)
{
	connect_fail(attempt, NULL);
	attempt->request->running--;
	connect_next(attempt->request);
}

/* A connection to a port of our own range that nobody listens on can meet
 * itself (TCP's simultaneous open). */
static bool connect_to_itself(const struct connect_attempt *attempt)
{
	struct addr self = { .len = sizeof(self.un) };

	return attempt->addr.sa.sa_family != AF_UNIX &&
	       getsockname(attempt->fd, &self.sa, &self.len) == 0 &&
	       addr_equal(&self, &attempt->addr);
}

static int connect_result(const struct connect_attempt *attempt)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	if (error == 0 && connect_to_itself(attempt))
		return ECONNREFUSED;
	return error;
}

static void connect_event(struct loop_io *io, unsigned events)
{
	struct connect_attempt *attempt =
		container_of(io, struct connect_attempt, io);

	(void)events;
	errno = connect_result(attempt);
	if (errno == 0)
		connect_finish(attempt->request, attempt);
	else
		connect_failed(attempt);
}

/* 1: connected; 0: it goes on; -1: errno. */
static int connect_try(struct connect_attempt *attempt)
{
	const struct addr *addr = &attempt->addr;

	if (connect(attempt->fd, &addr->sa, addr->len) == 0) {
		errno = connect_result(attempt);
		return errno == 0 ? 1 : -1;
	}
	if (errno == EINPROGRESS || errno == EINTR) {
		loop_io_want(&attempt->io, LOOP_WRITE);
		return 0;
	}
	if (errno == EAGAIN && addr->sa.sa_family == AF_UNIX) {
		loop_timer_set(&attempt->retry, CONNECT_RETRY_MS);
		return 0;
	}
	return -1;
}

static void connect_retry(struct loop_timer *timer)
{
	struct connect_attempt *attempt =
		container_of(timer, struct connect_attempt, retry);
	int done = connect_try(attempt);

	if (done > 0)
		connect_finish(attempt->request, attempt);
	else if (done < 0)
		connect_failed(attempt);
}

/* None of these matters enough to fail for. */
static void connect_set_options(int fd)
{
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	/* Choose the port at connect(), when the peer is known: only then may
	 * connections to different peers share one. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
}

/* As connect_try(), but a failure is noted. */
static int connect_attempt_start(struct connect_attempt *attempt)
{
	struct connect_request *request = attempt->request;
	int family = attempt->addr.sa.sa_family, done;

	attempt->fd =
		socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (attempt->fd < 0)
		return connect_fail(attempt, "socket");
	if (family != AF_UNIX)
		connect_set_options(attempt->fd);
	if (request->source.len > 0 &&
	    bind(attempt->fd, &request->source.sa, request->source.len) < 0)
		return connect_fail(attempt, "bind");
	loop_io_open(&attempt->io, request->loop, attempt->fd, connect_event);
	loop_timer_open(&attempt->retry, request->loop, connect_retry);
	done = connect_try(attempt);
	return done < 0 ? connect_fail(attempt, NULL) : done;
}

static bool connect_passed_over(const struct connect_attempt *attempt)
{
	const struct addr *source = &attempt->request->source;

	return source->len > 0 &&
	       source->sa.sa_family != attempt->addr.sa.sa_family;
}

/* Starts attempts until one does not fail at once. */
static void connect_next(struct connect_request *request)
{
	int done = -1;

	while (done < 0 && request->next < request->count) {
		struct connect_attempt *attempt =
			&request->attempts[request->next++];

		if (connect_passed_over(attempt))
			continue;
		done = connect_attempt_start(attempt);
		if (done > 0) {
			connect_finish(request, attempt);
			return;
		}
	}
	if (done == 0)
		request->running++;
	if (request->next < request->count)
		loop_timer_set(&request->stagger, request->stagger_ms);
	else
		loop_timer_clear(&request->stagger);
	if (request->running > 0)
		return;
	if (request->error.len == 0)
		str_puts(&request->error,
			 "no address of the source address's family");
	connect_finish(request, NULL);
}

static void connect_stagger(struct loop_timer *timer)
{
	connect_next(container_of(timer, struct connect_request, stagger));
}

static void connect_deadline(struct loop_timer *timer)
{
	struct connect_request *request =
		container_of(timer, struct connect_request, deadline);
	unsigned i;

	for (i = 0; i < request->count; i++)
		if (request->attempts[i].fd >= 0)
			connect_note(&request->attempts[i], NULL,
				     strerror(ETIMEDOUT));
	connect_finish(request, NULL);
}

struct connect_request *
connect_start(struct loop *loop, const struct connect_params *params,
	      void (*fn)(void *arg, int fd, const struct addr *addr,
			 const char *error),
	      void *arg)
{
	struct connect_request *request = mem_alloc(
		sizeof(*request) + params->count * sizeof(*request->attempts));
	unsigned i;

	ASSERT(params->count > 0);
	request->loop = loop;
	request->fn = fn;
	request->arg = arg;
	request->stagger_ms = params->stagger_ms;
	request->count = params->count;
	request->report.fn = connect_report;
	if (params->source != NULL)
		request->source = *params->source;
	for (i = 0; i < params->count; i++) {
		request->attempts[i].request = request;
		request->attempts[i].addr = params->addrs[i];
		request->attempts[i].fd = -1;
	}
	loop_timer_open(&request->stagger, loop, connect_stagger);
	loop_timer_open(&request->deadline, loop, connect_deadline);
	loop_timer_set(&request->deadline, params->timeout_ms);
	connect_next(request);
	return request;
}

void connect_cancel(struct connect_request **request_p)
{
	struct connect_request *request = *request_p;

	if (request == NULL)
		return;
	connect_close(request);
	str_free(&request->error);
	mem_free(request_p);
}
