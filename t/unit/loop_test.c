#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/stream.h"

static struct loop *loop;
static int calls;

static void setup(void)
{
	loop = loop_new();
	calls = 0;
}

static void teardown(void)
{
	loop_free(&loop);
}

TestSuite(loop, .init = setup, .fini = teardown, .timeout = 20);

static void count_and_stop(void *arg)
{
	calls += *(int *)arg;
	loop_stop(loop);
}

static void *post_from_thread(void *arg)
{
	loop_post(loop, count_and_stop, arg);
	return NULL;
}

Test(loop, post_reaches_the_loop_from_another_thread)
{
	pthread_t thread;
	int three = 3;

	pthread_create(&thread, NULL, post_from_thread, &three);
	loop_run(loop);
	pthread_join(thread, NULL);
	cr_assert_eq(calls, 3);
}

Test(loop, a_call_that_is_taken_back_is_not_made)
{
	int one = 1, ten = 10, hundred = 100;

	loop_post(loop, count_and_stop, &ten);
	loop_post(loop, count_and_stop, &one);
	loop_post(loop, count_and_stop, &ten);
	loop_unpost(loop, count_and_stop, &ten);
	loop_unpost(loop, count_and_stop, &hundred);
	loop_run(loop);
	cr_assert_eq(calls, 1);
	loop_post(loop, count_and_stop, &one);
	loop_unpost(loop, count_and_stop, &one);
	loop_post(loop, count_and_stop, &hundred);
	loop_run(loop);
	cr_assert_eq(calls, 101);
}

struct woken {
	struct loop_io io;
	struct loop_task task;
};

static void wake_io(struct loop_task *task)
{
	loop_io_wake(&container_of(task, struct woken, task)->io);
}

static void wake_again(struct loop_io *io, unsigned events)
{
	struct woken *woken = container_of(io, struct woken, io);

	cr_assert_eq(events, LOOP_READ);
	if (++calls < 3)
		loop_defer(loop, &woken->task);
	else
		loop_stop(loop);
}

Test(loop, woken_descriptors_take_turns_with_the_others)
{
	struct woken woken = { .task = { .fn = wake_io } };
	int fds[2], one = 1;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	loop_io_open(&woken.io, loop, fds[0], wake_again);
	loop_io_want(&woken.io, LOOP_READ);
	loop_defer(loop, &woken.task);
	loop_run(loop);
	cr_assert_eq(calls, 3);
	/* Once in a pass: what was posted in the first comes before the
	 * third. */
	calls = 0;
	loop_defer(loop, &woken.task);
	loop_post(loop, count_and_stop, &one);
	loop_run(loop);
	cr_assert_leq(calls, 2);
	loop_task_cancel(&woken.task);
	/* Nobody is woken who does not watch. */
	loop_io_want(&woken.io, 0);
	calls = 0;
	loop_defer(loop, &woken.task);
	loop_post(loop, count_and_stop, &one);
	loop_run(loop);
	loop_post(loop, count_and_stop, &one);
	loop_run(loop);
	cr_assert_eq(calls, 2);
	loop_io_close(&woken.io);
	close(fds[0]);
	close(fds[1]);
}

static int passes;

static unsigned hook_counts_passes(void)
{
	passes++;
	return 0;
}

static void timer_stop(struct loop_timer *timer)
{
	calls++;
	loop_stop(timer->loop);
}

Test(loop, timer_set_to_later_does_not_fire_early)
{
	struct loop_timer timer;
	uint64_t start = loop_now_us(loop);

	loop_timer_open(&timer, loop, timer_stop);
	loop_timer_set(&timer, 1);
	loop_timer_set(&timer, 30);
	loop_run(loop);
	cr_assert_eq(calls, 1);
	cr_assert_geq(loop_now_us(loop) - start, 28000);
	loop_timer_close(&timer);
	loop_timer_close(&timer);
}

static void timer_count(struct loop_timer *timer)
{
	(void)timer;
	calls += 100;
}

Test(loop, cleared_timer_is_silent_and_can_be_set_to_earlier)
{
	struct loop_timer cleared, other;

	loop_timer_open(&cleared, loop, timer_count);
	loop_timer_open(&other, loop, timer_stop);
	loop_timer_set(&cleared, 1);
	loop_timer_clear(&cleared);
	loop_timer_set(&other, 60000);
	loop_timer_set(&other, 10);
	loop_run(loop);
	cr_assert_eq(calls, 1);
	loop_timer_close(&cleared);
	loop_timer_close(&other);
}

#define TIMERS 100

static struct loop_timer timers[TIMERS];
static uint64_t last_us;
static int fired;

static uint64_t timer_ms(unsigned i)
{
	return 1 + i * 37 % 50;
}

static void timer_in_order(struct loop_timer *timer)
{
	uint64_t due_us = timer->armed_us;

	cr_expect_neq((timer - timers) % 3, 0, "it was closed");
	cr_expect_leq(last_us, due_us);
	cr_expect_leq(due_us, loop_now_us(loop));
	last_us = due_us;
	fired++;
	loop_timer_close(&timers[(timer - timers) / 3 * 3]);
	if (fired == TIMERS * 2 / 3)
		loop_stop(loop);
}

Test(loop, timers_fire_in_order_and_may_close_others)
{
	unsigned i;

	fired = 0;
	last_us = 0;
	for (i = 0; i < TIMERS; i++) {
		loop_timer_open(&timers[i], loop, timer_in_order);
		loop_timer_set(&timers[i], i % 3 == 0 ? 60000 : timer_ms(i));
	}
	/* Each third one is closed, the others close them again. */
	for (i = 0; i < TIMERS; i += 3)
		loop_timer_close(&timers[i]);
	loop_run(loop);
	cr_assert_eq(fired, TIMERS * 2 / 3);
	for (i = 0; i < TIMERS; i++)
		loop_timer_close(&timers[i]);
}

static void timer_again(struct loop_timer *timer)
{
	if (++calls == 3)
		loop_stop(loop);
	loop_timer_set(timer, 0);
}

Test(loop, a_timer_set_to_nothing_fires_in_the_next_pass)
{
	struct loop_timer timer;

	loop_set_pass_hook(loop, hook_counts_passes);
	loop_timer_open(&timer, loop, timer_again);
	loop_timer_set(&timer, 0);
	loop_run(loop);
	cr_assert_eq(calls, 3);
	cr_assert_geq(passes, 3);
	loop_timer_close(&timer);
}

static struct loop_io first_io, second_io;
static int second_fds[2];

static void must_not_be_called(struct loop_io *io, unsigned events)
{
	(void)io;
	(void)events;
	cr_assert_fail("an event of somebody else's");
}

/* The descriptor of the other, who has input, is opened anew, without any. */
static void swap_second(struct loop_io *io, unsigned events)
{
	int fds[2];

	(void)events;
	calls++;
	loop_io_want(io, 0);
	loop_io_close(&second_io);
	close(second_fds[0]);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(fds[0], second_fds[0], "the number is used again");
	close(second_fds[1]);
	second_fds[1] = fds[1];
	loop_io_open(&second_io, loop, fds[0], must_not_be_called);
	loop_io_want(&second_io, LOOP_READ);
	loop_stop(loop);
}

Test(loop, a_number_that_is_used_again_gets_no_events_of_before)
{
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(pipe(second_fds), 0);
	loop_io_open(&first_io, loop, fds[0], swap_second);
	loop_io_want(&first_io, LOOP_READ);
	loop_io_open(&second_io, loop, second_fds[0], must_not_be_called);
	loop_io_want(&second_io, LOOP_READ);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert_eq(write(second_fds[1], "x", 1), 1);
	loop_run(loop);
	cr_assert_eq(calls, 1);
	loop_io_close(&first_io);
	loop_io_close(&second_io);
	close(fds[0]);
	close(fds[1]);
	close(second_fds[0]);
	close(second_fds[1]);
}

static void read_and_stop(struct loop_io *io, unsigned events)
{
	char c;

	(void)events;
	cr_assert_eq(read(io->fd, &c, 1), 1);
	calls += 10;
	loop_stop(io->loop);
}

/* As libcurl does with a connection that failed. */
static void signal_count(struct loop_signal *sig)
{
	(void)sig;
	calls += 100;
	loop_stop(loop);
}

/* A child that closes what it inherited, while the parent waits. */
Test(loop, a_forked_child_leaves_the_loop_of_its_parent_alone)
{
	struct loop_signal sig;
	struct loop_io io;
	int fds[2], status;
	pid_t pid;

	cr_assert_eq(pipe(fds), 0);
	loop_signal_open(&sig, loop, SIGUSR1, signal_count);
	loop_io_open(&io, loop, fds[0], read_and_stop);
	loop_io_want(&io, LOOP_READ);
	pid = fork();
	if (pid == 0) {
		loop_forked(loop);
		loop_io_close(&io);
		loop_signal_close(&sig);
		loop_free(&loop);
		_exit(signal(SIGUSR1, SIG_IGN) == SIG_DFL ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "the child has the handler of its parent");
	cr_assert_eq(write(fds[1], "x", 1), 1);
	loop_run(loop);
	cr_assert_eq(calls, 10);
	kill(getpid(), SIGUSR1);
	loop_run(loop);
	cr_assert_eq(calls, 110);
	loop_io_close(&io);
	loop_signal_close(&sig);
	close(fds[0]);
	close(fds[1]);
}

static struct loop_task second_task;

static void first_fn(struct loop_task *task)
{
	(void)task;
	calls = calls * 10 + 1;
	loop_defer(loop, &second_task);
}

static void second_fn(struct loop_task *task)
{
	(void)task;
	calls = calls * 10 + 2;
	loop_stop(loop);
}

static unsigned count_pass(void)
{
	calls = calls * 10 + 7;
	return 0;
}

/* Wants to be called three times, though nothing happens. */
static unsigned hook_again(void)
{
	if (++calls < 3)
		return 5;
	loop_stop(loop);
	return 0;
}

Test(loop, the_pass_hook_is_called_again_in_time)
{
	loop_set_pass_hook(loop, hook_again);
	loop_run(loop);
	cr_assert_eq(calls, 3);
}

Test(loop, the_pass_hook_runs_after_the_tasks)
{
	struct loop_task first = { .fn = first_fn };

	second_task = (struct loop_task){ .fn = second_fn };
	loop_set_pass_hook(loop, count_pass);
	loop_defer(loop, &first);
	loop_run(loop);
	cr_assert_eq(calls, 127);
	loop_set_pass_hook(loop, NULL);
	loop_defer(loop, &second_task);
	loop_run(loop);
	cr_assert_eq(calls, 1272);
}

Test(loop, tasks_run_in_order_and_once)
{
	struct loop_task first = { .fn = first_fn };

	second_task = (struct loop_task){ .fn = second_fn };
	loop_defer(loop, &first);
	loop_defer(loop, &first);
	loop_run(loop);
	cr_assert_eq(calls, 12);
}

/* --- streams --- */

struct end {
	struct stream *stream;
	size_t got, want; /* the loop stops at want bytes, or at the end */
	bool broken;
};

static void end_readable(struct stream *stream, void *owner)
{
	struct end *end = owner;
	char buf[65536];
	size_t len;
	int ret = stream_read(stream, buf, sizeof(buf), &len);

	if (ret > 0)
		end->got += len;
	if (ret < 0)
		stream_want_read(stream, false);
	if (ret < 0 || (end->want > 0 && end->got >= end->want))
		loop_stop(loop);
}

static void end_writable(struct stream *stream, void *owner)
{
	(void)stream;
	(void)owner;
	calls++;
}

static void end_broken(struct stream *stream, void *owner)
{
	(void)stream;
	((struct end *)owner)->broken = true;
	loop_stop(loop);
}

static const struct stream_handler end_handler = {
	.readable = end_readable,
	.writable = end_writable,
	.broken = end_broken,
};

static void make_pair(struct end *a, struct end *b)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
		     0);
	*a = *b = (struct end){ .got = 0 };
	a->stream = stream_new(loop, fds[0], &end_handler, a);
	b->stream = stream_new(loop, fds[1], &end_handler, b);
}

Test(loop, stream_sends_more_than_the_socket_takes_at_once)
{
	struct end a, b;
	size_t size = 4 << 20;
	char *big = mem_alloc(size);

	make_pair(&a, &b);
	b.want = size;
	stream_write(a.stream, big, size);
	loop_run(loop);
	cr_assert_eq(b.got, size);
	cr_assert_eq(stream_pending(a.stream), 0);
	stream_close(&a.stream);
	stream_close(&b.stream);
	mem_free(&big);
}

Test(loop, stream_tells_the_end)
{
	struct end a, b;

	make_pair(&a, &b);
	stream_puts(a.stream, "bye");
	stream_close(&a.stream);
	loop_run(loop);
	cr_assert_eq(b.got, 3);
	cr_assert_str_eq(stream_error(b.stream), "connection closed");
	stream_close(&b.stream);
}

Test(loop, stream_says_once_that_its_peer_is_gone)
{
	struct end a, b;

	make_pair(&a, &b);
	stream_close(&b.stream);
	stream_want_read(a.stream, false);
	stream_puts(a.stream, "lost");
	loop_run(loop);
	cr_assert(a.broken);
	cr_assert_str_eq(stream_error(a.stream), "Broken pipe");
	stream_close(&a.stream);
	cr_assert_null(a.stream);
}

Test(loop, stream_sendv_puts_the_queue_first)
{
	struct end a, b;
	struct iovec iov[2] = { { (char *)"cd", 2 }, { (char *)"e", 1 } };
	char buf[16] = "";
	size_t len = 0;

	make_pair(&a, &b);
	str_puts(stream_out(a.stream), "ab");
	cr_assert_eq(stream_sendv(a.stream, iov, 2), 3);
	cr_assert_eq(stream_read(b.stream, buf, sizeof(buf), &len), 1);
	cr_assert_eq(len, 5);
	cr_assert_str_eq(buf, "abcde");
	stream_close(&a.stream);
	stream_close(&b.stream);
}
