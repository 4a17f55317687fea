/* The health of a backend, with a clock of the test's own. */
#include "backends/director/health.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SEED 4711

static struct director_health_settings settings;
static struct director_health health;
static uint64_t now;

static void setup(void)
{
	settings = (struct director_health_settings){
		.probe = DIRECTOR_PROBE_LHLO,
		.probe_user = "",
		.probe_interval = 10000,
		.probe_timeout = 5000,
		.probe_rise = 2,
		.probe_fall = 3,
		.probe_max_interval = 60000,
		.slow_start = 30000,
		.panic_threshold = 50,
	};
	now = 1000000;
	director_health_init(&health, &settings, SEED, "192.0.2.1", now);
}

TestSuite(director_health, .init = setup);

/* A probe whose outcome is error, when it is due. */
static bool probed(const char *error)
{
	cr_assert_geq(health.next_probe_ms, now);
	now = health.next_probe_ms;
	return director_health_probed(&health, &settings, error, now);
}

static void signal_of(enum director_signal kind, const char *text)
{
	director_health_signal(&health, &settings, kind, text, now);
}

static void take_down(void)
{
	unsigned i;

	for (i = health.failures; i + 1 < settings.probe_fall; i++)
		cr_assert_not(probed("refused"));
	cr_assert(probed("refused"));
	cr_assert_not(health.up);
}

static void bring_back(void)
{
	unsigned i;

	for (i = 1; i < settings.probe_rise; i++)
		cr_assert_not(probed(NULL));
	cr_assert(probed(NULL));
	cr_assert(health.up);
}

/* The time to the next probe is ms, less a quarter at most. */
static void expect_wait(uint64_t ms)
{
	uint64_t wait = health.next_probe_ms - now;

	cr_expect_leq(wait, ms);
	cr_expect_geq(wait, ms - ms / 4, "%lu of %lu", (unsigned long)wait,
		      (unsigned long)ms);
}

Test(director_health, starts_up_with_all_of_its_share)
{
	cr_expect(health.up);
	cr_expect_eq(health.since_ms, now);
	cr_expect_str_eq(health.why, "no failure seen yet");
	cr_expect_eq(director_health_share(&health, &settings, now), 100);
	cr_expect_eq(director_health_share_changes(&health, &settings, now),
		     0);
	cr_expect_leq(health.next_probe_ms, now + settings.probe_interval);
}

Test(director_health, first_probes_are_spread)
{
	unsigned i, tenths[10] = { 0 };
	char name[20];

	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "backend%u", i);
		director_health_init(&health, &settings, SEED, name, 0);
		cr_assert_leq(health.next_probe_ms, 10000);
		if (health.next_probe_ms < 10000)
			tenths[health.next_probe_ms / 1000]++;
	}
	for (i = 0; i < 10; i++)
		cr_expect(tenths[i] > 50 && tenths[i] < 150, "%u", tenths[i]);
}

Test(director_health, nodes_do_not_probe_in_step)
{
	struct director_health other;
	unsigned i, together = 0;

	director_health_init(&other, &settings, SEED + 1, "192.0.2.1", now);
	for (i = 0; i < 100; i++) {
		director_health_probed(&health, &settings, NULL, now);
		director_health_probed(&other, &settings, NULL, now);
		together += health.next_probe_ms == other.next_probe_ms;
		now += 10000;
	}
	cr_expect_lt(together, 5);
}

Test(director_health, the_same_seed_gives_the_same_times)
{
	struct director_health other;
	unsigned i;

	director_health_init(&other, &settings, SEED, "192.0.2.1", now);
	for (i = 0; i < 20; i++) {
		cr_assert_eq(health.next_probe_ms, other.next_probe_ms);
		now = health.next_probe_ms;
		director_health_probed(&health, &settings, NULL, now);
		director_health_probed(&other, &settings, NULL, now);
	}
}

Test(director_health, down_after_fall_failures_in_a_row)
{
	cr_expect_not(probed("one"));
	cr_expect_not(probed("two"));
	cr_expect(health.up);
	cr_expect_eq(health.failures, 2);
	cr_expect_str_eq(health.last, "two");
	cr_expect(probed("three"));
	cr_expect_not(health.up);
	cr_expect_eq(health.since_ms, now);
	cr_expect_str_eq(health.why, "three");
	cr_expect_eq(director_health_share(&health, &settings, now), 0);
	cr_expect_not(probed("four"));
	cr_expect_str_eq(health.why, "three", "what took it down");
	cr_expect_str_eq(health.last, "four");
}

Test(director_health, a_success_ends_the_row)
{
	cr_expect_not(probed("one"));
	cr_expect_not(probed("two"));
	cr_expect_not(probed(NULL));
	cr_expect_eq(health.failures, 0);
	cr_expect_not(probed("one"));
	cr_expect_not(probed("two"));
	cr_expect(health.up);
}

Test(director_health, up_after_rise_successes_in_a_row)
{
	settings.probe_rise = 3;
	take_down();
	cr_expect_not(probed(NULL));
	cr_expect_not(probed(NULL));
	cr_expect_not(probed("again"));
	cr_expect_eq(health.successes, 0);
	cr_expect_not(probed(NULL));
	cr_expect_not(probed(NULL));
	cr_expect_not(health.up);
	cr_expect(probed(NULL));
	cr_expect(health.up);
	cr_expect_eq(health.since_ms, now);
	cr_expect_str_eq(health.why, "3 probes in a row succeeded");
}

Test(director_health, probed_more_often_while_in_doubt)
{
	probed(NULL);
	expect_wait(10000);
	probed("one");
	expect_wait(2500);
	probed("two");
	expect_wait(2500);
	probed(NULL);
	expect_wait(10000);
	take_down();
	expect_wait(10000);
	probed(NULL);
	expect_wait(2500);
}

Test(director_health, less_often_while_it_stays_down)
{
	static const uint64_t waits[] = { 10000, 20000, 40000, 60000, 60000 };
	size_t i;

	take_down();
	for (i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		expect_wait(waits[i]);
		probed("still");
	}
	for (i = 0; i < 1000; i++)
		probed("still");
	expect_wait(60000);
}

Test(director_health, a_success_in_between_does_not_change_the_back_off)
{
	take_down();
	probed("still");
	probed("still");
	expect_wait(40000);
	probed(NULL);
	expect_wait(2500);
	probed("again");
	expect_wait(40000);
	probed("again");
	expect_wait(60000);
}

Test(director_health, back_off_begins_anew)
{
	unsigned i;

	take_down();
	for (i = 0; i < 5; i++)
		probed("still");
	bring_back();
	expect_wait(10000);
	take_down();
	expect_wait(10000);
}

Test(director_health, a_maximum_below_the_interval)
{
	settings.probe_max_interval = 1000;
	take_down();
	expect_wait(10000);
	probed("still");
	expect_wait(10000);
}

Test(director_health, the_largest_times_there_are)
{
	unsigned i;

	settings.probe_interval = settings.probe_max_interval = UINT32_MAX;
	settings.slow_start = UINT32_MAX;
	take_down();
	for (i = 0; i < 100; i++)
		probed("still");
	expect_wait(UINT32_MAX);
	bring_back();
	cr_expect_eq(director_health_share(&health, &settings,
					   now + UINT32_MAX - 1), 90);
	cr_expect_eq(director_health_share(&health, &settings,
					   now + UINT32_MAX), 100);
}

/* --- deliveries --- */

Test(director_health, a_delivery_brings_the_next_probe_forward)
{
	static const enum director_signal kinds[] = {
		DIRECTOR_SIGNAL_CONNECT, DIRECTOR_SIGNAL_CLOSING,
		DIRECTOR_SIGNAL_TIMEOUT,
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		setup();
		probed(NULL);
		expect_wait(10000);
		signal_of(kinds[i], "reason");
		expect_wait(2500);
		/* The last probe is long enough ago. */
		setup();
		probed(NULL);
		now += 5000;
		signal_of(kinds[i], "reason");
		cr_expect_eq(health.next_probe_ms, now);
	}
}

Test(director_health, before_the_first_probe_it_comes_at_once)
{
	health.next_probe_ms = now + 9000;
	signal_of(DIRECTOR_SIGNAL_CONNECT, "refused");
	cr_expect_eq(health.next_probe_ms, now);
}

Test(director_health, many_deliveries_do_not_make_many_probes)
{
	uint64_t next;
	unsigned i;

	probed(NULL);
	signal_of(DIRECTOR_SIGNAL_CONNECT, "refused");
	next = health.next_probe_ms;
	for (i = 0; i < 1000; i++)
		signal_of(DIRECTOR_SIGNAL_CONNECT, "refused");
	cr_expect_eq(health.next_probe_ms, next);
}

Test(director_health, a_success_brings_no_probe_forward_while_up)
{
	uint64_t next;

	probed(NULL);
	next = health.next_probe_ms;
	signal_of(DIRECTOR_SIGNAL_DELIVERED, NULL);
	cr_expect_eq(health.next_probe_ms, next);
}

Test(director_health, a_delivery_counts_once_for_each_probe)
{
	unsigned i;

	for (i = 0; i < 100; i++)
		signal_of(DIRECTOR_SIGNAL_CONNECT, "refused");
	cr_expect_eq(health.failures, 1);
	cr_expect_str_eq(health.last, "refused");
	cr_expect_not(probed("refused"));
	cr_expect_eq(health.failures, 2);
	signal_of(DIRECTOR_SIGNAL_CLOSING, "421 bye");
	cr_expect_eq(health.failures, 3);
	cr_expect(health.up, "only a probe takes it down");
	cr_expect(probed("421 bye"));
	cr_expect_str_eq(health.why, "421 bye");
}

Test(director_health, deliveries_alone_never_take_it_down)
{
	unsigned i;

	settings.probe_fall = 1;
	for (i = 0; i < 100; i++) {
		signal_of(DIRECTOR_SIGNAL_CONNECT, "refused");
		cr_assert(health.up);
		cr_assert_not(probed(NULL));
	}
}

Test(director_health, a_timeout_of_a_delivery_does_not_count)
{
	signal_of(DIRECTOR_SIGNAL_TIMEOUT, "no reply to DATA");
	cr_expect_eq(health.failures, 0);
}

Test(director_health, a_delivery_takes_back_what_a_delivery_said)
{
	probed("refused");
	signal_of(DIRECTOR_SIGNAL_CONNECT, "refused");
	cr_expect_eq(health.failures, 2);
	signal_of(DIRECTOR_SIGNAL_DELIVERED, NULL);
	cr_expect_eq(health.failures, 1, "not what a probe said");
	signal_of(DIRECTOR_SIGNAL_DELIVERED, NULL);
	cr_expect_eq(health.failures, 1);
}

Test(director_health, a_delivery_does_not_bring_it_back)
{
	unsigned i;

	take_down();
	for (i = 0; i < 6; i++)
		probed("still");
	expect_wait(60000);
	for (i = 0; i < 100; i++)
		signal_of(DIRECTOR_SIGNAL_DELIVERED, NULL);
	cr_expect_not(health.up);
	cr_expect_eq(health.successes, 0);
	expect_wait(2500);
	cr_expect_not(probed(NULL));
	cr_expect_not(health.up);
	cr_expect(probed(NULL));
}

Test(director_health, failures_while_down_do_not_hurry)
{
	uint64_t next;

	take_down();
	next = health.next_probe_ms;
	signal_of(DIRECTOR_SIGNAL_CONNECT, "refused");
	signal_of(DIRECTOR_SIGNAL_TIMEOUT, "silent");
	cr_expect_eq(health.next_probe_ms, next);
	cr_expect_eq(health.failures, 3);
	cr_expect_str_eq(health.why, "refused");
}

/* --- share --- */

Test(director_health, slow_start_after_a_return)
{
	uint64_t start, at, change;
	unsigned share = 10;

	take_down();
	cr_expect_eq(director_health_share_changes(&health, &settings, now),
		     0);
	bring_back();
	start = at = now;
	cr_expect_eq(director_health_share(&health, &settings, at), 10);
	while ((change = director_health_share_changes(&health, &settings,
						       at)) != 0) {
		cr_assert_eq(director_health_share(&health, &settings,
						   change - 1), share);
		share += 10;
		cr_assert_eq(director_health_share(&health, &settings, change),
			     share);
		at = change;
	}
	cr_expect_eq(share, 100);
	cr_expect_eq(at, start + 30000);
}

Test(director_health, no_slow_start)
{
	settings.slow_start = 0;
	take_down();
	bring_back();
	cr_expect_eq(director_health_share(&health, &settings, now), 100);
	cr_expect_eq(director_health_share_changes(&health, &settings, now),
		     0);
}

Test(director_health, slow_start_again_after_another_fall)
{
	take_down();
	bring_back();
	take_down();
	cr_expect_eq(director_health_share(&health, &settings, now), 0);
	bring_back();
	cr_expect_eq(director_health_share(&health, &settings, now), 10);
}

/* --- beginning, and other settings --- */

Test(director_health, down_before_the_program_started)
{
	director_health_restore_down(&health, &settings, now - 5000,
				     "refused", now);
	cr_expect_not(health.up);
	cr_expect_eq(health.since_ms, now - 5000);
	cr_expect_str_eq(health.why, "refused");
	expect_wait(2500);
	bring_back();
	cr_expect_eq(director_health_share(&health, &settings, now), 10);
}

Test(director_health, down_since_a_time_to_come)
{
	director_health_restore_down(&health, &settings, now + 5000,
				     "refused", now);
	cr_expect_eq(health.since_ms, now);
}

Test(director_health, without_probes_nothing_is_down)
{
	settings.probe = DIRECTOR_PROBE_NO;
	director_health_restore_down(&health, &settings, now, "refused", now);
	cr_expect(health.up);
	signal_of(DIRECTOR_SIGNAL_CONNECT, "refused");
	cr_expect_eq(health.failures, 0);
}

Test(director_health, no_more_probes)
{
	take_down();
	cr_expect_not(director_health_adapt(&health, &settings, now));
	settings.probe = DIRECTOR_PROBE_NO;
	cr_expect(director_health_adapt(&health, &settings, now));
	cr_expect(health.up);
	cr_expect_str_eq(health.why, "it is not probed");
	cr_expect_eq(health.failures, 0);
	cr_expect_not(director_health_adapt(&health, &settings, now));
}

Test(director_health, shorter_intervals_take_effect_at_once)
{
	probed(NULL);
	settings.probe_interval = 1000;
	director_health_adapt(&health, &settings, now);
	expect_wait(1000);
	settings.probe_interval = 100000;
	director_health_adapt(&health, &settings, now);
	expect_wait(1000);
}

Test(director_health, texts_are_cut)
{
	char text[1000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	settings.probe_fall = 1;
	cr_expect(probed(text));
	cr_expect_eq(strlen(health.why), sizeof(health.why) - 1);
	memcpy(text + sizeof(health.why) - 2, "\u00e4", 2);
	probed(text);
	cr_expect_eq(strlen(health.last), sizeof(health.last) - 2,
		     "not inside a character");
}

/* --- panic --- */

Test(director_health, panic)
{
	static const struct {
		unsigned threshold, count, down;
		bool panic;
	} rows[] = {
		{ 50, 0, 0, false }, { 50, 1, 0, false }, { 50, 1, 1, true },
		{ 50, 2, 1, false }, { 50, 2, 2, true },  { 50, 3, 1, false },
		{ 50, 3, 2, true },  { 50, 4, 2, false }, { 50, 4, 3, true },
		{ 0, 10, 0, false }, { 0, 10, 1, true },  { 100, 3, 3, false },
		{ 33, 3, 1, true },  { 34, 3, 1, false },
		{ 99, UINT32_MAX, UINT32_MAX, true },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		settings.panic_threshold = rows[i].threshold;
		cr_expect_eq(director_health_panic(&settings, rows[i].count,
						   rows[i].down),
			     rows[i].panic, "row %zu", i);
	}
}

/* --- whatever comes --- */

/* A state of which the rules follow, kept in another way: the whole history
 * since the last transition. */
struct model {
	bool up;
	unsigned row; /* equal outcomes of probes, at the end */
	bool row_good;
	unsigned charged; /* failures that deliveries added to the row */
	bool pending;	  /* one since the last probe */
};

static bool model_probed(struct model *model, bool good)
{
	model->row = model->row_good == good ? model->row + 1 : 1;
	model->row_good = good;
	if (good)
		model->charged = 0;
	else
		model->charged += model->pending;
	model->pending = false;
	if (!model->up && good && model->row >= settings.probe_rise)
		model->up = true;
	else if (model->up && !good &&
		 model->row + model->charged >= settings.probe_fall)
		model->up = false;
	else
		return false;
	model->charged = 0;
	return true;
}

static unsigned draw(uint64_t *state, unsigned below)
{
	*state = *state * 6364136223846793005U + 1442695040888963407U;
	return (unsigned)(*state >> 33) % below;
}

static void random_signal(struct model *model, uint64_t *state)
{
	unsigned kind = draw(state, 4);
	uint64_t next = health.next_probe_ms;

	signal_of((enum director_signal)kind, "delivery");
	cr_assert_leq(health.next_probe_ms, next, "no later by a delivery");
	cr_assert(health.next_probe_ms == next || health.next_probe_ms >= now);
	if (kind == DIRECTOR_SIGNAL_DELIVERED)
		model->pending = false;
	else if (kind != DIRECTOR_SIGNAL_TIMEOUT && model->up)
		model->pending = true;
}

static void random_probe(struct model *model, uint64_t *state,
			 unsigned failing)
{
	bool good = draw(state, 10) >= failing;
	uint64_t max = settings.probe_max_interval > settings.probe_interval
			       ? settings.probe_max_interval
			       : settings.probe_interval;

	now = health.next_probe_ms > now ? health.next_probe_ms : now;
	cr_assert_eq(director_health_probed(&health, &settings,
					    good ? NULL : "probe", now),
		     model_probed(model, good));
	cr_assert_gt(health.next_probe_ms, now);
	cr_assert_leq(health.next_probe_ms - now,
		      model->up ? settings.probe_interval : max);
	cr_assert_geq(health.next_probe_ms - now,
		      settings.probe_interval / 4 * 3 / 4);
}

static void random_history(uint64_t seed)
{
	struct model model = { .up = true, .row_good = true };
	uint64_t state = seed;
	unsigned i, failing = 5;

	settings.probe_rise = 1 + draw(&state, 4);
	settings.probe_fall = 1 + draw(&state, 4);
	settings.probe_interval = 100 + draw(&state, 20000);
	settings.probe_max_interval = draw(&state, 100000);
	director_health_init(&health, &settings, seed, "b", now);
	for (i = 0; i < 500; i++) {
		if (draw(&state, 20) == 0)
			failing = draw(&state, 11);
		now += draw(&state, 3) * draw(&state, 1000);
		if (draw(&state, 3) > 0)
			random_signal(&model, &state);
		else
			random_probe(&model, &state, failing);
		cr_assert_eq(health.up, model.up);
		cr_assert_leq(health.since_ms, now);
		cr_assert_eq(director_health_share(&health, &settings, now) > 0,
			     health.up);
	}
}

Test(director_health, random_histories)
{
	uint64_t seed;

	for (seed = 1; seed <= 500; seed++)
		random_history(seed);
}
