#include "proxy/director/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/file.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/director/cluster.h"
#include "proxy/director/sleep.h"
#include "proxy/director/turn.h"

#define MAX_STATE (64 * 1024 * 1024)
#define MAX_PAUSE_S 3600 /* the clock may be set */
#define EXPIRY_AGAIN_MS 5000 /* when it is others' to do, or could not be done */

/* What the last view of a cluster was made of. */
struct made_of {
	const struct settings *settings;
	int64_t revision;
	bool agreed, takes_part;
};

struct director_keeper {
	struct loop *loop;
	struct worker_set *set;
	const struct director_keeper_events *events;
	void *arg;
	const struct settings *settings; /* NULL: no director */
	struct tls_set *tls;
	struct director_care *care; /* NULL: there was no director yet */
	struct director_claims *claims; /* NULL: in a cluster, which sees to that */
	struct director_state state;
	struct director *view;
	struct loop_timer expiry; /* of users who were moved for a time */
	bool expiring; /* that is being written */
	bool retired, said_ready;

	/* in a cluster */
	struct cluster_node *cluster; /* NULL: there is none */
	struct director_turn *turn;
	struct director_sleep *sleep;
	struct made_of made_of;
	uint64_t generation; /* of views */
	struct director_state draft;
	bool *lost; /* by ids, in the last view */
	unsigned lost_count;
};

static uint64_t now_s(void)
{
	return (uint64_t)time(NULL);
}

/* --- effect --- */

static void wait_for_expiry(struct director_keeper *keeper)
{
	uint64_t now = now_s(), next_s = 0, pause_s;

	loop_timer_clear(&keeper->expiry);
	if (keeper->settings != NULL)
		next_s = director_state_next_expiry(&keeper->state);
	if (next_s == 0)
		return;
	pause_s = next_s > now ? next_s - now : 0;
	if (pause_s > MAX_PAUSE_S)
		pause_s = MAX_PAUSE_S;
	loop_timer_set(&keeper->expiry, pause_s * 1000);
}

static void say_ready(struct director_keeper *keeper)
{
	if (keeper->said_ready)
		return;
	keeper->said_ready = true;
	keeper->events->ready(keeper->arg);
}

static void give_again(struct director_keeper *keeper, uint64_t generation)
{
	unsigned i;

	for (i = 0; i < keeper->set->count; i++)
		worker_set_director(keeper->set->workers[i], keeper->view);
	director_users_wake(keeper->set->users, generation);
}

static void give(struct director_keeper *keeper, struct director *view,
		 uint64_t generation)
{
	director_unref(&keeper->view);
	keeper->view = view;
	give_again(keeper, generation);
}

static void publish_own(struct director_keeper *keeper)
{
	struct director *view = NULL;
	struct err err;

	if (keeper->settings != NULL) {
		view = director_view(&keeper->settings->director_settings,
				     &keeper->state, keeper->view, &err);
		if (view == NULL) {
			log_error(NULL, "director: %s", err.text);
			return;
		}
	}
	give(keeper, view, keeper->state.generation);
	say_ready(keeper);
}

/* --- in a cluster --- */

static struct director *before_of(struct director_keeper *keeper,
				  const struct director_cluster *cluster,
				  struct err *err)
{
	const struct director_state *before =
		director_cluster_before(cluster);

	if (before == NULL)
		return NULL;
	return director_cluster_view(&keeper->settings->director_settings,
				     before, 0, NULL, keeper->view, err);
}

static struct director *view_of(struct director_keeper *keeper,
				const struct director_cluster *cluster,
				bool takes_part, struct err *err)
{
	const struct director_settings *settings =
		&keeper->settings->director_settings;
	struct director *before, *view;

	if (!takes_part)
		return director_unknown_view(
			settings, "the cluster's view of the servers is not "
			"known");
	before = before_of(keeper, cluster, err);
	if (before == NULL && director_cluster_before(cluster) != NULL)
		return NULL;
	view = director_cluster_view(settings, director_cluster_now(cluster),
				     ++keeper->generation, before,
				     keeper->view, err);
	director_unref(&before);
	return view;
}

/* Says so once. */
static bool takes_part(struct director_keeper *keeper,
		       const struct director_cluster *cluster)
{
	const char *problem = director_cluster_problem(cluster);

	if (problem != NULL && keeper->made_of.takes_part)
		log_error(NULL, "cluster: %s: this node cannot take part",
			  problem);
	return problem == NULL && director_cluster_now(cluster) != NULL;
}

/* Many changes of the keys change nothing here. */
static bool is_news(const struct director_keeper *keeper,
		    const struct made_of *made_of)
{
	const struct made_of *was = &keeper->made_of;

	return keeper->view == NULL || was->settings != made_of->settings ||
	       was->revision != made_of->revision ||
	       was->agreed != made_of->agreed ||
	       was->takes_part != made_of->takes_part;
}

/* Who is away may have users there, if that is only lost for the others. */
static void say_one_lost(const char *ip, const char *away)
{
	if (away != NULL)
		log_error(NULL, "director: the cluster has lost %s; node %s is "
			  "away, and goes on sending users there if it still "
			  "can: see waypost-cluster(7)", ip, away);
	else
		log_error(NULL, "director: the cluster has lost %s", ip);
}

/* Which servers the cluster has lost, or got back. */
static void say_lost(struct director_keeper *keeper,
		     const struct director_cluster *cluster)
{
	const struct director_state *now = director_cluster_now(cluster);
	unsigned i;

	keeper->lost = mem_realloc(keeper->lost, now->count + 1);
	for (i = 0; i < now->count; i++) {
		const struct director_backend *backend = &now->backends[i];
		bool was = i < keeper->lost_count && keeper->lost[i];

		if (backend->sick && !was)
			say_one_lost(backend->server.ip,
				     director_cluster_away(cluster));
		else if (!backend->sick && was)
			log_info(NULL, "director: the cluster has %s back",
				 backend->server.ip);
		keeper->lost[i] = backend->sick;
	}
	keeper->lost_count = now->count;
}

static void take_view(struct director_keeper *keeper,
		      const struct director_cluster *cluster,
		      const struct made_of *made_of, struct director *view)
{
	keeper->made_of = *made_of;
	give(keeper, view, keeper->generation);
	if (!keeper->made_of.takes_part)
		return;
	say_lost(keeper, cluster);
	director_turn_begin(keeper->turn, view,
			    director_cluster_serial(cluster));
}

static void publish_cluster(struct director_keeper *keeper)
{
	struct director_cluster *cluster =
		cluster_node_cluster(keeper->cluster);
	const struct made_of made_of = {
		.settings = keeper->settings,
		.revision = director_cluster_revision(cluster),
		.agreed = director_cluster_agreed(cluster),
		.takes_part = takes_part(keeper, cluster),
	};
	struct director *view;
	struct err err;

	if (is_news(keeper, &made_of)) {
		view = view_of(keeper, cluster, made_of.takes_part, &err);
		if (view == NULL) {
			log_error(NULL, "director: %s", err.text);
			return;
		}
		take_view(keeper, cluster, &made_of, view);
	}
	cluster_node_write(keeper->cluster);
	director_sleep_look(keeper->sleep);
	if (keeper->made_of.takes_part && director_cluster_is_member(cluster))
		say_ready(keeper);
}

static void publish(struct director_keeper *keeper)
{
	if (keeper->settings != NULL)
		director_care_judge(keeper->care);
	if (keeper->cluster != NULL && keeper->settings != NULL)
		publish_cluster(keeper);
	else
		publish_own(keeper);
}

/* What this node finds of the servers' health. */
static void vote(struct director_keeper *keeper)
{
	struct director_cluster *cluster =
		cluster_node_cluster(keeper->cluster);
	unsigned i;

	for (i = 0; i < keeper->state.count; i++) {
		const struct director_health *health =
			director_care_health(keeper->care, i);
		bool sick = health != NULL && !health->up;

		director_cluster_vote(cluster, i, sick ? health->why : NULL,
				      now_s());
	}
}

static void sleep_is_over(void *arg)
{
	struct director_keeper *keeper = arg;

	give_again(keeper, keeper->generation);
}

static void turn_is_over(void *arg, uint64_t serial)
{
	struct director_keeper *keeper = arg;

	director_cluster_done(cluster_node_cluster(keeper->cluster), serial);
	cluster_node_write(keeper->cluster);
}

static void cluster_changed(void *arg)
{
	struct director_keeper *keeper = arg;
	unsigned news;

	if (keeper->settings == NULL)
		return;
	news = director_cluster_news(cluster_node_cluster(keeper->cluster));
	if (news & DIRECTOR_NEWS_SERVERS) {
		director_care_set(keeper->care, keeper->settings, keeper->tls);
		vote(keeper);
	}
	if (news & DIRECTOR_NEWS_PINS)
		wait_for_expiry(keeper);
	if (news & (DIRECTOR_NEWS_SERVERS | DIRECTOR_NEWS_HEALTH))
		publish(keeper);
	else
		publish_cluster(keeper);
}

static void expired(void *arg, const char *error)
{
	struct director_keeper *keeper = arg;

	keeper->expiring = false;
	if (error != NULL)
		log_error(NULL, "director: users who were moved for a time: %s",
			  error);
}

/* In a cluster it is one process's to do, and only while etcd is there. */
static bool may_expire(const struct director_keeper *keeper)
{
	return keeper->cluster == NULL ||
	       (cluster_node_in_step(keeper->cluster) &&
		director_cluster_leads(cluster_node_cluster(keeper->cluster)));
}

static void expire(struct loop_timer *timer)
{
	struct director_keeper *keeper =
		container_of(timer, struct director_keeper, expiry);
	struct director_state *draft;

	loop_timer_set(timer, EXPIRY_AGAIN_MS);
	if (keeper->expiring || !may_expire(keeper))
		return;
	draft = director_keeper_begin(keeper);
	if (director_state_expire(draft, now_s())) {
		keeper->expiring = true;
		director_keeper_commit(keeper, expired, keeper);
	} else {
		/* It was the longest pause, or the clock was set. */
		director_keeper_drop(keeper);
		wait_for_expiry(keeper);
	}
}

/* --- the file --- */

/* A file that is broken, or cannot be read, is left for its administrator. */
static void keep_broken(const char *path, const struct err *err)
{
	char *broken = mem_printf("%s.broken", path);

	log_error(NULL, "director_state_file: %s; starting with what the "
		  "configuration says, the file becomes %s", err->text, broken);
	if (rename(path, broken) < 0)
		log_error(NULL, "rename(%s): %s", broken, strerror(errno));
	mem_free(&broken);
}

static void load(struct director_keeper *keeper, const char *path)
{
	struct str text = STR_INIT;
	struct err err;
	struct err why;
	int got = file_read(path, MAX_STATE, &text, &err);

	if (got > 0 && director_state_load(&keeper->state, text.data, text.len,
					   &why) < 0) {
		director_state_free(&keeper->state);
		director_state_init(&keeper->state);
		got = err_set(&err, "%.200s: %.200s", path, why.text);
	}
	if (got < 0)
		keep_broken(path, &err);
	str_free(&text);
}

static int save(const struct director_keeper *keeper, struct err *err)
{
	const char *path = keeper->settings->director_settings.state_file;
	struct str text = STR_INIT;
	struct err why;
	int status = 0;

	if (*path == '\0' || keeper->retired)
		return 0;
	director_state_save(&keeper->state, &text);
	if (file_replace(path, &text, &why) < 0)
		status = err_set(err, "it is so now, but will not be after a "
				 "restart: director_state_file: %.300s",
				 why.text);
	str_free(&text);
	return status;
}

/* --- interface --- */

struct director_keeper *
director_keeper_new(struct loop *loop, struct worker_set *set,
		    const struct director_keeper_events *events, void *arg)
{
	struct director_keeper *keeper = mem_new(struct director_keeper);

	keeper->loop = loop;
	keeper->set = set;
	keeper->events = events;
	keeper->arg = arg;
	set->users = director_users_new(0);
	set->notes = director_notes_new();
	director_state_init(&keeper->state);
	loop_timer_open(&keeper->expiry, loop, expire);
	return keeper;
}

void director_keeper_stand(struct director_keeper *keeper)
{
	if (keeper->cluster != NULL)
		cluster_node_write(keeper->cluster);
	if (keeper->claims != NULL)
		director_claims_bury(keeper->claims);
}

void director_keeper_retire(struct director_keeper *keeper)
{
	keeper->retired = true;
}

void director_keeper_leave(struct director_keeper *keeper, bool for_good)
{
	if (keeper->cluster != NULL)
		cluster_node_leave(keeper->cluster, for_good);
	else
		keeper->events->left(keeper->arg);
}

void director_keeper_close(struct director_keeper *keeper)
{
	if (keeper == NULL)
		return;
	keeper->settings = NULL;
	loop_timer_close(&keeper->expiry);
	director_sleep_free(&keeper->sleep);
	director_turn_free(&keeper->turn);
	cluster_node_free(&keeper->cluster);
	director_care_free(&keeper->care);
}

void director_keeper_free(struct director_keeper **keeper_p)
{
	struct director_keeper *keeper = *keeper_p;

	if (keeper == NULL)
		return;
	director_unref(&keeper->view);
	director_state_free(&keeper->state);
	director_users_free(&keeper->set->users);
	director_claims_close(&keeper->claims);
	director_notes_free(&keeper->set->notes);
	mem_free(&keeper->lost);
	mem_free(keeper_p);
}

/* A backend went up or down, or gets another share. */
static void health_changed(void *arg)
{
	struct director_keeper *keeper = arg;
	struct err err;

	if (keeper->cluster != NULL)
		vote(keeper);
	publish(keeper);
	if (keeper->cluster == NULL && save(keeper, &err) < 0)
		log_error(NULL, "director: %s", err.text);
}

static bool doubts(void *arg, uint32_t id)
{
	const struct director_keeper *keeper = arg;

	return director_cluster_doubts(cluster_node_cluster(keeper->cluster),
				       id);
}

static void cluster_left(void *arg)
{
	struct director_keeper *keeper = arg;

	keeper->events->left(keeper->arg);
}

static int join(struct director_keeper *keeper, struct settings *settings,
		struct err *err)
{
	static const struct cluster_node_events events = {
		cluster_changed, cluster_left,
	};

	keeper->cluster = cluster_node_new(keeper->loop, settings,
					   &keeper->state, &events, keeper,
					   err);
	if (keeper->cluster == NULL)
		return -1;
	keeper->turn = director_turn_new(keeper->loop, keeper->set,
					 turn_is_over, keeper);
	keeper->sleep = director_sleep_new(keeper->loop, keeper->set->notes,
					   keeper->cluster, sleep_is_over,
					   keeper);
	return 0;
}

/* With the processes before this one, and after it. */
static void share_users(struct director_keeper *keeper)
{
	struct worker_set *set = keeper->set;
	struct err err;

	if (set->claims <= 0)
		return;
	keeper->claims = director_claims_open(set->claims, &err);
	if (keeper->claims != NULL)
		director_users_share(set->users, keeper->claims);
	else
		log_error(NULL, "director: %s: while the program is replaced a "
			  "user may be at two servers", err.text);
}

/* The first time that there is a director. */
static int begin(struct director_keeper *keeper, struct settings *settings,
		 struct err *err)
{
	const char *path = settings->director_settings.state_file;
	bool in_cluster = *settings->cluster.etcd_urls != '\0';

	if (keeper->care != NULL)
		return 0;
	if (in_cluster && join(keeper, settings, err) < 0)
		return -1;
	if (!in_cluster && *path != '\0')
		load(keeper, path);
	if (!in_cluster)
		share_users(keeper);
	keeper->care = director_care_new(keeper->loop, settings->lmtp.hostname,
					 &keeper->state, keeper->set->notes,
					 in_cluster, health_changed, keeper);
	if (in_cluster)
		director_care_set_doubts(keeper->care, doubts);
	return 0;
}

static void configure(struct director_keeper *keeper,
		      const struct settings *settings)
{
	if (keeper->cluster == NULL)
		director_state_configure(&keeper->state,
					 director_configured(
						 settings->director));
	else
		cluster_node_use(keeper->cluster, settings);
}

/* Nobody may take a node for one of a cluster that is none, and the others wait for
 * one until it has said goodbye. */
static int check(const struct director_keeper *keeper,
		 const struct settings *settings, struct err *err)
{
	if (keeper->care == NULL)
		return 0;
	if (keeper->cluster != NULL && settings->director == NULL)
		return err_set(err, "whether a node of a cluster has a "
			       "director changes with a restart");
	if (keeper->cluster != NULL)
		return cluster_node_check(keeper->cluster, settings, err);
	if (settings->director != NULL && *settings->cluster.etcd_urls != '\0')
		return err_set(err, "cluster_etcd_urls: whether a director is "
			       "one of a cluster changes with a restart");
	return 0;
}

int director_keeper_use(struct director_keeper *keeper,
			struct settings *settings, struct tls_set *tls,
			struct err *err)
{
	bool had_director = keeper->settings != NULL;

	if (check(keeper, settings, err) < 0)
		return -1;
	if (settings->director != NULL && begin(keeper, settings, err) < 0)
		return -1;
	keeper->settings = NULL;
	keeper->tls = tls;
	if (settings->director != NULL) {
		keeper->settings = settings;
		director_users_set_expire(
			keeper->set->users, keeper->cluster != NULL
				? 0 : settings->director_settings.user_expire *
					      UINT64_C(1000));
		configure(keeper, settings);
		director_care_set(keeper->care, settings, tls);
	} else if (had_director) {
		director_care_rest(keeper->care);
	}
	if (keeper->cluster == NULL)
		director_state_expire(&keeper->state, now_s());
	wait_for_expiry(keeper);
	publish(keeper);
	return 0;
}

/* --- what deliveries say --- */

struct signal {
	struct director_keeper *keeper;
	uint32_t id;
	enum director_signal signal;
	char text[256];
};

static void take_signal(void *arg)
{
	struct signal *signal = arg;

	if (signal->keeper->settings != NULL)
		director_care_signal(signal->keeper->care, signal->id,
				     signal->signal, signal->text);
	mem_free(&signal);
}

void director_keeper_signal(struct director_keeper *keeper, uint32_t id,
			    enum director_signal signal, const char *text)
{
	struct signal *told = mem_new(struct signal);

	told->keeper = keeper;
	told->id = id;
	told->signal = signal;
	snprintf(told->text, sizeof(told->text), "a delivery: %s", text);
	loop_post(keeper->loop, take_signal, told);
}

const struct director_state *
director_keeper_state(struct director_keeper *keeper)
{
	return keeper->settings != NULL ? &keeper->state : NULL;
}

struct director *director_keeper_view(const struct director_keeper *keeper)
{
	return keeper->view;
}

struct cluster_node *director_keeper_cluster(struct director_keeper *keeper)
{
	return keeper->settings != NULL ? keeper->cluster : NULL;
}

/* --- changes --- */

struct director_state *director_keeper_begin(struct director_keeper *keeper)
{
	if (keeper->cluster == NULL)
		return &keeper->state;
	director_cluster_draft(cluster_node_cluster(keeper->cluster),
			       &keeper->draft);
	return &keeper->draft;
}

void director_keeper_drop(struct director_keeper *keeper)
{
	if (keeper->cluster != NULL)
		director_state_free(&keeper->draft);
}

static void commit_own(struct director_keeper *keeper,
		       void (*fn)(void *arg, const char *error), void *arg)
{
	struct err err;

	director_state_expire(&keeper->state, now_s());
	wait_for_expiry(keeper);
	director_care_set(keeper->care, keeper->settings, keeper->tls);
	publish(keeper);
	fn(arg, save(keeper, &err) < 0 ? err.text : NULL);
}

void director_keeper_commit(struct director_keeper *keeper,
			    void (*fn)(void *arg, const char *error),
			    void *arg)
{
	struct arena *arena;
	struct etcd_txn txn;
	struct err err;

	if (keeper->cluster == NULL) {
		commit_own(keeper, fn, arg);
		return;
	}
	if (!cluster_node_in_step(keeper->cluster)) {
		director_state_free(&keeper->draft);
		fn(arg, "etcd is lost: nothing can be changed until it is "
		   "back; routing goes on as it is");
		return;
	}
	if (director_cluster_fits(cluster_node_cluster(keeper->cluster),
				  &keeper->draft, &err) < 0) {
		director_state_free(&keeper->draft);
		fn(arg, err.text);
		return;
	}
	arena = arena_new(1024);
	director_cluster_change(cluster_node_cluster(keeper->cluster),
				&keeper->draft, arena, &txn);
	director_state_free(&keeper->draft);
	cluster_node_change(keeper->cluster, &txn, arena, fn, arg);
}

void director_keeper_end_changes(struct director_keeper *keeper)
{
	if (keeper->cluster != NULL)
		cluster_node_end_changes(keeper->cluster);
}
