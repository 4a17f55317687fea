/* The control interface's inside, for the files that implement it: control/control.c
 * (requests and who may make them), control/door.c (listening sockets), and one
 * for each thing that it speaks of. */
#ifndef PROXY_CONTROL_PRIVATE_H
#define PROXY_CONTROL_PRIVATE_H

#include "backends/director/state.h"
#include "lib/http/httpd.h"
#include "lib/json_write.h"
#include "lib/list.h"
#include "lib/mapd.h"
#include "proxy/control/control.h"
#include "proxy/lookup/answers.h"
#include "proxy/rawlog_rules.h"
#include "proxy/worker/gather.h"

/* Why a request is not answered by a process that ends. */
#define CONTROL_LEAVES "waypost stops, or another program takes over"

enum control_right {
	CONTROL_SEE = 1 << 0,
	CONTROL_CHANGE = 1 << 1,
	/* Over TCP: what a request may do depends on its token. */
	CONTROL_BY_TOKEN = 1 << 2,
};

struct control {
	struct control_env env;
	struct httpd *local, *remote; /* of services ctl and http */
	struct mapd *socketmap;	      /* of service socketmap */
	struct list doors;	      /* struct control_door */
	struct answers *answers;
	struct list lookups; /* struct control_lookup: under way */
	unsigned lookup_count;
	struct list steps; /* struct control_steps: under way */
	unsigned steps_count;
	struct rawlog_rules rawlogs; /* as all workers have them */
	struct list rawlog_waits; /* struct control_wait: for that */
	struct list wishes; /* struct control_wait: of the supervisor */
	uint32_t last_wish; /* its number */
	struct list gathers; /* struct gather: of the workers, for a call */
	unsigned shows; /* of sessions, under way */
	struct list health_calls; /* struct control_health: wait for one gather */
	struct counted **counted; /* of each worker: see control/metrics.c */
	uint64_t started_us; /* loop time */
	uint64_t started_s;  /* the time of day */
	struct control_standing standing;
	uint32_t last_order; /* the number of its wish */
	bool leaving; /* control_close(): nobody new comes */
};

/* A request under way, and its answer. */
struct control_call {
	struct control *control;
	struct httpd_request *request;
	struct str out;
	struct json_writer json; /* into out */
};

/* A parameter of the request's query; NULL when it was not given. */
const char *control_param(const struct control_call *call, const char *name);

/* The same as a number up to max; otherwise when it was not given. -1, and the
 * request is refused, when it is none. */
int control_number(struct control_call **call, const char *name,
		   unsigned long max, unsigned long otherwise,
		   unsigned long *number_r);

/* Each ends the call, and clears the pointer: with the JSON that was written
 * so far, with what else was, with {"ok":true}, or with {"error":text}. */
void control_answer(struct control_call **call);
void control_answer_text(struct control_call **call, unsigned status,
			 const char *type);
void control_answer_ok(struct control_call **call);
void control_refuse(struct control_call **call, unsigned status,
		    const char *text);

/* A question to the workers, for this call. NULL: too many are not answered yet,
 * and the call is refused. */
struct gather *control_gather(struct control_call **call);

/* False: there are too many, and the call is refused. */
bool control_may_gather(struct control_call **call);

/* How many clients there are. */
unsigned long control_count_sessions(const struct worker_set *set);

/* --- control/door.c --- */

void control_door_open(struct control *control, uint32_t name, int fd,
		       unsigned flags);
void control_door_close_named(struct control *control, uint32_t name);
/* Shut doors let nobody in, but who is inside may go on. */
void control_door_shut_all(struct control *control);
void control_door_close_all(struct control *control);

/* --- control/wish.c --- */

/* Ends the calls that wait for the supervisor. */
void control_wishes_drop(struct control *control);

/* Passes a wish on. False: that cannot be, and the call is refused. */
bool control_wish(struct control_call **call, enum control_wish what);

/* Passes on an order about rawlogs, for whose end the call then waits. */
void control_wish_rawlog(struct control_call *call, const struct str *order);

/* The calls that wait for that up to number are answered; with an error, unless
 * ok. */
void control_rawlog_told(struct control *control, uint32_t number, bool ok);

/* --- control/orders.c --- */

/* Obeys what was ordered before this process began; its threads do so by
 * themselves. */
void control_orders_start(struct control *control);

/* --- control/sessions.c --- */

/* Has the workers refuse new clients and end sessions, or not any more. call: is
 * answered with how many sessions there were; NULL: nobody is. */
void control_sessions_drain(struct control *control, bool drain,
			    struct control_call *call);

/* --- control/metrics.c --- */

/* Forgets what the workers had counted. */
void control_counted_drop(struct control *control);

/* --- control/health.c --- */

/* Ends the calls that wait for it. */
void control_health_drop(struct control *control);

/* --- control/steps.c --- */

/* A call that is answered a bit at a time: a member of what finds the answer out. */
struct control_steps {
	struct list node;
	struct control_call *call;
	struct loop_timer timer;
	/* Goes on until clock_now_us() is until_us, or a little longer. True: the answer
	 * is written, to call->json. */
	bool (*go_on)(struct control_steps *steps, uint64_t until_us);
	/* The call goes on without it. */
	void (*free)(struct control_steps *steps);
};

/* False: there are too many, and the call is refused. */
bool control_steps_may_start(struct control_call **call);

/* With both functions set. It is not over when this returns. */
void control_steps_start(struct control_steps *steps, struct control_call *call);

/* Ends those that are under way. */
void control_steps_drop(struct control *control);

/* --- control/plan.c --- */

/* Answers the call with which users of that tag go elsewhere when the director is
 * after, and not what it is now. pins: of the state that after is of; they are taken
 * over. */
void control_plan(struct control_call *call, struct director *after,
		  const char *tag, struct director_pins *pins);

/* --- control/lookup.c --- */

/* Ends the calls whose lookups are not over. */
void control_lookups_drop(struct control *control);

/* --- control/socketmap.c --- */

/* Answers a lookup of Postfix; takes over the request. */
void control_socketmap(void *control, struct mapd_request *request);

/* --- control/director.c --- */

/* NULL: there is no director, and the call is refused. */
const struct director_state *control_director_state(struct control_call **call);

/* Who has set something, and when, if anybody has. */
void control_write_mark(struct json_writer *json, const char *by,
			const char *at, const struct director_mark *mark);

/* Ends the call arg, which has changed something of the director: error says why
 * it did not; NULL: it did, if not in force yet. */
void control_changed(void *arg, const char *error);

/* --- what there is to ask; each takes over the call --- */

void control_healthz(struct control_call *call);
void control_readyz(struct control_call *call);
void control_status(struct control_call *call);
void control_config(struct control_call *call);
void control_metrics(struct control_call *call);
void control_stats(struct control_call *call);
void control_pool(struct control_call *call);
void control_lookup(struct control_call *call);
void control_route(struct control_call *call);
void control_auth_http(struct control_call *call);
void control_cache(struct control_call *call);
void control_cache_flush(struct control_call *call);
void control_director(struct control_call *call);
void control_director_user(struct control_call *call);
void control_director_map(struct control_call *call);
void control_director_plan(struct control_call *call);
void control_director_change(struct control_call *call);
void control_director_move(struct control_call *call);
void control_director_unmove(struct control_call *call);
void control_director_dump(struct control_call *call);
void control_ring(struct control_call *call);
void control_ring_remove(struct control_call *call);
void control_ring_adopt(struct control_call *call);
void control_sessions(struct control_call *call);
void control_kick(struct control_call *call);
void control_drain(struct control_call *call);
void control_undrain(struct control_call *call);
void control_rawlog(struct control_call *call);
void control_rawlog_on(struct control_call *call);
void control_rawlog_off(struct control_call *call);
void control_reload(struct control_call *call);
void control_stop(struct control_call *call);
void control_log_reopen(struct control_call *call);
void control_log_errors(struct control_call *call);
void control_log_level(struct control_call *call);

#endif
