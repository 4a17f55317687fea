#include "backends/remote/pool.h"

#include "backends/remote/peer.h"
#include "lib/mem.h"
#include "lib/panic.h"

#define POOL_BUCKETS 256 /* a power of two */
#define RESET_TIMEOUT_MS 10000
/* How long a backend is remembered for the sake of TLS sessions that it gave. */
#define TLS_LINGER_MS (5 * 60 * 1000)
/* Idle connections of a peer that are kept for the clients that it was told of,
 * although another client needs a new one. */
#define STRANGERS_MAX 16

struct remote_pool {
	struct loop *loop;
	struct dns *dns;
	struct remote_limits *limits;
	struct remote_limit_holder holder;
	struct remote_stats_table stats;
	struct list peers[POOL_BUCKETS];
};

/* A connection without a transaction. */
struct idle {
	struct list node;
	struct remote_peer *peer;
	struct remote_connection *conn;
	unsigned replies; /* still to come before it can be used */
	uint64_t expires_us;
	unsigned max_idle;
};

static void pool_wanted(void *owner);

struct remote_pool *remote_pool_new(struct loop *loop, struct dns *dns,
				    struct remote_limits *limits)
{
	struct remote_pool *pool = mem_new(struct remote_pool);
	unsigned i;

	pool->loop = loop;
	pool->dns = dns;
	pool->limits = limits;
	for (i = 0; i < POOL_BUCKETS; i++)
		list_init(&pool->peers[i]);
	pool->holder = (struct remote_limit_holder){
		.loop = loop, .wanted = pool_wanted, .owner = pool
	};
	remote_limits_join(limits, &pool->holder);
	remote_stats_init(&pool->stats);
	return pool;
}

const struct remote_stats_table *
remote_pool_stats(const struct remote_pool *pool)
{
	return &pool->stats;
}

static struct list *pool_bucket(struct remote_pool *pool,
				const struct remote_target *target)
{
	return &pool->peers[remote_target_hash(target) & (POOL_BUCKETS - 1)];
}

static void peer_free(struct remote_peer *peer)
{
	char *host = (char *)peer->target.host;

	list_remove(&peer->node);
	loop_timer_close(&peer->linger);
	tls_peer_unref(&peer->tls);
	remote_limit_unref(&peer->limit);
	mem_free(&host);
	mem_free(&peer);
}

static void peer_lingered(struct loop_timer *timer)
{
	peer_free(container_of(timer, struct remote_peer, linger));
}

static struct remote_peer *peer_new(struct remote_pool *pool,
				    const struct remote_target *target)
{
	struct remote_peer *peer = mem_new(struct remote_peer);
	struct str name = STR_INIT;

	remote_target_write_key(&name, target);
	peer->pool = pool;
	peer->target = *target;
	peer->target.host = mem_strdup(target->host);
	peer->limit = remote_limit_find(pool->limits, str_c(&name));
	str_clear(&name);
	remote_target_write(&name, target);
	peer->stats = remote_stats_find(&pool->stats, str_c(&name));
	str_free(&name);
	list_init(&peer->idle);
	loop_timer_open(&peer->linger, pool->loop, peer_lingered);
	list_append(pool_bucket(pool, target), &peer->node);
	return peer;
}

struct remote_peer *remote_peer_get(struct remote_pool *pool,
				    const struct remote_target *target)
{
	struct list *bucket = pool_bucket(pool, target), *node, *tmp;
	struct remote_peer *peer, *found = NULL;

	list_each(bucket, node, tmp) {
		peer = container_of(node, struct remote_peer, node);
		if (remote_target_equal(&peer->target, target)) {
			found = peer;
			break;
		}
	}
	if (found == NULL)
		found = peer_new(pool, target);
	found->refs++;
	loop_timer_clear(&found->linger);
	return found;
}

void remote_peer_put(struct remote_peer **peer_p)
{
	struct remote_peer *peer = *peer_p;

	*peer_p = NULL;
	if (peer == NULL || --peer->refs > 0)
		return;
	if (peer->tls != NULL && tls_peer_has_sessions(peer->tls))
		loop_timer_set(&peer->linger, TLS_LINGER_MS);
	else
		peer_free(peer);
}

struct remote_connection *
remote_peer_connect(struct remote_peer *peer,
		    const struct remote_settings *settings,
		    const struct smtp_xclient *xclient,
		    const struct remote_connection_events *events, void *owner)
{
	peer->refs++;
	peer->stats->open++;
	return remote_connection_open(peer->pool->loop, peer->pool->dns,
				      &peer->target, settings, &peer->tls,
				      peer->stats, xclient, events, owner);
}

void remote_peer_replace(struct remote_peer *peer,
			 struct remote_connection **conn,
			 const struct remote_settings *settings,
			 const struct smtp_xclient *xclient,
			 const struct remote_connection_events *events,
			 void *owner)
{
	remote_connection_close(conn);
	*conn = remote_connection_open(peer->pool->loop, peer->pool->dns,
				       &peer->target, settings, &peer->tls,
				       peer->stats, xclient, events, owner);
}

void remote_peer_close(struct remote_peer *peer,
		       struct remote_connection **conn)
{
	if (*conn == NULL)
		return;
	peer->stats->open--;
	remote_connection_close(conn);
	remote_limit_release(peer->limit);
	remote_peer_put(&peer);
}

static struct remote_connection *idle_release(struct idle *idle)
{
	struct remote_connection *conn = idle->conn;

	idle->peer->stats->idle--;
	list_remove(&idle->node);
	mem_free(&idle);
	return conn;
}

static void idle_close(struct idle *idle)
{
	struct remote_peer *peer = idle->peer;
	struct remote_connection *conn = idle_release(idle);

	remote_peer_close(peer, &conn);
}

static void idle_quit(struct idle *idle)
{
	stream_puts(remote_connection_stream(idle->conn), "QUIT\r\n");
	idle_close(idle);
}

/* Also called when max_idle has passed, and when the peer closes. */
static void idle_lost(void *owner, const struct remote_failure *failure)
{
	struct idle *idle = owner;

	if (idle->replies == 0 && failure->error == REMOTE_ERROR_TIMEOUT)
		idle_quit(idle);
	else
		idle_close(idle);
}

/* Whoever has waited longest gets it. A waiter of another worker, or of another
 * TLS context, cannot use it, but its place. */
static void idle_offer(struct idle *idle)
{
	struct remote_peer *peer = idle->peer;
	struct remote_transaction *next;

	remote_connection_expect(idle->conn, idle->max_idle,
				 REMOTE_ERROR_TIMEOUT, "idle");
	if (idle->max_idle == 0 || !remote_connection_drained(idle->conn) ||
	    idle->expires_us <= loop_now_us(peer->pool->loop)) {
		idle_quit(idle);
		return;
	}
	if (!remote_limit_contended(peer->limit))
		return;
	next = remote_limit_pass_on(peer->limit, peer);
	if (next != NULL)
		remote_transaction_take(next, idle_release(idle));
	else if (remote_limit_contended(peer->limit))
		idle_quit(idle);
}

static void idle_reply(void *owner, const struct smtp_reply *reply)
{
	struct idle *idle = owner;

	/* Said without being asked: 421, or out of step. */
	if (idle->replies == 0 || reply->code == 421) {
		idle_close(idle);
		return;
	}
	if (--idle->replies > 0)
		return;
	if (smtp_reply_is_success(reply))
		idle_offer(idle);
	else
		idle_close(idle);
}

static void idle_nothing(void *owner)
{
	(void)owner;
}

static const struct remote_connection_events idle_events = {
	.ready = idle_nothing,
	.reply = idle_reply,
	.writable = idle_nothing,
	.lost = idle_lost,
};

/* It may keep others from a connection. */
static unsigned reset_timeout(const struct remote_settings *settings)
{
	unsigned command = settings->command_timeout;

	return command > 0 && command < RESET_TIMEOUT_MS ? command
							 : RESET_TIMEOUT_MS;
}

void remote_peer_give_back(struct remote_peer *peer,
			   struct remote_connection **conn, unsigned replies,
			   bool reset, const struct remote_settings *settings)
{
	struct idle *idle;

	if (!remote_connection_drained(*conn)) {
		remote_peer_close(peer, conn);
		return;
	}
	idle = mem_new(struct idle);
	idle->peer = peer;
	idle->conn = *conn;
	*conn = NULL;
	idle->replies = replies + (reset ? 1 : 0);
	idle->max_idle = settings->pool_max_idle;
	idle->expires_us = remote_connection_opened_us(idle->conn) +
			   settings->pool_max_age * UINT64_C(1000);
	list_prepend(&peer->idle, &idle->node);
	peer->stats->idle++;
	remote_connection_set_owner(idle->conn, &idle_events, idle);
	if (settings->rawlog_ends)
		stream_set_rawlog(remote_connection_stream(idle->conn), NULL);
	if (reset)
		stream_puts(remote_connection_stream(idle->conn), "RSET\r\n");
	if (idle->replies > 0)
		remote_connection_expect(idle->conn, reset_timeout(settings),
					 REMOTE_ERROR_TIMEOUT, "RSET");
	else
		idle_offer(idle);
}

struct loop *remote_peer_loop(const struct remote_peer *peer)
{
	return peer->pool->loop;
}

/* Only the reply to RSET is owed, and commands may be sent behind it, without
 * overtaking those who wait for a connection: with that reply it is theirs. */
static bool idle_can_follow_reset(const struct idle *idle)
{
	return idle->replies == 1 &&
	       !remote_limit_contended(idle->peer->limit) &&
	       remote_connection_capabilities(idle->conn)->flags &
		       SMTP_CAP_PIPELINING;
}

/* Behind XCLIENT, LHLO and the envelope follow at once where the peer is known
 * to take it again. SMTP servers may not want anything pipelined behind EHLO
 * (RFC 2920 3.1). */
static bool peer_renames_ahead(const struct remote_peer *peer,
			       const struct remote_connection *conn)
{
	return peer->renames.taken && peer->target.protocol == REMOTE_LMTP &&
	       remote_connection_capabilities(conn)->flags &
		       SMTP_CAP_PIPELINING;
}

int remote_peer_adopt(struct remote_peer *peer, struct remote_connection *conn,
		      const struct remote_settings *settings,
		      const struct smtp_xclient *xclient)
{
	bool ahead;

	switch (remote_connection_fit(conn, xclient, &peer->renames)) {
	case REMOTE_FIT_AS_IS:
		return 1;
	case REMOTE_FIT_RENAME:
		ahead = peer_renames_ahead(peer, conn);
		remote_connection_rename(conn, settings, xclient,
					 &peer->renames, ahead);
		return ahead ? 1 : 0;
	case REMOTE_FIT_NOT:
		break;
	}
	stream_puts(remote_connection_stream(conn), "QUIT\r\n");
	return -1;
}

/* Whether it could be used now; if it never can, it is gone. */
static bool idle_is_usable(struct idle *idle, uint64_t now_us)
{
	bool good = idle->expires_us > now_us &&
		    remote_connection_drained(idle->conn);

	if (!good && idle->replies == 0)
		idle_quit(idle);
	return good;
}

static struct idle *peer_find_idle(struct remote_peer *peer,
				   const struct smtp_xclient *xclient)
{
	uint64_t now_us = loop_now_us(peer->pool->loop);
	struct idle *resetting = NULL, *renamed = NULL;
	struct list *node, *tmp;

	list_each(&peer->idle, node, tmp) {
		struct idle *idle = container_of(node, struct idle, node);
		enum remote_fit fit;

		if (!idle_is_usable(idle, now_us))
			continue;
		fit = remote_connection_fit(idle->conn, xclient,
					    &peer->renames);
		if (idle->replies == 0 && fit == REMOTE_FIT_AS_IS)
			return idle;
		if (idle->replies == 0 && fit == REMOTE_FIT_RENAME &&
		    renamed == NULL)
			renamed = idle;
		else if (fit == REMOTE_FIT_AS_IS && idle_can_follow_reset(idle))
			resetting = idle;
	}
	return renamed != NULL ? renamed : resetting;
}

/* None was for this client: the one used least recently makes room for the one
 * that is opened now, lest there be one for each client of half a minute. */
static void peer_limit_strangers(struct remote_peer *peer)
{
	struct idle *last = list_last(&peer->idle, struct idle, node);
	struct list *node, *tmp;
	unsigned count = 0;

	list_each(&peer->idle, node, tmp)
		count++;
	if (count >= STRANGERS_MAX && last->replies == 0)
		idle_quit(last);
}

struct remote_connection *
remote_peer_take_idle(struct remote_peer *peer,
		      const struct smtp_xclient *xclient,
		      const struct remote_connection_events *events,
		      void *owner, bool *resetting_r)
{
	struct remote_connection *conn;
	struct idle *idle = peer_find_idle(peer, xclient);

	if (idle == NULL) {
		peer_limit_strangers(peer);
		return NULL;
	}
	*resetting_r = idle->replies > 0;
	conn = idle_release(idle);
	remote_connection_expect(conn, 0, REMOTE_ERROR_LOST, "");
	remote_connection_set_owner(conn, events, owner);
	return conn;
}

/* Idle connections whose places others wait for go. */
static void peer_make_room(struct remote_peer *peer)
{
	struct list *node, *tmp;

	if (list_empty(&peer->idle))
		return;
	peer->refs++;
	list_each(&peer->idle, node, tmp) {
		struct idle *idle = container_of(node, struct idle, node);

		if (!remote_limit_contended(peer->limit))
			break;
		if (idle->replies == 0)
			idle_quit(idle);
	}
	remote_peer_put(&peer);
}

static void pool_wanted(void *owner)
{
	struct remote_pool *pool = owner;
	struct list *node, *tmp;
	unsigned i;

	for (i = 0; i < POOL_BUCKETS; i++)
		list_each(&pool->peers[i], node, tmp)
			peer_make_room(container_of(node, struct remote_peer,
						    node));
}

static void peer_close_idle(struct remote_peer *peer)
{
	struct list *node, *tmp;

	peer->refs++;
	list_each(&peer->idle, node, tmp)
		idle_quit(container_of(node, struct idle, node));
	ASSERT(peer->refs == 1);
	peer_free(peer);
}

void remote_pool_free(struct remote_pool **pool_p)
{
	struct remote_pool *pool = *pool_p;
	struct list *node, *tmp;
	unsigned i;

	if (pool == NULL)
		return;
	remote_limits_leave(pool->limits, &pool->holder);
	for (i = 0; i < POOL_BUCKETS; i++)
		list_each(&pool->peers[i], node, tmp)
			peer_close_idle(container_of(node, struct remote_peer,
						     node));
	remote_stats_free(&pool->stats);
	mem_free(pool_p);
}
