/* The pool of LDAP connections on connections, a clock and a loop that do as
 * they are told: they stand in for lib/loop.c and passdb/ldap/link.c. Included
 * by one .c file per program. */
#ifndef LDAP_POOL_HELPER_H
#define LDAP_POOL_HELPER_H

#include "passdb/ldap/pool.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/ldap/link.h"

#define MAX_LINKS 64
#define MAX_SEARCHES 64

/* --- in place of lib/loop.c --- */

static struct list tasks;
static struct loop_timer *the_timer; /* the pool has one */
static uint64_t now_us;

void loop_defer(struct loop *loop, struct loop_task *task)
{
	(void)loop;
	if (!list_linked(&task->node))
		list_append(&tasks, &task->node);
}

void loop_task_cancel(struct loop_task *task)
{
	if (list_linked(&task->node))
		list_remove(&task->node);
}

uint64_t loop_now_us(struct loop *loop)
{
	(void)loop;
	return now_us;
}

void loop_timer_open(struct loop_timer *timer, struct loop *loop,
		     void (*fn)(struct loop_timer *timer))
{
	(void)loop;
	cr_assert_null(the_timer);
	timer->fn = fn;
	the_timer = timer;
}

void loop_timer_set(struct loop_timer *timer, uint64_t ms)
{
	timer->due_us = now_us + ms * 1000;
}

void loop_timer_clear(struct loop_timer *timer)
{
	timer->due_us = 0;
}

void loop_timer_close(struct loop_timer *timer)
{
	cr_assert_eq(timer, the_timer);
	the_timer = NULL;
}

static void run(void)
{
	while (!list_empty(&tasks)) {
		struct loop_task *task =
			list_first(&tasks, struct loop_task, node);

		list_remove(&task->node);
		task->fn(task);
	}
}

/* Lets time pass. */
static void pass(unsigned ms)
{
	uint64_t end = now_us + ms * UINT64_C(1000);

	while (the_timer->due_us != 0 && the_timer->due_us <= end) {
		now_us = the_timer->due_us > now_us ? the_timer->due_us :
						      now_us;
		the_timer->due_us = 0;
		the_timer->fn(the_timer);
		run();
	}
	now_us = end;
}

/* --- in place of passdb/ldap/link.c --- */

struct ldap_link {
	struct ldap_link_params params;
	bool ready, worn, answered, stale, closed, refuses;
	struct list searches;
	unsigned orphans;
	uint64_t used_us;
};

static struct ldap_link links[MAX_LINKS];
static unsigned link_count;

struct ldap_link *ldap_link_open(const struct passdb_env *env,
				 const struct ldap_link_params *params)
{
	struct ldap_link *link = &links[link_count++];

	(void)env;
	cr_assert_leq(link_count, MAX_LINKS);
	*link = (struct ldap_link){ .params = *params, .used_us = now_us };
	list_init(&link->searches);
	return link;
}

void ldap_link_close(struct ldap_link **link)
{
	cr_assert(list_empty(&(*link)->searches));
	(*link)->closed = true;
	*link = NULL;
}

bool ldap_link_is_ready(const struct ldap_link *link)
{
	cr_assert(!link->closed);
	return link->ready;
}

bool ldap_link_is_worn(const struct ldap_link *link)
{
	return link->worn;
}

bool ldap_link_has_answered(const struct ldap_link *link)
{
	return link->answered;
}

bool ldap_link_was_stale(const struct ldap_link *link)
{
	return link->stale;
}

uint64_t ldap_link_used_us(const struct ldap_link *link)
{
	return link->used_us;
}

static unsigned sent(const struct ldap_link *link)
{
	struct list *node, *tmp;
	unsigned count = 0;

	list_each(&link->searches, node, tmp)
		count++;
	return count;
}

unsigned ldap_link_outstanding(const struct ldap_link *link)
{
	return sent(link) + link->orphans;
}

int ldap_link_send(struct ldap_link *link, struct ldap_search *search,
		   struct err *err)
{
	cr_assert(link->ready && !link->closed);
	if (link->refuses)
		return err_set(err, "Bad search filter");
	search->link = link;
	list_append(&link->searches, &search->node);
	return 0;
}

struct ldap_search *ldap_link_take(struct ldap_link *link)
{
	struct ldap_search *search =
		list_first(&link->searches, struct ldap_search, node);

	if (search != NULL) {
		list_remove(&search->node);
		search->link = NULL;
	}
	return search;
}

void ldap_link_forget(struct ldap_link *link, struct ldap_search *search)
{
	list_remove(&search->node);
	search->link = NULL;
	link->orphans++;
}

struct tls_peer *ldap_server_peer(const struct ldap_server *server,
				  const struct ldap_settings *settings,
				  struct tls_context *context, struct err *err)
{
	(void)server;
	(void)settings;
	(void)context;
	PANIC("no TLS here: %p", (void *)err);
}

void tls_peer_unref(struct tls_peer **peer)
{
	cr_assert_null(*peer);
}

/* --- what happens --- */

static struct ldap_server server_list[] = {
	{ .text = "ldap://a", .host = "a" },
	{ .text = "ldap://b", .host = "b" },
};
static struct ldap_servers servers;
static struct ldap_settings settings;
static struct ldap_pool *pool;
static struct arena *arena;
static struct ldap_search searches[MAX_SEARCHES];
static unsigned search_count, done_count;

static void on_done(struct ldap_search *search)
{
	(void)search;
	done_count++;
}

static void open_pool(unsigned server_count)
{
	const struct passdb_env env = { NULL, NULL };
	const struct ldap_pool_params params = {
		.settings = &settings,
		.servers = &servers,
		.silence_ms = 5000,
		.patience_ms = 10000,
	};

	list_init(&tasks);
	now_us = 1000000;
	servers = (struct ldap_servers){ server_list, server_count };
	settings.max_connections = 2;
	settings.max_outstanding = 10;
	arena = arena_new(1024);
	pool = ldap_pool_new(&env, &params);
}

static void close_pool(void)
{
	unsigned i;

	ldap_pool_free(&pool);
	for (i = 0; i < link_count; i++)
		cr_expect(links[i].closed);
	cr_expect_null(the_timer);
	cr_expect(list_empty(&tasks));
	arena_free(&arena);
}

#endif
