/* The director's servers and users: seeing them, and saying how they should be. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/conf/value.h"
#include "lib/mem.h"
#include "proxy/control/private.h"
#include "proxy/director/cluster.h"
#include "proxy/director/keeper.h"

#define MAX_FOR_S (366 * UINT64_C(86400))

static struct worker_set *set_of(const struct control_call *call)
{
	return call->control->env.set;
}

const struct director_state *control_director_state(struct control_call **call)
{
	const struct director_state *state =
		director_keeper_state((*call)->control->env.keeper);

	if (state == NULL)
		control_refuse(call, 409, "director_mail_servers is not set");
	return state;
}

/* A parameter that has to be there; otherwise the call is refused. */
static const char *need(struct control_call **call, const char *name)
{
	const char *value = control_param(*call, name);
	char why[64];

	if (value != NULL && *value != '\0')
		return value;
	snprintf(why, sizeof(why), "%s is needed", name);
	control_refuse(call, 400, why);
	return NULL;
}

void control_write_mark(struct json_writer *json, const char *by,
			const char *at, const struct director_mark *mark)
{
	if (mark->by == NULL)
		return;
	json_write_text(json, by, mark->by);
	json_write_number(json, at, mark->at_s);
}

/* --- one user --- */

/* What is known of one. */
struct report {
	const struct director *view;
	struct director_choice choice;
	struct err none; /* choice.server NULL: why */
	const struct director_pin *pin; /* NULL: nobody has moved the user */
	bool is_there;
	struct director_whereabouts where; /* is_there */
	const struct director_server *goes; /* a delivery now; NULL: nowhere */
	bool is_shared; /* the process that this one replaces has deliveries */
	uint32_t shared; /* is_shared: at that server */
	uint64_t now_us;
};

static void write_place(struct json_writer *json, const char *name,
			const struct director_server *server)
{
	json_write_text(json, name, server != NULL ? server->ip : NULL);
}

/* Whose end a delivery has to wait for; NULL: it need not. */
static const struct director_server *waits_for(const struct report *report)
{
	const struct director_server *was =
		director_bars(report->view, &report->choice);

	if (was != NULL)
		return was;
	return report->is_there && report->where.deliveries > 0 &&
			       report->where.server != report->goes->id
		       ? director_server(report->view, report->where.server)
		       : NULL;
}

static const char *why_there(const struct report *report)
{
	if (report->is_shared && report->goes->id == report->shared)
		return "the process that this one replaces has deliveries there";
	if (report->goes != report->choice.server)
		return "the user is there, and stays";
	if (report->choice.moved)
		return "moved there";
	return report->pin != NULL
		       ? "by the hash: nobody is sent to where the user was "
			 "moved"
		       : "by the hash";
}

static void write_why(struct control_call *call, const struct report *report)
{
	const struct director_server *was;
	const char *why;

	if (report->goes == NULL) {
		json_write_text(&call->json, "why", report->none.text);
		return;
	}
	was = waits_for(report);
	why = why_there(report);
	if (report->is_shared && report->shared == DIRECTOR_NO_SERVER)
		why = arena_printf(call->request->arena, "%s, once those of the "
				   "process that this one replaces are over", why);
	else if (was != NULL)
		why = arena_printf(call->request->arena, "%s, once deliveries "
				   "at %s are over", why, was->ip);
	json_write_text(&call->json, "why", why);
}

static void write_pin(struct json_writer *json,
		      const struct director_state *state,
		      const struct director_pin *pin)
{
	uint64_t now_s = (uint64_t)time(NULL);

	write_place(json, "moved", &state->backends[pin->server].server);
	control_write_mark(json, "moved_by", "moved_at", &pin->mark);
	json_write_number(json, "moved_until", pin->until_s);
	if (pin->until_s > 0)
		json_write_number(json, "moved_seconds",
				  pin->until_s > now_s ? pin->until_s - now_s
						       : 0);
}

static void write_user(struct control_call *call,
		       const struct director_state *state, const char *user,
		       const struct report *report)
{
	const struct director_choice *choice = &report->choice;
	struct json_writer *json = &call->json;

	json_open_object(json, NULL);
	json_write_text(json, "user", user);
	json_write_text(json, "tag", choice->tag);
	json_write_text(json, "hash_of", choice->text);
	json_write_number(json, "hash", choice->hash >> 32);
	write_place(json, "hashed", director_hashed(report->view, choice->tag,
						    choice->hash));
	if (report->pin != NULL)
		write_pin(json, state, report->pin);
	if (report->is_there) {
		write_place(json, "current",
			    &state->backends[report->where.server].server);
		json_write_number(json, "deliveries",
				  report->where.deliveries);
		if (report->where.deliveries == 0)
			json_write_seconds(json, "expires_seconds",
					   report->where.expires_us -
						   report->now_us);
	}
	write_place(json, "next", choice->server);
	write_place(json, "goes", report->goes);
	write_why(call, report);
	json_close_object(json);
}

/* As the director sees a user; the call is refused when it cannot tell. tag: when
 * the call says nothing of it. */
static int choose(struct control_call **call, const char *user,
		  const char *tag, struct director_choice *choice,
		  struct err *err)
{
	const char *said = control_param(*call, "tag");

	if (director_choose(director_keeper_view((*call)->control->env.keeper),
			    (*call)->request->arena, user,
			    said != NULL ? said : tag, choice, err) == 0 ||
	    choice->text != NULL)
		return 0;
	control_refuse(call, 400, err->text);
	return -1;
}

static void look_where(struct report *report, struct director_users *users)
{
	const struct director_choice *choice = &report->choice;
	const struct director_rules rules = director_rules(report->view);
	uint32_t id;

	report->is_there = director_users_find(users, choice->key,
					       report->now_us, &report->where);
	report->is_shared = director_users_shared(users, choice->key, &rules,
						  &report->shared);
	if (choice->server == NULL)
		return;
	id = director_users_peek(users, report->now_us, choice->key,
				 choice->server->id,
				 choice->moved ? DIRECTOR_MOVED
					       : DIRECTOR_MAY_STAY, &rules);
	report->goes = id == choice->server->id
			       ? choice->server
			       : director_server(report->view, id);
}

void control_director_user(struct control_call *call)
{
	const struct director_state *state = control_director_state(&call);
	struct report report = { .choice.text = NULL };
	const char *user = NULL;

	if (state != NULL)
		user = need(&call, "user");
	if (user == NULL ||
	    choose(&call, user, "", &report.choice, &report.none) < 0)
		return;
	report.view = director_keeper_view(call->control->env.keeper);
	report.pin = director_state_pin_of(state, report.choice.key);
	report.now_us = loop_now_us(call->control->env.loop);
	look_where(&report, set_of(call)->users);
	write_user(call, state, user, &report);
	control_answer(&call);
}

/* --- changes of servers --- */

struct change {
	const char *what, *host, *by;
	const char *entry; /* add: with the weight that was given */
	unsigned weight;
	uint64_t now_s, now_us;
};

static void flush_all(struct director_state *state, uint64_t now_us)
{
	unsigned i;

	for (i = 0; i < state->count; i++)
		director_state_flush(state, &state->backends[i], now_us);
}

static int add_server(struct director_state *state, const struct change *change,
		      struct err *err)
{
	struct director_backend *backend = director_state_add(
		state, change->entry, change->by, change->now_s, err);

	return backend != NULL ? 0 : -1;
}

/* Returns -1 when it makes no sense. */
static int apply(struct director_state *state, const struct change *change,
		 struct err *err)
{
	struct director_backend *backend;
	enum director_admin admin;

	if (strcmp(change->what, "add") == 0)
		return add_server(state, change, err);
	if (strcmp(change->what, "flush") == 0 &&
	    strcmp(change->host, "all") == 0) {
		flush_all(state, change->now_us);
		return 0;
	}
	backend = director_state_find(state, change->host, err);
	if (backend == NULL)
		return -1;
	if (strcmp(change->what, "remove") == 0)
		director_state_remove(state, backend, change->by,
				      change->now_s);
	else if (strcmp(change->what, "update") == 0)
		director_state_set_weight(state, backend, change->weight,
					  change->by, change->now_s);
	else if (strcmp(change->what, "flush") == 0)
		director_state_flush(state, backend, change->now_us);
	else if (director_admin_parse(change->what, &admin) == 0)
		director_state_set_admin(state, backend, admin, change->by,
					 change->now_s);
	else
		return err_set(err, "there is no change '%.50s'",
			       change->what);
	return 0;
}

/* by: who says to be the one, for the record. */
static const char *by_whom(const struct control_call *call)
{
	const char *by = control_param(call, "by");

	if (by != NULL && *by != '\0')
		return by;
	return call->request->rights & CONTROL_BY_TOKEN ? "service http"
							: "service ctl";
}

/* As director_mail_servers would have it. */
static const char *entry_of(const struct control_call *call,
			    const struct change *change)
{
	const char *at = strchrnul(change->host, '@');

	if (control_param(call, "weight") == NULL)
		return change->host;
	return arena_printf(call->request->arena, "%.*s*%u%s",
			    (int)(at - change->host), change->host,
			    change->weight, at);
}

/* Reads what the call wants. -1: it is refused. */
static int read_change(struct control_call **call, const char *what,
		       struct change *change)
{
	unsigned long weight = DIRECTOR_WEIGHT;

	change->what = what;
	change->host = need(call, "host");
	if (change->host == NULL ||
	    (strcmp(what, "update") == 0 && need(call, "weight") == NULL) ||
	    control_number(call, "weight", DIRECTOR_MAX_WEIGHT,
			   DIRECTOR_WEIGHT, &weight) < 0)
		return -1;
	change->by = by_whom(*call);
	change->weight = (unsigned)weight;
	change->entry = entry_of(*call, change);
	change->now_s = (uint64_t)time(NULL);
	change->now_us = loop_now_us((*call)->control->env.loop);
	return 0;
}

/* Why what was changed is not in force yet; NULL: it is. */
static const char *why_held(struct control_call *call)
{
	struct cluster_node *node =
		director_keeper_cluster(call->control->env.keeper);
	const struct director_cluster *cluster;
	const char *away;

	if (node == NULL)
		return NULL;
	cluster = cluster_node_cluster(node);
	if (director_cluster_in_force(cluster))
		return NULL;
	away = director_cluster_away(cluster);
	if (away == NULL)
		return "noted; takes effect once deliveries by the last change "
		       "are over";
	return arena_printf(call->request->arena, "noted; held back, since "
			    "node %s is away: see director ring", away);
}

void control_changed(void *arg, const char *error)
{
	struct control_call *call = arg;
	bool in_cluster =
		director_keeper_cluster(call->control->env.keeper) != NULL;
	const char *held = why_held(call);

	if (error != NULL) {
		control_refuse(&call, in_cluster ? 409 : 500, error);
	} else if (held == NULL) {
		control_answer_ok(&call);
	} else {
		json_open_object(&call->json, NULL);
		json_write_bool(&call->json, "ok", true);
		json_write_text(&call->json, "held", held);
		json_close_object(&call->json);
		control_answer(&call);
	}
}

static void commit(struct control_call *call)
{
	director_keeper_commit(call->control->env.keeper, control_changed, call);
}

static void drop(struct control_call *call, unsigned status, const char *why)
{
	director_keeper_drop(call->control->env.keeper);
	control_refuse(&call, status, why);
}

/* The change is the path's last word. */
void control_director_change(struct control_call *call)
{
	const char *what = strrchr(call->request->head.path, '/') + 1;
	struct director_keeper *keeper = call->control->env.keeper;
	struct change change;
	struct err err;

	if (control_director_state(&call) == NULL || read_change(&call, what, &change) < 0)
		return;
	if (apply(director_keeper_begin(keeper), &change, &err) < 0)
		drop(call, 400, err.text);
	else
		commit(call);
}

/* --- moving one user --- */

/* "90" is seconds, all else as in the configuration: "2h", "30 mins". For good,
 * 0, only where it is said so. */
static int read_for(struct control_call **call, uint64_t *seconds_r)
{
	const char *text = control_param(*call, "for");
	char *end;
	uint64_t ms = 0;

	*seconds_r = 0;
	if (text == NULL || strcmp(text, "0") == 0)
		return 0;
	*seconds_r = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && *end == '\0') {
		ms = *seconds_r <= MAX_FOR_S ? *seconds_r * 1000 : 0;
	} else if (conf_time_parse(text, MAX_FOR_S * 1000, &ms) < 0) {
		ms = 0;
	}
	*seconds_r = (ms + 999) / 1000;
	if (ms > 0)
		return 0;
	control_refuse(call, 400, "for must be seconds, or a time such as 2h or "
		       "30 mins, up to a year");
	return -1;
}

static void move_to(struct control_call *call, const char *user,
		    const char *host, const struct director_choice *choice,
		    uint64_t seconds)
{
	struct director_state *draft =
		director_keeper_begin(call->control->env.keeper);
	uint64_t now_s = (uint64_t)time(NULL);
	struct director_backend *backend;
	struct err err;

	backend = director_state_find(draft, host, &err);
	if (backend == NULL) {
		drop(call, 400, err.text);
	} else if (strcmp(backend->server.tag, choice->tag) != 0) {
		drop(call, 400, "the server has another tag than the user: see "
		     "director_tag");
	} else if (director_state_may_pin(draft, choice->key, &err) < 0) {
		drop(call, 409, err.text);
	} else {
		director_state_pin(draft, choice->key, user, backend,
				   seconds > 0 ? now_s + seconds : 0,
				   by_whom(call), now_s);
		commit(call);
	}
}

/* Of "ADDRESS@TAG". */
static const char *tag_in(const char *host)
{
	const char *at = strchr(host, '@');

	return at != NULL ? at + 1 : "";
}

void control_director_move(struct control_call *call)
{
	struct director_choice choice = { .text = NULL };
	const char *user, *host = NULL;
	uint64_t seconds;
	struct err err;

	if (control_director_state(&call) != NULL && (user = need(&call, "user")) != NULL &&
	    (host = need(&call, "host")) != NULL &&
	    read_for(&call, &seconds) == 0 &&
	    choose(&call, user, tag_in(host), &choice, &err) == 0)
		move_to(call, user, host, &choice, seconds);
}

void control_director_unmove(struct control_call *call)
{
	struct director_keeper *keeper = call->control->env.keeper;
	struct director_choice choice = { .text = NULL };
	const char *user = NULL;
	struct err err;

	if (control_director_state(&call) != NULL)
		user = need(&call, "user");
	if (user == NULL || choose(&call, user, "", &choice, &err) < 0)
		return;
	if (director_state_unpin(director_keeper_begin(keeper), choice.key))
		commit(call);
	else
		drop(call, 404, "the user was not moved");
}

/* --- what a change would move --- */

/* The tag of the server that the change is about: of no other are users moved.
 */
static const char *tag_of(const struct director_state *state, const char *host)
{
	const char *at = strchr(host, '@');
	const struct director_backend *backend;
	struct err err;

	if (at != NULL)
		return at + 1;
	backend = director_state_find(state, host, &err);
	return backend != NULL ? backend->server.tag : "";
}

void control_director_plan(struct control_call *call)
{
	const struct director_state *state = control_director_state(&call);
	const struct settings *settings;
	struct director *after = NULL;
	struct director_state copy;
	struct change change;
	const char *what = NULL;
	struct err err;

	if (state != NULL)
		what = need(&call, "change");
	if (what == NULL || read_change(&call, what, &change) < 0)
		return;
	settings = call->control->env.source->settings;
	director_state_copy(&copy, state);
	if (apply(&copy, &change, &err) == 0)
		after = director_view(
			&settings->director_settings, &copy,
			director_keeper_view(call->control->env.keeper), &err);
	if (after == NULL)
		control_refuse(&call, 400, err.text);
	else
		control_plan(call, after, tag_of(state, change.host),
			     &copy.pins);
	director_unref(&after);
	director_state_free(&copy);
}
