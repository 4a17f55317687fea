#include "lib/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/panic.h"

struct loop_call {
	struct list node;
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct event_base *base;
	struct list tasks; /* struct loop_task */
	uint64_t now_us;   /* 0: not read in this pass */
	bool stopping;
	unsigned (*pass_hook)(void); /* NULL: none */
	struct loop_timer hook_timer;

	pthread_mutex_t lock; /* guards calls */
	struct list calls;    /* struct loop_call, posted */
	int wake_fd;
	struct loop_io wake;
};

static void loop_run_calls(struct loop_io *io, unsigned events);
static void loop_hook_due(struct loop_timer *timer);

struct loop *loop_new(void)
{
	struct loop *loop = mem_new(struct loop);
	struct event_config *config = event_config_new();

	if (config == NULL)
		PANIC("cannot create an event loop");
	/* Only the loop's own thread touches the base. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->base == NULL || loop->wake_fd < 0)
		PANIC("cannot create an event loop (errno %d)", errno);
	list_init(&loop->tasks);
	list_init(&loop->calls);
	pthread_mutex_init(&loop->lock, NULL);
	loop_io_open(&loop->wake, loop, loop->wake_fd, loop_run_calls);
	loop_io_want(&loop->wake, LOOP_READ);
	loop_timer_open(&loop->hook_timer, loop, loop_hook_due);
	return loop;
}

void loop_free(struct loop **loop_p)
{
	struct loop *loop = *loop_p;
	struct list *node, *tmp;

	if (loop == NULL)
		return;
	list_each(&loop->calls, node, tmp)
		mem_release(container_of(node, struct loop_call, node));
	loop_timer_close(&loop->hook_timer);
	loop_io_close(&loop->wake);
	close(loop->wake_fd);
	event_base_free(loop->base);
	pthread_mutex_destroy(&loop->lock);
	mem_free(loop_p);
}

void loop_forked(struct loop *loop)
{
	if (event_reinit(loop->base) < 0)
		PANIC("cannot reset an event loop after fork");
}

/* Tasks queued by a task run in the same round, so that an object closed at
 * the end of a pass is also freed in it. */
static void loop_run_tasks(struct loop *loop)
{
	while (!list_empty(&loop->tasks)) {
		struct loop_task *task =
			list_first(&loop->tasks, struct loop_task, node);

		list_remove(&task->node);
		task->fn(task);
	}
}

/* Its firing is a pass, and that is all that is wanted. */
static void loop_hook_due(struct loop_timer *timer)
{
	(void)timer;
}

static void loop_end_pass(struct loop *loop)
{
	unsigned ms;

	loop_run_tasks(loop);
	if (loop->pass_hook == NULL)
		return;
	ms = loop->pass_hook();
	if (ms > 0 && loop->hook_timer.due_us == 0)
		loop_timer_set(&loop->hook_timer, ms);
}

void loop_run(struct loop *loop)
{
	loop->stopping = false;
	loop_end_pass(loop);
	while (!loop->stopping) {
		loop->now_us = 0;
		if (event_base_loop(loop->base, EVLOOP_ONCE) < 0)
			PANIC("event loop failed (errno %d)", errno);
		loop_end_pass(loop);
	}
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
	event_base_loopbreak(loop->base);
}

void loop_set_pass_hook(struct loop *loop, unsigned (*fn)(void))
{
	loop->pass_hook = fn;
}

/* The cache is refreshed by the first reader after a wait, not by the wait. */
uint64_t loop_now_us(struct loop *loop)
{
	struct timespec ts;

	if (loop->now_us == 0) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		loop->now_us = (uint64_t)ts.tv_sec * 1000000 +
			       (uint64_t)ts.tv_nsec / 1000;
	}
	return loop->now_us;
}

void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct loop_call *call = mem_new(struct loop_call);
	const uint64_t one = 1;
	bool first;

	call->fn = fn;
	call->arg = arg;
	pthread_mutex_lock(&loop->lock);
	first = list_empty(&loop->calls);
	list_append(&loop->calls, &call->node);
	pthread_mutex_unlock(&loop->lock);
	if (first && write(loop->wake_fd, &one, sizeof(one)) < 0)
		ASSERT(errno == EAGAIN); /* the counter is full: awake */
}

void loop_unpost(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct list *node, *tmp;

	pthread_mutex_lock(&loop->lock);
	list_each(&loop->calls, node, tmp) {
		struct loop_call *call =
			container_of(node, struct loop_call, node);

		if (call->fn != fn || call->arg != arg)
			continue;
		list_remove(node);
		mem_free(&call);
	}
	pthread_mutex_unlock(&loop->lock);
}

static struct loop_call *loop_next_call(struct loop *loop)
{
	struct loop_call *call;

	pthread_mutex_lock(&loop->lock);
	call = list_first(&loop->calls, struct loop_call, node);
	if (call != NULL)
		list_remove(&call->node);
	pthread_mutex_unlock(&loop->lock);
	return call;
}

static void loop_run_calls(struct loop_io *io, unsigned events)
{
	struct loop *loop = io->loop;
	struct loop_call *call;
	uint64_t count;

	(void)events;
	if (read(loop->wake_fd, &count, sizeof(count)) < 0)
		ASSERT(errno == EAGAIN);
	while ((call = loop_next_call(loop)) != NULL) {
		call->fn(call->arg);
		mem_free(&call);
	}
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
	if (!list_linked(&task->node))
		list_append(&loop->tasks, &task->node);
}

void loop_task_cancel(struct loop_task *task)
{
	list_remove(&task->node);
}

static void loop_io_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop_io *io = arg;

	(void)fd;
	io->fn(io, what & EV_WRITE ? LOOP_WRITE : LOOP_READ);
}

void loop_io_open(struct loop_io *io, struct loop *loop, int fd,
		  void (*fn)(struct loop_io *io, unsigned events))
{
	io->loop = loop;
	io->fd = fd;
	io->fn = fn;
	io->want = 0;
	io->read_event = io->write_event = NULL;
}

static void loop_io_watch(struct loop_io *io, struct event **event, short what,
			  bool on)
{
	if (*event == NULL && on) {
		*event = event_new(io->loop->base, io->fd, what | EV_PERSIST,
				   loop_io_event, io);
		if (*event == NULL)
			PANIC("out of memory (event)");
	}
	if (*event == NULL)
		return;
	if ((on ? event_add(*event, NULL) : event_del(*event)) < 0)
		PANIC("cannot watch descriptor %d (errno %d)", io->fd, errno);
}

void loop_io_want(struct loop_io *io, unsigned want)
{
	unsigned change = io->want ^ want;

	io->want = want;
	if (change & LOOP_READ)
		loop_io_watch(io, &io->read_event, EV_READ, want & LOOP_READ);
	if (change & LOOP_WRITE)
		loop_io_watch(io, &io->write_event, EV_WRITE,
			      want & LOOP_WRITE);
}

void loop_io_wake(struct loop_io *io)
{
	if (io->want & LOOP_READ)
		event_active(io->read_event, EV_READ, 0);
}

static void loop_event_free(struct event **event)
{
	if (*event != NULL)
		event_free(*event);
	*event = NULL;
}

void loop_io_close(struct loop_io *io)
{
	loop_event_free(&io->read_event);
	loop_event_free(&io->write_event);
	io->want = 0;
}

static void loop_timer_arm(struct loop_timer *timer, uint64_t now_us)
{
	uint64_t wait = timer->due_us > now_us ? timer->due_us - now_us : 0;
	struct timeval tv = {
		.tv_sec = (time_t)(wait / 1000000),
		.tv_usec = (suseconds_t)(wait % 1000000),
	};

	if (event_add(timer->event, &tv) < 0)
		PANIC("cannot arm a timer");
	timer->armed_us = timer->due_us;
}

static void loop_timer_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *timer = arg;
	uint64_t now_us = loop_now_us(timer->loop);

	(void)fd;
	(void)what;
	timer->armed_us = 0;
	if (timer->due_us == 0)
		return;
	/* libevent rounds to its own clock: allow it a millisecond. */
	if (timer->due_us > now_us + 1000) {
		loop_timer_arm(timer, now_us);
		return;
	}
	timer->due_us = 0;
	timer->fn(timer);
}

void loop_timer_open(struct loop_timer *timer, struct loop *loop,
		     void (*fn)(struct loop_timer *timer))
{
	timer->loop = loop;
	timer->fn = fn;
	timer->due_us = timer->armed_us = 0;
	timer->event = NULL;
}

void loop_timer_set(struct loop_timer *timer, uint64_t ms)
{
	uint64_t now_us = loop_now_us(timer->loop);

	if (timer->event == NULL)
		timer->event = event_new(timer->loop->base, -1, 0,
					 loop_timer_event, timer);
	if (timer->event == NULL)
		PANIC("out of memory (timer)");
	timer->due_us = now_us + ms * 1000;
	if (timer->armed_us == 0 || timer->armed_us > timer->due_us)
		loop_timer_arm(timer, now_us);
}

void loop_timer_clear(struct loop_timer *timer)
{
	timer->due_us = 0;
}

void loop_timer_close(struct loop_timer *timer)
{
	loop_event_free(&timer->event);
	timer->due_us = timer->armed_us = 0;
}

static void loop_signal_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop_signal *sig = arg;

	(void)fd;
	(void)what;
	sig->fn(sig);
}

void loop_signal_open(struct loop_signal *sig, struct loop *loop, int signo,
		      void (*fn)(struct loop_signal *sig))
{
	sig->fn = fn;
	sig->signo = signo;
	sig->event = event_new(loop->base, signo, EV_SIGNAL | EV_PERSIST,
			       loop_signal_event, sig);
	if (sig->event == NULL || event_add(sig->event, NULL) < 0)
		PANIC("cannot watch signal %d", signo);
}

void loop_signal_close(struct loop_signal *sig)
{
	loop_event_free(&sig->event);
}
