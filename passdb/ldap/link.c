#include "passdb/ldap/link.h"

#include <string.h>

#include "lib/connect.h"
#include "lib/mem.h"
#include "lib/stream.h"
#include "lib/tls/tls.h"
#include "passdb/ldap/conn.h"

#define CONNECT_STAGGER_MS 250 /* RFC 8305 5 */
#define READ_SIZE 16384
#define READS_PER_PASS 16
#define MAX_ID 1000000000 /* libldap counts on, beyond what an int holds */

enum link_state {
	STATE_RESOLVE,
	STATE_CONNECT,
	STATE_STARTTLS, /* asked for */
	STATE_TLS,	/* handshake */
	STATE_BIND,
	STATE_READY,
	STATE_CLOSED,
};

struct ldap_link {
	struct passdb_env env;
	struct ldap_link_params params;
	enum link_state state;
	struct dns_request *dns_request;
	struct connect_request *connect_request;
	struct stream *stream;
	struct ldap_conn *conn;
	int step_id; /* of the request that the state waits for */
	struct list searches;
	unsigned count;	  /* of them */
	unsigned orphans; /* requests whose search was forgotten */
	bool worn;
	bool answered; /* a search, ever */
	bool rested;   /* it has, but none since there was nothing to answer */
	bool ended;    /* by the server */
	uint64_t used_us;
	struct loop_timer timer;
	struct loop_task task; /* start, then release */
};

static void link_enter(struct ldap_link *link, enum link_state state);

static void link_lost(struct ldap_link *link, const char *why)
{
	if (link->state == STATE_CLOSED)
		return;
	loop_timer_clear(&link->timer);
	link->params.events->lost(link->params.owner, link, why);
}

static void link_timeout(struct loop_timer *timer)
{
	static const char *const texts[] = {
		[STATE_RESOLVE] = "timeout in DNS",
		[STATE_CONNECT] = "connect timed out",
		[STATE_STARTTLS] = "no answer to StartTLS",
		[STATE_TLS] = "timeout in the TLS handshake",
		[STATE_BIND] = "no answer to the bind",
		[STATE_READY] = "no answer to searches",
	};
	struct ldap_link *link = container_of(timer, struct ldap_link, timer);

	link_lost(link, texts[link->state]);
}

/* --- what the server says --- */

static struct ldap_search *find_search(const struct ldap_link *link, int id)
{
	struct list *node, *tmp;

	list_each(&link->searches, node, tmp) {
		struct ldap_search *search =
			container_of(node, struct ldap_search, node);

		if (search->id == id)
			return search;
	}
	return NULL;
}

static struct arena *on_wants(void *owner, int id)
{
	struct ldap_search *search = find_search(owner, id);

	return search != NULL && search->count < 2 ? search->arena : NULL;
}

static void on_entry(void *owner, int id, const struct ldap_entry *entry)
{
	struct ldap_search *search = find_search(owner, id);
	struct ldap_entry *copy = arena_new_struct(search->arena,
						   struct ldap_entry);

	*copy = *entry;
	search->entries[search->count++] = copy;
}

/* Rearms the timer: for as long as the server owes something. Only answers that
 * somebody waits for do that: what comes without end, or too late, is as bad as
 * nothing. */
static void watch_silence(struct ldap_link *link)
{
	if (link->state != STATE_READY)
		return; /* the timer is that of connecting */
	link->used_us = loop_now_us(link->env.loop);
	if (ldap_link_outstanding(link) > 0)
		loop_timer_set(&link->timer, link->params.silence_ms);
	else
		loop_timer_clear(&link->timer);
}

static void search_answered(struct ldap_link *link, struct ldap_search *search,
			    const struct ldap_outcome *outcome)
{
	search->verdict = outcome->verdict;
	search->text = arena_strdup(search->arena, outcome->text);
	search->matched = arena_strdup(search->arena, outcome->matched);
	list_remove(&search->node);
	search->link = NULL;
	link->count--;
	link->answered = true;
	link->rested = false;
	watch_silence(link);
	link->params.events->answered(link->params.owner, link, search);
}

/* The answer to StartTLS or to the bind. */
static void step_answered(struct ldap_link *link,
			  const struct ldap_outcome *outcome)
{
	struct str text = STR_INIT;

	link->step_id = 0;
	if (outcome->verdict != LDAP_VERDICT_OK) {
		str_printf(&text, "%s: %s", link->state == STATE_BIND ? "bind"
			   : "StartTLS", outcome->text);
		link_lost(link, str_c(&text));
		str_free(&text);
	} else if (link->state == STATE_BIND) {
		link_enter(link, STATE_READY);
	} else if (!ldap_conn_is_drained(link->conn)) {
		link_lost(link, "StartTLS: the server went on in clear");
	} else {
		link_enter(link, STATE_TLS);
	}
}

static void on_done(void *owner, int id, const struct ldap_outcome *outcome)
{
	struct ldap_link *link = owner;
	struct ldap_search *search = find_search(link, id);

	if (search != NULL) {
		search_answered(link, search, outcome);
	} else if (id == link->step_id) {
		step_answered(link, outcome);
	} else if (link->orphans > 0) {
		link->orphans--;
		if (ldap_link_outstanding(link) == 0)
			watch_silence(link);
	}
}

static const struct ldap_conn_events conn_events = {
	.wants = on_wants,
	.entry = on_entry,
	.done = on_done,
};

/* --- the stream --- */

static void stream_readable(struct stream *stream, void *owner)
{
	struct ldap_link *link = owner;
	char buf[READ_SIZE];
	struct err err;
	unsigned i;
	size_t len;
	int ret = 1;

	for (i = 0; i < READS_PER_PASS && ret > 0; i++) {
		ret = stream_read(stream, buf, sizeof(buf), &len);
		if (ret > 0 &&
		    ldap_conn_input(link->conn, buf, len, &err) < 0) {
			link_lost(link, err.text);
			return;
		}
		if (link->state == STATE_CLOSED)
			return;
	}
	if (ret < 0) {
		link->ended = true;
		link_lost(link, stream_error(stream));
	}
}

static void stream_writable(struct stream *stream, void *owner)
{
	(void)stream;
	(void)owner;
}

static void stream_broken(struct stream *stream, void *owner)
{
	struct ldap_link *link = owner;

	/* Otherwise the reason is behind what can still be read. */
	if (link->state == STATE_TLS)
		link_lost(link, stream_error(stream));
}

static void stream_secured(struct stream *stream, void *owner)
{
	(void)stream;
	link_enter(owner, STATE_BIND);
}

static const struct stream_handler stream_events = {
	.readable = stream_readable,
	.writable = stream_writable,
	.broken = stream_broken,
	.secured = stream_secured,
};

/* --- opening --- */

static void link_connected(void *arg, int fd, const struct addr *addr,
			   const char *error)
{
	struct ldap_link *link = arg;

	(void)addr;
	link->connect_request = NULL;
	if (fd < 0) {
		link_lost(link, error);
		return;
	}
	link->stream = stream_new(link->env.loop, fd, &stream_events, link);
	link->conn = ldap_conn_new(fd, stream_out(link->stream), &conn_events,
				   link);
	if (link->params.server->tls)
		link_enter(link, STATE_TLS);
	else if (link->params.peer != NULL)
		link_enter(link, STATE_STARTTLS);
	else
		link_enter(link, STATE_BIND);
}

static void link_connect(struct ldap_link *link, const struct addr *addrs,
			 unsigned count)
{
	const struct connect_params params = {
		.addrs = addrs,
		.count = count,
		.timeout_ms = link->params.settings->connect_timeout,
		.stagger_ms = CONNECT_STAGGER_MS,
	};

	link->state = STATE_CONNECT;
	link->connect_request = connect_start(link->env.loop, &params,
					      link_connected, link);
}

static void link_resolved(void *arg, const struct dns_answer *answer)
{
	struct ldap_link *link = arg;
	struct addr *addrs;
	unsigned i;

	link->dns_request = NULL;
	if (answer->count == 0) {
		link_lost(link, answer->error);
		return;
	}
	addrs = mem_alloc(answer->count * sizeof(*addrs));
	for (i = 0; i < answer->count; i++) {
		addrs[i] = answer->addrs[i];
		addr_set_port(&addrs[i], link->params.server->port);
	}
	link_connect(link, addrs, answer->count);
	mem_free(&addrs);
}

static void link_resolve(struct ldap_link *link)
{
	const struct ldap_server *server = link->params.server;

	if (server->addr.len > 0)
		link_connect(link, &server->addr, 1);
	else
		link->dns_request = dns_lookup(link->env.dns, server->host,
					       link_resolved, link);
}

/* id: of the request that was sent, or -1. */
static void link_sent_step(struct ldap_link *link, int id,
			   const struct err *err)
{
	link->step_id = id;
	if (id < 0)
		link_lost(link, err->text);
	else
		stream_flush_later(link->stream);
}

static void link_bind(struct ldap_link *link)
{
	const struct ldap_settings *settings = link->params.settings;
	struct err err;
	int id;

	if (settings->sasl_bind)
		id = ldap_conn_bind_external(link->conn,
					     settings->sasl_authz_id, &err);
	else
		id = ldap_conn_bind(link->conn, settings->dn,
				    settings->dnpass, &err);
	link_sent_step(link, id, &err);
}

static void link_start_tls(struct ldap_link *link)
{
	struct err err;

	link_sent_step(link, ldap_conn_start_tls(link->conn, &err), &err);
}

static void link_enter(struct ldap_link *link, enum link_state state)
{
	link->state = state;
	switch (state) {
	case STATE_RESOLVE:
		link_resolve(link);
		break;
	case STATE_STARTTLS:
		link_start_tls(link);
		break;
	case STATE_TLS:
		stream_start_tls(link->stream,
				 tls_connect(link->params.peer, NULL));
		break;
	case STATE_BIND:
		link_bind(link);
		break;
	case STATE_READY:
		watch_silence(link);
		link->params.events->ready(link->params.owner, link);
		break;
	case STATE_CONNECT:
	case STATE_CLOSED:
		break;
	}
}

static void link_start(struct loop_task *task)
{
	link_enter(container_of(task, struct ldap_link, task), STATE_RESOLVE);
}

struct ldap_link *ldap_link_open(const struct passdb_env *env,
				 const struct ldap_link_params *params)
{
	struct ldap_link *link = mem_new(struct ldap_link);

	link->env = *env;
	link->params = *params;
	if (params->peer != NULL)
		tls_peer_ref(params->peer);
	list_init(&link->searches);
	loop_timer_open(&link->timer, env->loop, link_timeout);
	loop_timer_set(&link->timer, params->settings->connect_timeout);
	link->task.fn = link_start;
	loop_defer(env->loop, &link->task);
	return link;
}

static void link_release(struct loop_task *task)
{
	struct ldap_link *link = container_of(task, struct ldap_link, task);

	ldap_conn_free(&link->conn);
	tls_peer_unref(&link->params.peer);
	mem_free(&link);
}

void ldap_link_close(struct ldap_link **link_p)
{
	struct ldap_link *link = *link_p;

	*link_p = NULL;
	if (link == NULL)
		return;
	ASSERT(list_empty(&link->searches));
	if (link->conn != NULL)
		ldap_conn_close(link->conn);
	link->state = STATE_CLOSED;
	dns_cancel(&link->dns_request);
	connect_cancel(&link->connect_request);
	stream_close(&link->stream);
	loop_timer_close(&link->timer);
	loop_task_cancel(&link->task);
	link->task.fn = link_release;
	loop_defer(link->env.loop, &link->task);
}

/* --- searches --- */

bool ldap_link_is_worn(const struct ldap_link *link)
{
	return link->worn;
}

bool ldap_link_is_ready(const struct ldap_link *link)
{
	return link->state == STATE_READY;
}

unsigned ldap_link_outstanding(const struct ldap_link *link)
{
	return link->count + link->orphans;
}

bool ldap_link_has_answered(const struct ldap_link *link)
{
	return link->answered;
}

bool ldap_link_was_stale(const struct ldap_link *link)
{
	return link->ended && link->rested;
}

uint64_t ldap_link_used_us(const struct ldap_link *link)
{
	return link->used_us;
}

int ldap_link_send(struct ldap_link *link, struct ldap_search *search,
		   struct err *err)
{
	bool idle = ldap_link_outstanding(link) == 0;
	int id = ldap_conn_search(link->conn, &search->params, err);

	if (id < 0)
		return -1;
	search->id = id;
	search->link = link;
	search->count = 0;
	link->worn = id >= MAX_ID;
	list_append(&link->searches, &search->node);
	link->count++;
	stream_flush_later(link->stream);
	/* Others under way have theirs running: what is sent does not show
	 * that anybody listens. */
	if (idle) {
		link->rested = link->answered;
		watch_silence(link);
	}
	return 0;
}

struct ldap_search *ldap_link_take(struct ldap_link *link)
{
	struct ldap_search *search =
		list_first(&link->searches, struct ldap_search, node);

	if (search == NULL)
		return NULL;
	list_remove(&search->node);
	search->link = NULL;
	link->count--;
	return search;
}

void ldap_link_forget(struct ldap_link *link, struct ldap_search *search)
{
	list_remove(&search->node);
	search->link = NULL;
	link->count--;
	link->orphans++;
}
