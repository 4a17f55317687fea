#include "passdb/ldap/pool.h"

#include <string.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "passdb/ldap/link.h"

#define MAX_ATTEMPTS 3
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
#define IDLE_MS 60000 /* then a firewall may have forgotten it */
#define GROW_AT 8 /* outstanding searches make one more connection worth it */

enum server_state {
	SERVER_UP,    /* as far as is known */
	SERVER_DOWN,  /* to be tried at retry_us */
	SERVER_TRIED, /* again, now */
};

struct pool_server {
	const struct ldap_server *server;
	struct tls_peer *peer;
	enum server_state state;
	uint64_t retry_us;
	uint64_t failing_us; /* since when nothing was answered; 0: it is fine */
	unsigned backoff_ms;
	char *error; /* the last failure; NULL: none since it was fine */
};

struct pool_link {
	struct list node;
	struct ldap_pool *pool;
	struct pool_server *server;
	struct ldap_link *link;
	bool suspect; /* what was sent last is_suspect() */
};

struct ldap_pool {
	struct passdb_env env;
	struct ldap_pool_params params;
	struct pool_server *servers;
	unsigned server_count;
	struct list links;
	struct list waiting; /* searches without a connection */
	struct list failed;  /* searches that nobody could answer */
	struct loop_task task;
	struct loop_timer timer;
};

static const struct ldap_link_events link_events;

static void pool_run_later(struct ldap_pool *pool)
{
	loop_defer(pool->env.loop, &pool->task);
}

/* --- servers --- */

static void server_failed(struct ldap_pool *pool, struct pool_server *server,
			  const char *why)
{
	uint64_t now = loop_now_us(pool->env.loop);

	/* Said once as long as it is the same. */
	if (server->error == NULL || strcmp(server->error, why) != 0)
		log_error(NULL, "passdb ldap: %s: %s", server->server->text,
			  why);
	mem_free(&server->error);
	server->error = mem_strdup(why);
	if (server->failing_us == 0)
		server->failing_us = now;
	server->backoff_ms = server->backoff_ms == 0 ? BACKOFF_MIN_MS :
			     server->backoff_ms * 2;
	if (server->backoff_ms > BACKOFF_MAX_MS)
		server->backoff_ms = BACKOFF_MAX_MS;
	server->state = SERVER_DOWN;
	server->retry_us = now + server->backoff_ms * UINT64_C(1000);
}

/* It has answered a search. */
static void server_is_fine(struct ldap_pool *pool, struct pool_server *server)
{
	if (server->failing_us == 0)
		return;
	log_info(NULL, "passdb ldap: %s: works again, after %.1f s",
		 server->server->text,
		 (double)(loop_now_us(pool->env.loop) - server->failing_us) /
			 1e6);
	if (server->state == SERVER_DOWN) /* another connection was lost */
		server->state = SERVER_UP;
	server->failing_us = 0;
	server->backoff_ms = 0;
	mem_free(&server->error);
}

/* Whether it is ready again, but has not answered a search since it failed. */
static bool is_on_trial(const struct pool_server *server)
{
	return server->state == SERVER_UP && server->failing_us != 0;
}

/* The one to ask: one that is on trial only if there is no other. NULL: none
 * works. */
static struct pool_server *first_up(const struct ldap_pool *pool)
{
	struct pool_server *best = NULL;
	unsigned i;

	for (i = 0; i < pool->server_count; i++) {
		struct pool_server *server = &pool->servers[i];

		if (server->state == SERVER_UP && server->failing_us == 0)
			return server;
		if (server->state == SERVER_UP && best == NULL)
			best = server;
	}
	return best;
}

/* Whether all servers have failed for longer than anybody should wait. */
static bool is_hopeless(const struct ldap_pool *pool)
{
	uint64_t now = loop_now_us(pool->env.loop);
	unsigned i;

	for (i = 0; i < pool->server_count; i++) {
		const struct pool_server *server = &pool->servers[i];

		if (server->state == SERVER_UP || server->failing_us == 0 ||
		    now - server->failing_us <
			    pool->params.patience_ms * UINT64_C(1000))
			return false;
	}
	return true;
}

/* --- connections --- */

static void link_open(struct ldap_pool *pool, struct pool_server *server)
{
	struct pool_link *link = mem_new(struct pool_link);
	const struct ldap_link_params params = {
		.server = server->server,
		.settings = pool->params.settings,
		.peer = server->peer,
		.silence_ms = pool->params.silence_ms,
		.events = &link_events,
		.owner = link,
	};

	link->pool = pool;
	link->server = server;
	link->link = ldap_link_open(&pool->env, &params);
	list_append(&pool->links, &link->node);
}

static void link_close(struct pool_link *link)
{
	list_remove(&link->node);
	ldap_link_close(&link->link);
	mem_free(&link);
}

static bool is_usable(const struct pool_link *link)
{
	return ldap_link_is_ready(link->link) &&
	       !ldap_link_is_worn(link->link) &&
	       !(link->suspect && ldap_link_outstanding(link->link) > 0);
}

/* The usable connection to server with the fewest searches; NULL: there is
 * none. */
static struct pool_link *least_busy(const struct ldap_pool *pool,
				    const struct pool_server *server)
{
	struct pool_link *best = NULL;
	struct list *node, *tmp;

	list_each(&pool->links, node, tmp) {
		struct pool_link *link =
			container_of(node, struct pool_link, node);

		if (link->server != server || !is_usable(link))
			continue;
		if (best == NULL || ldap_link_outstanding(link->link) <
				    ldap_link_outstanding(best->link))
			best = link;
	}
	return best;
}

/* How many connections to server there are, and whether one is not ready. */
static unsigned count_links(const struct ldap_pool *pool,
			    const struct pool_server *server, bool *coming_r)
{
	struct list *node, *tmp;
	unsigned count = 0;

	*coming_r = false;
	list_each(&pool->links, node, tmp) {
		struct pool_link *link =
			container_of(node, struct pool_link, node);

		if (link->server != server || ldap_link_is_worn(link->link))
			continue;
		count++;
		*coming_r |= !ldap_link_is_ready(link->link);
	}
	return count;
}

/* Whether server owes nothing. */
static bool is_idle(const struct ldap_pool *pool,
		    const struct pool_server *server)
{
	struct list *node, *tmp;

	list_each(&pool->links, node, tmp) {
		struct pool_link *link =
			container_of(node, struct pool_link, node);

		if (link->server == server &&
		    ldap_link_outstanding(link->link) > 0)
			return false;
	}
	return true;
}

/* Opens one more connection if that helps. */
static void pool_grow(struct ldap_pool *pool)
{
	struct pool_server *server = first_up(pool);
	struct pool_link *best;
	unsigned count;
	bool coming;

	if (server == NULL)
		return;
	count = count_links(pool, server, &coming);
	best = least_busy(pool, server);
	if (coming || count >= pool->params.settings->max_connections)
		return;
	if (best == NULL ? !list_empty(&pool->waiting) :
	    ldap_link_outstanding(best->link) >= GROW_AT)
		link_open(pool, server);
}

static bool is_spare(const struct ldap_pool *pool,
		     const struct pool_link *link)
{
	const struct pool_server *first = first_up(pool);
	uint64_t now = loop_now_us(pool->env.loop);

	if (!ldap_link_is_ready(link->link) ||
	    ldap_link_outstanding(link->link) > 0)
		return false;
	return (first != NULL && first < link->server) ||
	       ldap_link_is_worn(link->link) ||
	       now - ldap_link_used_us(link->link) >= IDLE_MS * UINT64_C(1000);
}

static void close_spare_links(struct ldap_pool *pool)
{
	struct list *node, *tmp;

	list_each(&pool->links, node, tmp) {
		struct pool_link *link =
			container_of(node, struct pool_link, node);

		if (is_spare(pool, link))
			link_close(link);
	}
}

/* --- searches --- */

/* The server belongs to what it said. */
static void set_text(struct ldap_search *search,
		     const struct pool_server *server, const char *text)
{
	search->text = arena_concat(search->arena, server->server->text, ": ",
				    text);
}

static void search_fail(struct ldap_pool *pool, struct ldap_search *search,
			const struct pool_server *server, const char *why)
{
	search->verdict = LDAP_VERDICT_FAILED;
	set_text(search, server, why);
	list_append(&pool->failed, &search->node);
	pool_run_later(pool);
}

/* To the front of those that wait: it has waited already. */
static void search_again(struct ldap_pool *pool, struct ldap_search *search)
{
	list_prepend(&pool->waiting, &search->node);
}

/* The same, unless it has failed too often. */
static void search_retry(struct ldap_pool *pool, struct ldap_search *search,
			  const struct pool_server *server, const char *why)
{
	if (++search->attempts >= MAX_ATTEMPTS)
		search_fail(pool, search, server, why);
	else
		search_again(pool, search);
}

/* It may be what servers die of. For its last attempt it gets a connection to
 * itself, or else it would take others down with it. */
static bool is_suspect(const struct ldap_search *search)
{
	return search->attempts == MAX_ATTEMPTS - 1;
}

static bool has_room(const struct pool_link *link,
		     const struct ldap_search *search)
{
	unsigned max = link->pool->params.settings->max_outstanding;

	return ldap_link_outstanding(link->link) <
	       (is_suspect(search) ? 1 : max);
}

/* A server on trial that is better than the one to ask: it gets one search at a
 * time, and none that has lost time already. NULL: there is none. */
static struct pool_link *trial_link(const struct ldap_pool *pool,
				    const struct ldap_search *search)
{
	const struct pool_server *server, *first = first_up(pool);
	struct pool_link *link;

	if (first == NULL || search->attempts > 0)
		return NULL;
	for (server = pool->servers; server < first; server++) {
		link = is_on_trial(server) ? least_busy(pool, server) : NULL;
		if (link != NULL && is_idle(pool, server))
			return link;
	}
	return NULL;
}

/* A connection for search; NULL: it has to wait. */
static struct pool_link *find_link(const struct ldap_pool *pool,
				   const struct ldap_search *search)
{
	const struct pool_server *server = first_up(pool);
	struct pool_link *link = trial_link(pool, search);

	if (link == NULL && server != NULL)
		link = least_busy(pool, server);
	return link != NULL && has_room(link, search) ? link : NULL;
}

static void send_waiting(struct ldap_pool *pool)
{
	struct ldap_search *search;
	struct pool_link *link;
	struct err err;

	while (!list_empty(&pool->waiting)) {
		search = list_first(&pool->waiting, struct ldap_search, node);
		link = find_link(pool, search);
		if (link == NULL)
			break;
		list_remove(&search->node);
		link->suspect = is_suspect(search);
		if (ldap_link_send(link->link, search, &err) < 0)
			search_fail(pool, search, link->server, err.text);
	}
}

static void fail_waiting(struct ldap_pool *pool)
{
	struct ldap_search *search;

	while (!list_empty(&pool->waiting)) {
		search = list_first(&pool->waiting, struct ldap_search, node);
		list_remove(&search->node);
		search_fail(pool, search, pool->servers,
			    pool->servers[0].error);
	}
}

static void report_failed(struct ldap_pool *pool)
{
	struct ldap_search *search;

	while (!list_empty(&pool->failed)) {
		search = list_first(&pool->failed, struct ldap_search, node);
		list_remove(&search->node);
		search->done(search);
	}
}

/* --- running --- */

/* Sets the timer for what is due next: a server to be tried, a connection that
 * is idle for too long. */
static void arm_timer(struct ldap_pool *pool)
{
	uint64_t now = loop_now_us(pool->env.loop), due = UINT64_MAX;
	unsigned i;

	for (i = 0; i < pool->server_count; i++) {
		if (pool->servers[i].state == SERVER_DOWN &&
		    pool->servers[i].retry_us < due)
			due = pool->servers[i].retry_us;
	}
	if (due == UINT64_MAX && !list_empty(&pool->links))
		due = now + IDLE_MS * UINT64_C(1000);
	if (due == UINT64_MAX)
		loop_timer_clear(&pool->timer);
	else if (pool->timer.due_us == 0 || due < pool->timer.due_us)
		loop_timer_set(&pool->timer,
			       due > now ? (due - now + 999) / 1000 : 0);
}

/* Whether it is time to try server again: also one on trial whose connection
 * ended in peace, if it is better than the one to ask. */
static bool is_due(const struct ldap_pool *pool,
		   const struct pool_server *server)
{
	bool coming;

	if (server->state == SERVER_DOWN)
		return server->retry_us <= loop_now_us(pool->env.loop);
	return is_on_trial(server) && server < first_up(pool) &&
	       count_links(pool, server, &coming) == 0;
}

/* Those whose time has come: by a new connection, unless one is there all the
 * same (another one was lost, or the server was busy). */
static void try_servers(struct ldap_pool *pool)
{
	unsigned i;

	for (i = 0; i < pool->server_count; i++) {
		struct pool_server *server = &pool->servers[i];

		if (!is_due(pool, server))
			continue;
		if (least_busy(pool, server) != NULL) {
			server->state = SERVER_UP;
			continue;
		}
		server->state = SERVER_TRIED;
		link_open(pool, server);
	}
}

static void pool_run(struct loop_task *task)
{
	struct ldap_pool *pool = container_of(task, struct ldap_pool, task);

	try_servers(pool);
	send_waiting(pool);
	pool_grow(pool);
	close_spare_links(pool);
	if (is_hopeless(pool))
		fail_waiting(pool);
	report_failed(pool);
	arm_timer(pool);
}

static void pool_timer(struct loop_timer *timer)
{
	pool_run_later(container_of(timer, struct ldap_pool, timer));
}

/* --- events of a connection --- */

static void link_ready(void *owner, struct ldap_link *unused)
{
	struct pool_link *link = owner;

	(void)unused;
	link->server->state = SERVER_UP;
	pool_run_later(link->pool);
}

/* The end of a connection that owes nothing is no failure: servers close those
 * that are idle, and when they restart. But who is let in, to be thrown out
 * again at once, must not come back at once. */
static bool is_quiet_end(const struct pool_link *link)
{
	if (ldap_link_was_stale(link->link))
		return true;
	return ldap_link_is_ready(link->link) &&
	       ldap_link_outstanding(link->link) == 0 &&
	       (ldap_link_has_answered(link->link) ||
		(!is_on_trial(link->server) &&
		 list_empty(&link->pool->waiting)));
}

static void link_lost(void *owner, struct ldap_link *unused, const char *why)
{
	struct pool_link *link = owner;
	struct ldap_pool *pool = link->pool;
	struct ldap_search *search;
	bool quiet = is_quiet_end(link);

	(void)unused;
	while ((search = ldap_link_take(link->link)) != NULL) {
		if (quiet)
			search_again(pool, search);
		else
			search_retry(pool, search, link->server, why);
	}
	if (!quiet)
		server_failed(pool, link->server, why);
	link_close(link);
	pool_run_later(pool);
}

static void link_answered(void *owner, struct ldap_link *unused,
			  struct ldap_search *search)
{
	struct pool_link *link = owner;

	(void)unused;
	if (search->verdict == LDAP_VERDICT_BUSY) {
		server_failed(link->pool, link->server, search->text);
		search_retry(link->pool, search, link->server, search->text);
	} else {
		server_is_fine(link->pool, link->server);
		search->server = link->server->server->text;
		if (search->verdict != LDAP_VERDICT_OK)
			set_text(search, link->server, search->text);
		search->done(search);
	}
	pool_run_later(link->pool);
}

static const struct ldap_link_events link_events = {
	.ready = link_ready,
	.lost = link_lost,
	.answered = link_answered,
};

/* --- the pool --- */

struct ldap_pool *ldap_pool_new(const struct passdb_env *env,
				const struct ldap_pool_params *params)
{
	struct ldap_pool *pool = mem_new(struct ldap_pool);
	struct err err;
	unsigned i;

	pool->env = *env;
	pool->params = *params;
	pool->server_count = params->servers->count;
	pool->servers = mem_alloc(pool->server_count * sizeof(*pool->servers));
	for (i = 0; i < pool->server_count; i++) {
		struct pool_server *server = &pool->servers[i];

		server->server = &params->servers->list[i];
		if (!server->server->tls && !params->settings->tls)
			continue;
		server->peer = ldap_server_peer(server->server,
						params->settings, params->tls,
						&err);
		ASSERT(server->peer != NULL); /* as when it was opened */
	}
	list_init(&pool->links);
	list_init(&pool->waiting);
	list_init(&pool->failed);
	pool->task.fn = pool_run;
	loop_timer_open(&pool->timer, env->loop, pool_timer);
	return pool;
}

void ldap_pool_free(struct ldap_pool **pool_p)
{
	struct ldap_pool *pool = *pool_p;
	struct list *node, *tmp;
	unsigned i;

	if (pool == NULL)
		return;
	list_each(&pool->links, node, tmp)
		link_close(container_of(node, struct pool_link, node));
	ASSERT(list_empty(&pool->waiting) && list_empty(&pool->failed));
	loop_task_cancel(&pool->task);
	loop_timer_close(&pool->timer);
	for (i = 0; i < pool->server_count; i++) {
		tls_peer_unref(&pool->servers[i].peer);
		mem_free(&pool->servers[i].error);
	}
	mem_free(&pool->servers);
	mem_free(pool_p);
}

void ldap_pool_search(struct ldap_pool *pool, struct ldap_search *search)
{
	search->attempts = 0;
	search->link = NULL;
	list_append(&pool->waiting, &search->node);
	pool_run_later(pool);
}

unsigned ldap_pool_waiting(const struct ldap_pool *pool)
{
	struct list *node, *tmp;
	unsigned count = 0;

	list_each(&pool->waiting, node, tmp)
		count++;
	return count;
}

void ldap_pool_cancel(struct ldap_pool *pool, struct ldap_search *search)
{
	if (search->link != NULL)
		ldap_link_forget(search->link, search);
	else
		list_remove(&search->node);
	pool_run_later(pool);
}
