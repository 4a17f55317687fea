/* Users who were moved for a time, by a clock that may be set. */
#include "proxy/director/keeper.h"

#include <time.h>

#include "t/unit/settings_helper.h"

#define DIRECTOR BASE PASSDB "director_mail_servers = 192.0.2.1 192.0.2.2\n"
#define JOE 7

static time_t clock_s = 1000000;

time_t time(time_t *now)
{
	if (now != NULL)
		*now = clock_s;
	return clock_s;
}

static struct loop *loop;
static struct worker_set set;
static struct director_keeper *keeper;
static struct settings *settings;
static struct loop_timer timer;

static void nothing(void *arg)
{
	(void)arg;
}

static void time_is_up(struct loop_timer *over)
{
	loop_stop(over->loop);
}

static void run(unsigned ms)
{
	loop_timer_set(&timer, ms);
	loop_run(loop);
}

static void setup(void)
{
	static const struct director_keeper_events events = {
		nothing, nothing,
	};
	struct err err;

	loop = loop_new();
	loop_timer_open(&timer, loop, time_is_up);
	settings = load(DIRECTOR);
	keeper = director_keeper_new(loop, &set, &events, NULL);
	cr_assert_eq(director_keeper_use(keeper, settings, NULL, &err), 0);
}

static void teardown(void)
{
	director_keeper_close(keeper);
	run(0);
	director_keeper_free(&keeper);
	settings_unref(&settings);
	loop_timer_close(&timer);
	loop_free(&loop);
}

TestSuite(director_expiry, .init = setup, .fini = teardown, .timeout = 60);

static void committed(void *arg, const char *error)
{
	(void)arg;
	cr_expect_null(error, "%s", error);
}

static void move(unsigned seconds)
{
	struct director_state *draft = director_keeper_begin(keeper);
	uint64_t now_s = (uint64_t)clock_s;

	director_state_pin(draft, JOE, "joe", &draft->backends[0],
			   now_s + seconds, "test", now_s);
	director_keeper_commit(keeper, committed, NULL);
}

static bool is_moved(void)
{
	return director_state_pin_of(director_keeper_state(keeper), JOE) !=
	       NULL;
}

Test(director_expiry, they_return)
{
	move(1);
	cr_expect(is_moved());
	clock_s++;
	run(1500);
	cr_expect_not(is_moved());
}

/* The same as when there is more time than is waited for at once. */
Test(director_expiry, they_return_though_it_was_too_early_when_they_were_looked_at)
{
	move(1);
	run(1500);
	cr_expect(is_moved());
	clock_s++;
	run(1500);
	cr_expect_not(is_moved());
}
