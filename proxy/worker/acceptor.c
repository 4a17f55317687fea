#include "proxy/worker/acceptor.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/list.h"
#include "lib/log/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "proxy/worker/worker.h"

#define PAUSE_MS 200	     /* after running out of descriptors */
#define QUIET_US (10 * 1000000) /* between two lines about trouble */

enum trouble { TROUBLE_FULL, TROUBLE_SHORT, TROUBLE_ACCEPT, TROUBLES };

struct acceptor {
	struct list node;
	struct worker *worker;
	uint32_t name;
	int fd;
	unsigned flags;
	struct loop_io io;
	struct loop_timer pause;
	struct addr local;
	bool any; /* bound to a wildcard: local says only the port */
	uint64_t said_us[TROUBLES]; /* when it was last logged */
};

/* A connection on its way to another thread. */
struct handover {
	struct worker *worker;
	int fd;
	unsigned flags;
	struct addr local, remote;
};

static void handover_take(void *arg)
{
	struct handover *handover = arg;

	worker_take(handover->worker, handover->fd, &handover->local,
		    &handover->remote, handover->flags);
	mem_free(&handover);
}

static void hand_over(struct worker *worker, int fd, const struct addr *local,
		      const struct addr *remote, unsigned flags)
{
	struct handover *handover = mem_new(struct handover);

	handover->worker = worker;
	handover->fd = fd;
	handover->flags = flags;
	handover->local = *local;
	handover->remote = *remote;
	loop_post(worker->loop, handover_take, handover);
}

/* The worker with the fewest sessions; among equals they take turns, so that a
 * few long-lived connections spread too. NULL: the process is full. */
static struct worker *place(struct worker *self)
{
	struct worker_set *set = self->set;
	struct worker *candidate, *best = NULL;
	unsigned i, at, count, least = UINT_MAX, best_at = 0;
	unsigned long total = 0;

	for (i = 0; i < set->count; i++) {
		at = (self->next_place + i) % set->count;
		candidate = set->workers[at];
		count = atomic_load_explicit(&candidate->session_count,
					     memory_order_relaxed);
		total += count;
		if (count < least) {
			least = count;
			best = candidate;
			best_at = at;
		}
	}
	if (total >= atomic_load_explicit(&set->max_sessions,
					  memory_order_relaxed))
		return NULL;
	self->next_place = best_at + 1;
	return best;
}

/* One line in a while is enough to tell that there is trouble. */
static bool may_complain(struct acceptor *acceptor, enum trouble trouble)
{
	uint64_t now_us = loop_now_us(acceptor->worker->loop);
	uint64_t *said_us = &acceptor->said_us[trouble];

	if (*said_us != 0 && now_us - *said_us < QUIET_US)
		return false;
	*said_us = now_us;
	return true;
}

static void refuse(struct acceptor *acceptor, int fd, enum trouble trouble)
{
	worker_refuse(acceptor->worker, fd, acceptor->flags,
		      "Too many connections");
	if (!may_complain(acceptor, trouble))
		return;
	if (trouble == TROUBLE_SHORT)
		log_warning(NULL, "file descriptors run short: those left are "
			    "for backends, client connections are being "
			    "refused (see ulimit -n)");
	else
		log_warning(NULL, "service lmtp: process_limit * client_limit "
			    "(%lu) reached, client connections are being "
			    "refused",
			    atomic_load(&acceptor->worker->set->max_sessions));
}

static bool is_any(const struct addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return addr->sa.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

static void start_connection(struct acceptor *acceptor, int fd,
			     const struct addr *remote)
{
	struct worker *self = acceptor->worker, *worker;
	struct addr local = acceptor->local;

	if (fd > self->set->max_client_fd) {
		refuse(acceptor, fd, TROUBLE_SHORT);
		return;
	}
	worker = place(self);
	if (worker == NULL) {
		refuse(acceptor, fd, TROUBLE_FULL);
		return;
	}
	if (acceptor->any) {
		local.len = sizeof(local.un);
		if (getsockname(fd, &local.sa, &local.len) < 0)
			local = acceptor->local;
	}
	atomic_fetch_add(&worker->session_count, 1);
	if (worker == self)
		worker_take(worker, fd, &local, remote, acceptor->flags);
	else
		hand_over(worker, fd, &local, remote, acceptor->flags);
}

/* Out of descriptors, most likely: trying again at once would spin. */
static void take_a_break(struct acceptor *acceptor, int reason)
{
	if (may_complain(acceptor, TROUBLE_ACCEPT))
		log_error(NULL, "accept: %s; trying again every %d ms",
			  strerror(reason), PAUSE_MS);
	loop_io_want(&acceptor->io, 0);
	loop_timer_set(&acceptor->pause, PAUSE_MS);
}

static void pause_over(struct loop_timer *timer)
{
	struct acceptor *acceptor =
		container_of(timer, struct acceptor, pause);

	loop_io_want(&acceptor->io, LOOP_READ);
}

/* One connection for each pass: when there are more, the loop comes back, and
 * asking until there is none costs a call for nothing. */
static void acceptor_readable(struct loop_io *io, unsigned events)
{
	struct acceptor *acceptor = container_of(io, struct acceptor, io);
	struct addr remote = { .len = sizeof(remote.un) };
	int fd = accept4(acceptor->fd, &remote.sa, &remote.len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	/* After ECONNABORTED that connection is gone, but the next may be
	 * fine. */
	if (fd >= 0)
		start_connection(acceptor, fd, &remote);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		take_a_break(acceptor, errno);
}

void acceptor_open(struct worker *worker, uint32_t name, int fd,
		   unsigned flags)
{
	struct acceptor *acceptor = mem_new(struct acceptor);

	acceptor->worker = worker;
	acceptor->name = name;
	acceptor->fd = fd;
	acceptor->flags = flags;
	acceptor->local.len = sizeof(acceptor->local.un);
	if (getsockname(fd, &acceptor->local.sa, &acceptor->local.len) < 0)
		acceptor->local.len = 0;
	acceptor->any = is_any(&acceptor->local);
	list_append(&worker->acceptors, &acceptor->node);
	loop_timer_open(&acceptor->pause, worker->loop, pause_over);
	loop_io_open(&acceptor->io, worker->loop, fd, acceptor_readable);
	loop_io_want(&acceptor->io, LOOP_READ);
}

/* Only from posted calls: no callback of the acceptor is on the stack. */
static void acceptor_close(struct acceptor *acceptor)
{
	loop_io_close(&acceptor->io);
	loop_timer_close(&acceptor->pause);
	close(acceptor->fd);
	list_remove(&acceptor->node);
	mem_free(&acceptor);
}

void acceptor_close_named(struct worker *worker, uint32_t name)
{
	struct list *node, *tmp;

	list_each(&worker->acceptors, node, tmp) {
		struct acceptor *acceptor =
			container_of(node, struct acceptor, node);

		if (acceptor->name == name)
			acceptor_close(acceptor);
	}
}

void acceptor_close_all(struct worker *worker)
{
	struct list *node, *tmp;

	list_each(&worker->acceptors, node, tmp)
		acceptor_close(container_of(node, struct acceptor, node));
}
