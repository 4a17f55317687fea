#include "proxy/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/listener.h"
#include "proxy/session/session.h"
#include "proxy/session/settle.h"
#include "proxy/worker/acceptor.h"

/* A call to another thread's worker. */
struct worker_call {
	struct worker *worker;
	struct worker_view *view;
	struct director *director;
	uint32_t name;
	int fd;
	unsigned flags;
};

/* --- views --- */

/* Still without its passdb, which has to be made in the worker's thread. */
static struct worker_view *view_new(struct worker *worker,
				    const struct worker_source *source)
{
	struct worker_view *view = mem_new(struct worker_view);

	view->refs = 1;
	view->set = worker->set;
	view->settings = settings_ref(source->settings);
	view->tls = tls_set_ref(source->tls);
	view->shared = passdb_shared_ref(source->shared);
	return view;
}

static void worker_use_view(struct worker *worker, struct worker_view *view)
{
	view->passdb = passdb_new(worker->loop, worker->dns, view->shared);
	passdb_count(view->passdb, worker->passdb_stats);
	worker->view = view;
	list_append(&worker->views, &view->node);
}

struct worker_view *worker_view_ref(struct worker_view *view)
{
	view->refs++;
	return view;
}

/* On the control loop, where the shared passdb has its watchers. */
static void view_release(void *arg)
{
	struct worker_view *view = arg;

	passdb_shared_unref(&view->shared);
	tls_set_unref(&view->tls);
	settings_unref(&view->settings);
	mem_free(&view);
}

void worker_view_unref(struct worker_view **view_p)
{
	struct worker_view *view = *view_p;

	*view_p = NULL;
	if (view == NULL || --view->refs > 0)
		return;
	list_remove(&view->node);
	passdb_free(&view->passdb);
	loop_post(view->set->control, view_release, view);
}

/* --- descriptors --- */

void worker_set_reserve(struct worker_set *set)
{
	int lowest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	struct rlimit limit;

	set->max_client_fd = INT_MAX;
	if (lowest < 0)
		return;
	set->min_client_fd = lowest;
	close(lowest);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur > (rlim_t)lowest && limit.rlim_cur < INT_MAX)
		set->max_client_fd =
			lowest + ((int)limit.rlim_cur - lowest) / 2;
}

unsigned long worker_set_room(const struct worker_set *set)
{
	unsigned long wanted = atomic_load(&set->max_sessions);
	unsigned long fds = (unsigned long)(set->max_client_fd -
					    set->min_client_fd) + 1;

	return wanted < fds ? wanted : fds;
}

/* --- in the worker's thread --- */

static void worker_say_if_drained(struct worker *worker)
{
	if (!worker->stopping || worker->drained ||
	    !list_empty(&worker->sessions))
		return;
	worker->drained = true;
	loop_post(worker->set->control, worker->set->drained,
		  worker->set->arg);
}

void worker_session_ended(struct worker *worker)
{
	atomic_fetch_sub(&worker->session_count, 1);
	worker_say_if_drained(worker);
}

void worker_refuse(struct worker *worker, int fd, unsigned flags,
		   const char *why)
{
	char text[512];
	int len = snprintf(text, sizeof(text), "421 4.3.2 %.255s %s\r\n",
			   worker->view->settings->lmtp.hostname, why);

	worker->stats.refused++;
	/* Best effort: a fresh socket has room for it. */
	if ((flags & LISTENER_TLS) == 0 &&
	    send(fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) == len)
		shutdown(fd, SHUT_WR);
	close(fd);
}

void worker_take(struct worker *worker, int fd, const struct addr *local,
		 const struct addr *remote, unsigned flags)
{
	ASSERT(!worker->stopping);
	if (worker->draining) {
		worker_refuse(worker, fd, flags, "Shutting down");
		atomic_fetch_sub(&worker->session_count, 1);
		return;
	}
	session_start(worker, fd, local, remote, flags);
}

static void worker_do_view(void *arg)
{
	struct worker_call *call = arg;
	struct worker *worker = call->worker;
	const struct settings *settings = call->view->settings;
	struct err err;

	if (dns_set(worker->dns, settings->dns_servers, settings->dns_timeout,
		    &err) < 0)
		log_error(NULL, "%s", err.text);
	worker_view_unref(&worker->view);
	worker_use_view(worker, call->view);
	local_queue_renew(worker->deliveries, settings->local.enabled);
	mem_free(&call);
}

static void worker_do_director(void *arg)
{
	struct worker_call *call = arg;

	director_unref(&call->worker->director);
	call->worker->director = call->director;
	settle_view_changed(call->worker);
	mem_free(&call);
}

static void worker_do_listen(void *arg)
{
	struct worker_call *call = arg;

	acceptor_open(call->worker, call->name, call->fd, call->flags);
	mem_free(&call);
}

static void worker_do_unlisten(void *arg)
{
	struct worker_call *call = arg;

	acceptor_close_named(call->worker, call->name);
	mem_free(&call);
}

static void worker_do_close(void *arg)
{
	struct worker *worker = arg;

	acceptor_close_all(worker);
	loop_post(worker->set->control, worker->set->closed, worker->set->arg);
}

static void worker_end_sessions(struct worker *worker,
				void (*end)(struct session *session))
{
	struct list *node, *tmp;

	worker->stopping = true;
	list_each(&worker->sessions, node, tmp)
		end((struct session *)node);
	worker_say_if_drained(worker);
}

static void worker_do_stop(void *arg)
{
	worker_end_sessions(arg, session_stop);
}

static void worker_do_retire(void *arg)
{
	worker_end_sessions(arg, session_retire);
}

static void worker_do_abort(void *arg)
{
	struct worker *worker = arg;
	struct list *node, *tmp;

	list_each(&worker->sessions, node, tmp)
		session_abort((struct session *)node);
}

/* Here and not in worker_free(), so that what is freed at the end of a pass
 * still has one. */
static void worker_do_end(void *arg)
{
	struct worker *worker = arg;

	acceptor_close_all(worker);
	remote_pool_free(&worker->pool);
	local_queue_free(&worker->deliveries);
	worker_view_unref(&worker->view);
	director_unref(&worker->director);
	dns_free(&worker->dns);
	loop_stop(worker->loop);
}

/* A thread that nobody can cancel. What it would be like if they could: at any
 * time, so that libc does not make it so and take it back, with two locked
 * operations, around each call that waits. */
static void worker_refuse_cancel(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
}

/* Where waypost shares a CPU with those it talks to, one that is sent something
 * finishes what it does before the worker reads the answer, and the worker finds
 * more to do at a time. A policy that somebody chose (sched(7)) stays. */
static void worker_let_others_finish(void)
{
	struct sched_param param;
	int policy;

	if (pthread_getschedparam(pthread_self(), &policy, &param) == 0 &&
	    policy == SCHED_OTHER)
		pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;
	char name[16];

	worker_refuse_cancel();
	worker_let_others_finish();
	snprintf(name, sizeof(name), "worker-%u", worker->index % 10000);
	pthread_setname_np(pthread_self(), name);
	loop_run(worker->loop);
	log_flush();
	return NULL;
}

/* --- control --- */

struct worker *worker_new(struct worker_set *set, unsigned index,
			  const struct worker_source *source, struct err *err)
{
	struct worker *worker = mem_new(struct worker);

	worker->loop = loop_new();
	loop_set_pass_hook(worker->loop, log_flush_lazily);
	worker->dns = dns_new(worker->loop, source->settings->dns_servers,
			      source->settings->dns_timeout, err);
	if (worker->dns == NULL) {
		loop_free(&worker->loop);
		mem_free(&worker);
		return NULL;
	}
	worker->set = set;
	worker->index = index;
	list_init(&worker->sessions);
	list_init(&worker->acceptors);
	list_init(&worker->views);
	list_init(&worker->barred);
	rawlog_rules_init(&worker->rawlog_rules);
	worker->pool = remote_pool_new(worker->loop, worker->dns, set->limits);
	worker->deliveries = local_queue_new(worker->loop, set->requests);
	worker_use_view(worker, view_new(worker, source));
	return worker;
}

/* Signals are for the main thread. */
int worker_start(struct worker *worker, struct err *err)
{
	sigset_t all, old;
	int status;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	status = pthread_create(&worker->thread, NULL, worker_thread, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (status != 0)
		return err_set(err, "cannot start a thread: %s",
			       strerror(status));
	worker->started = true;
	return 0;
}

static struct worker_call *call_new(struct worker *worker)
{
	struct worker_call *call = mem_new(struct worker_call);

	call->worker = worker;
	return call;
}

void worker_set_view(struct worker *worker, const struct worker_source *source)
{
	struct worker_call *call = call_new(worker);

	call->view = view_new(worker, source);
	loop_post(worker->loop, worker_do_view, call);
}

void worker_set_director(struct worker *worker, struct director *director)
{
	struct worker_call *call = call_new(worker);

	call->director = director != NULL ? director_ref(director) : NULL;
	loop_post(worker->loop, worker_do_director, call);
}

void worker_listen(struct worker *worker, uint32_t name, int fd,
		   unsigned flags)
{
	struct worker_call *call = call_new(worker);

	call->name = name;
	call->fd = fd;
	call->flags = flags;
	loop_post(worker->loop, worker_do_listen, call);
}

void worker_unlisten(struct worker *worker, uint32_t name)
{
	struct worker_call *call = call_new(worker);

	call->name = name;
	loop_post(worker->loop, worker_do_unlisten, call);
}

void worker_close_listeners(struct worker *worker)
{
	loop_post(worker->loop, worker_do_close, worker);
}

void worker_stop(struct worker *worker, bool retire)
{
	loop_post(worker->loop, retire ? worker_do_retire : worker_do_stop,
		  worker);
}

void worker_abort(struct worker *worker)
{
	loop_post(worker->loop, worker_do_abort, worker);
}

void worker_free(struct worker **worker_p)
{
	struct worker *worker = *worker_p;

	if (worker == NULL)
		return;
	loop_post(worker->loop, worker_do_end, worker);
	if (worker->started)
		pthread_join(worker->thread, NULL);
	else
		loop_run(worker->loop);
	rawlog_rules_free(&worker->rawlog_rules);
	loop_free(&worker->loop);
	mem_free(worker_p);
}
