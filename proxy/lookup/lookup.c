#include "proxy/lookup/lookup.h"

#include <string.h>

#include "lib/mem.h"
#include "passdb/userdb/userdb.h"
#include "proxy/addressee.h"
#include "proxy/lookup/client.h"
#include "proxy/lookup/report.h"
#include "proxy/tls_set.h"

struct lookup {
	struct arena *arena;
	const char *text; /* the address as it was given */
	struct lookup_client client;
	struct lookup_report report;

	const struct lookup_env *env;
	const struct lmtp_settings *set;
	void (*done)(void *arg, enum lookup_status status);
	void *arg;
	struct loop_task task; /* lookup_over() */

	struct smtp_address address;
	size_t user_len; /* of the local part, without detail */
	struct smtp_rcpt_params params;
	struct log_ctx log;
	struct passdb_request request;
	struct userdb_request user;
	struct route route;
	struct dns_request *resolve;
	uint64_t resolve_us; /* when it began */
	enum lookup_status status;
	struct smtp_reply reply; /* its code is 0: the backend's */
	bool local;
};

struct lookup *lookup_new(const char *address, const char *const *texts,
			  unsigned count, struct err *err)
{
	struct lookup *lookup = mem_new(struct lookup);

	lookup->arena = arena_new(4096);
	lookup->text = address;
	if (lookup_client_parse(&lookup->client, lookup->arena, texts, count,
				err) < 0)
		lookup_free(&lookup);
	return lookup;
}

void lookup_free(struct lookup **lookup_p)
{
	struct lookup *lookup = *lookup_p;

	if (lookup == NULL)
		return;
	passdb_cancel(&lookup->request);
	userdb_cancel(&lookup->user);
	dns_cancel(&lookup->resolve);
	loop_task_cancel(&lookup->task);
	arena_wipe(&lookup->arena);
	mem_free(lookup_p);
}

/* --- what comes of it --- */

static void lookup_answer(struct lookup *lookup, enum reply_cause cause,
			  const char *detail, enum lookup_status status)
{
	reply_map_cause(lookup->arena, cause, detail, &lookup->reply);
	lookup_report_reply(&lookup->report, &lookup->reply,
			    lookup->address.raw);
	lookup->status = status;
	loop_defer(lookup->env->loop, &lookup->task);
}

/* The word of a passdb is an answer, whatever the client is told then. */
static enum lookup_status refusal_status(enum reply_cause cause)
{
	switch (cause) {
	case REPLY_USER_UNKNOWN:
		return LOOKUP_NO_USER;
	case REPLY_LOGIN_DISABLED:
	case REPLY_TEMPFAIL:
		return LOOKUP_OK;
	default:
		return LOOKUP_TEMPFAIL;
	}
}

static void lookup_not_here(struct lookup *lookup)
{
	lookup_report_no_route(&lookup->report, "not proxied, and local "
			       "delivery is not available: the passdb must "
			       "return proxy and host");
	lookup_answer(lookup, REPLY_NO_LOCAL_DELIVERY, NULL, LOOKUP_TEMPFAIL);
}

/* As a RCPT does; whether the answer is valid shows with the mail. */
static void lookup_here(struct lookup *lookup,
			const struct userdb_request *request)
{
	lookup->local = request->result == PASSDB_OK;
	if (lookup->local) {
		lookup_report_here(&lookup->report);
		lookup->status = LOOKUP_OK;
		loop_defer(lookup->env->loop, &lookup->task);
	} else if (request->result == PASSDB_NOT_FOUND) {
		lookup_answer(lookup, REPLY_USER_UNKNOWN, request->user,
			      LOOKUP_NO_USER);
	} else {
		lookup_answer(lookup, REPLY_LOOKUP_FAILED, request->reason,
			      LOOKUP_TEMPFAIL);
	}
}

static void lookup_user_done(struct userdb_request *request)
{
	struct lookup *lookup = container_of(request, struct lookup, user);

	if (request->result == PASSDB_OK)
		lookup_report_user(&lookup->report, &request->found);
	else
		lookup_report_no_user(&lookup->report, request->result);
	if (!lookup->env->settings->local.enabled)
		lookup_not_here(lookup);
	else
		lookup_here(lookup, request);
}

static void lookup_local(struct lookup *lookup)
{
	struct userdb_request *user = &lookup->user;

	lookup->local = true;
	if (lookup->env->settings->passdb.userdb_count == 0) {
		lookup_not_here(lookup);
		return;
	}
	user->arena = lookup->arena;
	user->user = lookup->request.user;
	user->client = lookup->request.client;
	user->log = lookup->request.log;
	user->pass = &lookup->request;
	user->observer = lookup->request.observer;
	user->done = lookup_user_done;
	userdb_lookup(lookup->env->passdb, user);
}

static void lookup_remote(struct lookup *lookup)
{
	lookup_report_route(&lookup->report, &lookup->route);
	if (addressee_goes_round(&lookup->route, lookup->request.client)) {
		lookup_answer(lookup, REPLY_LOOP, NULL, LOOKUP_CONFIG);
		return;
	}
	lookup->status = LOOKUP_OK;
	loop_defer(lookup->env->loop, &lookup->task);
}

static void lookup_resolved(void *arg, const struct dns_answer *answer)
{
	struct lookup *lookup = arg;

	lookup->resolve = NULL;
	lookup_report_dns(&lookup->report, lookup->route.target.host, answer,
			  lookup->resolve_us);
	if (addressee_is_here(&lookup->route, lookup->request.client, answer))
		lookup_local(lookup);
	else
		lookup_remote(lookup);
}

static void lookup_follow(struct lookup *lookup)
{
	const struct route *route = &lookup->route;

	switch (route->kind) {
	case ROUTE_REFUSE:
		/* A userdb may know whom no passdb does. */
		if (lookup->request.result == PASSDB_NOT_FOUND &&
		    lookup->env->settings->local.enabled) {
			lookup_local(lookup);
			break;
		}
		lookup_answer(lookup, route->cause, route->reason,
			      refusal_status(route->cause));
		break;
	case ROUTE_LOCAL:
		lookup_local(lookup);
		break;
	case ROUTE_REMOTE:
		if (!route->maybe_self) {
			lookup_remote(lookup);
			break;
		}
		lookup->resolve_us = lookup_report_now_us();
		lookup->resolve = dns_lookup(lookup->env->dns, route->target.host,
					     lookup_resolved, lookup);
		break;
	}
}

static int lookup_route(struct lookup *lookup, const uint32_t *stay,
			struct err *err)
{
	const struct addressee_director director = {
		.director = lookup->env->director,
		.stay = stay,
	};

	return addressee_route(lookup->arena, &director, &lookup->request,
			       &lookup->address, lookup->user_len,
			       &lookup->route, &lookup->params, err);
}

/* A user with deliveries under way, or some lately, stays there. */
static void lookup_settle(struct lookup *lookup)
{
	const struct lookup_env *env = lookup->env;
	const struct director_choice *choice = &lookup->route.choice;
	const struct director_rules rules = director_rules(env->director);
	uint32_t server = choice->server->id;
	struct err err;

	if (env->users != NULL)
		server = director_users_peek(env->users, loop_now_us(env->loop),
					     choice->key, server,
					     choice->moved
						     ? DIRECTOR_MOVED
						     : DIRECTOR_MAY_STAY,
					     &rules);
	if (server != choice->server->id)
		(void)lookup_route(lookup, &server, &err);
}

static void lookup_done(struct passdb_request *request)
{
	struct lookup *lookup = container_of(request, struct lookup, request);
	struct lookup_report *report = &lookup->report;
	struct route *route = &lookup->route;
	struct err err;

	if (request->result == PASSDB_OK)
		lookup_report_fields(report, &request->fields);
	if (lookup_route(lookup, NULL, &err) < 0)
		lookup_report_no_route(report, err.text);
	else if (route->kind == ROUTE_REFUSE && request->result == PASSDB_OK)
		lookup_report_no_route(report, NULL);
	if (route->choice.server != NULL)
		lookup_settle(lookup);
	tls_set_target(lookup->env->tls, lookup->set, &route->target);
	lookup_follow(lookup);
}

/* --- asking --- */

static void lookup_ask(struct lookup *lookup)
{
	struct passdb_request *request = &lookup->request;

	request->arena = lookup->arena;
	request->user = addressee_user(lookup->arena, &lookup->address,
				       lookup->set->recipient_delimiter,
				       &lookup->user_len);
	request->client = &lookup->client.client;
	request->log = &lookup->log;
	request->given = lookup->client.given;
	request->observer = &lookup->report.observer;
	request->done = lookup_done;
	passdb_lookup(lookup->env->passdb, request);
}

static int lookup_parse(struct lookup *lookup, struct err *err)
{
	const char *path =
		arena_concat(lookup->arena, "<", lookup->text, ">");
	size_t len = strlen(path), rest;

	if (addressee_parse(lookup->arena, path, len,
			    lookup->set->lmtp_client_workarounds,
			    &lookup->address, &rest, err) < 0)
		return -1;
	return rest == len ? 0 : err_set(err, "Invalid address");
}

static void lookup_over(struct loop_task *task)
{
	struct lookup *lookup = container_of(task, struct lookup, task);

	lookup_report_end(&lookup->report);
	lookup->done(lookup->arg, lookup->status);
}

struct lookup_result lookup_result(const struct lookup *lookup)
{
	return (struct lookup_result){
		.route = &lookup->route,
		.user = lookup->request.username,
		.local = lookup->local,
		.reply = lookup->reply.code != 0 ? &lookup->reply : NULL,
	};
}

void lookup_start(struct lookup *lookup, const struct lookup_env *env,
		  FILE *out, void (*done)(void *arg, enum lookup_status status),
		  void *arg)
{
	struct lookup_client *client = &lookup->client;
	struct err err;

	lookup->env = env;
	lookup->done = done;
	lookup->arg = arg;
	lookup->task.fn = lookup_over;
	lookup_client_complete(client, env->settings);
	lookup->set = settings_for_name(env->settings,
					&client->client.real_local,
					&client->client.real_remote,
					client->client.local_name);
	lookup_report_start(&lookup->report, out, lookup->arena, lookup->text);
	lookup_report_client(&lookup->report, &client->client, env->account);
	lookup_report_given(&lookup->report, &client->given);
	if (lookup_parse(lookup, &err) == 0) {
		lookup_ask(lookup);
		return;
	}
	lookup->reply = (struct smtp_reply){
		501, { 5, 5, 4 }, SMTP_ORIGIN_LOCAL,
		arena_strdup(lookup->arena, err.text),
	};
	lookup_report_reply(&lookup->report, &lookup->reply, NULL);
	lookup->status = LOOKUP_USAGE;
	loop_defer(env->loop, &lookup->task);
}
