/* Event loop of one thread: file descriptors, timers, signals, deferred work,
 * and the only way to reach another thread's loop, loop_post().
 *
 * Watchers are members of the objects that they serve; container_of() finds
 * the object. A callback may close its own watcher and any other: no callback
 * of a closed watcher runs afterwards. Memory of an object whose callback may
 * be on the stack is freed through loop_defer(). */
#ifndef LIB_LOOP_H
#define LIB_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"

struct loop;

struct loop *loop_new(void);

/* Frees *loop and clears the pointer; NULL is fine. Every watcher must be
 * closed; posted calls not yet made are dropped. */
void loop_free(struct loop **loop);

/* In a forked child, for the parent's loop: closing watchers and loop_free()
 * leave the parent's loop alone from now on. */
void loop_forked(struct loop *loop);

/* Runs until loop_stop(). */
void loop_run(struct loop *loop);

/* Makes loop_run() return after the current pass. Own thread only; from
 * another one, post a call that does it. */
void loop_stop(struct loop *loop);

/* Sets what runs at the end of every pass, after the tasks and before the loop
 * waits again (NULL: nothing). What it returns, if not 0, is in how many ms it
 * wants to run again, though nothing else happens. */
void loop_set_pass_hook(struct loop *loop, unsigned (*fn)(void));

/* Monotonic time, read once per pass. */
uint64_t loop_now_us(struct loop *loop);

/* Has fn(arg) called on the loop's own thread, soon. From any thread. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/* Takes posted calls of fn(arg) back that were not made yet; fine when there
 * are none. Own thread only. */
void loop_unpost(struct loop *loop, void (*fn)(void *arg), void *arg);

/* --- work for the end of the current pass --- */

struct loop_task {
	struct list node;
	void (*fn)(struct loop_task *task);
};

/* Runs task->fn once at the end of the pass, after every event callback (and
 * after the tasks queued before it). Nothing happens when it is queued. */
void loop_defer(struct loop *loop, struct loop_task *task);

/* Takes a task back; fine when it is not queued. */
void loop_task_cancel(struct loop_task *task);

/* --- file descriptors --- */

enum {
	LOOP_READ = 1 << 0, /* readable, or the peer closed */
	LOOP_WRITE = 1 << 1,
};

struct loop_io {
	struct loop *loop;
	void (*fn)(struct loop_io *io, unsigned events);
	int fd;
	unsigned want;
	struct event *read_event, *write_event;
};

/* Prepares to watch fd; nothing is watched until loop_io_want(). The fd stays
 * the caller's. */
void loop_io_open(struct loop_io *io, struct loop *loop, int fd,
		  void (*fn)(struct loop_io *io, unsigned events));

/* Sets what to watch for: a mask of LOOP_READ and LOOP_WRITE (level-triggered,
 * until changed). */
void loop_io_want(struct loop_io *io, unsigned want);

/* Has fn called with LOOP_READ in the next pass, whether or not there is input,
 * if LOOP_READ is still watched for then. Call it from a task (loop_defer), so
 * that the next pass also looks at the other descriptors. */
void loop_io_wake(struct loop_io *io);

/* Stops watching; call it before close(fd). Idempotent; a zeroed struct is
 * fine. */
void loop_io_close(struct loop_io *io);

/* --- timers --- */

/* Setting a timer again to a later time is cheap: the kernel-side timer is
 * left alone and moved when it fires. */
struct loop_timer {
	struct loop *loop;
	void (*fn)(struct loop_timer *timer);
	uint64_t due_us;   /* 0: not set */
	uint64_t armed_us; /* when the event will fire; 0: not armed */
	struct event *event;
};

void loop_timer_open(struct loop_timer *timer, struct loop *loop,
		     void (*fn)(struct loop_timer *timer));

/* Has fn called once, in ms milliseconds (0: in the next pass); replaces an
 * earlier setting. */
void loop_timer_set(struct loop_timer *timer, uint64_t ms);

/* Unsets the timer; it can be set again. */
void loop_timer_clear(struct loop_timer *timer);

/* Unsets and releases the timer. Idempotent; a zeroed struct is fine. */
void loop_timer_close(struct loop_timer *timer);

/* --- signals (one loop per process only) --- */

struct loop_signal {
	void (*fn)(struct loop_signal *sig);
	int signo;
	struct event *event;
};

void loop_signal_open(struct loop_signal *sig, struct loop *loop, int signo,
		      void (*fn)(struct loop_signal *sig));
void loop_signal_close(struct loop_signal *sig);

#endif
