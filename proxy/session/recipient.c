#include "proxy/session/recipient.h"

#include <string.h>
#include <strings.h>

#include "backends/remote/stats.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "proxy/addressee.h"
#include "proxy/session/private.h"
#include "proxy/session/rawlog.h"
#include "proxy/session/recipient_local.h"
#include "proxy/session/redirect.h"
#include "proxy/session/settle.h"
#include "proxy/session/tls.h"
#include "proxy/session/transaction.h"
#include "proxy/session/xclient.h"
#include "proxy/user_limit.h"

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

/* How long each part of the way took. */
struct recipient_phases {
	uint64_t lookup_ms, connect_ms, rcpt_ms, data_ms;
};

static uint64_t between_ms(uint64_t from_us, uint64_t to_us)
{
	return from_us != 0 && to_us > from_us ? (to_us - from_us) / 1000 : 0;
}

static struct recipient_phases recipient_phases(const struct recipient *rcpt)
{
	uint64_t ready_us = 0, now_us = loop_now_us(rcpt->trans->session->loop);
	struct recipient_phases phases;

	if (rcpt->remote != NULL)
		ready_us = remote_transaction_ready_us(rcpt->remote);
	phases.lookup_ms = between_ms(rcpt->start_us, rcpt->lookup_us);
	phases.connect_ms = between_ms(rcpt->lookup_us, ready_us);
	if (ready_us < rcpt->lookup_us)
		ready_us = rcpt->lookup_us;
	phases.rcpt_ms = between_ms(ready_us, rcpt->rcpt_us);
	phases.data_ms = between_ms(rcpt->trans->body_us, now_us);
	return phases;
}

static uint64_t recipient_size(const struct recipient *rcpt)
{
	const struct spool *spool = rcpt->trans->spool;

	return spool != NULL ? spool_size(spool) : 0;
}

static void put_number(struct str *out, const char *key, uint64_t number)
{
	str_puts(out, key);
	str_put_number(out, number);
}

/* Ends what stands in out from start on: the first end there is the only one, whoever
 * wrote the text. */
static void put_end(struct str *out, size_t start, char end, char instead)
{
	char *at = out->data + start;

	while ((at = memchr(at, end, (size_t)(out->data + out->len - at))) !=
	       NULL)
		*at++ = instead;
	str_putc(out, end);
}

static void put_text(struct str *out, const char *key, const char *text,
		     char end, char instead)
{
	size_t start;

	str_puts(out, key);
	start = out->len;
	str_puts(out, text);
	put_end(out, start, end, instead);
}

static void put_reply(struct str *out, const char *key,
		      const struct smtp_reply *reply)
{
	size_t start;

	str_puts(out, key);
	start = out->len;
	smtp_reply_describe(out, reply);
	put_end(out, start, '"', '\'');
}

static const char *recipient_fate(const struct recipient *rcpt)
{
	return smtp_reply_is_success(&rcpt->reply) ? "sent" : "not sent";
}

static void recipient_describe(struct str *out, const struct recipient *rcpt)
{
	const struct recipient_phases phases = recipient_phases(rcpt);

	str_puts(out, recipient_fate(rcpt));
	put_text(out, " from=<", rcpt->trans->from.raw, '>', '?');
	put_text(out, " to=<", rcpt->address.raw, '>', '?');
	if (rcpt->route.address_changed)
		put_text(out, " as=<", rcpt->route.address, '>', '?');
	if (rcpt->remote != NULL) {
		str_puts(out, " at=");
		remote_target_write(out, &rcpt->route.target);
	} else if (rcpt->local != NULL) {
		str_puts(out, " at=here");
	}
	put_number(out, " size=", recipient_size(rcpt));
	put_number(out, " lookup=", phases.lookup_ms);
	put_number(out, " connect=", phases.connect_ms);
	put_number(out, " rcpt=", phases.rcpt_ms);
	put_number(out, " data=", phases.data_ms);
	put_reply(out, " reply=\"", &rcpt->reply);
	if (rcpt->said.code != 0)
		put_reply(out, " said=\"", &rcpt->said);
	if (rcpt->failure != NULL)
		put_text(out, " error=\"", rcpt->failure, '"', '\'');
}

static const char *recipient_result(const struct recipient *rcpt)
{
	if (smtp_reply_is_success(&rcpt->reply))
		return "sent";
	return rcpt->reply.code / 100 == 4 ? "deferred" : "refused";
}

static void recipient_put_target(const struct recipient *rcpt)
{
	const struct remote_target *target = &rcpt->route.target;

	log_field("host", target->host);
	log_field_number("port", target->port);
	log_field("protocol",
		  target->protocol == REMOTE_LMTP ? "lmtp" : "smtp");
	log_field_bool("tls", target->tls != REMOTE_TLS_NONE);
}

static void recipient_put_reply(const struct smtp_reply *reply)
{
	log_field_number("code", (uint64_t)reply->code);
	if (reply->enhanced.class != 0) {
		smtp_enhanced_write(log_begin_field("enhanced"),
				    &reply->enhanced);
		log_end_field();
	}
	log_field("reply", reply->text);
}

/* What recipient_describe() says, and more. */
static void recipient_put_fields(const struct recipient *rcpt)
{
	const struct recipient_phases phases = recipient_phases(rcpt);

	log_field("session", rcpt->trans->session->id);
	log_field("transaction", rcpt->trans->id);
	log_field("result", recipient_result(rcpt));
	log_field("from", rcpt->trans->from.raw);
	log_field("to", rcpt->address.raw);
	if (rcpt->route.address_changed)
		log_field("as", rcpt->route.address);
	log_field("passdb", rcpt->lookup.asked);
	if (rcpt->remote != NULL)
		recipient_put_target(rcpt);
	log_field_bool("local", rcpt->local != NULL);
	log_field_number("size", recipient_size(rcpt));
	log_field_number("lookup_ms", phases.lookup_ms);
	log_field_number("connect_ms", phases.connect_ms);
	log_field_number("rcpt_ms", phases.rcpt_ms);
	log_field_number("data_ms", phases.data_ms);
	recipient_put_reply(&rcpt->reply);
	if (rcpt->said.code != 0) {
		smtp_reply_describe(log_begin_field("said"), &rcpt->said);
		log_end_field();
	}
	log_field("error", rcpt->failure);
}

/* Failures at one backend are alike; so are those before there is one, if they
 * have the same reply. */
static uint64_t recipient_failure_kind(const struct recipient *rcpt)
{
	static const char kinds;
	const struct smtp_enhanced *enhanced = &rcpt->reply.enhanced;
	uint64_t kind = (uintptr_t)&kinds;

	if (rcpt->remote != NULL)
		return kind ^ remote_target_hash(&rcpt->route.target);
	return kind ^ (uint64_t)enhanced->subject << 48 ^
	       (uint64_t)enhanced->detail << 32;
}

/* The line that postmasters search for: who, where to, what came of it. Each
 * recipient has one; when too many fail alike, it is no error any more. */
static void recipient_log(const struct recipient *rcpt)
{
	bool ours = rcpt->reply.origin == SMTP_ORIGIN_LOCAL &&
		    rcpt->reply.code / 100 == 4;
	struct str *line = NULL;

	if (ours)
		line = log_begin_kind(LOG_LEVEL_ERROR, &rcpt->log,
				      recipient_failure_kind(rcpt));
	ours = line != NULL;
	if (line == NULL)
		line = log_begin(LOG_LEVEL_INFO, &rcpt->log);
	if (ours || !log_has_fields())
		recipient_describe(line, rcpt);
	else
		str_puts(line, recipient_fate(rcpt));
	if (log_begin_fields("recipient"))
		recipient_put_fields(rcpt);
	log_end();
}

/* When the backend could be asked, or was. */
static uint64_t recipient_asked_us(const struct recipient *rcpt)
{
	uint64_t ready_us = remote_transaction_ready_us(rcpt->remote);

	return ready_us > rcpt->lookup_us ? ready_us : rcpt->lookup_us;
}

/* The backend has answered, or (is_answer is false) will not. */
static void recipient_asked(struct recipient *rcpt, bool is_answer)
{
	rcpt->rcpt_us = loop_now_us(rcpt->trans->session->loop);
	if (is_answer)
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

static void recipient_leave(struct recipient *rcpt)
{
	user_limit_leave(rcpt->trans->session->worker->set->user_limit,
			 &rcpt->count);
}

void recipient_done(struct recipient *rcpt)
{
	ASSERT(rcpt->state != RECIPIENT_DONE); /* exactly one outcome */
	if (rcpt->state < RECIPIENT_RCPT)
		transaction_recipient_routed(rcpt->trans);
	rcpt->state = RECIPIENT_DONE;
	settle_end(rcpt);
	recipient_leave(rcpt);
	recipient_count(rcpt);
	recipient_log(rcpt);
	rcpt->reply_ready = true;
	session_reply_ready(rcpt->trans->session);
}

void recipient_refuse(struct recipient *rcpt, enum reply_cause cause,
		      const char *detail)
{
	reply_map_cause(rcpt->trans->arena, cause, detail, &rcpt->reply);
	recipient_done(rcpt);
}

void recipient_fail(struct recipient *rcpt, enum reply_cause cause)
{
	if (rcpt->state != RECIPIENT_DONE)
		recipient_refuse(rcpt, cause, NULL);
}

/* The peer's text. Where it names its own form of the recipient, ours is put:
 * the path is taken off the start of every line. */
static const char *reply_without_paths(struct arena *arena,
				       const struct smtp_reply *reply)
{
	char *text = arena_strdup(arena, reply->text);
	char *line = text, *out = text;

	if (strchr(text, '<') == NULL)
		return text;
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
	recipient_asked(rcpt, true);
	rcpt->reply_ready = true;
	session_reply_ready(rcpt->trans->session);
}

/* The client hears our id instead, as from Dovecot. */
static void recipient_sent(struct recipient *rcpt, const struct smtp_reply *reply)
{
	const struct smtp_enhanced none = { 0, 0, 0 };
	struct arena *arena = rcpt->trans->arena;

	smtp_reply_copy(arena, &rcpt->said, reply);
	recipient_relay(rcpt, reply, arena_concat(arena, rcpt->id, " Saved", ""), none);
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
		settle_failed(rcpt, failure);
		reply_map_failure(arena, failure, rcpt->id,
				  recipient_settings(rcpt)->lmtp_verbose_replies,
				  &rcpt->reply);
	} else if (smtp_reply_is_success(reply)) {
		recipient_sent(rcpt, reply);
	} else {
		recipient_relay(rcpt, reply, reply_without_paths(arena, reply),
				none);
	}
	if (rcpt->rcpt_us == 0)
		recipient_asked(rcpt, reply != NULL);
	recipient_done(rcpt);
}

/* --- routing --- */

/* The backend shall be able to learn which address the mail was for. Dovecot
 * takes ORCPT over LMTP although it does not offer it. */
static void recipient_keep_original(struct recipient *rcpt)
{
	if (rcpt->params.orcpt_addr == NULL) {
		rcpt->params.orcpt_type = rcpt->address.utf8 ? "utf-8" : "rfc822";
		rcpt->params.orcpt_addr = rcpt->address.raw;
	}
	rcpt->remote_rcpt.force_orcpt =
		rcpt->route.target.protocol == REMOTE_LMTP;
}

/* RFC 3461 4.2, RFC 6533 3: other kinds of addresses are none of mail's. */
const char *recipient_original(const struct recipient *rcpt)
{
	const char *type = rcpt->params.orcpt_type;

	return type != NULL && (strcasecmp(type, "rfc822") == 0 ||
				strcasecmp(type, "utf-8") == 0)
		       ? rcpt->params.orcpt_addr : NULL;
}

void recipient_connect(struct recipient *rcpt)
{
	const struct route *route = &rcpt->route;
	struct remote_rcpt *remote = &rcpt->remote_rcpt;

	if (addressee_goes_round(route, rcpt->lookup.client)) {
		recipient_refuse(rcpt, REPLY_LOOP, NULL);
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

void recipient_accept(struct recipient *rcpt)
{
	rcpt->reply = (struct smtp_reply){
		250, { 2, 1, 5 }, SMTP_ORIGIN_LOCAL, "OK",
	};
	rcpt->state = RECIPIENT_ACCEPTED;
	rcpt->rcpt_us = loop_now_us(rcpt->trans->session->loop);
	rcpt->reply_ready = true;
	transaction_recipient_routed(rcpt->trans);
	session_reply_ready(rcpt->trans->session);
}

static void recipient_resolved(void *arg, const struct dns_answer *answer)
{
	struct recipient *rcpt = arg;

	rcpt->resolve = NULL;
	if (addressee_is_here(&rcpt->route, rcpt->lookup.client, answer))
		recipient_local_start(rcpt, true);
	else
		recipient_connect(rcpt);
}

/* Whether the user has not too many recipients under way. */
static bool recipient_enter(struct recipient *rcpt)
{
	const struct session *session = rcpt->trans->session;
	const char *user = rcpt->lookup.result == PASSDB_OK
				   ? rcpt->lookup.username
				   : rcpt->lookup.user;
	unsigned max =
		session->view->settings->local.lmtp_user_concurrency_limit;

	if (max == 0)
		return true;
	rcpt->count = user_limit_enter(session->worker->set->user_limit,
				       user, max);
	return rcpt->count != NULL;
}

void recipient_follow(struct recipient *rcpt)
{
	if (rcpt->lookup.result != PASSDB_FAIL && !recipient_enter(rcpt)) {
		recipient_refuse(rcpt, REPLY_USER_BUSY, NULL);
		return;
	}
	switch (rcpt->route.kind) {
	case ROUTE_REFUSE:
		/* A userdb may know whom no passdb does. */
		if (rcpt->lookup.result == PASSDB_NOT_FOUND &&
		    rcpt->trans->session->view->settings->local.enabled) {
			recipient_local_start(rcpt, true);
			break;
		}
		recipient_refuse(rcpt, rcpt->route.cause, rcpt->route.reason);
		break;
	case ROUTE_LOCAL:
		recipient_local_start(rcpt, true);
		break;
	case ROUTE_REMOTE:
		if (session_xclient_looping(rcpt->trans->session)) {
			recipient_refuse(rcpt, REPLY_TTL, NULL);
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

void recipient_route(struct recipient *rcpt, const uint32_t *stay)
{
	struct session *session = rcpt->trans->session;
	const struct addressee_director director = {
		.director = session->worker->director,
		.stay = stay,
		.before = &rcpt->trans->routes,
	};
	struct err err;

	if (addressee_route(rcpt->trans->arena, &director, &rcpt->lookup,
			    &rcpt->address, rcpt->user_len, &rcpt->route,
			    &rcpt->params, &err) < 0)
		log_error(&rcpt->log, "user %s: passdb returned %s",
			  rcpt->lookup.username, err.text);
	else
		session_tls_set_target(session, &rcpt->route.target);
}

static void recipient_lookup_done(struct passdb_request *request)
{
	struct recipient *rcpt =
		container_of(request, struct recipient, lookup);

	rcpt->lookup_us = loop_now_us(rcpt->trans->session->loop);
	recipient_route(rcpt, NULL);
	settle_begin(rcpt);
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
	session_rawlog_rcpt(trans, rcpt->lookup.user);
	rcpt->lookup.client = &session->client;
	rcpt->lookup.log = &rcpt->log;
	rcpt->lookup.given = *given;
	rcpt->lookup.done = recipient_lookup_done;
	if (session->set->lmtp_proxy) {
		passdb_lookup(session->view->passdb, &rcpt->lookup);
	} else {
		rcpt->lookup.username = rcpt->lookup.user;
		if (recipient_enter(rcpt))
			recipient_local_start(rcpt, false);
		else
			recipient_refuse(rcpt, REPLY_USER_BUSY, NULL);
	}
}

/* A recipient that was lost before the client heard of its acceptance was
 * never accepted. */
void recipient_write_reply(struct recipient *rcpt, struct str *out)
{
	if (!rcpt->was_accepted && rcpt->state == RECIPIENT_ACCEPTED) {
		rcpt->was_accepted = true;
		rcpt->reply_ready = false;
		rcpt->trans->accepted++;
		smtp_reply_write(out, &rcpt->reply, NULL);
		return;
	}
	smtp_reply_write(out, &rcpt->reply, rcpt->address.raw);
}

void recipient_stop(struct recipient *rcpt)
{
	passdb_cancel(&rcpt->lookup);
	dns_cancel(&rcpt->resolve);
	recipient_local_stop(rcpt->local);
	settle_end(rcpt);
	recipient_leave(rcpt);
	list_remove(&rcpt->slot);
}
