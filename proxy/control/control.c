#include "proxy/control/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/control/private.h"
#include "proxy/director/keeper.h"

#define MAX_UNTAKEN (16 * 1024 * 1024) /* bytes, of each service */
#define MAX_LOCAL 64 /* connections */
#define MAX_REMOTE 256 /* nginx takes one for each login under way */
#define REQUEST_MS 10000
#define IDLE_MS 60000
/* Postfix has one for each process that looks recipients up, and ends them after
 * 10 seconds; those of tcp_table(5) stay. */
#define SOCKETMAP_CONNECTIONS 256
#define SOCKETMAP_IDLE_MS 300000
#define MAX_GATHERS 256 /* that a thread which is stuck has not answered */
#define JSON "application/json"

/* --- answers --- */

static void call_end(struct control_call **call_p, unsigned status,
		     const char *type)
{
	struct control_call *call = *call_p;

	*call_p = NULL;
	httpd_reply(&call->request, status, type, &call->out);
	str_free(&call->out);
	mem_free(&call);
}

void control_answer(struct control_call **call)
{
	str_putc(&(*call)->out, '\n');
	call_end(call, 200, JSON);
}

void control_answer_text(struct control_call **call, unsigned status,
			 const char *type)
{
	call_end(call, status, type);
}

void control_answer_ok(struct control_call **call)
{
	json_open_object(&(*call)->json, NULL);
	json_write_bool(&(*call)->json, "ok", true);
	json_close_object(&(*call)->json);
	control_answer(call);
}

void control_refuse(struct control_call **call_p, unsigned status,
		    const char *text)
{
	struct control_call *call = *call_p;

	str_clear(&call->out);
	call->json = (struct json_writer){ .out = &call->out };
	json_open_object(&call->json, NULL);
	json_write_text(&call->json, "error", text);
	json_close_object(&call->json);
	str_putc(&call->out, '\n');
	call_end(call_p, status, JSON);
}

/* --- parameters --- */

const char *control_param(const struct control_call *call, const char *name)
{
	return http_head_param(&call->request->head, call->request->arena,
			       name);
}

int control_number(struct control_call **call, const char *name,
		   unsigned long max, unsigned long otherwise,
		   unsigned long *number_r)
{
	const char *text = control_param(*call, name);
	char why[128];
	char *end;

	*number_r = otherwise;
	if (text == NULL)
		return 0;
	*number_r = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && *end == '\0' && *number_r <= max)
		return 0;
	snprintf(why, sizeof(why), "%s must be a number up to %lu", name, max);
	control_refuse(call, 400, why);
	return -1;
}

/* --- questions --- */

bool control_may_gather(struct control_call **call)
{
	struct list *node, *tmp;
	unsigned count = 0;

	list_each(&(*call)->control->gathers, node, tmp)
		count++;
	if (count < MAX_GATHERS)
		return true;
	control_refuse(call, 503, "worker threads do not answer");
	return false;
}

struct gather *control_gather(struct control_call **call)
{
	struct control *control = (*call)->control;

	if (!control_may_gather(call))
		return NULL;
	return gather_new(control->env.set, &control->gathers);
}

/* --- who may do what --- */

/* Takes as long however much of it is right. */
static bool same_secret(const char *given, const char *secret, size_t len)
{
	unsigned char differs = 0;
	size_t i, given_len = strlen(given);

	for (i = 0; i < given_len; i++)
		differs |= (unsigned char)(given[i] ^ secret[i % len]);
	return given_len == len && differs == 0;
}

/* A token from a file may have the file's last line end. */
static size_t token_len(const char *token)
{
	size_t len = strlen(token);

	while (len > 0 && strchr("\r\n", token[len - 1]) != NULL)
		len--;
	return len;
}

static unsigned token_rights(const struct control *control,
			     const struct http_head *head)
{
	const struct settings *settings = control->env.source->settings;
	const char *given = http_head_field(head, "Authorization");
	size_t len = token_len(settings->http_token);

	if (given == NULL || strncasecmp(given, "Bearer ", 7) != 0 ||
	    len == 0 || !same_secret(given + 7, settings->http_token, len))
		return 0;
	return settings->http_allow_changes ? CONTROL_SEE | CONTROL_CHANGE
					    : CONTROL_SEE;
}

/* --- what there is --- */

struct control_path {
	const char *method, *path;
	unsigned right; /* 0: anybody may, who gets so far */
	void (*handle)(struct control_call *call);
};

static const struct control_path paths[] = {
	{ "GET", "/healthz", 0, control_healthz },
	{ "GET", "/readyz", 0, control_readyz },
	{ "GET", "/metrics", CONTROL_SEE, control_metrics },
	{ "GET", "/v1/status", CONTROL_SEE, control_status },
	{ "GET", "/v1/config", CONTROL_SEE, control_config },
	{ "GET", "/v1/sessions", CONTROL_SEE, control_sessions },
	{ "POST", "/v1/sessions/kick", CONTROL_CHANGE, control_kick },
	{ "GET", "/v1/stats", CONTROL_SEE, control_stats },
	{ "GET", "/v1/pool", CONTROL_SEE, control_pool },
	{ "GET", "/v1/auth/lookup", CONTROL_SEE, control_lookup },
	{ "GET", "/v1/route", CONTROL_SEE, control_route },
	{ "GET", "/v1/auth_http", CONTROL_SEE, control_auth_http },
	{ "GET", "/v1/auth/cache", CONTROL_SEE, control_cache },
	{ "POST", "/v1/auth/cache/flush", CONTROL_CHANGE,
	  control_cache_flush },
	{ "GET", "/v1/director", CONTROL_SEE, control_director },
	{ "GET", "/v1/director/user", CONTROL_SEE, control_director_user },
	{ "GET", "/v1/director/map", CONTROL_SEE, control_director_map },
	{ "GET", "/v1/director/plan", CONTROL_SEE, control_director_plan },
	{ "POST", "/v1/director/add", CONTROL_CHANGE, control_director_change },
	{ "POST", "/v1/director/remove", CONTROL_CHANGE,
	  control_director_change },
	{ "POST", "/v1/director/update", CONTROL_CHANGE,
	  control_director_change },
	{ "POST", "/v1/director/up", CONTROL_CHANGE, control_director_change },
	{ "POST", "/v1/director/drain", CONTROL_CHANGE,
	  control_director_change },
	{ "POST", "/v1/director/down", CONTROL_CHANGE,
	  control_director_change },
	{ "POST", "/v1/director/flush", CONTROL_CHANGE,
	  control_director_change },
	{ "POST", "/v1/director/move", CONTROL_CHANGE, control_director_move },
	{ "POST", "/v1/director/unmove", CONTROL_CHANGE,
	  control_director_unmove },
	{ "GET", "/v1/director/dump", CONTROL_SEE, control_director_dump },
	{ "GET", "/v1/director/ring", CONTROL_SEE, control_ring },
	{ "POST", "/v1/director/ring/remove", CONTROL_CHANGE,
	  control_ring_remove },
	{ "POST", "/v1/director/ring/adopt", CONTROL_CHANGE,
	  control_ring_adopt },
	{ "POST", "/v1/drain", CONTROL_CHANGE, control_drain },
	{ "POST", "/v1/undrain", CONTROL_CHANGE, control_undrain },
	{ "POST", "/v1/reload", CONTROL_CHANGE, control_reload },
	{ "POST", "/v1/stop", CONTROL_CHANGE, control_stop },
	{ "GET", "/v1/rawlog", CONTROL_SEE, control_rawlog },
	{ "POST", "/v1/rawlog/on", CONTROL_CHANGE, control_rawlog_on },
	{ "POST", "/v1/rawlog/off", CONTROL_CHANGE, control_rawlog_off },
	{ "GET", "/v1/log/errors", CONTROL_SEE, control_log_errors },
	{ "POST", "/v1/log/level", CONTROL_CHANGE, control_log_level },
	{ "POST", "/v1/log/reopen", CONTROL_CHANGE, control_log_reopen },
};
#define PATHS (sizeof(paths) / sizeof(paths[0]))

/* NULL: there is none. */
static const struct control_path *find_path(const struct http_head *head)
{
	size_t i;

	for (i = 0; i < PATHS; i++) {
		if (strcmp(paths[i].path, head->path) == 0)
			return &paths[i];
	}
	return NULL;
}

/* HEAD is GET without a body, of which lib/http/httpd.c takes care. */
static bool has_method(const struct control_path *path, const char *method)
{
	return strcmp(path->method, method) == 0 ||
	       (strcmp(path->method, "GET") == 0 &&
		strcmp(method, "HEAD") == 0);
}

static void refuse_method(struct control_call **call,
			  const struct control_path *path)
{
	httpd_field((*call)->request, "Allow",
		    strcmp(path->method, "GET") == 0 ? "GET, HEAD"
						     : path->method);
	control_refuse(call, 405, "not with this method");
}

static void note_change(const struct httpd_request *request)
{
	log_info(NULL, "control: %s %s%s%s", request->head.method,
		 request->head.path, *request->head.query != '\0' ? "?" : "",
		 request->head.query);
}

/* Who has shown no right at all. */
static void refuse_stranger(struct control_call **call)
{
	const struct settings *settings =
		(*call)->control->env.source->settings;

	if (!((*call)->request->rights & CONTROL_BY_TOKEN))
		control_refuse(call, 403, "you may not use this socket");
	else if (token_len(settings->http_token) == 0)
		control_refuse(call, 403, "without http_token there are only "
			       "/healthz and /readyz");
	else
		control_refuse(call, 401, "Authorization: Bearer <http_token> "
			       "is needed");
}

static void call_run(struct control_call *call)
{
	struct httpd_request *request = call->request;
	const struct control_path *path = find_path(&request->head);
	unsigned rights = request->rights;

	if (rights & CONTROL_BY_TOKEN)
		rights = token_rights(call->control, &request->head);
	if (rights != 0)
		httpd_vouch(request);
	if (rights == 0 && (path == NULL || path->right != 0)) {
		refuse_stranger(&call);
	} else if (path == NULL) {
		control_refuse(&call, 404, "there is no such path");
	} else if (!has_method(path, request->head.method)) {
		refuse_method(&call, path);
	} else if ((rights & path->right) != path->right) {
		control_refuse(&call, 403, "http_allow_changes is no");
	} else {
		if (path->right & CONTROL_CHANGE)
			note_change(request);
		path->handle(call);
	}
}

static void handle(void *arg, struct httpd_request *request)
{
	struct control_call *call = mem_new(struct control_call);

	call->control = arg;
	call->request = request;
	call->json.out = &call->out;
	call_run(call);
}

/* --- the interface --- */

static struct mapd *socketmap_new(struct control *control)
{
	const struct mapd_settings settings = {
		.clients = { .max = SOCKETMAP_CONNECTIONS,
			     .request_ms = REQUEST_MS,
			     .idle_ms = SOCKETMAP_IDLE_MS },
		.handle = control_socketmap,
		.arg = control,
	};

	return mapd_new(control->env.loop, &settings);
}

struct control *control_new(const struct control_env *env)
{
	struct control *control = mem_new(struct control);
	struct httpd_settings settings = {
		.clients = { .max = MAX_LOCAL, .request_ms = REQUEST_MS,
			     .idle_ms = IDLE_MS, .cuts_requests = true },
		.max_untaken = MAX_UNTAKEN,
		.handle = handle,
		.arg = control,
	};

	control->env = *env;
	control->started_us = loop_now_us(env->loop);
	control->started_s = (uint64_t)time(NULL);
	control->local = httpd_new(env->loop, &settings);
	settings.clients.max = MAX_REMOTE;
	control->remote = httpd_new(env->loop, &settings);
	control->socketmap = socketmap_new(control);
	control->answers = answers_new(&control->env);
	list_init(&control->doors);
	list_init(&control->wishes);
	list_init(&control->lookups);
	list_init(&control->gathers);
	list_init(&control->health_calls);
	list_init(&control->steps);
	rawlog_rules_init(&control->rawlogs);
	rawlog_rules_copy(&control->rawlogs, env->rawlogs);
	list_init(&control->rawlog_waits);
	control->standing = env->standing;
	control_orders_start(control);
	return control;
}

/* The workers may still come back with what they were asked. */
static void drop_gathers(struct control *control)
{
	struct list *node, *tmp;

	list_each(&control->gathers, node, tmp) {
		struct gather *gather = container_of(node, struct gather, node);
		struct control_call *call = gather->arg;

		if (gather_forget(gather) && call != NULL)
			control_refuse(&call, 503, CONTROL_LEAVES);
	}
}

void control_free(struct control **control_p)
{
	struct control *control = *control_p;

	if (control == NULL)
		return;
	control_wishes_drop(control);
	director_keeper_end_changes(control->env.keeper);
	control_lookups_drop(control);
	control_steps_drop(control);
	answers_free(&control->answers);
	drop_gathers(control);
	control_health_drop(control);
	control_counted_drop(control);
	control_door_close_all(control);
	rawlog_rules_free(&control->rawlogs);
	httpd_free(&control->local);
	httpd_free(&control->remote);
	mapd_free(&control->socketmap);
	mem_free(control_p);
}

void control_listen(struct control *control, uint32_t name, int fd,
		    unsigned flags)
{
	control_door_open(control, name, fd, flags);
}

void control_close(struct control *control)
{
	control->leaving = true;
	control_door_shut_all(control);
	control_wishes_drop(control);
	httpd_leave(control->local);
	httpd_leave(control->remote);
	mapd_leave(control->socketmap);
}

void control_unlisten(struct control *control, uint32_t name)
{
	control_door_close_named(control, name);
}
