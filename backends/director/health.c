#include "backends/director/health.h"

#include <stdio.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/panic.h"
#include "lib/utf8.h"

#define DOUBT 4 /* probes in an interval */
#define STEPS 9 /* of a slow start, from the first tenth to all */

/* --- when to probe --- */

/* The same time for everybody, less something of our own, which is another for
 * each probe. */
static uint64_t health_shorten(const struct director_health *health,
			       uint64_t ms)
{
	uint64_t hash = hash_bytes(health->hash, &health->probes,
				   sizeof(health->probes));

	return ms - hash % (ms / 4 + 1);
}

static uint64_t doubt_interval(const struct director_health_settings *settings)
{
	return (settings->probe_interval + DOUBT - 1) / DOUBT;
}

/* The time between two probes of a backend that is down. */
static uint64_t health_backoff(const struct director_health *health,
			       const struct director_health_settings *settings)
{
	uint64_t ms = settings->probe_interval;
	unsigned i;

	for (i = 0; i < health->doublings && ms < settings->probe_max_interval;
	     i++)
		ms *= 2;
	if (ms > settings->probe_max_interval)
		ms = settings->probe_max_interval;
	return ms > settings->probe_interval ? ms : settings->probe_interval;
}

static uint64_t health_interval(const struct director_health *health,
				const struct director_health_settings *settings)
{
	if (health->up)
		return health->failures > 0 ? doubt_interval(settings)
					    : settings->probe_interval;
	return health->successes > 0 ? doubt_interval(settings)
				     : health_backoff(health, settings);
}

static void health_plan(struct director_health *health,
			const struct director_health_settings *settings,
			uint64_t now_ms)
{
	uint64_t ms = health_interval(health, settings);

	health->next_probe_ms = now_ms + health_shorten(health, ms);
}

/* What deliveries say could otherwise make us probe as often as there are
 * deliveries. */
void director_health_hurry(struct director_health *health,
			   const struct director_health_settings *settings,
			   uint64_t now_ms)
{
	uint64_t at = now_ms;

	if (health->last_probe_ms > 0)
		at = health->last_probe_ms +
		     health_shorten(health, doubt_interval(settings));
	if (at < now_ms)
		at = now_ms;
	if (at < health->next_probe_ms)
		health->next_probe_ms = at;
}

/* --- up and down --- */

static void health_note(char *to, size_t size, const char *text)
{
	size_t len = utf8_cut(text, strlen(text), size - 1);

	memcpy(to, text, len);
	to[len] = '\0';
}

void director_health_init(struct director_health *health,
			  const struct director_health_settings *settings,
			  uint64_t seed, const char *name, uint64_t now_ms)
{
	memset(health, 0, sizeof(*health));
	health->up = true;
	health->since_ms = now_ms;
	health_note(health->why, sizeof(health->why), "no failure seen yet");
	health->hash = hash_bytes(seed, name, strlen(name));
	/* All backends become known at once, and are probed one by one. */
	health->next_probe_ms =
		now_ms + hash_bytes(health->hash, "first", 5) %
				 (settings->probe_interval + 1ULL);
}

void director_health_restore_down(
	struct director_health *health,
	const struct director_health_settings *settings, uint64_t since_ms,
	const char *why, uint64_t now_ms)
{
	health->up = settings->probe == DIRECTOR_PROBE_NO;
	if (health->up)
		return;
	health->since_ms = since_ms < now_ms ? since_ms : now_ms;
	health_note(health->why, sizeof(health->why), why);
	health->next_probe_ms =
		now_ms + health_shorten(health, doubt_interval(settings));
}

static void health_go_up(struct director_health *health, uint64_t now_ms)
{
	health->up = true;
	health->since_ms = now_ms;
	health->returned = true;
}

static void health_go_down(struct director_health *health, uint64_t now_ms)
{
	health->up = false;
	health->since_ms = now_ms;
	health->doublings = 0;
	health_note(health->why, sizeof(health->why), health->last);
}

static bool health_succeeded(struct director_health *health,
			     const struct director_health_settings *settings,
			     uint64_t now_ms)
{
	health->failures = 0;
	health->suspected = false;
	if (health->successes < UINT32_MAX)
		health->successes++;
	if (health->up || health->successes < settings->probe_rise)
		return false;
	health_go_up(health, now_ms);
	snprintf(health->why, sizeof(health->why),
		 "%u probes in a row succeeded", health->successes);
	return true;
}

static bool health_failed(struct director_health *health,
			  const struct director_health_settings *settings,
			  const char *error, uint64_t now_ms)
{
	health_note(health->last, sizeof(health->last), error);
	health->suspected = false;
	if (health->failures < UINT32_MAX)
		health->failures++;
	if (!health->up) {
		/* A success in between is no reason to ask more often, nor
		 * less often. */
		if (health->successes == 0 && health->doublings < 32)
			health->doublings++;
		health->successes = 0;
		return false;
	}
	health->successes = 0;
	if (health->failures < settings->probe_fall)
		return false;
	health_go_down(health, now_ms);
	return true;
}

bool director_health_probed(struct director_health *health,
			    const struct director_health_settings *settings,
			    const char *error, uint64_t now_ms)
{
	bool changed = error == NULL
			       ? health_succeeded(health, settings, now_ms)
			       : health_failed(health, settings, error, now_ms);

	health->last_probe_ms = now_ms;
	health->probes++;
	health_plan(health, settings, now_ms);
	return changed;
}

/* --- deliveries --- */

/* One failure of the row, once for each probe. */
static void health_suspect(struct director_health *health, const char *text)
{
	if (!health->up || health->suspected)
		return;
	health->suspected = true;
	health->failures++;
	health_note(health->last, sizeof(health->last), text);
}

static void health_trust(struct director_health *health)
{
	if (!health->suspected)
		return;
	health->suspected = false;
	health->failures--;
}

void director_health_signal(struct director_health *health,
			    const struct director_health_settings *settings,
			    enum director_signal signal, const char *text,
			    uint64_t now_ms)
{
	if (settings->probe == DIRECTOR_PROBE_NO)
		return;
	switch (signal) {
	case DIRECTOR_SIGNAL_DELIVERED:
		health_trust(health);
		if (!health->up)
			director_health_hurry(health, settings, now_ms);
		break;
	case DIRECTOR_SIGNAL_CONNECT:
	case DIRECTOR_SIGNAL_CLOSING:
		ASSERT(text != NULL);
		health_suspect(health, text);
		if (health->up)
			director_health_hurry(health, settings, now_ms);
		break;
	case DIRECTOR_SIGNAL_TIMEOUT:
		if (health->up)
			director_health_hurry(health, settings, now_ms);
		break;
	}
}

bool director_health_adapt(struct director_health *health,
			   const struct director_health_settings *settings,
			   uint64_t now_ms)
{
	if (settings->probe == DIRECTOR_PROBE_NO) {
		health->failures = health->successes = 0;
		health->suspected = false;
	}
	if (health->next_probe_ms > now_ms + health_interval(health, settings))
		health_plan(health, settings, now_ms);
	if (health->up || settings->probe != DIRECTOR_PROBE_NO)
		return false;
	health_go_up(health, now_ms);
	health_note(health->why, sizeof(health->why), "it is not probed");
	return true;
}

/* --- what follows --- */

/* When that step is done. */
static uint64_t step_ends(const struct director_health *health,
			    const struct director_health_settings *settings,
			    unsigned step)
{
	uint64_t ms = (uint64_t)settings->slow_start * step;

	return health->since_ms + (ms + STEPS - 1) / STEPS;
}

/* How many steps are done. */
static unsigned health_step(const struct director_health *health,
			    const struct director_health_settings *settings,
			    uint64_t now_ms)
{
	unsigned step = 0;

	if (!health->returned)
		return STEPS;
	while (step < STEPS &&
	       now_ms >= step_ends(health, settings, step + 1))
		step++;
	return step;
}

unsigned director_health_share(const struct director_health *health,
			       const struct director_health_settings *settings,
			       uint64_t now_ms)
{
	if (!health->up)
		return 0;
	return 100 / (STEPS + 1) * (health_step(health, settings, now_ms) + 1);
}

uint64_t
director_health_share_changes(const struct director_health *health,
			      const struct director_health_settings *settings,
			      uint64_t now_ms)
{
	unsigned step = health_step(health, settings, now_ms);

	if (!health->up || step == STEPS)
		return 0;
	return step_ends(health, settings, step + 1);
}

bool director_health_panic(const struct director_health_settings *settings,
			   unsigned count, unsigned down)
{
	ASSERT(down <= count);
	return (uint64_t)down * 100 >
	       (uint64_t)count * settings->panic_threshold;
}
