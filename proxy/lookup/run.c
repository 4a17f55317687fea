/* waypost -l: a lookup in a process of its own. */
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/daemon.h"
#include "proxy/lookup/lookup.h"
#include "proxy/privileges.h"

/* --- what a worker process has --- */

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static int open_log(struct err *err)
{
	const struct log_settings settings = {
		.path = "/dev/stderr",
		.info_path = "/dev/null",
		.debug_path = "/dev/null",
		.timestamp = "",
		.syslog_facility = "mail",
		.prefix = "waypost: ",
	};

	return log_open(&settings, err);
}

/* Files and sockets may be there for one user and not for another. */
static int become_worker(const struct settings *settings, struct err *err)
{
	struct privileges privileges;

	if (privileges_resolve(&privileges, settings, err) < 0)
		return -1;
	return privileges_drop(&privileges, err);
}

static int open_env(struct lookup_env *env, struct passdb_shared **shared_r,
		    char **account_r, struct err *err)
{
	const struct settings *settings = env->settings;

	daemon_prepare();
	if (open_log(err) < 0 || become_worker(settings, err) < 0)
		return -1;
	env->account = *account_r = privileges_account();
	env->loop = loop_new();
	loop_set_pass_hook(env->loop, log_flush_lazily);
	env->tls = tls_set_new(settings, err);
	if (env->tls == NULL)
		return -1;
	*shared_r = passdb_shared_new(env->loop, &settings->passdb, err);
	if (*shared_r == NULL)
		return -1;
	env->dns = dns_new(env->loop, settings->dns_servers,
			   settings->dns_timeout, err);
	if (env->dns == NULL)
		return -1;
	env->passdb = passdb_new(env->loop, env->dns, *shared_r);
	return 0;
}

static void close_env(struct lookup_env *env, struct passdb_shared **shared)
{
	passdb_free(&env->passdb);
	passdb_shared_unref(shared);
	dns_free(&env->dns);
	tls_set_unref(&env->tls);
	if (env->loop != NULL) { /* memory goes at the end of a pass */
		loop_post(env->loop, stop_loop, env->loop);
		loop_run(env->loop);
	}
	loop_free(&env->loop);
}

struct run {
	struct loop *loop;
	enum lookup_status status;
};

static void run_done(void *arg, enum lookup_status status)
{
	struct run *run = arg;

	run->status = status;
	loop_stop(run->loop);
}

enum lookup_status lookup_run(struct lookup **lookup, struct settings *settings,
			      FILE *out)
{
	struct lookup_env env = {
		.settings = settings,
		.director = settings->director,
	};
	struct passdb_shared *shared = NULL;
	struct run run = { .status = LOOKUP_CONFIG };
	char *account = NULL;
	struct err err;

	if (open_env(&env, &shared, &account, &err) < 0) {
		fprintf(stderr, "waypost: %s\n", err.text);
	} else {
		run.loop = env.loop;
		lookup_start(*lookup, &env, out, run_done, &run);
		loop_run(env.loop);
	}
	lookup_free(lookup);
	close_env(&env, &shared);
	mem_free(&account);
	return run.status;
}
