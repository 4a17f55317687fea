#include "proxy/lookup/answers.h"

#include <stdio.h>

#include "backends/director/notes.h"
#include "lib/clock.h"
#include "lib/list.h"
#include "lib/mem.h"
#include "proxy/lookup/live.h"
#include "proxy/reply_map.h"

#define MAX_WAITS 1024 /* at a time */
#define HELD_MS 50     /* until it is asked again whether it is */

struct answers {
	const struct control_env *control;
	struct lookup_live *live; /* for new ones; NULL: none was asked */
	FILE *nowhere;		  /* for what lookups report */
	struct list waits;
	unsigned count;
	uint64_t answered[ANSWER_KINDS];
};

struct answer_wait {
	struct list node;
	struct answers *answers;
	struct arena *arena;
	struct loop_timer held; /* as deliveries are: director_notes_holds() */
	struct lookup_live *live;
	struct lookup *lookup;
	struct dns_request *resolve;
	struct answer answer;
	void (*done)(void *arg, const struct answer *answer);
	void *arg;
};

const char *answer_kind_name(enum answer_kind kind)
{
	static const char *const names[] = {
		[ANSWER_REMOTE] = "remote",
		[ANSWER_LOCAL] = "local",
		[ANSWER_REFUSE] = "refuse",
		[ANSWER_TEMPFAIL] = "tempfail",
	};

	return names[kind];
}

uint64_t answers_count(const struct answers *answers, enum answer_kind kind)
{
	return answers->answered[kind];
}

/* NULL: there is none. */
static struct lookup_live *get_live(struct answers *answers, struct err *err)
{
	if (answers->live == NULL ||
	    lookup_live_is_old(answers->live, answers->control)) {
		lookup_live_unref(&answers->live);
		answers->live = lookup_live_new(answers->control, err);
	}
	return answers->live != NULL ? lookup_live_ref(answers->live) : NULL;
}

/* --- one of them --- */

void answers_cancel(struct answer_wait **wait_p)
{
	struct answer_wait *wait = *wait_p;

	*wait_p = NULL;
	if (wait == NULL)
		return;
	list_remove(&wait->node);
	loop_timer_close(&wait->held);
	wait->answers->count--;
	dns_cancel(&wait->resolve);
	lookup_free(&wait->lookup);
	lookup_live_unref(&wait->live);
	arena_wipe(&wait->arena);
	mem_free(&wait);
}

static void wait_end(struct answer_wait *wait)
{
	wait->answers->answered[wait->answer.kind]++;
	wait->done(wait->arg, &wait->answer);
	answers_cancel(&wait);
}

static enum answer_kind kind_of(const struct lookup_result *result)
{
	if (result->local)
		return ANSWER_LOCAL;
	if (result->reply == NULL)
		return ANSWER_REMOTE;
	return result->reply->code / 100 == 5 ? ANSWER_REFUSE
					      : ANSWER_TEMPFAIL;
}

static void resolved(void *arg, const struct dns_answer *dns)
{
	struct answer_wait *wait = arg;

	wait->resolve = NULL;
	wait->answer.dns_error = dns->error;
	if (dns->count > 0) {
		wait->answer.addr = dns->addrs[0];
		addr_set_port(&wait->answer.addr,
			      wait->answer.result.route->target.port);
	}
	wait_end(wait);
}

static struct director_notes *notes_of(const struct answer_wait *wait)
{
	return wait->answers->control->set->notes;
}

/* Or dead for others, who have sent the user elsewhere: no delivery goes there. */
static bool is_out_of_reach(const struct answer_wait *wait,
			    const struct lookup_result *result)
{
	const struct director_server *server = NULL;

	if (kind_of(result) == ANSWER_REMOTE && !result->route->maybe_self)
		server = result->route->choice.server;
	return server != NULL && director_notes_reach(notes_of(wait),
						      server->id) !=
					 DIRECTOR_REACHED;
}

static void refuse(struct answer_wait *wait, enum reply_cause cause)
{
	struct smtp_reply *reply = arena_new_struct(wait->arena,
						    struct smtp_reply);

	reply_map_cause(wait->arena, cause, NULL, reply);
	wait->answer.result.reply = reply;
}

static void looked_up(void *arg, enum lookup_status status)
{
	struct answer_wait *wait = arg;
	struct answer *answer = &wait->answer;
	const struct remote_target *target;

	(void)status;
	answer->result = lookup_result(wait->lookup);
	if (is_out_of_reach(wait, &answer->result))
		refuse(wait, REPLY_CUT_OFF);
	answer->kind = kind_of(&answer->result);
	target = &answer->result.route->target;
	if (answer->kind != ANSWER_REMOTE || target->addr.len > 0) {
		answer->addr = target->addr;
		wait_end(wait);
		return;
	}
	wait->resolve = dns_lookup(wait->live->env.dns, target->host, resolved,
				   wait);
}

static int start(struct answer_wait *wait, struct err *err)
{
	wait->live = get_live(wait->answers, err);
	if (wait->live == NULL)
		return -1;
	lookup_start(wait->lookup, &wait->live->env, wait->answers->nowhere,
		     looked_up, wait);
	return 0;
}

static void held(struct loop_timer *timer)
{
	struct answer_wait *wait =
		container_of(timer, struct answer_wait, held);
	struct err err;

	if (director_notes_holds(notes_of(wait), clock_boot_ms())) {
		loop_timer_set(timer, HELD_MS);
	} else if (start(wait, &err) < 0) {
		refuse(wait, REPLY_LOOKUP_FAILED);
		wait->answer.kind = ANSWER_TEMPFAIL;
		wait_end(wait);
	}
}

static int wait_start(struct answer_wait *wait, const char *user,
		      const char *ip, struct err *err)
{
	const char *text = NULL;

	if (ip != NULL)
		text = arena_concat(wait->arena, "rip=", ip, "");
	wait->lookup = lookup_new(arena_strdup(wait->arena, user), &text,
				  ip != NULL, err);
	if (wait->lookup == NULL)
		return -1;
	if (!director_notes_holds(notes_of(wait), clock_boot_ms()))
		return start(wait, err);
	loop_timer_open(&wait->held, wait->answers->control->loop, held);
	loop_timer_set(&wait->held, HELD_MS);
	return 0;
}

struct answer_wait *answers_ask(struct answers *answers, const char *user,
				const char *ip,
				void (*done)(void *arg,
					     const struct answer *answer),
				void *arg, struct err *err)
{
	struct answer_wait *wait;

	if (answers->count >= MAX_WAITS) {
		err_put(err, "too many lookups at a time");
		return NULL;
	}
	wait = mem_new(struct answer_wait);
	wait->answers = answers;
	wait->arena = arena_new(1024);
	wait->done = done;
	wait->arg = arg;
	list_append(&answers->waits, &wait->node);
	answers->count++;
	if (wait_start(wait, user, ip, err) < 0)
		answers_cancel(&wait);
	return wait;
}

/* --- all of them --- */

struct answers *answers_new(const struct control_env *env)
{
	/* Without functions, what is written is dropped. */
	static const cookie_io_functions_t none;
	struct answers *answers = mem_new(struct answers);

	answers->control = env;
	list_init(&answers->waits);
	answers->nowhere = fopencookie(NULL, "w", none);
	ASSERT(answers->nowhere != NULL);
	return answers;
}

static void stop(struct answer_wait *wait)
{
	struct smtp_reply reply;

	reply_map_cause(wait->arena, REPLY_STOPPING, NULL, &reply);
	wait->answer = (struct answer){
		.kind = ANSWER_TEMPFAIL,
		.result = { .reply = &reply },
	};
	wait_end(wait);
}

void answers_free(struct answers **answers_p)
{
	struct answers *answers = *answers_p;
	struct list *node, *tmp;

	if (answers == NULL)
		return;
	list_each(&answers->waits, node, tmp)
		stop(container_of(node, struct answer_wait, node));
	lookup_live_unref(&answers->live);
	fclose(answers->nowhere);
	mem_free(answers_p);
}
