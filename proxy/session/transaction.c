#include "proxy/session/transaction.h"

#include <time.h>

#include "backends/local/message.h"
#include "lib/mem.h"
#include "lib/tls/tls.h"
#include "proxy/rawlog_dir.h"
#include "proxy/session/private.h"
#include "proxy/session/received.h"
#include "proxy/session/recipient.h"
#include "proxy/session/recipient_local.h"
#include "proxy/session/transaction_log.h"
#include "proxy/session/xclient.h"

/* Backends do not start a message at the same moment: who is only late is not
 * taken for stuck when mail_temp_dir is full. */
#define SPOOL_PATIENCE_MS 1000

struct remote_link {
	struct list node;
	struct remote_transaction *remote;
	unsigned hops;
};

static void transaction_set_rawlog(struct transaction *trans)
{
	const struct session *session = trans->session;
	const char *text = session->set->lmtp_proxy_rawlog_dir;
	struct str dir = STR_INIT;
	struct err err;

	if (*text == '\0')
		return;
	if (rawlog_dir_expand(&dir, text, &session->client,
			      session->set->hostname, &err) < 0)
		log_error(&trans->log, "lmtp_proxy_rawlog_dir: %s", err.text);
	else
		trans->remote_settings.rawlog_dir =
			arena_strdup(trans->arena, str_c(&dir));
	trans->remote_settings.rawlog_counter = &session->worker->set->rawlogs;
	str_free(&dir);
}

static void transaction_fill_remote_settings(struct transaction *trans)
{
	const struct lmtp_settings *set = trans->session->set;
	struct remote_settings *remote = &trans->remote_settings;

	remote->hostname = set->hostname;
	remote->connect_timeout = set->lmtp_proxy_connect_timeout;
	remote->command_timeout = set->lmtp_proxy_command_timeout;
	remote->pool_max_age = set->lmtp_proxy_pool_max_age;
	remote->pool_max_idle = set->lmtp_proxy_pool_max_idle;
	remote->pool_max_connections = set->lmtp_proxy_pool_max_connections;
	remote->chunking = set->lmtp_proxy_chunking;
	remote->pool_wait_timeout = set->lmtp_proxy_pool_wait_timeout;
	transaction_set_rawlog(trans);
}

struct transaction *transaction_new(struct session *session,
				    struct arena *arena,
				    const struct smtp_address *from,
				    const struct smtp_mail_params *params)
{
	struct transaction *trans =
		arena_new_struct(arena, struct transaction);

	trans->session = session;
	trans->arena = arena;
	trans->start_us = loop_now_us(session->loop);
	session->trans_count++;
	session->worker->stats.transactions++;
	trans->id = session_id_part(arena, session->id, ":T",
				    session->trans_count);
	trans->log.text = trans->id;
	trans->from = *from;
	trans->params = *params;
	trans->envelope.mail_from = trans->from.raw;
	trans->envelope.params = &trans->params;
	trans->envelope.utf8 = trans->from.utf8;
	transaction_fill_remote_settings(trans);
	list_init(&trans->recipients);
	list_init(&trans->remotes);
	return trans;
}

static void transaction_drop_remotes(struct transaction *trans)
{
	struct list *node, *tmp;

	list_each(&trans->remotes, node, tmp) {
		struct remote_link *link =
			container_of(node, struct remote_link, node);

		list_remove(node);
		remote_transaction_free(&link->remote);
	}
}

static void transaction_drop_local(struct transaction *trans)
{
	if (trans->local != NULL)
		local_message_stop(trans->local);
}

void transaction_free(struct transaction **trans_p)
{
	struct transaction *trans = *trans_p;
	struct arena *arena;
	struct list *node, *tmp;

	*trans_p = NULL;
	if (trans == NULL)
		return;
	transaction_log(trans);
	list_each(&trans->recipients, node, tmp)
		recipient_stop(container_of(node, struct recipient, node));
	transaction_drop_remotes(trans);
	transaction_drop_local(trans);
	spool_free(&trans->spool);
	str_free(&trans->changed);
	arena = trans->arena;
	arena_free(&arena);
}

/* NULL: backends are told nothing of the client. */
static const struct smtp_xclient *
transaction_xclient(struct transaction *trans,
		    const struct remote_target *target, unsigned hops)
{
	const struct session *session = trans->session;
	uint32_t ttl = session_xclient_ttl(session);
	const char *id;

	if (!session->set->lmtp_proxy_xclient)
		return NULL;
	/* Dovecot numbers the first one, too. */
	id = ++trans->remote_count == 1
		     ? arena_concat(trans->arena, trans->id, ":P1", "")
		     : session_id_part(trans->arena, trans->id, ":P",
				       trans->remote_count);
	return session_xclient_tell(session, trans->arena, target, id,
				    ttl > hops ? ttl - hops : 0);
}

/* TTL is the connection's. Where the peer is told less of it than a recipient
 * has left, that one might be taken for looping and bounced; where it is told
 * more, a loop ends all the same: each proxy takes its one off. */
static bool link_takes(const struct remote_link *link,
		       const struct remote_target *target, unsigned hops)
{
	return remote_transaction_open(link->remote) &&
	       remote_target_equal(remote_transaction_target(link->remote),
				   target) &&
	       (link->hops <= hops ||
		!remote_transaction_tells_ttl(link->remote));
}

struct remote_transaction *
transaction_remote(struct transaction *trans,
		   const struct remote_target *target, unsigned hops)
{
	struct session *session = trans->session;
	struct remote_link *link;
	struct list *node, *tmp;

	list_each(&trans->remotes, node, tmp) {
		link = container_of(node, struct remote_link, node);
		if (link_takes(link, target, hops))
			return link->remote;
	}
	link = arena_new_struct(trans->arena, struct remote_link);
	link->hops = hops;
	link->remote = remote_transaction_new(
		session->worker->pool, &trans->remote_settings, target,
		&trans->envelope, transaction_xclient(trans, target, hops),
		&session->client.real_local, &trans->log);
	list_append(&trans->remotes, &link->node);
	return link->remote;
}

static void transaction_pass_data_ahead(struct transaction *trans)
{
	struct list *node, *tmp;

	if (!trans->data_ahead || trans->routing > 0)
		return;
	list_each(&trans->remotes, node, tmp)
		remote_transaction_data_ahead(
			container_of(node, struct remote_link, node)->remote);
}

void transaction_data_ahead(struct transaction *trans)
{
	/* Binary has to come with BDAT: DATA will be refused. */
	if (trans->params.body == SMTP_BODY_BINARYMIME)
		return;
	trans->data_ahead = true;
	transaction_pass_data_ahead(trans);
}

void transaction_recipient_routed(struct transaction *trans)
{
	trans->routing--;
	transaction_pass_data_ahead(trans);
}

/* --- the message --- */

/* NULL: there is none, or more than one. */
static const struct recipient *
transaction_only_recipient(const struct transaction *trans, bool local)
{
	const struct recipient *only = NULL;
	const struct list *node = trans->recipients.next;

	for (; node != &trans->recipients; node = node->next) {
		const struct recipient *rcpt =
			container_of(node, struct recipient, node);

		if (!rcpt->was_accepted || (local && rcpt->local == NULL))
			continue;
		if (only != NULL)
			return NULL;
		only = rcpt;
	}
	return only;
}

/* missing: what is shown of a recipient whose original address nobody says. */
static const char *transaction_show(const struct transaction *trans,
				    const struct recipient *rcpt,
				    const char *missing)
{
	const char *original = recipient_original(rcpt);

	switch (trans->session->set->lmtp_hdr_delivery_address) {
	case DELIVERY_NONE:
		return NULL;
	case DELIVERY_ORIGINAL:
		return original != NULL ? original : missing;
	default:
		return rcpt->address.raw;
	}
}

const char *transaction_local_address(const struct transaction *trans)
{
	const struct recipient *only = transaction_only_recipient(trans, true);

	return only != NULL ? transaction_show(trans, only, NULL) : NULL;
}

static const char *transaction_address(const struct transaction *trans)
{
	const struct recipient *only = transaction_only_recipient(trans, false);

	return only != NULL ? transaction_show(trans, only, only->address.raw)
			    : NULL;
}

static void transaction_add_received(struct transaction *trans)
{
	const struct session *session = trans->session;
	struct tls_info tls;
	struct received received = {
		.helo = session->helo,
		.remote = &session->client.remote,
		.tls = stream_tls_info(session->stream, &tls) ? &tls : NULL,
		.hostname = session->set->hostname,
		.id = trans->id,
		.mail_from = trans->from.raw,
		.rcpt = transaction_address(trans),
		.now = time(NULL),
	};
	struct str header = STR_INIT;

	str_reserve(&header, 400);
	received_write(&header, &received);
	spool_preface(trans->spool, header.data, header.len);
	str_free(&header);
}

static void transaction_spool_writable(void *owner)
{
	struct transaction *trans = owner;

	if (trans->state == TRANSACTION_BODY)
		session_resume(trans->session);
}

static void transaction_local_done(struct local_message *message)
{
	struct transaction *trans = message->owner;

	recipient_local_deliver(trans, message);
}

static void transaction_open_local(struct transaction *trans,
				   enum smtp_form form)
{
	const struct lmtp_settings *set = trans->session->set;

	if (!recipient_local_any(trans))
		return;
	trans->local = arena_new_struct(trans->arena, struct local_message);
	local_message_start(trans->local, trans->spool, form,
			    set->lmtp_spool_memory, set->mail_temp_dir,
			    transaction_local_done, trans);
}

static void transaction_open_body(struct transaction *trans, bool chunked)
{
	const struct lmtp_settings *set = trans->session->set;
	const struct spool_settings spool_settings = {
		.window = set->lmtp_spool_memory,
		.dir = set->mail_temp_dir,
		.patience_ms = SPOOL_PATIENCE_MS,
	};
	enum smtp_form form = chunked ? SMTP_FORM_OCTETS : SMTP_FORM_DOTS;
	struct list *node, *tmp;

	trans->state = TRANSACTION_BODY;
	trans->chunked = chunked;
	trans->spool = spool_new(trans->session->loop, &spool_settings,
				 transaction_spool_writable, trans);
	list_each(&trans->remotes, node, tmp)
		remote_transaction_data(
			container_of(node, struct remote_link, node)->remote,
			trans->spool, form);
	transaction_open_local(trans, form);
	if (set->lmtp_add_received_header)
		transaction_add_received(trans);
}

void transaction_start_body(struct transaction *trans)
{
	smtp_data_init(&trans->data,
		       (enum smtp_data_policy)
			       trans->session->set->lmtp_bare_newlines);
	transaction_open_body(trans, false);
}

static void transaction_start_chunks(struct transaction *trans)
{
	const struct lmtp_settings *set = trans->session->set;
	enum smtp_data_policy policy =
		(enum smtp_data_policy)set->lmtp_bare_newlines;

	/* Binary has no lines, and goes only to where that is known. */
	if (trans->params.body == SMTP_BODY_BINARYMIME)
		policy = SMTP_DATA_PASS;
	smtp_data_init_octets(&trans->data, policy);
	transaction_open_body(trans, true);
}

/* Nobody gets this message. What has seen no final dot will not deliver. */
static void transaction_refuse(struct transaction *trans,
			       enum reply_cause cause)
{
	struct list *node, *tmp;

	trans->discarding = true;
	trans->refusal = cause;
	transaction_drop_remotes(trans);
	transaction_drop_local(trans);
	list_each(&trans->recipients, node, tmp) {
		struct recipient *rcpt =
			container_of(node, struct recipient, node);

		rcpt->remote = NULL;
		recipient_fail(rcpt, cause);
	}
}

static void transaction_check_body(struct transaction *trans)
{
	uint64_t max = trans->session->set->lmtp_max_message_size;

	if (trans->discarding)
		return;
	if (max > 0 && trans->data.size > max)
		transaction_refuse(trans, REPLY_TOO_BIG);
	else if (trans->data.bad)
		transaction_refuse(trans, REPLY_BARE_NEWLINE);
}

/* Stores what the scan left: still at data (where the spool has the place for
 * it already, if in_place), or rewritten. */
static void transaction_store(struct transaction *trans, const char *data,
			      size_t keep, bool in_place)
{
	if (trans->discarding)
		str_clear(&trans->changed);
	if (trans->changed.len > 0) {
		spool_append(trans->spool, trans->changed.data,
			     trans->changed.len);
		str_clear(&trans->changed);
	} else if (trans->discarding) {
		return;
	} else if (in_place) {
		spool_commit(trans->spool, keep);
	} else {
		spool_append(trans->spool, data, keep);
	}
}

/* The last octets may have left something to be decided. */
static void transaction_finish_octets(struct transaction *trans)
{
	smtp_data_finish_octets(&trans->data, &trans->changed);
	transaction_check_body(trans);
	transaction_store(trans, NULL, 0, false);
}

static void transaction_count(const struct transaction *trans)
{
	struct worker_stats *stats = &trans->session->worker->stats;

	stats->messages++;
	stats->bytes += trans->data.size;
}

static void transaction_complete(struct transaction *trans)
{
	if (trans->chunked)
		transaction_finish_octets(trans);
	trans->state = TRANSACTION_FINAL;
	trans->body_us = loop_now_us(trans->session->loop);
	transaction_count(trans);
	if (!trans->discarding)
		spool_finish(trans->spool);
}

/* How many of len bytes belong to the message. */
static size_t transaction_limit(const struct transaction *trans, size_t len)
{
	return trans->chunked && len > trans->chunk_left
		       ? (size_t)trans->chunk_left
		       : len;
}

/* Like smtp_data_scan(), which never finds an end in chunks. */
static bool transaction_scan(struct transaction *trans, const char *data,
			     size_t len, size_t *used_r, size_t *keep_r)
{
	int ret = smtp_data_scan(&trans->data, data, len, used_r, keep_r,
				 &trans->changed);

	transaction_check_body(trans);
	if (!trans->chunked)
		return ret > 0;
	trans->chunk_left -= *used_r;
	return trans->chunk_left == 0;
}

static void transaction_part_done(struct transaction *trans)
{
	if (!trans->chunked || trans->chunk_last)
		transaction_complete(trans);
}

size_t transaction_take_body(struct transaction *trans, const char *data,
			     size_t len, bool *done_r)
{
	size_t used, keep;

	len = transaction_limit(trans, len);
	*done_r = transaction_scan(trans, data, len, &used, &keep);
	transaction_store(trans, data, keep, false);
	if (*done_r)
		transaction_part_done(trans);
	return used;
}

int transaction_read_body(struct transaction *trans, struct stream *stream,
			  struct str *rest, size_t *len_r)
{
	size_t room, used, keep;
	char *data = spool_reserve(trans->spool, &room);
	int ret;
	bool done;

	*len_r = 0;
	ret = stream_read(stream, data, transaction_limit(trans, room), len_r);
	if (ret <= 0)
		return ret;
	done = transaction_scan(trans, data, *len_r, &used, &keep);
	/* The place is the spool's again after the next call. */
	str_append(rest, data + used, *len_r - used);
	transaction_store(trans, data, keep, true);
	if (done)
		transaction_part_done(trans);
	else if (spool_full(trans->spool))
		stream_want_read(stream, false);
	return done ? 1 : 0;
}

bool transaction_start_chunk(struct transaction *trans, uint64_t size,
			     bool last)
{
	if (trans->spool == NULL)
		transaction_start_chunks(trans);
	trans->chunk_left = size;
	trans->chunk_last = last;
	trans->chunk_size = size;
	if (size == 0)
		transaction_part_done(trans);
	return size == 0;
}

void transaction_write_chunk_reply(const struct transaction *trans,
				   struct str *out)
{
	struct smtp_reply reply;

	if (trans->discarding) {
		reply_map_cause(trans->arena, trans->refusal, NULL, &reply);
		smtp_reply_write(out, &reply, NULL);
		return;
	}
	str_puts(out, "250 2.0.0 Added ");
	str_put_number(out, trans->chunk_size);
	str_puts(out, " octets\r\n");
}

void transaction_queue_outcomes(struct transaction *trans)
{
	struct list *node, *tmp;

	list_each(&trans->recipients, node, tmp) {
		struct recipient *rcpt =
			container_of(node, struct recipient, node);

		if (rcpt->was_accepted)
			list_append(&trans->session->slots, &rcpt->slot);
	}
}
