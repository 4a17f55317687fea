#include "proxy/recipient_local.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backends/local/mail_head.h"
#include "backends/local/message.h"
#include "backends/local/queue.h"
#include "backends/local/time_limit.h"
#include "lib/clock.h"
#include "passdb/userdb.h"
#include "proxy/mail_user.h"
#include "proxy/recipient.h"
#include "proxy/session_private.h"
#include "proxy/transaction.h"

/* A process that takes its time is ended before we give up. */
#define ANSWER_GRACE_MS (TIME_LIMIT_GRACE_S * 1000 + 2000)

struct recipient_local {
	struct recipient *rcpt;
	struct userdb_request lookup;
	struct local_request request;
	struct local_delivery delivery;
	struct recipient *twin; /* whose mail it shares; NULL: none */
};

static const struct settings *settings_of(const struct recipient *rcpt)
{
	return rcpt->trans->session->view->settings;
}

/* --- what processes do --- */

/* Has a process do what the request says; done() may be called at once. */
static void hand_over(struct recipient *rcpt, enum local_request_kind kind,
		      int message,
		      void (*done)(struct local_delivery *delivery,
				   const struct local_result *result))
{
	unsigned timeout_ms = settings_of(rcpt)->local.lmtp_delivery_timeout;
	struct recipient_local *local = rcpt->local;
	struct local_request *request = &local->request;
	struct local_result result = { .status = LOCAL_FAILED };
	struct err err;

	request->kind = kind;
	request->deadline_ms = clock_now_ms() + timeout_ms;
	local->delivery.done = done;
	if (local_queue_add(rcpt->trans->session->worker->deliveries,
			    &local->delivery, request, message,
			    timeout_ms + ANSWER_GRACE_MS, &err) == 0)
		return;
	snprintf(result.text, sizeof(result.text), "%s", err.text);
	done(&local->delivery, &result);
}

static void finish(struct recipient *rcpt, const struct local_result *result)
{
	struct arena *arena = rcpt->trans->arena;

	if (result->text[0] != '\0')
		rcpt->failure = arena_strdup(arena, result->text);
	reply_map_local(arena, result, rcpt->id,
			settings_of(rcpt)->local.quota_full_tempfail,
			&rcpt->reply);
	recipient_done(rcpt);
}

/* --- RCPT --- */

static const char *detail_of(const struct recipient *rcpt)
{
	const char *detail = rcpt->address.localpart + rcpt->user_len;

	return detail[0] != '\0' ? detail + 1 : "";
}

/* The detail names a mailbox, if that is wanted. */
static const char *mailbox_of(const struct recipient *rcpt)
{
	const char *detail = detail_of(rcpt);

	if (!settings_of(rcpt)->local.lmtp_save_to_detail_mailbox ||
	    *detail == '\0')
		return "INBOX";
	return detail;
}

/* Is there room for a mail? */
static void checked(struct local_delivery *delivery,
		    const struct local_result *result)
{
	struct recipient_local *local =
		container_of(delivery, struct recipient_local, delivery);
	struct recipient *rcpt = local->rcpt;

	if (result->status != LOCAL_SAVED) {
		finish(rcpt, result);
		return;
	}
	if (result->text[0] != '\0')
		log_warning(&rcpt->log, "%s", result->text);
	recipient_accept(rcpt);
}

static void accept_user(struct recipient *rcpt, const struct userdb_user *user)
{
	struct recipient_local *local = rcpt->local;
	struct err err;

	if (mail_user_find(rcpt->trans->arena, settings_of(rcpt),
			   rcpt->trans->session->worker->set->as_root, user,
			   &local->request, &err) < 0) {
		log_error(&rcpt->log, "%s", err.text);
		recipient_fail(rcpt, REPLY_LOCAL_FAILED);
		return;
	}
	local->request.mailbox = mailbox_of(rcpt);
	local->request.detail = detail_of(rcpt);
	if (settings_of(rcpt)->local.lmtp_rcpt_check_quota &&
	    settings_of(rcpt)->local.quota.count > 0)
		hand_over(rcpt, LOCAL_REQUEST_CHECK, -1, checked);
	else
		recipient_accept(rcpt);
}

static void looked_up(struct userdb_request *lookup)
{
	struct recipient_local *local =
		container_of(lookup, struct recipient_local, lookup);
	struct recipient *rcpt = local->rcpt;

	switch (lookup->result) {
	case PASSDB_OK:
		accept_user(rcpt, &lookup->found);
		break;
	case PASSDB_NOT_FOUND:
		recipient_refuse(rcpt, REPLY_USER_UNKNOWN, lookup->user);
		break;
	case PASSDB_FAIL:
		recipient_refuse(rcpt,
				 lookup->malformed   ? REPLY_BAD_ROUTE
				 : lookup->timed_out ? REPLY_LOOKUP_TIMED_OUT
						     : REPLY_LOOKUP_FAILED,
				 lookup->reason);
		break;
	}
}

/* Binary has no lines that could end with LF alone. */
static bool is_binary(const struct recipient *rcpt)
{
	return rcpt->trans->params.body == SMTP_BODY_BINARYMIME;
}

void recipient_local_start(struct recipient *rcpt, bool passdb)
{
	struct session *session = rcpt->trans->session;
	struct recipient_local *local;

	if (!settings_of(rcpt)->local.enabled) {
		log_error(&rcpt->log, "user %s is not proxied, and local "
			  "delivery is not set up: the passdb must return "
			  "proxy and host, or there have to be mail_location "
			  "and a userdb", rcpt->lookup.username);
		recipient_fail(rcpt, REPLY_NO_LOCAL_DELIVERY);
		return;
	}
	if (is_binary(rcpt)) {
		recipient_fail(rcpt, REPLY_LOCAL_BINARY);
		return;
	}
	local = arena_new_struct(rcpt->trans->arena, struct recipient_local);
	local->rcpt = rcpt;
	local->lookup.arena = rcpt->trans->arena;
	local->lookup.user = rcpt->lookup.user;
	local->lookup.client = rcpt->lookup.client;
	local->lookup.log = &rcpt->log;
	local->lookup.pass = passdb ? &rcpt->lookup : NULL;
	local->lookup.done = looked_up;
	rcpt->local = local;
	rcpt->state = RECIPIENT_USERDB;
	userdb_lookup(session->view->passdb, &local->lookup);
}

/* --- the message --- */

static bool is_to_be_saved(const struct recipient *rcpt)
{
	return rcpt->local != NULL && rcpt->state == RECIPIENT_ACCEPTED;
}

bool recipient_local_any(const struct transaction *trans)
{
	const struct list *node = trans->recipients.next;

	for (; node != &trans->recipients; node = node->next)
		if (is_to_be_saved(container_of(node, struct recipient, node)))
			return true;
	return false;
}

/* What became of the mail that others share. */
static void finish_twins(const struct recipient *rcpt,
			 const struct local_result *result)
{
	struct list *node, *tmp;

	list_each(&rcpt->trans->recipients, node, tmp) {
		struct recipient *other =
			container_of(node, struct recipient, node);

		if (is_to_be_saved(other) && other->local->twin == rcpt)
			finish(other, result);
	}
}

/* What deliver_log_format says of it. */
static void log_delivery(const struct recipient *rcpt,
			 const struct local_result *result)
{
	if (result->log[0] == '\0')
		return;
	str_puts(log_begin(LOG_LEVEL_INFO, &rcpt->log), result->log);
	if (log_begin_fields("delivery")) {
		log_field("session", rcpt->trans->session->id);
		log_field("transaction", rcpt->trans->id);
		log_field("to", rcpt->address.raw);
	}
	log_end();
}

static void delivered(struct local_delivery *delivery,
		      const struct local_result *result)
{
	struct recipient_local *local =
		container_of(delivery, struct recipient_local, delivery);

	log_delivery(local->rcpt, result);
	finish(local->rcpt, result);
	finish_twins(local->rcpt, result);
}

static void put_head(struct str *out, const struct recipient *rcpt)
{
	const struct mail_head head = {
		.mail_from = rcpt->trans->from.raw,
		.delivered_to = transaction_local_address(rcpt->trans),
	};

	mail_head_write(out, &head);
}

static void put_envelope(struct local_request *request,
			 const struct recipient *rcpt)
{
	const struct transaction *trans = rcpt->trans;
	const char *original = recipient_original(rcpt);

	request->mail_from = trans->from.raw;
	request->rcpt_to = rcpt->address.raw;
	request->orcpt = original != NULL ? original : "";
	request->session_ms =
		(uint32_t)((trans->body_us - trans->start_us) / 1000);
}

static void deliver(struct recipient *rcpt,
		    const struct local_message *message)
{
	struct local_request *request = &rcpt->local->request;
	struct str head = STR_INIT;

	put_head(&head, rcpt);
	request->head = str_c(&head);
	request->head_len = head.len;
	request->size = message->size;
	put_envelope(request, rcpt);
	clock_gettime(CLOCK_REALTIME, &request->received);
	hand_over(rcpt, LOCAL_REQUEST_SAVE, message->fd, delivered);
	str_free(&head);
}

static void lose(struct recipient *rcpt, const struct local_message *message)
{
	const char *dir = rcpt->trans->session->set->mail_temp_dir;

	rcpt->failure = arena_printf(rcpt->trans->arena, "the message could "
				     "not be kept in mail_temp_dir = %s: %s",
				     dir, strerror(message->error));
	recipient_refuse(rcpt, REPLY_NO_SPOOL, NULL);
}

static struct recipient *find_twin(const struct recipient *rcpt)
{
	struct list *node, *tmp;

	list_each(&rcpt->trans->recipients, node, tmp) {
		struct recipient *other =
			container_of(node, struct recipient, node);

		if (other == rcpt)
			break;
		if (is_to_be_saved(other) && other->local->twin == NULL &&
		    strcmp(other->address.raw, rcpt->address.raw) == 0)
			return other;
	}
	return NULL;
}

void recipient_local_deliver(struct transaction *trans,
			     const struct local_message *message)
{
	struct list *node, *tmp;

	list_each(&trans->recipients, node, tmp) {
		struct recipient *rcpt =
			container_of(node, struct recipient, node);

		if (!is_to_be_saved(rcpt))
			continue;
		if (!message->complete) {
			lose(rcpt, message);
			continue;
		}
		rcpt->local->twin = find_twin(rcpt);
		if (rcpt->local->twin == NULL)
			deliver(rcpt, message);
	}
}

void recipient_local_stop(struct recipient_local *local)
{
	if (local == NULL)
		return;
	userdb_cancel(&local->lookup);
	local_delivery_cancel(&local->delivery);
}
