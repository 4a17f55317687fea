#include "proxy/session/settle.h"

#include "backends/director/notes.h"
#include "lib/clock.h"
#include "proxy/director/keeper.h"
#include "proxy/session/private.h"
#include "proxy/session/recipient.h"
#include "proxy/session/transaction.h"

/* As long as a Dovecot director has requests wait. */
#define WAIT_MS 30000
/* Until it is tried again, at first and at last. */
#define REPEAT_MS 50
#define REPEAT_MAX_MS 1000

struct settle {
	struct recipient *rcpt;
	struct loop_timer timer, repeat;
	unsigned pause_ms;
};

static struct worker *worker_of(const struct recipient *rcpt)
{
	return rcpt->trans->session->worker;
}

static void waited_too_long(struct loop_timer *timer)
{
	struct settle *settle = container_of(timer, struct settle, timer);

	log_error(&settle->rcpt->log, "user %s: deliveries at the server that "
		  "the user is moved from are not over",
		  settle->rcpt->lookup.username);
	recipient_fail(settle->rcpt, REPLY_USER_MOVES);
}

/* The view may be another one by now. */
static void again(struct director_visit *visit)
{
	struct recipient *rcpt = container_of(visit, struct recipient, visit);

	recipient_route(rcpt, NULL);
	settle_begin(rcpt);
}

static void repeat(struct loop_timer *timer)
{
	struct settle *settle = container_of(timer, struct settle, repeat);
	struct recipient *rcpt = settle->rcpt;

	director_users_leave(&rcpt->visit, loop_now_us(worker_of(rcpt)->loop));
	again(&rcpt->visit);
}

static void open_settle(struct recipient *rcpt)
{
	struct loop *loop = worker_of(rcpt)->loop;

	rcpt->settle = arena_new_struct(rcpt->trans->arena, struct settle);
	rcpt->settle->rcpt = rcpt;
	rcpt->settle->pause_ms = REPEAT_MS;
	loop_timer_open(&rcpt->settle->timer, loop, waited_too_long);
	loop_timer_open(&rcpt->settle->repeat, loop, repeat);
	loop_timer_set(&rcpt->settle->timer, WAIT_MS);
}

static void close_settle(struct recipient *rcpt)
{
	if (rcpt->settle == NULL)
		return;
	loop_timer_close(&rcpt->settle->timer);
	loop_timer_close(&rcpt->settle->repeat);
}

/* Each time takes a bit of the transaction's memory: not too often. */
static void repeat_later(struct settle *settle)
{
	if (settle->pause_ms == REPEAT_MS)
		worker_of(settle->rcpt)->stats.process_waits++;
	loop_timer_set(&settle->repeat, settle->pause_ms);
	settle->pause_ms *= 2;
	if (settle->pause_ms > REPEAT_MAX_MS)
		settle->pause_ms = REPEAT_MAX_MS;
}

static void start_waiting(struct recipient *rcpt)
{
	rcpt->state = RECIPIENT_SETTLE;
	if (rcpt->settle == NULL)
		open_settle(rcpt);
	if (rcpt->visit.repeats)
		repeat_later(rcpt->settle);
	else
		loop_timer_clear(&rcpt->settle->repeat);
}

/* Whether the transaction holds up what others of its own would wait for: it has
 * a delivery to a user where he should not be any more. Then it does not wait,
 * but joins who is there: whoever waits holds up nobody. */
static bool holds_up(const struct recipient *waits)
{
	const struct director *director = worker_of(waits)->director;
	const struct list *head = &waits->trans->recipients, *node;

	for (node = head->next; node != head; node = node->next) {
		const struct recipient *rcpt =
			container_of(node, struct recipient, node);
		const struct director_visit *visit = &rcpt->visit;

		if (rcpt->inside &&
		    director_is_elsewhere(director, visit->key, visit->hash,
					  visit->tag, rcpt->server))
			return true;
	}
	return false;
}

void settle_view_changed(struct worker *worker)
{
	struct list barred;

	list_init(&barred);
	while (!list_empty(&worker->barred)) {
		struct list *node = worker->barred.next;

		list_remove(node);
		list_append(&barred, node);
	}
	while (!list_empty(&barred)) {
		struct recipient *rcpt =
			list_first(&barred, struct recipient, barred);

		list_remove(&rcpt->barred);
		again(&rcpt->visit);
	}
}

static void warn_unseen(const struct recipient *rcpt)
{
	log_warning(&rcpt->log, "user %s: some %d users have deliveries under way, "
		    "and worker processes cannot tell each other of more: while "
		    "the program is replaced this one may be at two servers",
		    rcpt->lookup.username, DIRECTOR_CLAIMS_ROOM);
}

static bool come(struct recipient *rcpt, uint32_t server,
		 enum director_manner manner)
{
	const struct worker *worker = worker_of(rcpt);
	const struct director_choice *choice = &rcpt->route.choice;
	const struct director_rules rules = director_rules(worker->director);

	rcpt->visit.loop = worker->loop;
	rcpt->visit.again = again;
	rcpt->visit.hash = choice->hash;
	rcpt->visit.tag = choice->tag;
	rcpt->inside = director_users_enter(
		worker->set->users, &rcpt->visit, loop_now_us(worker->loop),
		choice->key, server, manner, &rules, &rcpt->server);
	if (rcpt->visit.unseen)
		warn_unseen(rcpt);
	return rcpt->inside;
}

static bool join(struct recipient *rcpt, uint32_t server)
{
	director_users_leave(&rcpt->visit, loop_now_us(worker_of(rcpt)->loop));
	return come(rcpt, server, DIRECTOR_JOINS);
}

/* Asked again when there is a view, or the same again. */
static bool wait_for_view(struct recipient *rcpt)
{
	list_append(&worker_of(rcpt)->barred, &rcpt->barred);
	return false;
}

/* Where the user was by the view before, or nowhere yet. */
static bool enter_barred(struct recipient *rcpt, uint32_t before)
{
	if (holds_up(rcpt))
		return join(rcpt, before);
	return wait_for_view(rcpt);
}

static bool enter(struct recipient *rcpt)
{
	const struct director_choice *choice = &rcpt->route.choice;
	const struct director_server *before =
		director_bars(worker_of(rcpt)->director, choice);

	if (director_notes_holds(worker_of(rcpt)->set->notes, clock_boot_ms()))
		return wait_for_view(rcpt);
	if (before != NULL)
		return enter_barred(rcpt, before->id);
	return come(rcpt, choice->server->id,
		    choice->moved ? DIRECTOR_MOVED : DIRECTOR_MAY_STAY) ||
	       (holds_up(rcpt) && join(rcpt, choice->server->id));
}

/* Where the delivery goes to, for probes; the health of one that cannot be reached
 * from here was found out by these. */
static enum director_reach reach_of(struct recipient *rcpt)
{
	struct director_notes *notes = worker_of(rcpt)->set->notes;
	const struct remote_target *target = &rcpt->route.target;
	const struct director_way way = {
		.port = target->port,
		.protocol = target->protocol,
		.tls = target->tls,
		.any_cert = target->any_cert,
	};

	if (rcpt->route.kind != ROUTE_REMOTE || rcpt->route.maybe_self)
		return DIRECTOR_REACHED;
	director_notes_set_way(notes, rcpt->server, &way);
	return director_notes_reach(notes, rcpt->server);
}

static void follow(struct recipient *rcpt)
{
	static const char *const why[] = {
		[DIRECTOR_CUT_OFF] = "cannot be reached from here, but the "
				     "cluster has not lost it",
		[DIRECTOR_DOUBTED] = "could not be reached from here, and etcd "
				     "has not said since then that the cluster "
				     "has not lost it",
	};
	enum director_reach reach = reach_of(rcpt);

	if (reach == DIRECTOR_REACHED) {
		recipient_follow(rcpt);
		return;
	}
	log_error(&rcpt->log, "user %s: %s %s", rcpt->lookup.username,
		  rcpt->route.target.host, why[reach]);
	recipient_fail(rcpt, REPLY_CUT_OFF);
}

void settle_begin(struct recipient *rcpt)
{
	const struct director_server *chosen = rcpt->route.choice.server;

	if (chosen != NULL && !enter(rcpt)) {
		start_waiting(rcpt);
		return;
	}
	if (chosen != NULL && rcpt->server != chosen->id)
		recipient_route(rcpt, &rcpt->server);
	close_settle(rcpt);
	if (chosen != NULL)
		follow(rcpt);
	else
		recipient_follow(rcpt);
}

/* What says nothing of the backend's health says nothing here. */
static bool signal_of(const struct remote_failure *failure,
		      enum director_signal *signal_r)
{
	switch (failure->error) {
	case REMOTE_ERROR_CONNECT:
	case REMOTE_ERROR_TLS:
	case REMOTE_ERROR_UNTRUSTED:
		*signal_r = DIRECTOR_SIGNAL_CONNECT;
		return true;
	case REMOTE_ERROR_TIMEOUT:
	case REMOTE_ERROR_DATA_TIMEOUT:
		*signal_r = DIRECTOR_SIGNAL_TIMEOUT;
		return true;
	case REMOTE_ERROR_LOST:
		*signal_r = DIRECTOR_SIGNAL_CLOSING;
		return true;
	default:
		return false;
	}
}

void settle_failed(const struct recipient *rcpt,
		   const struct remote_failure *failure)
{
	enum director_signal signal;

	if (rcpt->inside && rcpt->redirects == NULL &&
	    signal_of(failure, &signal))
		director_keeper_signal(worker_of(rcpt)->set->keeper,
				       rcpt->server, signal, failure->text);
}

void settle_end(struct recipient *rcpt)
{
	director_users_leave(&rcpt->visit,
			     loop_now_us(worker_of(rcpt)->loop));
	list_remove(&rcpt->barred);
	rcpt->inside = false;
	close_settle(rcpt);
}
