#include "proxy/lookup/live.h"

#include "lib/mem.h"
#include "proxy/director/keeper.h"

struct lookup_live *lookup_live_new(const struct control_env *control,
				    struct err *err)
{
	const struct worker_source *source = control->source;
	struct lookup_live *live = mem_new(struct lookup_live);
	struct lookup_env *env = &live->env;

	live->refs = 1;
	live->shared = passdb_shared_ref(source->shared);
	live->director = director_keeper_view(control->keeper);
	if (live->director != NULL)
		director_ref(live->director);
	env->loop = control->loop;
	env->settings = settings_ref(source->settings);
	env->tls = tls_set_ref(source->tls);
	env->director = live->director;
	env->users = control->set->users;
	env->account = control->account;
	env->dns = dns_new(env->loop, source->settings->dns_servers,
			   source->settings->dns_timeout, err);
	if (env->dns == NULL)
		lookup_live_unref(&live);
	else
		env->passdb = passdb_new(env->loop, env->dns, live->shared);
	return live;
}

struct lookup_live *lookup_live_ref(struct lookup_live *live)
{
	live->refs++;
	return live;
}

void lookup_live_unref(struct lookup_live **live_p)
{
	struct lookup_live *live = *live_p;

	*live_p = NULL;
	if (live == NULL || --live->refs > 0)
		return;
	passdb_free(&live->env.passdb);
	dns_free(&live->env.dns);
	tls_set_unref(&live->env.tls);
	passdb_shared_unref(&live->shared);
	director_unref(&live->director);
	settings_unref(&live->env.settings);
	mem_free(&live);
}

bool lookup_live_is_old(const struct lookup_live *live,
			const struct control_env *control)
{
	const struct worker_source *source = control->source;

	return live->env.settings != source->settings ||
	       live->env.tls != source->tls ||
	       live->shared != source->shared ||
	       live->director != director_keeper_view(control->keeper);
}
