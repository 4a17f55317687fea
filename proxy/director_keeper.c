#include "proxy/director_keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/file.h"
#include "lib/log.h"
#include "lib/mem.h"

#define MAX_STATE (64 * 1024 * 1024)
#define MAX_PAUSE_S 3600 /* the clock may be set */

struct director_keeper {
	struct loop *loop;
	struct worker_set *set;
	const struct settings *settings; /* NULL: no director */
	struct tls_set *tls;
	struct director_care *care; /* NULL: there was no director yet */
	struct director_state state;
	struct director *view;
	struct loop_timer expiry; /* of users who were moved for a time */
	bool retired;
};

static uint64_t now_s(void)
{
	return (uint64_t)time(NULL);
}

/* --- effect --- */

static void publish(struct director_keeper *keeper)
{
	struct director *view = NULL;
	struct err err;
	unsigned i;

	if (keeper->settings != NULL) {
		director_care_judge(keeper->care);
		view = director_view(&keeper->settings->director_settings,
				     &keeper->state, &err);
		if (view == NULL) {
			log_error(NULL, "director: %s", err.text);
			return;
		}
	}
	director_unref(&keeper->view);
	keeper->view = view;
	for (i = 0; i < keeper->set->count; i++)
		worker_set_director(keeper->set->workers[i], view);
	director_users_wake(keeper->set->users, keeper->state.generation);
}

static void wait_for_expiry(struct director_keeper *keeper, uint64_t next_s)
{
	uint64_t now = now_s(), pause_s;

	loop_timer_clear(&keeper->expiry);
	if (next_s == 0)
		return;
	pause_s = next_s > now ? next_s - now : 0;
	if (pause_s > MAX_PAUSE_S)
		pause_s = MAX_PAUSE_S;
	loop_timer_set(&keeper->expiry, pause_s * 1000);
}

static void expire(struct loop_timer *timer)
{
	struct director_keeper *keeper =
		container_of(timer, struct director_keeper, expiry);
	struct err err;

	if (director_keeper_changed(keeper, &err) < 0)
		log_error(NULL, "director: %s", err.text);
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

struct director_keeper *director_keeper_new(struct loop *loop,
					    struct worker_set *set)
{
	struct director_keeper *keeper = mem_new(struct director_keeper);

	keeper->loop = loop;
	keeper->set = set;
	set->users = director_users_new(0);
	director_state_init(&keeper->state);
	loop_timer_open(&keeper->expiry, loop, expire);
	return keeper;
}

void director_keeper_retire(struct director_keeper *keeper)
{
	keeper->retired = true;
}

void director_keeper_close(struct director_keeper *keeper)
{
	if (keeper == NULL)
		return;
	keeper->settings = NULL;
	loop_timer_close(&keeper->expiry);
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
	mem_free(keeper_p);
}

/* A backend went up or down, or gets another share. */
static void health_changed(void *arg)
{
	struct director_keeper *keeper = arg;
	struct err err;

	publish(keeper);
	if (save(keeper, &err) < 0)
		log_error(NULL, "director: %s", err.text);
}

/* The first time that there is a director. */
static void begin(struct director_keeper *keeper,
		  const struct settings *settings)
{
	const char *path = settings->director_settings.state_file;

	if (keeper->care != NULL)
		return;
	if (*path != '\0')
		load(keeper, path);
	keeper->care = director_care_new(keeper->loop, settings->lmtp.hostname,
					 &keeper->state, health_changed,
					 keeper);
}

void director_keeper_use(struct director_keeper *keeper,
			 const struct settings *settings, struct tls_set *tls)
{
	bool had_director = keeper->settings != NULL;
	uint64_t next_s;

	keeper->settings = NULL;
	keeper->tls = tls;
	if (settings->director != NULL) {
		begin(keeper, settings);
		keeper->settings = settings;
		director_users_set_expire(
			keeper->set->users,
			settings->director_settings.user_expire *
				UINT64_C(1000));
		director_state_configure(
			&keeper->state,
			director_configured(settings->director));
		director_care_set(keeper->care, settings, tls);
	} else if (had_director) {
		director_care_rest(keeper->care);
	}
	director_state_expire(&keeper->state, now_s(), &next_s);
	wait_for_expiry(keeper, keeper->settings != NULL ? next_s : 0);
	publish(keeper);
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

struct director_state *director_keeper_state(struct director_keeper *keeper)
{
	return keeper->settings != NULL ? &keeper->state : NULL;
}

struct director *director_keeper_view(const struct director_keeper *keeper)
{
	return keeper->view;
}

int director_keeper_changed(struct director_keeper *keeper, struct err *err)
{
	uint64_t next_s;

	director_state_expire(&keeper->state, now_s(), &next_s);
	wait_for_expiry(keeper, next_s);
	director_care_set(keeper->care, keeper->settings, keeper->tls);
	publish(keeper);
	return save(keeper, err);
}
