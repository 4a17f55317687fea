#include "proxy/recipient.h"

#include <string.h>

#include "backends/remote/stats.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "proxy/addressee.h"
#include "proxy/redirect.h"
#include "proxy/session_private.h"
#include "proxy/session_tls.h"
#include "proxy/session_xclient.h"
#include "proxy/transaction.h"

static void recipient_lookup_done(struct passdb_request *request);
static void recipient_accepted(struct remote_rcpt *remote,
			       const struct smtp_reply *reply);
static void recipient_final(struct remote_rcpt *remote,
			    const struct smtp_reply *reply,
			    const struct remote_failure *failure);

/* --- outcome --- */

static const struct lmtp_settings *
recipient_settings(const struct recipient *rcpt)
{
	return rcpt->trans->session->set;
}

static void put_ms(struct str *out, const char *key, uint64_t from_us,
		   uint64_t to_us)
{
	str_puts(out, key);
	str_put_number(out, from_us != 0 && to_us > from_us
				    ? (to_us - from_us) / 1000
				    : 0);
}

static void recipient_describe_phases(struct str *out,
				      const struct recipient *rcpt)
{
	uint64_t ready_us = 0, now_us = loop_now_us(rcpt->trans->session->loop);

	if (rcpt->remote != NULL)
		ready_us = remote_transaction_ready_us(rcpt->remote);
	put_ms(out, " lookup=", rcpt->start_us, rcpt->lookup_us);
	put_ms(out, " connect=", rcpt->lookup_us, ready_us);
	if (ready_us < rcpt->lookup_us)
		ready_us = rcpt->lookup_us;
	put_ms(out, " rcpt=", ready_us, rcpt->rcpt_us);
	put_ms(out, " data=", rcpt->trans->body_us, now_us);
}

static void put_path(struct str *out, const char *key, const char *path)
{
	str_puts(out, key);
	str_puts(out, path);
	str_putc(out, '>');
}

static void recipient_describe(struct str *out, const struct recipient *rcpt)
{
	const struct transaction *trans = rcpt->trans;

	str_puts(out, smtp_reply_is_success(&rcpt->reply) ? "sent"
							  : "not sent");
	put_path(out, " from=<", trans->from.raw);
	put_path(out, " to=<", rcpt->address.raw);
	if (rcpt->route.address_changed)
		put_path(out, " as=<", rcpt->route.address);
	if (rcpt->remote != NULL) {
		str_puts(out, " at=");
		remote_target_write(out, &rcpt->route.target);
	}
	str_puts(out, " size=");
	str_put_number(out, trans->spool != NULL ? spool_size(trans->spool)
						 : 0);
	recipient_describe_phases(out, rcpt);
	str_puts(out, " reply=\"");
	smtp_reply_describe(out, &rcpt->reply);
	str_putc(out, '"');
	if (rcpt->failure != NULL) {
		str_puts(out, " error=\"");
		str_puts(out, rcpt->failure);
		str_putc(out, '"');
	}
}

/* The line that postmasters search for: who, where to, what came of it. */
static void recipient_log(const struct recipient *rcpt)
{
	bool ours = rcpt->reply.origin == SMTP_ORIGIN_LOCAL &&
		    rcpt->reply.code / 100 == 4;
	struct str *line =
		log_begin(ours ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, &rcpt->log);

	recipient_describe(line, rcpt);
	log_end();
}

/* When the backend could be asked, or was. */
static uint64_t recipient_asked_us(const struct recipient *rcpt)
{
	uint64_t ready_us = remote_transaction_ready_us(rcpt->remote);

	return ready_us > rcpt->lookup_us ? ready_us : rcpt->lookup_us;
}

static void recipient_count_rcpt(const struct recipient *rcpt)
{
	histogram_add(&remote_transaction_stats(rcpt->remote)->rcpt,
		      rcpt->rcpt_us - recipient_asked_us(rcpt));
}

static void recipient_count(const struct recipient *rcpt)
{
	const struct session *session = rcpt->trans->session;
	uint64_t body_us = rcpt->trans->body_us;

	worker_stats_outcome(&session->worker->stats, &rcpt->reply);
	if (rcpt->remote != NULL && rcpt->was_accepted && body_us != 0)
		histogram_add(&remote_transaction_stats(rcpt->remote)->data,
			      loop_now_us(session->loop) - body_us);
}

/* The reply is in rcpt->reply. */
static void recipient_done(struct recipient *rcpt)
{
	ASSERT(rcpt->state != RECIPIENT_DONE); /* exactly one outcome */
	if (rcpt->state < RECIPIENT_RCPT)
		transaction_recipient_routed(rcpt->trans);
	rcpt->state = RECIPIENT_DONE;
	recipient_count(rcpt);
	recipient_log(rcpt);
	rcpt->reply_ready = true;
	session_reply_ready(rcpt->trans->session);
}

static void recipient_done_with(struct recipient *rcpt, enum reply_cause cause,
				const char *detail)
{
	reply_map_cause(rcpt->trans->arena, cause, detail, &rcpt->reply);
	recipient_done(rcpt);
}

void recipient_fail(struct recipient *rcpt, enum reply_cause cause)
{
	if (rcpt->state != RECIPIENT_DONE)
		recipient_done_with(rcpt, cause, NULL);
}

/* The peer's text. Where it names its own form of the recipient, ours is put:
 * the path is taken off the start of every line. */
static const char *reply_without_paths(struct arena *arena,
				       const struct smtp_reply *reply)
{
	char *text = arena_strdup(arena, reply->text);
	char *line = text, *out = text;

	for (;;) {
		char *end = strchrnul(line, '\n');
		char *path = *line == '<' ? strstr(line, "> ") : NULL;
		size_t len;

		if (path != NULL && path < end)
			line = path + 2;
		len = (size_t)(end - line) + 1; /* with its end */
		memmove(out, line, len);
		if (out[len - 1] == '\0')
			return text;
		out += len;
		line = end + 1;
	}
}

/* The code is the peer's. */
static void recipient_relay(struct recipient *rcpt,
			    const struct smtp_reply *reply, const char *text,
			    struct smtp_enhanced missing)
{
	rcpt->reply = *reply;
	rcpt->reply.text = text;
	if (rcpt->reply.enhanced.class == 0) {
		rcpt->reply.enhanced = missing;
		rcpt->reply.enhanced.class =
			(unsigned char)(reply->code / 100);
	}
}

/* --- the backend's word --- */

static void recipient_accepted(struct remote_rcpt *remote,
			       const struct smtp_reply *reply)
{
	struct recipient *rcpt =
		container_of(remote, struct recipient, remote_rcpt);

	recipient_relay(rcpt, reply,
			reply_without_paths(rcpt->trans->arena, reply),
			(struct smtp_enhanced){ 2, 1, 0 });
	rcpt->state = RECIPIENT_ACCEPTED;
	rcpt->rcpt_us = loop_now_us(rcpt->trans->session->loop);
	recipient_count_rcpt(rcpt);
	rcpt->reply_ready = true;
	session_reply_ready(rcpt->trans->session);
}

static void recipient_final(struct remote_rcpt *remote,
			    const struct smtp_reply *reply,
			    const struct remote_failure *failure)
{
	struct recipient *rcpt =
		container_of(remote, struct recipient, remote_rcpt);
	struct transaction *trans = rcpt->trans;
	struct arena *arena = trans->arena;
	const struct smtp_enhanced none = { 0, 0, 0 };

	if (reply != NULL && redirect_take(rcpt, reply))
		return;
	if (reply == NULL) {
		rcpt->failure = arena_strdup(arena, failure->text);
		reply_map_failure(arena, failure, rcpt->id,
				  recipient_settings(rcpt)->lmtp_verbose_replies,
				  &rcpt->reply);
	} else if (smtp_reply_is_success(reply)) {
		recipient_relay(rcpt, reply,
				arena_concat(arena, rcpt->id, " Saved", ""),
				none);
	} else {
		recipient_relay(rcpt, reply, reply_without_paths(arena, reply),
				none);
	}
	if (rcpt->rcpt_us == 0)
		rcpt->rcpt_us = loop_now_us(trans->session->loop);
	recipient_done(rcpt);
}

/* --- routing --- */

/* The backend shall be able to learn which address the mail was for. Dovecot
 * takes ORCPT over LMTP although it does not offer it. */
static void recipient_keep_original(struct recipient *rcpt)
{
	if (rcpt->params.orcpt_addr == NULL) {
		rcpt->params.orcpt_type = "rfc822";
		rcpt->params.orcpt_addr = rcpt->address.raw;
	}
	rcpt->remote_rcpt.force_orcpt =
		rcpt->route.target.protocol == REMOTE_LMTP;
}

void recipient_connect(struct recipient *rcpt)
{
	const struct route *route = &rcpt->route;
	struct remote_rcpt *remote = &rcpt->remote_rcpt;

	if (addressee_goes_round(route, rcpt->lookup.client)) {
		recipient_done_with(rcpt, REPLY_LOOP, NULL);
		return;
	}
	rcpt->state = RECIPIENT_RCPT;
	remote->address = route->address;
	remote->utf8 = route->utf8;
	remote->params = &rcpt->params;
	remote->refuse_self = !route->address_changed;
	remote->data_timeout =
		route->timeout_ms > 0
			? route->timeout_ms
			: recipient_settings(rcpt)->lmtp_proxy_data_timeout;
	remote->accepted = recipient_accepted;
	remote->final = recipient_final;
	if (route->address_changed)
		recipient_keep_original(rcpt);
	rcpt->remote = transaction_remote(rcpt->trans, &route->target,
					  rcpt->hops);
	remote_transaction_rcpt(rcpt->remote, remote);
	transaction_recipient_routed(rcpt->trans);
}

static void recipient_local(struct recipient *rcpt)
{
	log_error(&rcpt->log, "user %s is not proxied, and local delivery is "
		  "not available: the passdb must return proxy and host",
		  rcpt->lookup.username);
	recipient_done_with(rcpt, REPLY_NO_LOCAL_DELIVERY, NULL);
}

static void recipient_resolved(void *arg, const struct dns_answer *answer)
{
	struct recipient *rcpt = arg;

	rcpt->resolve = NULL;
	if (addressee_is_here(&rcpt->route, rcpt->lookup.client, answer))
		recipient_local(rcpt);
	else
		recipient_connect(rcpt);
}

static void recipient_follow(struct recipient *rcpt)
{
	switch (rcpt->route.kind) {
	case ROUTE_REFUSE:
		recipient_done_with(rcpt, rcpt->route.cause,
				    rcpt->route.reason);
		break;
	case ROUTE_LOCAL:
		recipient_local(rcpt);
		break;
	case ROUTE_REMOTE:
		if (session_xclient_looping(rcpt->trans->session)) {
			recipient_done_with(rcpt, REPLY_TTL, NULL);
			break;
		}
		if (!rcpt->route.maybe_self) {
			recipient_connect(rcpt);
			break;
		}
		rcpt->state = RECIPIENT_RESOLVE;
		rcpt->resolve = dns_lookup(rcpt->trans->session->worker->dns,
					   rcpt->route.target.host,
					   recipient_resolved, rcpt);
		break;
	}
}

static void recipient_lookup_done(struct passdb_request *request)
{
	struct recipient *rcpt =
		container_of(request, struct recipient, lookup);
	struct session *session = rcpt->trans->session;
	struct err err;

	rcpt->lookup_us = loop_now_us(session->loop);
	if (addressee_route(rcpt->trans->arena, request, &rcpt->address,
			    rcpt->user_len, &rcpt->route, &rcpt->params,
			    &err) < 0)
		log_error(&rcpt->log, "user %s: passdb returned %s",
			  request->username, err.text);
	else
		session_tls_set_target(session, &rcpt->route.target);
	recipient_follow(rcpt);
}

/* --- start and end --- */

void recipient_start(struct transaction *trans,
		     const struct smtp_address *address,
		     const struct smtp_rcpt_params *params,
		     const struct passdb_fields *given)
{
	struct recipient *rcpt =
		arena_new_struct(trans->arena, struct recipient);
	struct session *session = trans->session;

	rcpt->trans = trans;
	rcpt->address = *address;
	rcpt->params = *params;
	rcpt->start_us = loop_now_us(session->loop);
	rcpt->id = session_id_part(trans->arena, trans->id, ":R",
				   trans->rcpt_count);
	rcpt->log.text = rcpt->id;
	list_append(&trans->recipients, &rcpt->node);
	list_append(&session->slots, &rcpt->slot);
	trans->routing++;
	rcpt->lookup.arena = trans->arena;
	rcpt->lookup.user = addressee_user(trans->arena, &rcpt->address,
					   session->set->recipient_delimiter,
					   &rcpt->user_len);
	rcpt->lookup.client = &session->client;
	rcpt->lookup.log = &rcpt->log;
	rcpt->lookup.given = *given;
	rcpt->lookup.done = recipient_lookup_done;
	passdb_lookup(session->view->passdb, &rcpt->lookup);
}

/* A recipient that was lost before the client heard of its acceptance was
 * never accepted. */
void recipient_write_reply(struct recipient *rcpt, struct str *out)
{
	const char *prefix;

	if (!rcpt->was_accepted && rcpt->state == RECIPIENT_ACCEPTED) {
		rcpt->was_accepted = true;
		rcpt->reply_ready = false;
		rcpt->trans->accepted++;
		smtp_reply_write(out, &rcpt->reply, NULL);
		return;
	}
	prefix = arena_concat(rcpt->trans->arena, "<", rcpt->address.raw, ">");
	smtp_reply_write(out, &rcpt->reply, prefix);
}

void recipient_stop(struct recipient *rcpt)
{
	passdb_cancel(&rcpt->lookup);
	dns_cancel(&rcpt->resolve);
	list_remove(&rcpt->slot);
}
