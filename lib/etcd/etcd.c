#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "lib/etcd/private.h"
#include "lib/log/log.h"
#include "lib/mem.h"

#define MAX_CONNECTIONS 16 /* to a member; each watch has one */
#define CONNECTION_MAX_IDLE_S 60
#define MAX_ANSWER (8 * 1024 * 1024)
#define MAX_EXCERPT 120 /* of an answer that is not etcd's */
#define COMMON_NAME "CommonName of client sending a request against gateway"
#define MAX_TEXT 400	 /* of etcd's own */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

enum { /* codes of gRPC */
	CODE_CANCELED = 1,
	CODE_UNKNOWN = 2, /* etcd's for what it has no code for: a proposal
			     that was dropped while there was no leader */
	CODE_INVALID = 3,
	CODE_DEADLINE = 4,
	CODE_UNAVAILABLE = 14,
	CODE_UNAUTHENTICATED = 16,
};

unsigned etcd_backoff(unsigned *ms)
{
	unsigned chance = 0, base = *ms * 2;

	if (base < BACKOFF_MIN_MS)
		base = BACKOFF_MIN_MS;
	if (base > BACKOFF_MAX_MS)
		base = BACKOFF_MAX_MS;
	*ms = base;
	if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) < 0)
		chance = (unsigned)errno;
	return base - chance % (base / 3);
}

/* --- answers --- */

enum etcd_verdict etcd_verdict_of_text(const char *text)
{
	return strstr(text, "user name is empty") != NULL ||
	       strstr(text, "invalid auth token") != NULL ||
	       strstr(text, "revision of auth store is old") != NULL ?
	       ETCD_LOGIN : ETCD_REFUSE;
}

enum etcd_verdict etcd_verdict(int64_t code, const char *text)
{
	switch (code) {
	case 0: /* not from etcd */
	case CODE_CANCELED: /* it is about to end */
	case CODE_UNKNOWN:
	case CODE_DEADLINE:
	case CODE_UNAVAILABLE:
		return ETCD_LEAVE;
	case CODE_UNAUTHENTICATED:
		return ETCD_LOGIN;
	case CODE_INVALID:
		return etcd_verdict_of_text(text);
	default:
		return ETCD_REFUSE;
	}
}

const char *etcd_clip(struct arena *arena, const char *text)
{
	return strnlen(text, MAX_TEXT + 1) > MAX_TEXT ?
		arena_strndup(arena, text, MAX_TEXT) : text;
}

/* etcd's gateway does not say whose name, nor that it is the name that has to go. */
static const char *advice(const struct http_answer *answer)
{
	return strncmp(answer->body, COMMON_NAME, strlen(COMMON_NAME)) == 0 ?
		" (our certificate must have no common name here)" : "";
}

/* The first line may say what is wrong. */
static const char *describe_status(const struct http_answer *answer,
				   struct arena *arena)
{
	size_t len = strcspn(answer->body, "\r\n");

	if (len > MAX_EXCERPT)
		len = MAX_EXCERPT;
	return arena_printf(arena, "status %u of HTTP%s%.*s%s", answer->status,
			    len > 0 ? ": " : "", (int)len, answer->body,
			    advice(answer));
}

enum etcd_verdict etcd_judge(const struct http_answer *answer,
			     struct arena *arena, struct etcd_failure *failure)
{
	*failure = (struct etcd_failure){ .text = answer->error };
	if (answer->error != NULL && (answer->lost || answer->status == 0))
		return ETCD_LEAVE;
	if (answer->error != NULL) {
		failure->code = ETCD_TOO_LARGE;
		return ETCD_REFUSE;
	}
	if (answer->status == 200)
		return ETCD_TAKE;
	etcd_wire_read_failure(failure, arena, answer->body, answer->len);
	failure->text = *failure->text != '\0' ?
		etcd_clip(arena, failure->text) :
		describe_status(answer, arena);
	return etcd_verdict(failure->code, failure->text);
}

/* --- members --- */

static struct etcd_member *member_in_use(const struct etcd *etcd)
{
	return &etcd->members[etcd->current];
}

const char *etcd_member(const struct etcd *etcd)
{
	return member_in_use(etcd)->url->text;
}

static void member_failed(struct etcd *etcd, struct etcd_member *member,
			  const char *why)
{
	etcd->troubled = member;
	if (member->problem != NULL && strcmp(member->problem, why) == 0)
		return;
	log_warning(NULL, "etcd: %s: %s", member->url->text, why);
	mem_free(&member->problem);
	member->problem = mem_strdup(why);
}

void etcd_works(struct etcd *etcd, unsigned turn)
{
	struct etcd_member *member = member_in_use(etcd);

	if (turn != etcd->turn)
		return;
	etcd->left = etcd->distrusted = etcd->backoff_ms = 0;
	if (member->problem == NULL)
		return;
	log_info(NULL, "etcd: %s: works again", member->url->text);
	mem_free(&member->problem);
}

static void round_over(struct etcd *etcd)
{
	if (etcd->distrusted == etcd->settings->url_count) {
		log_warning(NULL, "etcd: no member belongs to the cluster any "
			    "more that was seen so far: starting anew with "
			    "what there is");
		etcd->seen = (struct etcd_header){ .revision = 0 };
	}
	etcd->left = etcd->distrusted = 0;
	loop_timer_set(&etcd->rest, etcd_backoff(&etcd->backoff_ms));
}

void etcd_leave_turn(struct etcd *etcd, unsigned turn, const char *why)
{
	struct list *node, *tmp;

	if (turn != etcd->turn)
		return;
	member_failed(etcd, member_in_use(etcd), why);
	etcd_login_cancel(etcd);
	etcd->turn++;
	etcd->current = (etcd->current + 1) % etcd->settings->url_count;
	if (++etcd->left == etcd->settings->url_count)
		round_over(etcd);
	list_each(&etcd->watches, node, tmp)
		etcd_watch_left(node, why);
	etcd_run(etcd);
}

void etcd_leave(struct etcd *etcd, const char *why)
{
	etcd_leave_turn(etcd, etcd->turn, why);
}

/* A member that is cut off goes on to count terms by itself, and tells them: they
 * must not make all others look old. */
bool etcd_distrust_turn(struct etcd *etcd, unsigned turn,
			const struct etcd_header *header, bool proven)
{
	struct etcd_header seen = etcd->seen;
	const char *why = etcd_wire_distrust(&seen, header);

	if (why == NULL && proven)
		etcd->seen = seen;
	if (why == NULL)
		return false;
	if (turn == etcd->turn)
		etcd->distrusted++;
	etcd_leave_turn(etcd, turn, why);
	return true;
}

/* --- the queue --- */

void etcd_wait(struct etcd *etcd, struct etcd_waiter *waiter)
{
	list_append(&etcd->waiting, &waiter->node);
}

void etcd_run(struct etcd *etcd)
{
	struct etcd_waiter *waiter;

	if (etcd->rest.due_us != 0 || list_empty(&etcd->waiting))
		return;
	if (!etcd_is_logged_in(etcd)) {
		etcd_login(etcd);
		return;
	}
	while ((waiter = list_first(&etcd->waiting, struct etcd_waiter,
				    node)) != NULL) {
		list_remove(&waiter->node);
		waiter->run(waiter);
	}
}

static void rest_over(struct loop_timer *timer)
{
	etcd_run(container_of(timer, struct etcd, rest));
}

struct http_request *
etcd_start(struct etcd *etcd, struct http_call *call, struct str *header,
	   void (*fn)(void *arg, const struct http_answer *answer), void *arg)
{
	str_wipe(header);
	if (etcd->login.header.len > 0) {
		str_append(header, etcd->login.header.data,
			   etcd->login.header.len);
		call->header = str_c(header);
	}
	return http_start(member_in_use(etcd)->server, call, fn, arg);
}

const char *etcd_describe_timeout(const struct etcd *etcd, struct arena *arena)
{
	const struct etcd_member *member = etcd->troubled;

	if (member == NULL || member->problem == NULL)
		return arena_printf(arena, "no answer within %u ms",
				    etcd->settings->timeout_ms);
	return arena_printf(arena, "no answer within %u ms; %s: %s",
			    etcd->settings->timeout_ms, member->url->text,
			    member->problem);
}

/* --- requests --- */

struct etcd_request {
	struct etcd_waiter waiter;
	struct etcd *etcd;
	enum etcd_method method;
	struct str body, header;
	void (*fn)(void *arg, const struct etcd_answer *answer);
	void (*txn_fn)(void *arg, const struct etcd_txn_answer *answer,
		       const char *error);
	void *arg;
	struct loop_timer timer; /* its time is over, or it has failed */
	struct http_request *http;
	const char *url;      /* to whom it was sent */
	unsigned turn, login; /* when */
	bool repeated;	      /* after another login */
	char *error;
};

static int read_range(struct etcd_answer *answer, struct arena *arena,
		      const char *body, size_t len, struct err *err)
{
	if (etcd_wire_read_range(&answer->range, arena, body, len, err) < 0)
		return -1;
	answer->header = answer->range.header;
	return 0;
}

static int read_txn(struct etcd_answer *answer, struct arena *arena,
		    const char *body, size_t len, struct err *err)
{
	(void)arena;
	if (etcd_wire_read_txn(&answer->txn, body, len, err) < 0)
		return -1;
	answer->header = answer->txn.header;
	return 0;
}

static int read_lease(struct etcd_answer *answer, struct arena *arena,
		      const char *body, size_t len, struct err *err)
{
	(void)arena;
	if (etcd_wire_read_lease(&answer->lease, body, len, err) < 0)
		return -1;
	answer->header = answer->lease.header;
	return 0;
}

static const struct {
	const char *path;
	int (*read)(struct etcd_answer *answer, struct arena *arena,
		    const char *body, size_t len, struct err *err);
} methods[] = {
	[ETCD_RANGE] = { "/v3/kv/range", read_range },
	[ETCD_TXN] = { "/v3/kv/txn", read_txn },
	[ETCD_GRANT] = { "/v3/lease/grant", read_lease },
	[ETCD_KEEPALIVE] = { "/v3/lease/keepalive", read_lease },
	/* It has nothing but a header. */
	[ETCD_REVOKE] = { "/v3/lease/revoke", read_txn },
};

static void request_free(struct etcd_request *request)
{
	list_remove(&request->waiter.node);
	loop_timer_close(&request->timer);
	http_cancel(&request->http);
	str_free(&request->body);
	str_wipe(&request->header);
	mem_free(&request->error);
	mem_free(&request);
}

static void request_end(struct etcd_request *request,
			const struct etcd_answer *answer)
{
	loop_timer_close(&request->timer);
	request->etcd->users--;
	if (request->txn_fn != NULL)
		request->txn_fn(request->arg, answer->error == NULL ?
				&answer->txn : NULL, answer->error);
	else
		request->fn(request->arg, answer);
	request_free(request);
}

static void request_timer_event(struct loop_timer *timer)
{
	struct etcd_request *request =
		container_of(timer, struct etcd_request, timer);
	struct arena *arena = arena_new(256);
	struct etcd_answer answer = { .error = request->error };

	list_remove(&request->waiter.node);
	http_cancel(&request->http);
	if (answer.error == NULL)
		answer.error = etcd_describe_timeout(request->etcd, arena);
	request_end(request, &answer);
	arena_free(&arena);
}

static void request_fail(struct etcd_waiter *waiter, const char *why)
{
	struct etcd_request *request =
		container_of(waiter, struct etcd_request, waiter);

	request->error = mem_strdup(why);
	loop_timer_set(&request->timer, 0);
}

static void request_again(struct etcd_request *request)
{
	etcd_wait(request->etcd, &request->waiter);
	etcd_run(request->etcd);
}

static void request_refused(struct etcd_request *request, struct arena *arena,
			    const struct etcd_failure *failure)
{
	const struct etcd_answer answer = {
		.error = arena_printf(arena, "%s: %s", request->url,
				      failure->text),
		.code = failure->code,
	};

	etcd_works(request->etcd, request->turn);
	request_end(request, &answer);
}

static void request_taken(struct etcd_request *request, struct arena *arena,
			  const struct http_answer *http)
{
	struct etcd *etcd = request->etcd;
	struct etcd_answer answer = { .error = NULL };
	struct err err = { "" };

	if (methods[request->method].read(&answer, arena, http->body,
					  http->len, &err) < 0) {
		etcd_leave_turn(etcd, request->turn, err.text);
		request_again(request);
		return;
	}
	if (etcd_distrust_turn(etcd, request->turn, &answer.header, true)) {
		request_again(request);
		return;
	}
	etcd_works(etcd, request->turn);
	request_end(request, &answer);
}

static void request_judged(struct etcd_request *request, struct arena *arena,
			   const struct http_answer *answer)
{
	struct etcd *etcd = request->etcd;
	struct etcd_failure failure;
	enum etcd_verdict verdict = etcd_judge(answer, arena, &failure);

	if (verdict == ETCD_LOGIN &&
	    (request->repeated || !etcd_login_again(etcd, request->login)))
		verdict = ETCD_REFUSE;
	switch (verdict) {
	case ETCD_TAKE:
		request_taken(request, arena, answer);
		break;
	case ETCD_LEAVE:
		etcd_leave_turn(etcd, request->turn, failure.text);
		request_again(request);
		break;
	case ETCD_LOGIN:
		request->repeated = true;
		request_again(request);
		break;
	case ETCD_REFUSE:
		request_refused(request, arena, &failure);
		break;
	}
}

static void request_answered(void *arg, const struct http_answer *answer)
{
	struct etcd_request *request = arg;
	struct etcd *etcd = request->etcd;
	struct arena *arena = arena_new(1024);

	request->http = NULL;
	etcd->answering = true;
	request_judged(request, arena, answer);
	etcd->answering = false;
	arena_free(&arena);
}

static void request_run(struct etcd_waiter *waiter)
{
	struct etcd_request *request =
		container_of(waiter, struct etcd_request, waiter);
	struct etcd *etcd = request->etcd;
	struct http_call call = {
		.path = methods[request->method].path,
		.body = str_c(&request->body), .body_len = request->body.len,
	};

	request->url = etcd_member(etcd);
	request->turn = etcd->turn;
	request->login = etcd->login.number;
	request->http = etcd_start(etcd, &call, &request->header,
				   request_answered, request);
}

static struct etcd_request *request_new(struct etcd *etcd,
					enum etcd_method method, void *arg)
{
	struct etcd_request *request = mem_new(struct etcd_request);

	request->waiter.run = request_run;
	request->waiter.fail = request_fail;
	request->etcd = etcd;
	request->method = method;
	request->arg = arg;
	loop_timer_open(&request->timer, etcd->loop, request_timer_event);
	loop_timer_set(&request->timer, etcd->settings->timeout_ms);
	etcd->users++;
	return request;
}

struct etcd_request *etcd_call(struct etcd *etcd, enum etcd_method method,
			       struct str *body,
			       void (*fn)(void *arg,
					  const struct etcd_answer *answer),
			       void *arg)
{
	struct etcd_request *request = request_new(etcd, method, arg);

	request->fn = fn;
	request->body = *body;
	*body = (struct str)STR_INIT;
	request_again(request);
	return request;
}

struct etcd_request *etcd_txn(struct etcd *etcd, const struct etcd_txn *txn,
			      void (*fn)(void *arg,
					 const struct etcd_txn_answer *answer,
					 const char *error),
			      void *arg)
{
	struct etcd_request *request = request_new(etcd, ETCD_TXN, arg);
	struct err err = { "" };

	request->txn_fn = fn;
	if (etcd_wire_put_txn(&request->body, txn, &err) < 0)
		request_fail(&request->waiter, err.text);
	else
		request_again(request);
	return request;
}

void etcd_cancel(struct etcd_request **request_p)
{
	struct etcd_request *request = *request_p;

	*request_p = NULL;
	if (request == NULL)
		return;
	request->etcd->users--;
	request_free(request);
}

/* --- the client --- */

/* Each member has its share of a call's time, and some is left for a login. */
static unsigned attempt_ms(const struct etcd_settings *settings)
{
	unsigned ms = settings->timeout_ms / 8 * 7 / settings->url_count;

	return ms > 0 ? ms : 1;
}

struct etcd *etcd_new(struct loop *loop, struct dns *dns,
		      const struct etcd_settings *settings)
{
	static const char *const headers[] = {
		"Content-Type: application/json", NULL,
	};
	struct etcd *etcd = mem_new(struct etcd);
	unsigned i;

	etcd->loop = loop;
	etcd->settings = settings;
	etcd->http = (struct http_settings){
		.max_connections = MAX_CONNECTIONS,
		.timeout_ms = attempt_ms(settings),
		.connect_timeout_ms = attempt_ms(settings),
		.max_idle_s = CONNECTION_MAX_IDLE_S,
		.max_body = MAX_ANSWER, .headers = headers,
		.verify = settings->verify, .trust = settings->trust,
		.cert = settings->cert, .key = settings->key,
	};
	etcd->client = http_client_new(loop, dns, &etcd->http);
	etcd->members = mem_alloc(settings->url_count *
				  sizeof(*etcd->members));
	for (i = 0; i < settings->url_count; i++) {
		etcd->members[i].url = settings->urls[i];
		etcd->members[i].server =
			http_server_new(etcd->client, settings->urls[i]);
	}
	loop_timer_open(&etcd->rest, loop, rest_over);
	list_init(&etcd->waiting);
	list_init(&etcd->watches);
	return etcd;
}

void etcd_free(struct etcd **etcd_p)
{
	struct etcd *etcd = *etcd_p;
	unsigned i;

	if (etcd == NULL)
		return;
	ASSERT(etcd->users == 0 && !etcd->answering);
	etcd_login_cancel(etcd);
	str_wipe(&etcd->login.header);
	loop_timer_close(&etcd->rest);
	for (i = 0; i < etcd->settings->url_count; i++) {
		http_server_free(&etcd->members[i].server);
		mem_free(&etcd->members[i].problem);
	}
	mem_free(&etcd->members);
	http_client_free(&etcd->client);
	mem_free(etcd_p);
}

unsigned etcd_timeout_ms(const struct etcd *etcd)
{
	return etcd->settings->timeout_ms;
}

struct loop *etcd_loop(const struct etcd *etcd)
{
	return etcd->loop;
}
