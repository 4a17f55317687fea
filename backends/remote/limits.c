#include "backends/remote/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/list.h"
#include "lib/mem.h"
#include "lib/panic.h"

struct remote_limit {
	struct list node;
	struct remote_limits *limits;
	unsigned refs; /* guarded by the lock of limits */
	char *name;
	pthread_mutex_t lock; /* guards used and waiters */
	unsigned used;
	struct list waiters;
	atomic_uint waiting; /* length of waiters, read without the lock */
};

struct remote_limits {
	pthread_mutex_t lock; /* guards the lists */
	struct list list;
	struct list holders; /* struct remote_limit_holder */
};

struct remote_waiter {
	struct list node; /* linked: waiting; else a grant is on its way */
	struct remote_limit *limit;
	struct loop *loop;
	const void *kind;
	void (*granted)(void *owner);
	void *owner; /* NULL: cancelled after the grant */
};

struct remote_limits *remote_limits_new(void)
{
	struct remote_limits *limits = mem_new(struct remote_limits);

	pthread_mutex_init(&limits->lock, NULL);
	list_init(&limits->list);
	list_init(&limits->holders);
	return limits;
}

static void limit_free(struct remote_limit *limit)
{
	ASSERT(list_empty(&limit->waiters));
	list_remove(&limit->node);
	pthread_mutex_destroy(&limit->lock);
	mem_free(&limit->name);
	mem_free(&limit);
}

/* A grant to a loop that has stopped meanwhile still holds its limit. */
void remote_limits_free(struct remote_limits **limits)
{
	struct list *node, *tmp;

	if (*limits == NULL)
		return;
	ASSERT(list_empty(&(*limits)->holders));
	list_each(&(*limits)->list, node, tmp)
		limit_free(container_of(node, struct remote_limit, node));
	pthread_mutex_destroy(&(*limits)->lock);
	mem_free(limits);
}

void remote_limits_join(struct remote_limits *limits,
			struct remote_limit_holder *holder)
{
	pthread_mutex_lock(&limits->lock);
	list_append(&limits->holders, &holder->node);
	pthread_mutex_unlock(&limits->lock);
}

void remote_limits_leave(struct remote_limits *limits,
			 struct remote_limit_holder *holder)
{
	pthread_mutex_lock(&limits->lock);
	list_remove(&holder->node);
	pthread_mutex_unlock(&limits->lock);
}

static void limits_ask_holders(struct remote_limits *limits)
{
	struct list *node, *tmp;

	pthread_mutex_lock(&limits->lock);
	list_each(&limits->holders, node, tmp) {
		struct remote_limit_holder *holder =
			container_of(node, struct remote_limit_holder, node);

		loop_post(holder->loop, holder->wanted, holder->owner);
	}
	pthread_mutex_unlock(&limits->lock);
}

static struct remote_limit *limit_new(struct remote_limits *limits,
				      const char *name)
{
	struct remote_limit *limit = mem_new(struct remote_limit);

	limit->limits = limits;
	limit->name = mem_strdup(name);
	pthread_mutex_init(&limit->lock, NULL);
	list_init(&limit->waiters);
	return limit;
}

struct remote_limit *remote_limit_find(struct remote_limits *limits,
				       const char *name)
{
	struct remote_limit *limit, *found = NULL;
	struct list *node, *tmp;

	pthread_mutex_lock(&limits->lock);
	list_each(&limits->list, node, tmp) {
		limit = container_of(node, struct remote_limit, node);
		if (strcmp(limit->name, name) == 0)
			found = limit;
	}
	if (found == NULL) {
		found = limit_new(limits, name);
		list_append(&limits->list, &found->node);
	}
	found->refs++;
	pthread_mutex_unlock(&limits->lock);
	return found;
}

static void limit_ref(struct remote_limit *limit)
{
	pthread_mutex_lock(&limit->limits->lock);
	limit->refs++;
	pthread_mutex_unlock(&limit->limits->lock);
}

void remote_limit_unref(struct remote_limit **limit_p)
{
	struct remote_limit *limit = *limit_p;
	struct remote_limits *limits;

	*limit_p = NULL;
	if (limit == NULL)
		return;
	limits = limit->limits;
	pthread_mutex_lock(&limits->lock);
	if (--limit->refs == 0)
		limit_free(limit);
	pthread_mutex_unlock(&limits->lock);
}

bool remote_limit_take(struct remote_limit *limit, unsigned max)
{
	bool taken;

	pthread_mutex_lock(&limit->lock);
	taken = max == 0 ||
		(limit->used < max && list_empty(&limit->waiters));
	if (taken)
		limit->used++;
	pthread_mutex_unlock(&limit->lock);
	return taken;
}

/* It may outlive whoever cancelled it. */
static void waiter_free(struct remote_waiter *waiter)
{
	remote_limit_unref(&waiter->limit);
	mem_free(&waiter);
}

static void waiter_remove(struct remote_waiter *waiter)
{
	list_remove(&waiter->node);
	atomic_fetch_sub(&waiter->limit->waiting, 1);
}

/* Runs on the waiter's loop. */
static void waiter_granted(void *arg)
{
	struct remote_waiter *waiter = arg;

	if (waiter->owner != NULL)
		waiter->granted(waiter->owner);
	else
		remote_limit_release(waiter->limit);
	waiter_free(waiter);
}

/* The place goes straight to the first waiter, so that nobody overtakes it. */
void remote_limit_release(struct remote_limit *limit)
{
	struct remote_waiter *waiter;

	pthread_mutex_lock(&limit->lock);
	ASSERT(limit->used > 0);
	waiter = list_first(&limit->waiters, struct remote_waiter, node);
	if (waiter != NULL) {
		waiter_remove(waiter);
		loop_post(waiter->loop, waiter_granted, waiter);
	} else {
		limit->used--;
	}
	pthread_mutex_unlock(&limit->lock);
}

struct remote_waiter *remote_limit_wait(struct remote_limit *limit,
					struct loop *loop, const void *kind,
					void (*granted)(void *owner),
					void *owner)
{
	struct remote_waiter *waiter = mem_new(struct remote_waiter);
	bool first;

	limit_ref(limit);
	waiter->limit = limit;
	waiter->loop = loop;
	waiter->kind = kind;
	waiter->granted = granted;
	waiter->owner = owner;
	pthread_mutex_lock(&limit->lock);
	first = list_empty(&limit->waiters);
	list_append(&limit->waiters, &waiter->node);
	atomic_fetch_add(&limit->waiting, 1);
	pthread_mutex_unlock(&limit->lock);
	if (first)
		limits_ask_holders(limit->limits);
	return waiter;
}

void remote_limit_cancel(struct remote_waiter **waiter_p)
{
	struct remote_waiter *waiter = *waiter_p;
	bool queued;

	*waiter_p = NULL;
	if (waiter == NULL)
		return;
	waiter->owner = NULL;
	pthread_mutex_lock(&waiter->limit->lock);
	queued = list_linked(&waiter->node);
	if (queued)
		waiter_remove(waiter);
	pthread_mutex_unlock(&waiter->limit->lock);
	if (queued)
		waiter_free(waiter);
}

bool remote_limit_contended(const struct remote_limit *limit)
{
	return atomic_load_explicit(&limit->waiting, memory_order_relaxed) > 0;
}

void *remote_limit_pass_on(struct remote_limit *limit, const void *kind)
{
	struct remote_waiter *waiter;
	void *owner;

	pthread_mutex_lock(&limit->lock);
	waiter = list_first(&limit->waiters, struct remote_waiter, node);
	if (waiter != NULL && waiter->kind == kind)
		waiter_remove(waiter);
	else
		waiter = NULL;
	pthread_mutex_unlock(&limit->lock);
	if (waiter == NULL)
		return NULL;
	owner = waiter->owner;
	waiter_free(waiter);
	return owner;
}
