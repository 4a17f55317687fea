#include "proxy/answers.h"

#include <stdio.h>

#include "lib/list.h"
#include "lib/mem.h"
#include "proxy/director_keeper.h"
#include "proxy/reply_map.h"

#define MAX_WAITS 512 /* at a time */

/* What lookups work with, until the configuration is another one. */
struct answers_env {
	unsigned refs;
	struct lookup_env env;
	struct passdb_shared *shared;
	struct director *director; /* NULL: none */
};

struct answers {
	const struct control_env *control;
	struct answers_env *env; /* for new ones; NULL: none was asked */
	FILE *nowhere;		 /* for what lookups report */
	struct list waits;
	unsigned count;
};

struct answer_wait {
	struct list node;
	struct answers *answers;
	struct arena *arena;
	struct answers_env *env;
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

/* --- what lookups work with --- */

static void env_unref(struct answers_env **env_p)
{
	struct answers_env *env = *env_p;

	*env_p = NULL;
	if (env == NULL || --env->refs > 0)
		return;
	passdb_free(&env->env.passdb);
	dns_free(&env->env.dns);
	tls_set_unref(&env->env.tls);
	passdb_shared_unref(&env->shared);
	director_unref(&env->director);
	settings_unref(&env->env.settings);
	mem_free(&env);
}

static struct answers_env *env_new(const struct control_env *control,
				   struct err *err)
{
	const struct worker_source *source = control->source;
	const char *servers = source->settings->dns_servers;
	struct answers_env *env = mem_new(struct answers_env);

	env->refs = 1;
	env->env.loop = control->loop;
	env->env.settings = settings_ref(source->settings);
	env->env.tls = tls_set_ref(source->tls);
	env->shared = passdb_shared_ref(source->shared);
	env->director = director_keeper_view(control->keeper);
	if (env->director != NULL)
		director_ref(env->director);
	env->env.director = env->director;
	env->env.users = control->set->users;
	env->env.dns = dns_new(control->loop, servers[0] ? servers : NULL,
			       source->settings->dns_timeout, err);
	if (env->env.dns == NULL) {
		env_unref(&env);
		return NULL;
	}
	env->env.passdb =
		passdb_new(control->loop, env->env.dns, env->shared);
	return env;
}

/* After a reload of settings, certificates or tables it is another one, as when
 * the director's servers have changed. */
static bool env_is_old(const struct answers *answers)
{
	const struct worker_source *source = answers->control->source;
	const struct answers_env *env = answers->env;

	return env == NULL || env->env.settings != source->settings ||
	       env->env.tls != source->tls || env->shared != source->shared ||
	       env->director != director_keeper_view(answers->control->keeper);
}

static struct answers_env *env_get(struct answers *answers, struct err *err)
{
	if (env_is_old(answers)) {
		env_unref(&answers->env);
		answers->env = env_new(answers->control, err);
	}
	if (answers->env != NULL)
		answers->env->refs++;
	return answers->env;
}

/* --- one of them --- */

void answers_cancel(struct answer_wait **wait_p)
{
	struct answer_wait *wait = *wait_p;

	*wait_p = NULL;
	if (wait == NULL)
		return;
	list_remove(&wait->node);
	wait->answers->count--;
	dns_cancel(&wait->resolve);
	lookup_free(&wait->lookup);
	env_unref(&wait->env);
	arena_wipe(&wait->arena);
	mem_free(&wait);
}

static void wait_end(struct answer_wait *wait)
{
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

static void looked_up(void *arg, enum lookup_status status)
{
	struct answer_wait *wait = arg;
	struct answer *answer = &wait->answer;
	const struct remote_target *target;

	(void)status;
	answer->result = lookup_result(wait->lookup);
	answer->kind = kind_of(&answer->result);
	target = &answer->result.route->target;
	if (answer->kind != ANSWER_REMOTE || target->addr.len > 0) {
		answer->addr = target->addr;
		wait_end(wait);
		return;
	}
	wait->resolve = dns_lookup(wait->env->env.dns, target->host, resolved,
				   wait);
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
	wait->env = env_get(wait->answers, err);
	if (wait->env == NULL)
		return -1;
	lookup_start(wait->lookup, &wait->env->env, wait->answers->nowhere,
		     looked_up, wait);
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
	env_unref(&answers->env);
	fclose(answers->nowhere);
	mem_free(answers_p);
}
