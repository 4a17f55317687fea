#include "proxy/session/recipient_local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "backends/local/mail/head.h"
#include "backends/local/message.h"
#include "backends/local/queue.h"
#include "backends/local/time_limit.h"
#include "lib/clock.h"
#include "passdb/userdb/userdb.h"
#include "proxy/mail_user.h"
#include "proxy/session/deliver_log.h"
#include "proxy/session/private.h"
#include "proxy/session/recipient.h"
#include "proxy/session/transaction.h"

/* A process that takes its time is ended before we give up. */
#define ANSWER_GRACE_MS (TIME_LIMIT_GRACE_S * 1000 + 2000)
/* How long recipients wait for the mail of another one that they might share: no longer
 * than it may well take to write it, at the pace of the moment, so that a mailbox that
 * hangs holds nobody up. */
#define COPY_PATIENCE_MS 100
#define COPY_PATIENCE_USUAL 4 /* times what is usual, more */
#define COPY_PATIENCE_BYTES 65536 /* for each ms more */

struct recipient_local {
	struct recipient *rcpt;
	struct userdb_request lookup;
	struct local_request request;
	struct local_delivery delivery;
	size_t place; /* among those whose mail is saved */
	struct list twins;	/* struct recipient_local: with this address, too */
	struct list followers;	/* the same: they wait for this one's mail */
	struct list node;	/* of one of these lists of another one */
	struct loop_timer patience; /* of the followers */
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
	struct worker *worker = rcpt->trans->session->worker;
	struct recipient_local *local = rcpt->local;
	struct local_request *request = &local->request;
	struct local_result result = { .status = LOCAL_FAILED };
	struct err err;

	request->kind = kind;
	request->deadline_ms = clock_now_ms() + timeout_ms;
	local->delivery.done = done;
	/* A quarter of the processes is for who comes next. */
	local_queue_limit(worker->deliveries,
			  settings_of(rcpt)->local.lmtp_max_deliveries * 3 / 4 /
				  worker->set->count);
	if (local_queue_add(worker->deliveries, &local->delivery, request, message,
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
			  "or lda_command, and a userdb", rcpt->lookup.username);
		recipient_fail(rcpt, REPLY_NO_LOCAL_DELIVERY);
		return;
	}
	if (is_binary(rcpt)) {
		recipient_fail(rcpt, REPLY_LOCAL_BINARY);
		return;
	}
	local = arena_new_struct(rcpt->trans->arena, struct recipient_local);
	local->rcpt = rcpt;
	list_init(&local->twins);
	list_init(&local->followers);
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

static void delivered(struct local_delivery *delivery,
		      const struct local_result *result);

/* copy: the path of a mail that was saved, and may be like this one; or "". */
static void deliver(struct recipient *rcpt, const char *copy)
{
	const struct local_message *message = rcpt->trans->local;
	struct local_request *request = &rcpt->local->request;
	struct str head = STR_INIT;

	put_head(&head, rcpt);
	request->head = arena_strndup(rcpt->trans->arena, str_c(&head), head.len);
	request->head_len = head.len;
	str_free(&head);
	request->size = message->size;
	request->copy = copy;
	put_envelope(request, rcpt);
	clock_gettime(CLOCK_REALTIME, &request->received);
	hand_over(rcpt, LOCAL_REQUEST_SAVE, message->fd, delivered);
}

static void lose(struct recipient *rcpt, const struct local_message *message)
{
	const char *dir = rcpt->trans->session->set->mail_temp_dir;

	rcpt->failure = arena_printf(rcpt->trans->arena, "the message could "
				     "not be kept in mail_temp_dir = %s: %s",
				     dir, strerror(message->error));
	recipient_refuse(rcpt, REPLY_NO_SPOOL, NULL);
}

/* --- those who share --- */

/* Those who waited for this one's mail to be there need not wait any more. */
static void release(struct recipient_local *leader, const char *copy)
{
	struct recipient_local *follower;

	loop_timer_close(&leader->patience);
	while ((follower = list_first(&leader->followers, struct recipient_local,
				      node)) != NULL) {
		list_remove(&follower->node);
		deliver(follower->rcpt, copy);
	}
}

static void out_of_patience(struct loop_timer *timer)
{
	release(container_of(timer, struct recipient_local, patience), "");
}

static void delivered(struct local_delivery *delivery,
		      const struct local_result *result)
{
	struct recipient_local *local =
		container_of(delivery, struct recipient_local, delivery);
	struct recipient_local *twin;

	deliver_log(local->rcpt, &local->request, result);
	finish(local->rcpt, result);
	while ((twin = list_first(&local->twins, struct recipient_local,
				  node)) != NULL) {
		list_remove(&twin->node);
		finish(twin->rcpt, result);
	}
	if (!list_empty(&local->followers))
		release(local, arena_strdup(local->rcpt->trans->arena,
					    result->status == LOCAL_SAVED
						    ? result->path
						    : ""));
}

static int by_place(const void *a, const void *b)
{
	const struct recipient_local *const *left = a, *const *right = b;

	return ((*left)->place > (*right)->place) -
	       ((*left)->place < (*right)->place);
}

/* However it is quoted, and the domain in whatever letters. */
static int compare_addresses(const struct recipient_local *a,
			     const struct recipient_local *b)
{
	const struct smtp_address *left = &a->rcpt->address;
	const struct smtp_address *right = &b->rcpt->address;
	int order = strcmp(left->localpart, right->localpart);

	if (order != 0)
		return order;
	return strcasecmp(left->domain != NULL ? left->domain : "",
			  right->domain != NULL ? right->domain : "");
}

static int by_address(const void *a, const void *b)
{
	const struct recipient_local *const *left = a, *const *right = b;
	int order = compare_addresses(*left, *right);

	return order != 0 ? order : by_place(a, b);
}

static int by_rights(const void *a, const void *b)
{
	const struct recipient_local *const *left = a, *const *right = b;
	const struct local_request *one = &(*left)->request;
	const struct local_request *other = &(*right)->request;

	if (one->uid != other->uid)
		return one->uid < other->uid ? -1 : 1;
	if (one->gid != other->gid)
		return one->gid < other->gid ? -1 : 1;
	return by_place(a, b);
}

/* Of several with one address the first stays in list, and the others join it. Returns
 * how many stay. */
static size_t join_twins(struct recipient_local **list, size_t count)
{
	size_t i, kept = 0;

	qsort(list, count, sizeof(struct recipient_local *), by_address);
	for (i = 0; i < count; i++) {
		if (kept > 0 && compare_addresses(list[kept - 1], list[i]) == 0)
			list_append(&list[kept - 1]->twins, &list[i]->node);
		else
			list[kept++] = list[i];
	}
	return kept;
}

/* In other roots and formats, and for commands, there is nothing to link to. */
static bool may_share(const struct recipient_local *local)
{
	static const char maildir[] = "maildir:";

	return *local->request.chroot == '\0' &&
	       *settings_of(local->rcpt)->local.lda_command == '\0' &&
	       strncmp(local->request.location, maildir, strlen(maildir)) == 0;
}

static bool may_follow(const struct recipient_local *local,
		       const struct recipient_local *leader)
{
	return leader != NULL && may_share(local) &&
	       local->request.uid == leader->request.uid &&
	       local->request.gid == leader->request.gid;
}

/* Of those with the same rights the first goes ahead, and the others wait a moment:
 * their mail may be the same file. Returns how many do not wait. */
static size_t join_followers(struct recipient_local **list, size_t count)
{
	struct recipient_local *leader = NULL;
	size_t i, kept = 0;

	qsort(list, count, sizeof(struct recipient_local *), by_rights);
	for (i = 0; i < count; i++) {
		if (may_follow(list[i], leader)) {
			list_append(&leader->followers, &list[i]->node);
			continue;
		}
		if (may_share(list[i]))
			leader = list[i];
		list[kept++] = list[i];
	}
	return kept;
}

static unsigned patience_ms(const struct transaction *trans)
{
	const struct local_queue *queue = trans->session->worker->deliveries;
	uint64_t ms = trans->local->size / COPY_PATIENCE_BYTES;

	return COPY_PATIENCE_MS +
	       COPY_PATIENCE_USUAL * local_queue_usual_ms(queue) +
	       (ms < UINT16_MAX ? (unsigned)ms : UINT16_MAX);
}

static void lead(struct recipient_local *local)
{
	deliver(local->rcpt, "");
	/* That may have been all already. */
	if (list_empty(&local->followers))
		return;
	loop_timer_open(&local->patience,
			local->rcpt->trans->session->worker->loop,
			out_of_patience);
	loop_timer_set(&local->patience,
		       patience_ms(local->rcpt->trans));
}

/* Those whose mail is to be saved. */
static struct recipient_local **find_all(struct transaction *trans,
					 size_t *count_r)
{
	struct recipient_local **list =
		arena_alloc(trans->arena, (trans->rcpt_count + 1) *
						  sizeof(struct recipient_local *));
	struct list *node, *tmp;
	size_t count = 0;

	list_each(&trans->recipients, node, tmp) {
		struct recipient *rcpt =
			container_of(node, struct recipient, node);

		if (!is_to_be_saved(rcpt))
			continue;
		rcpt->local->place = count;
		list[count++] = rcpt->local;
	}
	*count_r = count;
	return list;
}

void recipient_local_deliver(struct transaction *trans,
			     const struct local_message *message)
{
	size_t count, i;
	struct recipient_local **list = find_all(trans, &count);

	if (!message->complete) {
		for (i = 0; i < count; i++)
			lose(list[i]->rcpt, message);
		return;
	}
	count = join_twins(list, count);
	if (trans->session->view->settings->local.maildir_copy_with_hardlinks)
		count = join_followers(list, count);
	qsort(list, count, sizeof(struct recipient_local *), by_place);
	for (i = 0; i < count; i++)
		lead(list[i]);
}

void recipient_local_stop(struct recipient_local *local)
{
	if (local == NULL)
		return;
	userdb_cancel(&local->lookup);
	local_delivery_cancel(&local->delivery);
	loop_timer_close(&local->patience);
	list_remove(&local->node);
}
